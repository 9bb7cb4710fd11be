"""Methods composed of adapters from other cells: router confusion matrices, and PSNR next to that of single experts.

The best single expert is chosen in hindsight, on the test images. If the PSNR of a composition is above the PSNR of
this expert, it is therefore also above the PSNR of any single expert chosen on validation images.
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
from petlir.benchmark.cells.context import Context
from petlir.benchmark.layers.classifier import ExpertClassifier
from petlir.benchmark.layers.routing import Router
from petlir.benchmark.protocol import protocol
from petlir.benchmark.restoration.restore import restore, to_batch, to_image
from petlir.benchmark.scoring.psnr_ssim import psnr

TOGETHER = "composed"
"""The label of rows for the whole composition, as opposed to one of its experts."""
NONE = "none"
"""The column of a confusion matrix for images that are assigned to no expert."""
EFFECT = 0.3
"""An expert has an effect if its gain over the frozen network on validation images is at least this many dB."""

Weigher = Router | ExpertClassifier


def composed(model: AdaptedModel) -> bool:
    """Return whether the model's method trains nothing and composes the adapters of other cells."""
    return not model.method.trains and bool(model.method.requires(model.cell))


def of_composition(
    analysis: Analysis,
    cells: Sequence[Finished],
    networks: Mapping[str, AdaptedModel],
    seen: Scene,
    before: Mapping[str, float],
    context: Context,
) -> None:
    """Add rows and sentences about the cells of one composed method to an analysis.

    Rows hold the PSNR of each expert alone and of the composition. For each task and expert, rows hold the mean weight
    that the router gives the expert (`weight`), the fraction of images on which this weight is the largest (`most`),
    and the fraction when every image must be assigned to an expert (`most_forced`). For each expert, rows hold the
    expert's gain over the frozen network on validation images (`effect`).

    Args:
        analysis: the analysis.
        cells: the cells of the method, one per task.
        networks: the adapted models of `cells`, by task.
        seen: the test images and the frozen backbone.
        before: the PSNR of the frozen network on each task.
        context: source of the validation images.
    """
    rows = [row for cell in cells for row in _rows(cell, networks[cell.task], seen, before[cell.task])]
    label = cells[0].label
    effects = _effects(networks[cells[0].task], context)
    rows += [{"label": label, "member": task, "effect": gain} for task, gain in effects.items()]
    analysis.rows.extend(rows)
    if any("expert" in row for row in rows):
        analysis.sentences.extend(_said(label, rows))
    else:
        analysis.left_out.append(f"{label}: its experts are not selected by a router, so there is no confusion matrix")


def _rows(cell: Finished, model: AdaptedModel, seen: Scene, before: float) -> Iterator[Row]:
    def row(trained: str, found: float) -> Row:
        return {"label": cell.label, "trained": trained, "tested": cell.task, "psnr": found,
                "over_frozen": found - before}  # fmt: skip

    experts = [need.task for need in model.method.requires(model.cell)]
    yield row(TOGETHER, quality(model.network, cell, seen.images))
    if (router := _router(model)) is None:
        return
    degraded, _ = seen.images[cell.task]
    with torch.no_grad():
        weights = _with_none(torch.cat([router(model.network, image[None]) for image in degraded]))
        forced = weights
        if isinstance(router, ExpertClassifier):
            forced = _with_none(torch.cat([router.forced(model.network, image[None]) for image in degraded]))
    shares = [nn.functional.one_hot(given.argmax(1), given.shape[1]).float().mean(0) for given in (weights, forced)]
    for place, expert in enumerate([*experts, NONE]):
        if expert != NONE:
            with alone(router, place):
                yield row(expert, quality(model.network, cell, seen.images))
        yield {"label": cell.label, "tested": cell.task, "expert": expert, "weight": float(weights[:, place].mean()),
               "most": float(shares[0][place]), "most_forced": float(shares[1][place])}  # fmt: skip


def _router(model: AdaptedModel) -> Weigher | None:
    return next((module for module in model.network.modules() if isinstance(module, Router | ExpertClassifier)), None)


def _with_none(weights: Tensor) -> Tensor:
    """Append the weight of the frozen network, 1 minus the sum of the experts' N×K weights."""
    return torch.cat([weights, 1 - weights.sum(1, keepdim=True)], 1)


@torch.no_grad()
def _effects(model: AdaptedModel, context: Context) -> dict[str, float]:
    """Return each expert's gain over the frozen network in dB on the validation images of its own task."""
    gains: dict[str, float] = {}
    if (router := _router(model)) is None:
        return gains
    for place, need in enumerate(model.method.requires(model.cell)):
        task = context.plugins.task(need.task)
        head, rule = model.network.head_for(task), protocol(task.protocols[0])
        differences = []
        for pair in context.validation(need.task, need.track):
            scores = []
            for only in (place, None):
                with alone(router, only):
                    output = restore(
                        model.network, to_batch(pair.degraded, next(model.network.parameters()).device), head
                    )
                scores.append(psnr(to_image(output), pair.clean, rule))
            differences.append(scores[0] - scores[1])
        gains[need.task] = fmean(differences)
    return gains


@contextmanager
def alone(router: Weigher, place: int | None) -> Iterator[None]:
    """Within the `with` block, give all the weight to the expert at index `place`, or to the frozen network if None."""

    def hook(module: nn.Module, inputs: tuple[object, ...], output: Tensor) -> Tensor:
        only = torch.zeros_like(output)
        if place is not None:
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
    effects = {row["member"]: row["effect"] for row in rows if "effect" in row}
    if effects:
        each = ", ".join(
            f"{task} {gain:+.2f} dB{'' if gain >= EFFECT else ' (no effect)'}" for task, gain in effects.items()
        )
        yield f"{label}: on validation images of its own task, each LoRA gains over the frozen network: {each}."
    known = {row["expert"] for row in routed}
    mixed = dict.fromkeys(row["tested"] for row in routed if row["tested"] not in known)
    gains = {task: _over_best(rows, task) for task in mixed}
    if gains:
        above = sum(gain > 0 for gain, _ in gains.values())
        each = ", ".join(f"{task} {gain:+.2f} dB over {best}" for task, (gain, best) in gains.items())
        yield (
            f"{label}: tasks without a LoRA of their own on which the composition has a higher PSNR than the best "
            f"single LoRA, chosen in hindsight: {above} of {len(gains)} ({each})."
        )


def _over_best(rows: Sequence[Row], task: str) -> tuple[float, str]:
    """Return the gain of the composition over the best single expert in dB, and the name of this expert."""
    found = {row["trained"]: row["psnr"] for row in rows if row.get("tested") == task and "psnr" in row}
    best = max((name for name in found if name != TOGETHER), key=lambda name: found[name])
    return found[TOGETHER] - found[best], best
