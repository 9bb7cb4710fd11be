"""Figures of ranks: possible ranks in a column, win rates, and regret over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from petlir.benchmark.statistics import FIRM_SEEDS, Interval, printable, stabilities, wins
from petlir.reports.figures.axis import Axis, spanning
from petlir.reports.results import Column, Ranking, Table

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 190, 740, 12, 24
EQUAL = 1.05 / 0.95
"""The maximum ratio of the larger to the smaller of two sizes that count as equal."""
MOST = 30
"""The maximum number of methods in a win matrix; larger matrices are not readable."""


@dataclass(frozen=True)
class RankRange:
    """A method in a plot of ranks: its mean PSNR, its rank by this mean, and its best and worst possible ranks."""

    label: str
    colour: str
    mean: float
    rank: int
    best: int
    worst: int
    y: float


@dataclass(frozen=True)
class Strip:
    """The ranks of the methods in a column, sorted by decreasing mean PSNR.

    Attributes:
        matrix: for each ordered pair of methods, the fraction of scenes × seeds on which the first method wins, and
            None on the diagonal; the matrix is empty if the column has more than `MOST` methods.
    """

    title: str
    provisional: bool
    units: int
    seeds: int
    x: Axis
    height: int
    places: tuple[RankRange, ...]
    matrix: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Lost:
    """The regret of a method in dB in each column, and the mean and the maximum over columns with their intervals."""

    label: str
    colour: str
    columns: tuple[tuple[str, float], ...]
    mean: Interval
    worst: Interval
    y: float


@dataclass(frozen=True)
class Regrets:
    """The regrets of methods of equal size over the ranked columns of a table, sorted by increasing mean regret.

    Attributes:
        columns: names of the columns.
        intervals: whether there are enough scenes and seeds to show intervals.
        left_out: methods that have another size or are not ranked in all columns of the figure.
    """

    columns: tuple[str, ...]
    intervals: bool
    x: Axis
    height: int
    methods: tuple[Lost, ...]
    left_out: tuple[str, ...]


def strips(table: Table, colours: Mapping[str, str]) -> list[Strip]:
    """Return the ranks of the methods in each ranked column."""
    return [_strip(column, column.ranking, colours) for column in table.columns if column.ranking]


def _strip(column: Column, ranking: Ranking, colours: Mapping[str, str]) -> Strip:
    found, ranks = ranking.comparison, ranking.comparison.ranks()
    means = {label: float(np.nanmean(scores)) for label, scores in ranking.scores.items()}
    places = tuple(
        RankRange(label, colours.get(label, ""), means[label], rank, *ranks[label], TOP + ROW * (rank - 0.5))
        for rank, label in enumerate(found.order, start=1)
    )
    x = Axis(0.5, len(places) + 0.5, LEFT, RIGHT)
    height = TOP + ROW * len(places) + 36
    few = len(places) <= MOST
    matrix = _matrix(found.order, wins(ranking.scores)) if few else ()
    return Strip(name(column), found.seeds < FIRM_SEEDS, found.units, found.seeds, x, height, places, matrix)


def _matrix(order: Sequence[str], shares: Mapping[tuple[str, str], float]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(shares.get((one, other)) for other in order) for one in order)


def name(column: Column) -> str:
    """Return the name of a column."""
    return ", ".join(filter(None, (column.title, column.set, column.protocol, column.budget)))


def regrets(table: Table, colours: Mapping[str, str]) -> Regrets | None:
    """Return the regret of each method relative to the best method of equal size on each task.

    The result is None if fewer than two tasks or fewer than two methods of equal size are ranked.
    """
    ranked = _one_a_task(table)
    alike = equal_sizes({row.label: row.costs.trainable for row in table.rows if row.kind == "petl" and row.costs})
    every = {column.title: column.ranking.scores for column in ranked if column.ranking}
    labels = sorted({label for found in every.values() for label in found})
    scores = {title: {label: s for label, s in found.items() if label in alike} for title, found in every.items()}
    scores = {title: found for title, found in scores.items() if found}
    found = stabilities(scores, (label for label in labels if label in alike))
    if len(scores) < 2 or len(found) < 2:
        return None
    intervals = all(printable(*next(iter(some.values())).shape) for some in scores.values())
    order = sorted(found, key=lambda label: found[label].mean.value)
    highest = [one.worst.high if intervals else one.worst.value for one in found.values()]
    methods = tuple(
        Lost(
            label,
            colours.get(label, ""),
            tuple((title, regret.value) for title, regret in found[label].by_column.items()),
            found[label].mean,
            found[label].worst,
            TOP + ROW * (place + 0.5),
        )
        for place, label in enumerate(order)
    )
    left_out = tuple(label for label in labels if label not in found)
    x = spanning([0.0, *highest], LEFT, RIGHT)
    return Regrets(tuple(scores), intervals, x, TOP + ROW * len(methods) + 36, methods, left_out)


def equal_sizes(sizes: Mapping[str, float]) -> set[str]:
    """Return the largest group of methods whose sizes differ by at most 10.5 %, i.e. ± 5 % around one size."""
    groups = [{name for name, size in sizes.items() if low <= size <= EQUAL * low} for low in sizes.values()]
    return max(groups, key=len, default=set())


def _one_a_task(table: Table) -> list[Column]:
    """Return the first ranked headline column of each task, so that each task counts once."""
    by_task = ([table.columns[place] for place in places] for places in table.headlines.values())
    return [ranked[0] for columns in by_task if (ranked := [column for column in columns if column.ranking])]
