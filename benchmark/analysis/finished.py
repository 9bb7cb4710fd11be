"""Loading of the networks of a store's finished cells, and of the images that analyses use."""

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
from petlir.benchmark.errors import PetlirError, counted
from petlir.benchmark.images.prepare import ImagePair
from petlir.benchmark.records.files import read_record
from petlir.benchmark.records.schema import Done, RecordedCell
from petlir.benchmark.restoration.restore import to_batch
from petlir.benchmark.store import Store
from petlir.benchmark.weights.loading import load

FEWEST = 4
"""The minimum number of images per task, regardless of the size of the store."""
PASSED = 4_000
"""The approximate total number of images that adapted networks process in an analysis with one pass per image."""
SIDE = 64
"""Side length in pixels of the analysed image region, for networks that accept any size."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Analysis:
    """The result of an analysis.

    Attributes:
        rows: a flat table with a row for each value.
        sentences: findings as sentences, including the values.
        left_out: cells to which the analysis does not apply, with the reasons.
    """

    rows: list[Row] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Finished:
    """A finished cell: its record and its folder."""

    record: Done
    folder: Path

    @property
    def label(self) -> str:
        """The label of the method's row in tables."""
        return self.record.cell.label

    @property
    def task(self) -> str:
        """The name of the cell's task."""
        return self.record.cell.task

    @property
    def group(self) -> tuple[str, str]:
        """The cell's backbone and track; only cells with the same backbone and track are compared."""
        return self.record.cell.backbone, self.record.cell.track

    @property
    def head(self) -> str:
        """The output head of the cell's task."""
        return self.record.cell.heads[-1]

    @property
    def name(self) -> str:
        """The cell's backbone, label, task and seed, for display."""
        return self.record.title

    def model(self, context: Context, device: str) -> AdaptedModel:
        """Load the adapted model in evaluation mode."""
        return finished(self.folder, context, device)


def cells(store: Store, wanted: Callable[[RecordedCell], bool] = lambda cell: True) -> list[Finished]:
    """Return one finished cell for each backbone, track, label and task in a store: the one with the lowest seed.

    Args:
        store: the store to read.
        wanted: returns whether to select a cell, given its recorded settings.

    Raises:
        PetlirError: the selection contains no finished cell.
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
        raise PetlirError(
            f"store {store.root} holds no finished cell that matches the selection; run `petlir run` first"
        )
    return list(found.values())


def comparable(found: Sequence[Finished]) -> tuple[list[Finished], list[str]]:
    """Return the cells of the most frequent pair of backbone and track, and a line about each pair that is left out."""
    sizes = Counter(one.group for one in found)
    (kept, _), *others = sizes.most_common()
    lines = [
        f"{counted(count, 'cell')} of {backbone} on track {track}: the analysis covers one backbone and track, here "
        f"{' on '.join(kept)}; use -b {backbone} --track {track} to analyse this group"
        for (backbone, track), count in others
    ]
    return [one for one in found if one.group == kept], lines


def frozen(context: Context, backbone: str, device: str) -> Backbone:
    """Return the frozen pre-trained backbone in evaluation mode."""
    network = context.plugins.build(backbone)
    load(network, sources=context.sources)
    return network.to(device).eval().requires_grad_(False)


Looked = dict[str, tuple[Tensor, Tensor]]
"""Degraded N×3×s×s and clean N×3×ks×ks images in [0, 1], by task; k is the scale of the task."""


@dataclass(frozen=True)
class Scene:
    """The frozen backbone, images and cells of an analysis.

    Attributes:
        network: the frozen backbone.
        images: centre crops of each task's test images, as large as the network's window, or about `SIDE` pixels wide
            if the network accepts any size.
        cells: the cells whose task has images.
    """

    network: Backbone
    images: Looked
    cells: list[Finished]

    @property
    def extent(self) -> str:
        """A sentence that states the number of test images per task."""
        counts = sorted({len(degraded) for degraded, _ in self.images.values()})
        shown = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "none"
        return f"Analyses use centre crops of test images, {shown} per task; the number is smaller for large stores."


def images_each(total: int, networks: int) -> int:
    """Return the number of images for each of `networks` networks, about `total` in all; at least `FEWEST` for each."""
    return max(FEWEST, total // max(1, networks))


def scene(
    found: Sequence[Finished], context: Context, device: str, analysis: Analysis, most: int | None = None
) -> Scene:
    """Return the frozen backbone and the images for an analysis of cells of one backbone.

    Tasks without a test image that is large enough are left out and reported in `analysis`.

    Args:
        found: the cells, at least one.
        context: plugins and images.
        device: the device for the network and images.
        analysis: receives a line for each task that is left out.
        most: maximum number of images per task, spread evenly over the task's images; None for all.
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
    """Yield each cell with its network; cells that cannot be loaded are left out and reported in `analysis`."""
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
        raise PetlirError(f"all test images of {cell.task} are smaller than the analysed crops of {side}×{side} pixels")
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
    """Yield each label with its cells, sorted by label."""
    for label in sorted({one.label for one in found}):
        yield label, [one for one in found if one.label == label]
