"""`petlir analyse response`: how strongly each branch of a method answers to each task (AdaptIR's Figures 5 and 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.analysis.finished import Analysis, Finished, Looked, Row, by_label, frozen, looked_at
from benchmark.backbone import Backbone
from benchmark.bench import Bench
from benchmark.method import Branched

LOW = 0.05
"""Cycles per pixel below which energy counts as low."""


def response(found: Sequence[Finished], bench: Bench, device: str) -> Analysis:
    """For each label with branches, its tasks and its branches: means over modules and images.

    `strength` is the mean absolute value that a branch puts out; of a map `low_energy`, the share of its energy below
    0.05 cycles per pixel, its mean left out; of numbers per channel `channel_variance`, their variance over channels.
    A gate's strength is its mean value.
    """
    analysis = Analysis()
    network = frozen(bench, str(found[0].record["cell"]["backbone"]), device)
    images = looked_at(found, network, bench, device)
    for label, cells in by_label(found):
        rows = [row for cell in cells for row in _rows(cell, images, bench, device)]
        if rows:
            analysis.rows.extend(rows)
            analysis.sentences.append(_sentence(label, rows))
        else:
            analysis.left_out.append(f"{label}: no module of it has branches")
    return analysis


def _rows(cell: Finished, images: Looked, bench: Bench, device: str) -> list[Row]:
    network, (degraded, _) = cell.subject(bench, device).network, images[cell.task]
    answers: dict[str, list[dict[str, float]]] = {}
    for one in answered(network, degraded, cell.head):
        for branch, values in one.items():
            answers.setdefault(branch, []).append(measured(values))
    return [
        {"label": cell.label, "task": cell.task, "branch": branch, "modules": len(several)}
        | {name: fmean(one[name] for one in several) for name in several[0]}
        for branch, several in answers.items()
    ]


@torch.no_grad()
def answered(network: Backbone, images: Tensor, head: str) -> list[Mapping[str, Tensor]]:
    """What the branches of each module put out for images N×3×h×w, in the order of computation."""
    found: list[Mapping[str, Tensor]] = []

    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
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
    """Of maps N×C×H×W their strength and low energy, of numbers per channel N×C strength and variance."""
    found = {"strength": float(values.abs().mean())}
    if values.ndim == 4 and values.shape[-1] > 1:
        return found | {"low_energy": low_energy(values)}
    return found | {"channel_variance": float(values.flatten(1).var(1, correction=0).mean())}


def low_energy(maps: Tensor) -> float:
    """The share of the energy of maps N×C×H×W below `LOW` cycles per pixel, in [0, 1]; the mean of a map counts not."""
    energy = torch.fft.fft2(maps.double()).abs().square().sum((0, 1))
    rows, columns = (torch.fft.fftfreq(length, device=maps.device) for length in maps.shape[-2:])
    radius = (rows[:, None].square() + columns.square()).sqrt()
    energy[0, 0] = 0
    total = float(energy.sum())
    return float(energy[radius < LOW].sum()) / total if total else 0.0


def _sentence(label: str, rows: Sequence[Row]) -> str:
    spread = []
    for branch in dict.fromkeys(row["branch"] for row in rows):
        strengths = {row["task"]: row["strength"] for row in rows if row["branch"] == branch}
        least, most = (choose(strengths, key=lambda task: strengths[task]) for choose in (min, max))
        spread.append(f"{branch} from {strengths[least]:.3g} ({least}) to {strengths[most]:.3g} ({most})")
    return f"{label}, strength over tasks: {'; '.join(spread)}."
