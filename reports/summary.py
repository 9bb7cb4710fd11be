"""Summaries of tasks: the best method, the methods tied with it, and unexpected results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from petlir.benchmark.records.schema import Record
from petlir.benchmark.statistics.mean_rank import MeanRanks, mean_ranks
from petlir.reports.answer import SEEN
from petlir.reports.claims import MARGIN
from petlir.reports.formats import decibel, joined, plural, signed
from petlir.reports.orderings import OrderingResult
from petlir.reports.results import FROZEN, FULL, INPUT, SCRATCH, Column, ResultRow, ResultValue, Table

NAMED = 4
"""The maximum number of methods named in a sentence; the rest are counted."""


@dataclass(frozen=True)
class TaskSummary:
    """The best PETL method of a task, and the methods tied with it.

    Attributes:
        place: index of the task's leading column in the table.
        best: the PETL method with the highest mean PSNR; None if no method is ranked.
        tied: labels of the methods tied with the best.
    """

    table: Table
    place: int
    best: ResultRow | None
    tied: tuple[str, ...]

    @property
    def column(self) -> Column:
        """The task's leading column."""
        return self.table.columns[self.place]

    @property
    def value(self) -> ResultValue | None:
        """The result of the best method in the task's leading column."""
        return self.best.values[self.place] if self.best else None

    def psnr(self, label: str) -> float | None:
        """Return the PSNR in dB in the row with this label; None if there is no such row or the row has no PSNR."""
        row = self.table.row(label)
        return row.values[self.place].psnr if row else None


def task_summaries(tables: Sequence[Table]) -> list[TaskSummary]:
    """Return a summary for each task of each table."""
    return [_summary(table, place) for table in tables for place in table.leading]


def _summary(table: Table, place: int) -> TaskSummary:
    marks = [(row, row.values[place].mark) for row in table.rows]
    best = next((row for row, mark in marks if mark == "best"), None)
    return TaskSummary(table, place, best, tuple(row.label for row, mark in marks if mark == "tied"))


def ranks_over_tasks(table: Table) -> MeanRanks | None:
    """Return the mean ranks over a table's ranked leading columns; None for fewer than two such columns or methods."""
    columns = (table.columns[place] for place in table.leading)
    rankings = {column.task: column.ranking for column in columns if column.ranking}
    scores = {task: ranking.scores for task, ranking in rankings.items()}
    return mean_ranks(scores, known={task: ranking.comparison for task, ranking in rankings.items()})


def surprises(tables: Sequence[Table], records: Sequence[Record], tested: Sequence[OrderingResult]) -> list[str]:
    """Return a sentence on each unexpected result, and a sentence on failed runs."""
    contradicted = Counter(one.ordering for one in tested if one.verdict == "contradicted")
    found = [
        f"“{ordering.statement}” ({ordering.paper}) does not hold in {plural(number, 'comparison')}."
        for ordering, number in contradicted.items()
    ]
    for summary in task_summaries(tables):
        found += _of_task(summary)
    failed = [record for record in records if record.state in ("failed", "out-of-memory")]
    if failed:
        reasons = sorted({f"{record.cell.label} on {record.cell.task}: {record.reason}" for record in failed})
        found.append(f"{plural(len(failed), 'run')} failed{', e.g. ' if len(failed) > 1 else ': '}{reasons[0]}.")
    return found


def _of_task(summary: TaskSummary) -> Iterator[str]:
    """Yield a sentence on each unexpected result on one task."""
    where = f"{summary.column.title} ({summary.table.group.backbone})"
    below = [row.label for row in _petl(summary) if _beyond(row.values[summary.place], -1)]
    if below:
        yield f"On {where}, training made {_some(below)} worse than the frozen network."
    full, scratch = summary.psnr(FULL), summary.psnr(SCRATCH)
    if full is not None and scratch is not None and scratch >= full:
        yield (
            f"On {where}, a network trained from scratch ({decibel(scratch)} dB) is at least as good as full "
            f"fine-tuning ({decibel(full)} dB): pre-training does not help on this task."
        )
    gained = [row.label for row in _petl(summary) if _beyond(row.values[summary.place], 1)]
    if summary.column.transfer == SEEN and gained:
        yield (
            f"On the control task {where}, {_some(gained)} gained over the frozen network, "
            "which was pre-trained on this task."
        )


def _petl(summary: TaskSummary) -> list[ResultRow]:
    return [row for row in summary.table.rows if row.kind == "petl"]


def _beyond(value: ResultValue, sign: int) -> bool:
    """Return whether the gain over frozen has this sign and exceeds 0.1 dB, and its interval, if any, excludes 0."""
    if value.gain is not None:
        return min(sign * value.gain.low, sign * value.gain.high) > 0 and sign * value.gain.value > MARGIN
    return value.frozen is not None and sign * value.frozen > MARGIN


def _some(labels: Sequence[str]) -> str:
    more = [plural(len(labels) - NAMED, "further method")] if len(labels) > NAMED else []
    return joined([*labels[:NAMED], *more])


def untrained_beside_methods(table: Table, place: int) -> Iterator[str]:
    """Yield sentences on the PSNR of the baselines and of the PETL methods in a column of a hybrid task.

    Methods are grouped by their size as a percentage of the backbone, rounded to one significant digit.
    """
    column, summary = table.columns[place], TaskSummary(table, place, None, ())
    known = [(label, value) for label in (FROZEN, INPUT, FULL) if (value := summary.psnr(label)) is not None]
    if known:
        numbers = ", ".join(f"{label} {decibel(value)} dB" for label, value in known)
        yield f"{column.set}, {column.protocol}, {column.budget or 'nothing trained'}: {numbers}."
    floor = summary.psnr(INPUT)
    if floor is None:
        return
    by_size: dict[str, list[tuple[str, float]]] = {}
    for row in _petl(summary):
        value = row.values[place].psnr
        if row.costs and value is not None:
            by_size.setdefault(f"{float(f'{100 * row.costs.share:.1g}'):g} %", []).append((row.label, value))
    for size, reached in by_size.items():
        above = sum(value > floor for _, value in reached)
        ordered = sorted(reached, key=lambda pair: -pair[1])
        numbers = ", ".join(f"{label} {decibel(value)} ({signed(value - floor)})" for label, value in ordered)
        yield (
            f"At about {size} of the backbone's parameters, {above} of {plural(len(reached), 'PETL method')} "
            f"reached a higher PSNR than the input (differences from the input in parentheses): {numbers}."
        )
