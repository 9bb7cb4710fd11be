"""Tables of results: methods × tasks, one for each group and image domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from petlir.benchmark.records.groups import ANY, Group, groups
from petlir.benchmark.records.schema import Record
from petlir.benchmark.task import Task
from petlir.reports.costs import MedianCosts, backbone_size, costs_of
from petlir.reports.frame import score_frame
from petlir.reports.results import CASCADE, FULL, INPUT, Column, ResultRow, Table
from petlir.reports.titles import named, title
from petlir.reports.values import fill

COMPOSED = "composed of finished cells, itself untrained"


def tables(records: Sequence[Record], tasks: dict[str, Task]) -> list[Table]:
    """Return all tables, photographs before procedural images."""
    found = []
    for group in groups(records):
        members = group.select(records)
        frame = score_frame(members)
        known = _columns(frame, members, tasks)
        for domain in sorted({column.domain for column in known if column.set}) or ["photographs"]:
            columns = [column for column in known if column.domain in (domain, "")]
            found += _apart(_table(group, domain, columns, members, frame))
    return found


def _apart(table: Table) -> list[Table]:
    """Split a table into one without composed methods, which are not ranked with trained ones, and one with them."""
    composed = [row for row in table.rows if row.kind == "composed"]
    if not composed:
        return [table]
    kept = [row for row in table.rows if row.kind != "composed"]
    baselines = [row for row in table.rows if row.kind in ("input", "untrained")]
    columns = tuple(replace(column, unranked="zero-shot") for column in table.columns)
    apart = replace(table, part=COMPOSED, columns=columns, rows=(*baselines, *composed))
    return [replace(table, rows=tuple(kept)), apart]


def _columns(frame: pd.DataFrame, members: Sequence[Record], tasks: dict[str, Task]) -> list[Column]:
    """Return the columns with results, and a column for each task without any."""
    trained = frame[frame.regime != ANY]
    scored = pd.concat([trained, frame[~frame.task.isin(trained.task)]])
    found = [_column(rows, tasks) for _, rows in scored.groupby(["task", "set", "protocol", "budget"])]
    empty = {record.cell.task for record in members} - set(frame.task)
    found += [Column(task, title(task, tasks), "", "", "", "") for task in empty]
    return sorted(found, key=lambda one: (one.hybrid, one.task, one.set, not one.headline, one.protocol))


def _column(rows: pd.DataFrame, tasks: dict[str, Task]) -> Column:
    first = rows.iloc[0]
    task = named(first.task, tasks)
    return Column(
        first.task,
        title(first.task, tasks),
        first.set,
        first.domain,
        first.protocol,
        first.budget,
        first.transfer,
        first.simulated,
        first.data_label,
        bool(rows.smoke.any()),
        rows.image.nunique(),
        rows[rows.regime != ANY].seed.nunique(),
        len(task.undo) > 1 if task else bool((rows.method == CASCADE).any()),
        overlap="; ".join(sorted(set(rows.overlap) - {""})),
        headline=bool(rows.headline.any()),
    )


def _table(group: Group, domain: str, columns: list[Column], members: Sequence[Record], frame: pd.DataFrame) -> Table:
    by_label: dict[str, list[Record]] = {}
    for record in members:
        by_label.setdefault(record.cell.label, []).append(record)
    total = backbone_size(members)
    costs = {label: costs_of(cells, total) for label, cells in by_label.items()}
    kinds = {label: kind_of(cells[0]) for label, cells in by_label.items()}
    filled = [fill(column, frame, by_label, kinds) for column in columns]
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


def kind_of(record: Record) -> str:
    """Return `untrained`, `composed`, `petl` or `reference`.

    Records older than the field `reference` are references only if their method is full fine-tuning.
    """
    cell = record.cell
    if cell.regime == ANY:
        return "composed" if "needs" in record.key_components else "untrained"
    return "reference" if cell.reference_or(cell.method == FULL) else "petl"


def _order(label: str, kind: str, costs: MedianCosts | None) -> tuple[int, float, str]:
    """Return the sort key of a row: untrained baselines, then methods by size, then references; not a ranking."""
    place = ("untrained", "composed", "petl", "reference").index(kind)
    return place, costs.trainable if costs and kind == "petl" else 0.0, label
