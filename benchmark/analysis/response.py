"""`petlir analyse response`: the response of each branch of a method to each task (AdaptIR, Figures 5 and 11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from statistics import fmean

import torch
from torch import Tensor, nn

from petlir.benchmark.analysis.finished import (
    PASSED,
    Analysis,
    Finished,
    Row,
    Scene,
    by_label,
    images_each,
    opened,
    scene,
)
from petlir.benchmark.analysis.spectrum import added_maps
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cells.context import Context
from petlir.benchmark.method import Branched

ADDED = "added"
LOW = 0.05
"""The frequency, in cycles per pixel, below which energy counts as low."""


def response(found: Sequence[Finished], context: Context, device: str) -> Analysis:
    """Measure, for each label and task, the outputs of branches and the features added by the method to blocks.

    Values are means over modules and images. `strength` is the mean absolute value of a branch's output. `low_energy`
    is the fraction of a map's energy below 0.05 cycles per pixel, including the map's mean. `channel_variance` is the
    variance, over channels, of the channels' mean values. The strength of a gate is its mean value. The branch `added`
    denotes everything that a method adds to the features after a block.
    """
    analysis = Analysis()
    seen = scene(found, context, device, analysis, images_each(PASSED, len(found)))
    for label, cells in by_label(seen.cells):
        rows = [
            row for cell, model in opened(cells, context, device, analysis) for row in _rows(cell, model.network, seen)
        ]
        analysis.rows.extend(rows)
        if rows:
            analysis.sentences.append(_sentence(label, rows))
        if not any(row["branch"] != ADDED for row in rows):
            analysis.left_out.append(f"{label}: none of its modules has branches")
    analysis.sentences.append(seen.extent)
    return analysis


def _rows(cell: Finished, network: Backbone, seen: Scene) -> Iterator[Row]:
    degraded, _ = seen.images[cell.task]
    answers: dict[str, list[dict[str, float]]] = {}
    for one in answered(network, degraded, cell.head):
        for branch, values in one.items():
            answers.setdefault(branch, []).append(measured(values))
    added = [maps for maps in added_maps(network, seen.network, degraded, cell.head) if maps.any()]
    answers |= {ADDED: [measured(maps) for maps in added]} if added else {}
    for branch, several in answers.items():
        means = {name: fmean(one[name] for one in several) for name in several[0]}
        yield {"label": cell.label, "task": cell.task, "branch": branch, "modules": len(several), **means}


@torch.no_grad()
def answered(network: Backbone, images: Tensor, head: str) -> list[Mapping[str, Tensor]]:
    """Return the branch outputs of each module for N×3×h×w images, in order of computation."""
    found: list[Mapping[str, Tensor]] = []

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, Branched)
        found.append(module.responses(inputs[0]))

    modules = [module for module in network.modules() if isinstance(module, Branched)]
    with ExitStack() as watched:
        for module in modules:
            watched.enter_context(module.register_forward_pre_hook(hook))
        if modules:
            network(images, head)
    return found


def measured(values: Tensor) -> dict[str, float]:
    """Return the `strength` and `channel_variance` of N×C×H×W maps or N×C values and, for maps, also `low_energy`."""
    found = {"strength": float(values.abs().mean())}
    if values.ndim == 4:
        found["low_energy"] = low_energy(values)
    channels = values.flatten(2).mean(2) if values.ndim == 4 else values
    return found | {"channel_variance": float(channels.var(1, correction=0).mean())}


def low_energy(maps: Tensor) -> float:
    """Return the fraction, in [0, 1], of the energy of N×C×H×W maps below `LOW` cycles per pixel.

    The mean of a map counts as a low frequency; on maps with sides below 20 pixels it is the only low frequency.
    """
    energy = torch.fft.fft2(maps.double()).abs().square().sum((0, 1))
    rows, columns = (torch.fft.fftfreq(length, device=maps.device) for length in maps.shape[-2:])
    radius = (rows[:, None].square() + columns.square()).sqrt()
    total = float(energy.sum())
    return float(energy[radius < LOW].sum()) / total if total else 0.0


def _sentence(label: str, rows: Sequence[Row]) -> str:
    spread = []
    for branch in dict.fromkeys(row["branch"] for row in rows):
        strengths = {row["task"]: row["strength"] for row in rows if row["branch"] == branch}
        least, most = (choose(strengths, key=lambda task: strengths[task]) for choose in (min, max))
        spread.append(f"{branch} from {strengths[least]:.3g} ({least}) to {strengths[most]:.3g} ({most})")
    return f"{label}, strength over tasks: {'; '.join(spread)}."
