"""Tables of results: methods × tasks, one for each group and image domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from petlir.benchmark.records.groups import ANY, Group, grouped
from petlir.benchmark.records.schema import Record
from petlir.benchmark.statistics.spending import SpendingPlan
from petlir.benchmark.task import Task
from petlir.reports.column_scores import ColumnScores, ScoredRun, ScoredRuns, scored_runs
from petlir.reports.costs import MedianCosts, backbone_size, costs_of
from petlir.reports.frame import overlap
from petlir.reports.results import CASCADE, FULL, INPUT, Column, ResultRow, Table
from petlir.reports.titles import named, title
from petlir.reports.values import fill

COMPOSED = "composed from the adapters of other runs, without training"


def tables(records: Sequence[Record], tasks: dict[str, Task]) -> list[Table]:
    """Return the results tables of all groups; within a group, photographs come before procedural images."""
    found = []
    for group, members in grouped(records).items():
        scored = scored_runs(members)
        known = _columns(scored, members, tasks)
        for domain in sorted({column.domain for column in known if column.set}) or ["photographs"]:
            columns = [column for column in known if column.domain in (domain, "")]
            found += _apart(_table(group, domain, columns, members, scored))
    return found


def _apart(table: Table) -> list[Table]:
    """Move the composed methods of a table, which are not ranked with trained methods, to a second table."""
    composed = [row for row in table.rows if row.kind == "composed"]
    if not composed:
        return [table]
    kept = [row for row in table.rows if row.kind != "composed"]
    baselines = [row for row in table.rows if row.kind in ("input", "untrained")]
    columns = tuple(
        replace(column, unranked="these methods are composed of adapters (zero-shot)") for column in table.columns
    )
    apart = replace(table, part=COMPOSED, columns=columns, rows=(*baselines, *composed))
    return [replace(table, rows=tuple(kept)), apart]


def _columns(scored: ScoredRuns, members: Sequence[Record], tasks: dict[str, Task]) -> list[Column]:
    """Return the columns with results, and an empty column for each task without results."""
    trained = {place[0] for place, runs in scored.items() if any(one.trained for one in runs)}
    columns: dict[tuple[str, ...], list[ScoredRun]] = {}
    for place, runs in sorted(scored.items()):
        for one in sorted(runs, key=lambda one: not one.trained):
            if one.trained or place[0] not in trained:
                columns.setdefault((*place, one.budget), []).append(one)
    found = [_column(runs, tasks) for _, runs in sorted(columns.items())]
    empty = {record.cell.task for record in members} - {place[0] for place in scored}
    found += [Column(task, title(task, tasks), "", "", "", "") for task in empty]
    return sorted(found, key=lambda one: (one.hybrid, one.task, one.set, not one.headline, one.protocol))


def _column(runs: Sequence[ScoredRun], tasks: dict[str, Task]) -> Column:
    table, cell = runs[0].table, runs[0].record.cell
    task = named(cell.task, tasks)
    return Column(
        cell.task,
        title(cell.task, tasks),
        table.set,
        table.domain,
        table.protocol or "",
        runs[0].budget,
        cell.transfer,
        cell.simulated,
        cell.data_label,
        any(one.record.smoke for one in runs),
        len({image for one in runs for image in one.table.images}),
        len({one.record.cell.seed for one in runs if one.trained}),
        len(task.undo) > 1 if task else any(one.record.cell.method == CASCADE for one in runs),
        overlap="; ".join(sorted({overlap(one.record, table.set) for one in runs} - {""})),
        headline=any(one.headline for one in runs),
    )


def _table(group: Group, domain: str, columns: list[Column], members: Sequence[Record], scored: ScoredRuns) -> Table:
    by_label: dict[str, list[Record]] = {}
    for record in members:
        by_label.setdefault(record.cell.label, []).append(record)
    total = backbone_size(members)
    costs = {label: costs_of(cells, total) for label, cells in by_label.items()}
    kinds = {label: kind_of(cells[0]) for label, cells in by_label.items()}
    by_task: dict[str, dict[str, list[Record]]] = {column.task: {label: [] for label in by_label} for column in columns}
    for record in members:
        if record.cell.task in by_task:
            by_task[record.cell.task][record.cell.label].append(record)
    plans = _plans(by_label)
    filled = [
        fill(column, _under(column, scored), by_task[column.task], kinds, plans.get((column.task, column.budget)))
        for column in columns
    ]
    labels = sorted(by_label, key=lambda label: _order(label, kinds[label], costs[label]))
    methods = {label: cells[0].cell.method for label, cells in by_label.items()}
    rows = [
        ResultRow(
            label,
            methods.get(label, ""),
            kinds.get(label, "input"),
            costs.get(label),
            tuple(values[label] for _, values in filled),
            any(shared.shared == "images" for cell in by_label.get(label, ()) for shared in cell.overlap or ()),
        )
        for label in (INPUT, *labels)
    ]
    return Table(group, domain, tuple(column for column, _ in filled), tuple(rows))


def _plans(by_label: Mapping[str, Sequence[Record]]) -> dict[tuple[str, str], SpendingPlan]:
    """Return the plan of interim analyses for the cells of each task and budget, if there is a plan."""
    found: dict[tuple[str, str], SpendingPlan] = {}
    for record in (record for records in by_label.values() for record in records):
        if plan := record.plan:
            found.setdefault((record.cell.task, record.cell.budget), plan)
    return found


def _under(column: Column, scored: ScoredRuns) -> ColumnScores:
    """Return the scores of a column: the scores of runs with the column's budget and of untrained methods."""
    runs = scored.get((column.task, column.set, column.protocol), [])
    return ColumnScores.from_runs([one for one in runs if not one.trained or one.budget == column.budget])


def kind_of(record: Record) -> str:
    """Return the kind of a record's method: `untrained`, `composed`, `petl` or `reference`.

    In records that predate the field `reference`, only full fine-tuning is a reference.
    """
    cell = record.cell
    if cell.regime == ANY:
        return "composed" if "needs" in record.key_components else "untrained"
    return "reference" if cell.reference_or(cell.method == FULL) else "petl"


def _order(label: str, kind: str, costs: MedianCosts | None) -> tuple[int, float, str]:
    """Return the sort key of a row: untrained baselines, then methods by size, then references.

    The order of the rows is not a ranking.
    """
    place = ("untrained", "composed", "petl", "reference").index(kind)
    return place, costs.trainable if costs and kind == "petl" else 0.0, label
