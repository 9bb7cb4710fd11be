"""The finished cells of a store as networks, and the images that analyses look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cells.adapted_model import AdaptedModel, finished
from petlir.benchmark.cells.context import Context
from petlir.benchmark.degradation import Degraded, Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.prepare import ImagePair
from petlir.benchmark.records.files import read_record
from petlir.benchmark.records.schema import Done, RecordedCell
from petlir.benchmark.restoration.restore import to_batch
from petlir.benchmark.store import Store
from petlir.benchmark.weights.cards import load

FEWEST = 4
"""Images of a task that are looked at in the largest stores, too."""
PASSED = 4_000
"""Images that pass through adapted networks in all, about, where one pass each is enough."""
SIDE = 64
"""Side of what is looked at of an image, for networks that take any size."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Analysis:
    """What an analysis found.

    Attributes:
        rows: one for each number, flat: a table.
        sentences: what the rows show, with their numbers.
        left_out: what it does not apply to, each with the reason.
    """

    rows: list[Row] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Finished:
    """A finished cell: its record, and where it lies."""

    record: Done
    folder: Path

    @property
    def label(self) -> str:
        """What its row is called."""
        return self.record.cell.label

    @property
    def task(self) -> str:
        """Its task."""
        return self.record.cell.task

    @property
    def group(self) -> tuple[str, str]:
        """Its backbone and track; cells of another are not compared with it."""
        return self.record.cell.backbone, self.record.cell.track

    @property
    def head(self) -> str:
        """The head that an image leaves by."""
        return self.record.cell.heads[-1]

    @property
    def name(self) -> str:
        """Backbone, label, task and seed, as a person reads them."""
        return self.record.title

    def model(self, context: Context, device: str) -> AdaptedModel:
        """Its network, in evaluation mode."""
        return finished(self.folder, context, device)


def cells(store: Store, wanted: Callable[[RecordedCell], bool] = lambda cell: True) -> list[Finished]:
    """The finished cells of a store, the first seed of each backbone, track, label and task.

    Args:
        store: holds them.
        wanted: chooses among them by what a record says of its cell.

    Raises:
        PetlirError: there is none.
    """
    found: dict[tuple[str, ...], Finished] = {}
    for path in store.files():
        record = read_record(path)
        if record.state == "done" and wanted(record.cell):
            one = Finished(record, path.parent)
            known = found.get(place := (*one.group, one.label, one.task))
            if known is None or record.cell.seed < known.record.cell.seed:
                found[place] = one
    if not found:
        raise PetlirError(f"store {store.root} holds no finished cell of what was asked for; `petlir run` makes them")
    return list(found.values())


def comparable(found: Sequence[Finished]) -> tuple[list[Finished], list[str]]:
    """The cells of the backbone and track that have most of them, and a line on each group that is left out."""
    sizes = Counter(one.group for one in found)
    (kept, _), *others = sizes.most_common()
    lines = [
        f"{count} cells of {backbone} on track {track}: an analysis compares cells of one backbone and track, here "
        f"{' on '.join(kept)}; -b {backbone} --track {track} looks at them"
        for (backbone, track), count in others
    ]
    return [one for one in found if one.group == kept], lines


def frozen(context: Context, backbone: str, device: str) -> Backbone:
    """The pre-trained backbone as it is, in evaluation mode."""
    network = context.plugins.build(backbone)
    load(network, sources=context.sources)
    return network.to(device).eval().requires_grad_(False)


Looked = dict[str, tuple[Tensor, Tensor]]
"""Degraded N×3×s×s and clean N×3×ks×ks in [0, 1], by task."""


@dataclass(frozen=True)
class Scene:
    """What the cells of one backbone are looked at with.

    Attributes:
        network: the frozen backbone.
        images: the middle of test images of each task, as large as the network's window.
        cells: those whose task has images.
    """

    network: Backbone
    images: Looked
    cells: list[Finished]

    @property
    def extent(self) -> str:
        """How many images were looked at, in a sentence."""
        counts = sorted({len(degraded) for degraded, _ in self.images.values()})
        shown = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "no"
        return f"Looked at: the middle of {shown} test images of each task; of large stores fewer, to bound the time."


def images_each(total: int, networks: int) -> int:
    """How many images of each task `networks` passes may look at, so that these are `total` in all, but a few each."""
    return max(FEWEST, total // max(1, networks))


def scene(
    found: Sequence[Finished], context: Context, device: str, analysis: Analysis, most: int | None = None
) -> Scene:
    """The scene of these cells, all of one backbone; tasks without images are left out, and named in `analysis`.

    Args:
        found: the cells, at least one.
        context: plugins and images.
        device: where to look at them.
        analysis: is told what is left out.
        most: how many images of each task, spread evenly over all; None for all.
    """
    network = frozen(context, found[0].record.cell.backbone, device)
    images: Looked = {}
    for cell in {cell.task: cell for cell in found}.values():
        try:
            images[cell.task] = _middles(cell, network.patch(cell.head, SIDE), context, device, most)
        except PetlirError as error:
            analysis.left_out.append(f"{cell.task}: {error}")
    return Scene(network, images, [cell for cell in found if cell.task in images])


def opened(
    found: Sequence[Finished], context: Context, device: str, analysis: Analysis
) -> Iterator[tuple[Finished, AdaptedModel]]:
    """Each cell with its network; one that cannot be loaded is left out, and named in `analysis`."""
    for cell in found:
        try:
            model = cell.model(context, device)
        except PetlirError as error:
            analysis.left_out.append(f"{cell.name}: {error}")
        else:
            yield cell, model


def _middles(cell: Finished, side: int, context: Context, device: str, most: int | None) -> tuple[Tensor, Tensor]:
    pairs = context.tests(cell.task, cell.record.cell.track)
    large = [pair for pair in pairs if min(pair.degraded.shape[:2]) >= side]
    if not large:
        raise PetlirError(f"no test image of {cell.task} is as large as the {side}×{side} pixels that are looked at")
    places = np.linspace(0, len(large) - 1, min(most or len(large), len(large))).round().astype(int)
    found = [_middle(large[place], side) for place in places]
    degraded, clean = ([to_batch(image, device) for image in images] for images in zip(*found, strict=True))
    return torch.cat(degraded), torch.cat(clean)


def _middle(pair: ImagePair, side: int) -> tuple[Degraded, Image]:
    top, left = ((length - side) // 2 for length in pair.degraded.shape[:2])
    scale = pair.clean.shape[0] // pair.degraded.shape[0]
    rows, columns = slice(top * scale, (top + side) * scale), slice(left * scale, (left + side) * scale)
    return pair.degraded[top : top + side, left : left + side], pair.clean[rows, columns]


def by_label(found: Sequence[Finished]) -> Iterator[tuple[str, list[Finished]]]:
    """The cells of each label, in the order of labels."""
    for label in sorted({one.label for one in found}):
        yield label, [one for one in found if one.label == label]
