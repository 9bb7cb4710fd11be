"""`petlir analyse fourier`: the frequencies that each method, and each of its branches, adds to the features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from petlir.benchmark.analysis import spectrum
from petlir.benchmark.analysis.finished import PASSED, Analysis, Finished, Row, by_label, images_each, opened, scene
from petlir.benchmark.analysis.response import answered
from petlir.benchmark.analysis.spectrum import Curves
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cells.context import Context

GATE = " gate"
"""The suffix of gate names; see `petlir.benchmark.method.Branched`."""
BACKBONE = "backbone"
"""The label of rows for the frozen network's own features."""


def fourier(found: Sequence[Finished], context: Context, device: str) -> Analysis:
    """Compute a curve for each label and task, and, for each label, the mean distance in nats between tasks' curves."""
    analysis = Analysis()
    seen = scene(found, context, device, analysis, images_each(PASSED, len(found)))
    images = {task: degraded for task, (degraded, _) in seen.images.items()}
    heads = {cell.task: cell.head for cell in seen.cells}
    for label, cells in by_label(seen.cells):
        curves: dict[str, Curves] = {}
        branches: dict[str, dict[str, Curves]] = {}
        for cell, model in opened(cells, context, device, analysis):
            for branch, own_curves in _branches(model.network, images[cell.task], cell.head).items():
                branches.setdefault(branch, {})[cell.task] = own_curves
            added = spectrum.curves_of(spectrum.added_maps(model.network, seen.network, images[cell.task], cell.head))
            if np.isfinite(added).any():
                curves[cell.task] = added
            else:
                analysis.left_out.append(f"{cell.name}: it adds nothing to the features of any block")
        _tell(analysis, label, curves)
        for branch, by_task in branches.items():
            _tell(analysis, f"{label}, {branch}", by_task)
    own = {task: spectrum.own_maps(seen.network, images[task], head) for task, head in heads.items()}
    _tell(analysis, BACKBONE, {task: spectrum.curves_of(maps) for task, maps in own.items()})
    analysis.sentences.append(seen.extent)
    return analysis


def _branches(network: Backbone, images: Tensor, head: str) -> dict[str, Curves]:
    """Return the mean curve of each branch's output over all modules; gates and per-channel factors have no curves."""
    maps: dict[str, list[Tensor]] = {}
    for answer in answered(network, images, head):
        for branch, values in answer.items():
            if values.ndim == 4 and not branch.endswith(GATE):
                maps.setdefault(branch, []).append(values)
    curves = {branch: spectrum.curves_of(several) for branch, several in maps.items()}
    return {branch: own for branch, own in curves.items() if np.isfinite(own).any()}


def _tell(analysis: Analysis, label: str, curves: dict[str, Curves]) -> None:
    for task, one in curves.items():
        mean = np.nanmean(one, 0)
        analysis.rows.extend(
            {"label": label, "task": task, "frequency": k / len(mean), "relative_log_amplitude": float(value)}
            for k, value in enumerate(mean)
        )
    if len(curves) < 2:
        return
    low, high = spectrum.interval(curves)
    apart = spectrum.heterogeneity(curves)
    row: Row = {"label": label, "tasks": len(curves), "heterogeneity": apart, "low": low, "high": high}
    analysis.rows.append(row)
    what = "features of the frozen network" if label == BACKBONE else f"features added by {label}"
    analysis.sentences.append(
        f"{what[0].upper()}{what[1:]}: the curves of {len(curves)} tasks differ by {apart:.3f} on average "
        f"(95 % interval over images: {low:.3f} to {high:.3f})."
    )
