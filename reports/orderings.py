"""Tests of published orderings: 95 % intervals in every column that contains both methods, on every backbone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np
import pandas as pd

from petlir.benchmark.published import Ordering
from petlir.benchmark.records.schema import Record
from petlir.benchmark.statistics import Difference, Scores, differences_of, printable
from petlir.benchmark.statistics.columns import tables
from petlir.reports.claims import is_method, within
from petlir.reports.frame import differing, score_frame

VERDICTS = ("does not hold", "holds", "undecided")
"""The verdicts on a statement over all its comparisons; statements are listed in this order of verdicts."""


class Where(NamedTuple):
    """The column in which an ordering was tested."""

    backbone: str
    track: str
    task: str
    set: str
    protocol: str


@dataclass(frozen=True)
class OrderingResult:
    """The test of a published ordering for two methods in one column.

    Attributes:
        ordering: the published statement.
        left: the label of the method that the paper states to be better or equally good.
        right: the label of the other method.
        where: the column.
        difference: the PSNR of `left` minus the PSNR of `right` in dB, over scenes and seeds.
        verdict: `holds`, `contradicted` or `inconclusive`.
        reason: the reason why the difference has no interval; empty if the difference has an interval.
    """

    ordering: Ordering
    left: str
    right: str
    where: Where
    difference: Difference
    verdict: str
    reason: str = ""


def findings(records: Sequence[Record], orderings: Iterable[Ordering]) -> list[OrderingResult]:
    """Test each published ordering in each headline column where both methods converged on at least two shared seeds.

    The relation `>` holds if the interval of the difference lies above zero, and is contradicted if the interval lies
    below zero. The relation `~` holds if the interval lies within ± 0.1 dB, and is contradicted if the interval lies
    entirely outside ± 0.1 dB. A comparison is inconclusive if the relation neither holds nor is contradicted.
    """
    usable = [record for record in records if record.state == "done" and not record.smoke]
    labels = {record.cell.label for record in usable}
    tested = [
        (ordering, sides)
        for ordering in orderings
        if ordering.measure == "psnr"
        and all(sides := tuple(_meant(side, labels) for side in (ordering.left, ordering.right)))
    ]
    columns = list(_columns(usable)) if tested else []
    return [
        finding
        for ordering, sides in tested
        for where, scores in columns
        if where.task in ordering.tasks or "*" in ordering.tasks
        for finding in _tested(ordering, where, scores, *sides)
    ]


def _meant(names: Iterable[str], labels: Iterable[str]) -> set[str]:
    """Return the labels of the methods that one side of an ordering names."""
    return {label for label in labels if any(is_method(name, label) for name in names)}


def _columns(records: Sequence[Record]) -> Iterator[tuple[Where, dict[str, Scores]]]:
    """Yield each headline column with the scores of its methods.

    Untrained methods that ran with several seeds are added to every column of trained methods under the same
    conditions. Without a matching column of trained methods, the untrained methods form a column of their own.
    """
    frame = score_frame(records)
    frame = frame[frame.headline]
    trains = frame.regime != "none"
    converged = frame.converged.eq(True).groupby([frame.backbone, frame.label, frame.task]).transform("all")
    trained, others = frame[trains & converged], frame[~trains]
    parts = list(Where._fields)
    beside = dict(list(others.groupby([*parts, "device"])))
    alone = set(beside)
    for place, rows in trained.groupby([*parts, "budget", "regime", "device"]):
        same = (*place[: len(parts)], place[-1])
        alone -= {same}
        yield from _column(same, [rows, *([beside[same]] if same in beside else [])])
    for place in sorted(alone):
        yield from _column(place, [beside[place]])


def _column(place: tuple[object, ...], rows: Sequence[pd.DataFrame]) -> Iterator[tuple[Where, dict[str, Scores]]]:
    scores = tables(differing(pd.concat(rows)), 2)
    if scores and len(next(iter(scores.values()))) > 1:
        yield Where(*map(str, place[: len(Where._fields)])), scores


def _tested(
    ordering: Ordering, where: Where, scores: dict[str, Scores], lefts: set[str], rights: set[str]
) -> Iterator[OrderingResult]:
    """Yield the tests of an ordering in one column: each left method against each right method, on shared seeds."""
    pairs = [pair for pair in permutations(scores, 2) if pair[0] in lefts and pair[1] in rights]
    there = {label: np.isfinite(table).any(axis=0) for label, table in scores.items()}
    shared = [there[left] & there[right] for left, right in pairs]
    gaps = [scores[left][:, both] - scores[right][:, both] for (left, right), both in zip(pairs, shared, strict=True)]
    found = differences_of(gaps)
    for (left, right), gap, one in zip(pairs, gaps, found, strict=True):
        if one is not None:
            yield _finding(ordering, left, right, where, one, gap.shape)


def _finding(
    ordering: Ordering, left: str, right: str, where: Where, found: Difference, shape: tuple[int, ...]
) -> OrderingResult:
    units, seeds = shape
    if not printable(units, seeds):
        few = f"too few scenes ({units}) or seeds ({seeds}) for an interval"
        return OrderingResult(ordering, left, right, where, found, "inconclusive", few)
    return OrderingResult(ordering, left, right, where, found, _holds(ordering.relation, found))


def _holds(relation: str, found: Difference) -> str:
    if relation == ">":
        return "holds" if found.low > 0 else "contradicted" if found.high < 0 else "inconclusive"
    near = within(found.low, found.high, 0.0)
    return {"reproduced": "holds", "not reproduced": "contradicted"}.get(near, near)


@dataclass(frozen=True)
class OrderingSummary:
    """The results of a published statement over all its comparisons.

    Attributes:
        verdict: `holds` if the statement holds in every comparison, `does not hold` if a comparison contradicts it, and
            `undecided` otherwise.
        counts: the number of comparisons with each verdict.
        smallest: the comparison with the smallest difference.
        largest: the comparison with the largest difference.
    """

    ordering: Ordering
    verdict: str
    counts: Counter[str]
    smallest: OrderingResult
    largest: OrderingResult


def statements(tested: Iterable[OrderingResult]) -> list[OrderingSummary]:
    """Return the results of the tested statements; statements that do not hold come first."""
    by_statement: dict[Ordering, list[OrderingResult]] = {}
    for one in tested:
        by_statement.setdefault(one.ordering, []).append(one)
    found = [_summary(ordering, results) for ordering, results in by_statement.items()]
    return sorted(found, key=lambda one: VERDICTS.index(one.verdict))


def _summary(ordering: Ordering, results: Sequence[OrderingResult]) -> OrderingSummary:
    counts = Counter(one.verdict for one in results)
    verdict = VERDICTS[0] if counts["contradicted"] else VERDICTS[1] if counts["holds"] == len(results) else VERDICTS[2]
    ordered = sorted(results, key=lambda one: one.difference.mean)
    return OrderingSummary(ordering, verdict, counts, ordered[0], ordered[-1])
