"""Means over tasks of the points of a named grid, for papers that plot means over tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from petlir.benchmark.protocol import protocol
from petlir.benchmark.task import IMAGES
from petlir.reports.formats import joined
from petlir.reports.grids.points import FigureKey, GridPoint, option

Figures = Sequence[tuple[FigureKey, Sequence[GridPoint]]]


def over_tasks(found: Figures) -> Iterator[tuple[FigureKey, list[GridPoint]]]:
    """Yield means over tasks, for each combination of budget, device, image set and regime with several tasks.

    Only points that all tasks of a combination share are included.

    A point is the mean over tasks, computed separately for each seed, with the scores of each task under its headline
    protocol. A point is left out if its tasks have different numbers of seeds.

    Args:
        found: the points of each task, set and budget.
    """
    groups: dict[FigureKey, dict[FigureKey, Sequence[GridPoint]]] = defaultdict(dict)
    for place, points in found:
        groups[place._replace(task="", protocol=protocol(place.protocol).way)][place] = points
    for group, members in groups.items():
        if len({place.task for place in members}) > 1:
            tasks = joined([place.task for place in members])
            protocols = "/".join(dict.fromkeys(place.protocol for place in members))
            yield group._replace(task=f"mean of {tasks}", protocol=protocols), list(_means(members))


def _means(members: Mapping[FigureKey, Sequence[GridPoint]]) -> Iterator[GridPoint]:
    same: dict[tuple[str, str, str | None], list[GridPoint]] = defaultdict(list)
    for points in members.values():
        for point in points:
            same[point.backbone, point.label, option(point.record.cell.task, IMAGES)].append(point)
    for some in same.values():
        if len(some) == len(members) and len({len(point.seeds) for point in some}) == 1:
            yield _mean(some)


def _mean(some: Sequence[GridPoint]) -> GridPoint:
    gains = [point.over_frozen for point in some if point.over_frozen is not None]
    return replace(
        some[0],
        seeds=tuple(map(fmean, zip(*(point.seeds for point in some), strict=True))),
        over_frozen=fmean(gains) if len(gains) == len(some) else None,
        converged=all(point.converged for point in some) if some[0].trained else None,
        smoke=any(point.smoke for point in some),
    )
