"""`petlir analyse transfer`: each task's adapter tested on every other task, and compositions of LoRAs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from petlir.benchmark.analysis.composition import composed, of_composition
from petlir.benchmark.analysis.finished import Analysis, Finished, Row, Scene, by_label, images_each, opened, scene
from petlir.benchmark.analysis.quality import quality
from petlir.benchmark.cells.adapted_model import AdaptedModel
from petlir.benchmark.cells.context import Context

RESTORED = 10_000
"""The approximate total number of restored images; each adapter of a label restores images of all the label's tasks."""


def transfer(found: Sequence[Finished], context: Context, device: str) -> Analysis:
    """Compute the matrix of trained × tested tasks of each label: PSNR in dB on centre crops of the test images.

    An adapted network restores images of the tested task through the head of the tested task. If a label's
    method composes adapters of other cells, the label has rows for each adapter alone and for the composition; see
    `composition`.
    """
    analysis = Analysis()
    pairs = sum(len(cells) ** 2 for _, cells in by_label(found))
    seen = scene(found, context, device, analysis, images_each(RESTORED, pairs))
    before = {cell.task: quality(seen.network, cell, seen.images) for cell in _tasks(seen).values()}
    for label, cells in by_label(seen.cells):
        networks = {cell.task: model for cell, model in opened(cells, context, device, analysis)}
        cells = [cell for cell in cells if cell.task in networks]
        if any(composed(one) for one in networks.values()):
            of_composition(analysis, cells, networks, seen, before, context)
        elif _applies(analysis, label, networks):
            for cell in cells:
                after = {trained: quality(one.network, cell, seen.images) for trained, one in networks.items()}
                analysis.rows.extend(_rows(cell, before[cell.task], after))
            analysis.sentences.append(_sentence(analysis, label))
            _name_gaps(analysis, label, seen, networks)
    analysis.sentences.append(seen.extent)
    return analysis


def _tasks(seen: Scene) -> dict[str, Finished]:
    return {cell.task: cell for cell in seen.cells}


def _applies(analysis: Analysis, label: str, networks: Mapping[str, AdaptedModel]) -> bool:
    """Return whether a label has a matrix; if not, report the reason in `analysis`."""
    if networks and not any(one.adapted.state() for one in networks.values()):
        analysis.left_out.append(f"{label}: it has no trained weights")
    elif len(networks) < 2:
        analysis.left_out.append(f"{label}: a matrix needs cells of at least two tasks, got {len(networks)}")
    else:
        return True
    return False


def _rows(cell: Finished, before: float, after: Mapping[str, float]) -> Iterator[Row]:
    for trained, found in after.items():
        yield {"label": cell.label, "trained": trained, "tested": cell.task, "psnr": found,
               "over_frozen": found - before}  # fmt: skip


def _sentence(analysis: Analysis, label: str) -> str:
    rows = [row for row in analysis.rows if row["label"] == label]
    own = fmean(row["over_frozen"] for row in rows if row["trained"] == row["tested"])
    others = [row["over_frozen"] for row in rows if row["trained"] != row["tested"]]
    harmed = sum(gain < 0 for gain in others)
    return (
        f"{label}: over the frozen network, adapters gain {own:+.2f} dB on their own tasks and {fmean(others):+.2f} dB "
        f"on other tasks on average; PSNR drops for {harmed} of {len(others)} pairs of an adapter and another task."
    )


def _name_gaps(analysis: Analysis, label: str, seen: Scene, networks: Mapping[str, AdaptedModel]) -> None:
    gaps = [task for task in _tasks(seen) if task not in networks]
    if gaps:
        analysis.left_out.append(f"{label}: the matrix omits {', '.join(gaps)} (no finished cell that could be loaded)")
