"""How a method composes what other cells have trained: its router's confusion matrix, and whether composing pays.

Beside the composition stands each of its experts alone. The best of these is chosen in hindsight, by the same images,
so a composition that comes out above it is above whatever single expert a validation set would choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean

import torch
from torch import Tensor, nn

from petlir.benchmark.analysis.finished import Analysis, Finished, Row, Scene
from petlir.benchmark.analysis.quality import quality
from petlir.benchmark.cells.adapted_model import AdaptedModel
from petlir.benchmark.layers.routing import Router

TOGETHER = "composed"
"""What the row of the whole composition is called, beside those of its experts alone."""


def composed(model: AdaptedModel) -> bool:
    """Whether it trains nothing, but is made of cells that it requires."""
    return not model.method.trains and bool(model.method.requires(model.cell))


def of_composition(
    analysis: Analysis,
    cells: Sequence[Finished],
    networks: Mapping[str, AdaptedModel],
    seen: Scene,
    before: Mapping[str, float],
) -> None:
    """Rows and sentences on the cells of one label.

    Args:
        analysis: gets them: of each expert alone and of all together as of a matrix, and of the router for each task
            the mean weight of each expert (`weight`) and the share of images that give it the most (`most`).
        cells: of the label.
        networks: these cells' networks, by task.
        seen: the images.
        before: the PSNR of the frozen network on each task.
    """
    rows = [row for cell in cells for row in _rows(cell, networks[cell.task], seen, before[cell.task])]
    analysis.rows.extend(rows)
    label = cells[0].label
    if any("expert" in row for row in rows):
        analysis.sentences.extend(_said(label, rows))
    else:
        analysis.left_out.append(f"{label}: no router weighs what it composes, so it has no confusion matrix")


def _rows(cell: Finished, model: AdaptedModel, seen: Scene, before: float) -> Iterator[Row]:
    def row(trained: str, found: float) -> Row:
        return {"label": cell.label, "trained": trained, "tested": cell.task, "psnr": found,
                "over_frozen": found - before}  # fmt: skip

    experts = [need.task for need in model.method.requires(model.cell)]
    router = next((module for module in model.network.modules() if isinstance(module, Router)), None)
    if router is None:
        yield row(TOGETHER, quality(model.network, cell, seen.images))
        return
    with weights_of(router) as weights:
        yield row(TOGETHER, quality(model.network, cell, seen.images))
    found = torch.cat(weights)
    most = nn.functional.one_hot(found.argmax(1), len(experts)).float().mean(0)
    for place, expert in enumerate(experts):
        with alone(router, place):
            yield row(expert, quality(model.network, cell, seen.images))
        yield {"label": cell.label, "tested": cell.task, "expert": expert, "weight": float(found[:, place].mean()),
               "most": float(most[place])}  # fmt: skip


@contextmanager
def weights_of(router: Router) -> Iterator[list[Tensor]]:
    """Within, gathers the weights N×K of every batch that is routed."""
    found: list[Tensor] = []
    with router.register_forward_hook(lambda module, inputs, output: found.append(output)):
        yield found


@contextmanager
def alone(router: Router, place: int) -> Iterator[None]:
    """Within, one expert gets all the weight."""

    def hook(module: nn.Module, inputs: tuple[object, ...], output: Tensor) -> Tensor:
        only = torch.zeros_like(output)
        only[:, place] = 1
        return only

    with router.register_forward_hook(hook):
        yield


def _said(label: str, rows: Sequence[Row]) -> Iterator[str]:
    routed = [row for row in rows if "expert" in row]
    own = [row for row in routed if row["expert"] == row["tested"]]
    if own:
        each = ", ".join(f"{row['tested']} {row['most']:.0%}" for row in own)
        share = fmean(row["most"] for row in own)
        yield f"{label}: the router gives a task's own LoRA the most weight on {share:.0%} of images ({each})."
    known = {row["expert"] for row in routed}
    mixed = dict.fromkeys(row["tested"] for row in routed if row["tested"] not in known)
    gains = {task: _over_best(rows, task) for task in mixed}
    if gains:
        above = sum(gain > 0 for gain, _ in gains.values())
        each = ", ".join(f"{task} {gain:+.2f} dB over {best}" for task, (gain, best) in gains.items())
        yield (
            f"{label}, on tasks without a LoRA of their own: the composition is above the best single LoRA, chosen in "
            f"hindsight, on {above} of {len(gains)}: {each}."
        )


def _over_best(rows: Sequence[Row], task: str) -> tuple[float, str]:
    """How far the composition lies above the best expert alone, and which that is."""
    found = {row["trained"]: row["psnr"] for row in rows if row["tested"] == task and "trained" in row}
    best = max((name for name in found if name != TOGETHER), key=lambda name: found[name])
    return found[TOGETHER] - found[best], best
