"""The first sentences of a report: findings, their limits, and the extent of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from petlir.benchmark.records.schema import Record
from petlir.reports.cells import CellRow
from petlir.reports.formats import decibel, joined, plural, signed
from petlir.reports.results import CASCADE, INPUT, SMOKE, Column, ResultRow, Table

MOST_COLUMNS, MOST_METHODS = 4, 3
"""The maximum numbers of columns and methods that a sentence names."""
ABSENT = "not run"
UNTRAINED = "bicubic enlargement and the untrained cascade"
UNFINISHED = (
    ("failed", "failed", "failed"),
    ("out-of-memory", "ran out of memory", "ran out of memory"),
    ("not-applicable", "does not apply", "do not apply"),
    ("missing", "is missing", "are missing"),
)
"""Descriptions of the states of runs without a result, singular and plural."""
SEEN = "seen"
"""The transfer kind of a task on which the backbone was pre-trained: a control, on which no gain is expected."""


def answer(tables: Sequence[Table], records: Sequence[Record], cells: Sequence[CellRow]) -> list[str]:
    """Return the sentences at the top of a report, with unexpected results before expected ones.

    If every training run is too short to rank methods, the first sentence says so.
    """
    shown = headline(tables)
    brief = smoke(records)
    trained = [record for record in records if record.cell.regime != "none"]
    if brief and all(record.smoke for record in trained):
        sentences = [*brief, *hybrid(shown, smoke=True), *gains(shown), *controls(shown)]
    else:
        sentences = [*hybrid(shown, smoke=False), *ranks(shown), *controls(shown), *brief]
    return [*filter(None, (*sentences, extent(records), states(cells)))]


def headline(tables: Sequence[Table]) -> list[Table]:
    """Return the tables of compared methods on photographs, or, without such tables, on other images."""
    compared = [table for table in tables if not table.part] or list(tables)
    return [table for table in compared if table.domain == "photographs"] or compared


def hybrid(tables: Sequence[Table], *, smoke: bool) -> list[str]:
    """Return a sentence that compares the best PETL methods on the hybrid tasks with the untrained baselines.

    Args:
        tables: the tables with the hybrid tasks.
        smoke: True for the columns of smoke runs, False for all other columns.
    """
    compared = [
        (comparison, won)
        for table in tables
        for index, column in enumerate(table.columns)
        if column.hybrid and column.headline and column.smoke == smoke
        for comparison, won in against_untrained(table, index, _place(table, tables))
    ]
    lost = [text for text, won in compared if not won]
    within = "After these few steps" if smoke else ""
    if lost:
        where = "the hybrid tasks" if len(lost) == len(compared) else f"{len(lost)} of {len(compared)} hybrid columns"
        return [
            f"{within + ', on' if within else 'On'} {where} no PETL method beats both bicubic enlargement and the "
            f"untrained cascade of the backbone's own heads: {_some(lost)}."
        ]
    if compared:
        texts = [text for text, _ in compared]
        beaten = "every untrained baseline that was run" if any(ABSENT in text for text in texts) else UNTRAINED
        stands = "is above" if smoke else "beats"
        opening = f"{within}, on" if within else "On"
        return [f"{opening} every hybrid task the best PETL method {stands} {beaten}: {_some(texts)}."]
    return []


def gains(tables: Sequence[Table]) -> list[str]:
    """Return a sentence on the largest gain over the frozen network on each task other than hybrids and controls."""
    texts = []
    for table in tables:
        for place in table.leading:
            column = table.columns[place]
            gains_here = _petl_gains(table, place)
            if gains_here and not column.hybrid and column.transfer != SEEN:
                label, gain = max(gains_here.items(), key=lambda one: one[1])
                texts.append(f"{_column(column)}{_place(table, tables)}: {label} {signed(gain)} dB")
    return [f"Largest gain of a PETL method over the frozen network: {_some(texts)}."] if texts else []


def controls(tables: Sequence[Table]) -> list[str]:
    """Return a sentence on the largest change from the frozen network on each control task (seen in pre-training)."""
    texts = []
    for table in tables:
        for place in table.leading:
            column = table.columns[place]
            gains_here = _petl_gains(table, place)
            if gains_here and column.transfer == SEEN:
                label, gain = max(gains_here.items(), key=lambda one: abs(one[1]))
                texts.append(f"{column.title}, {table.group.backbone}: {label} {signed(gain)} dB")
    if not texts:
        return []
    what = "control task" if len(texts) == 1 else "control tasks"
    return [f"Largest change from the frozen network on the {what}, seen in pre-training: {_some(texts)}."]


def _petl_gains(table: Table, place: int) -> dict[str, float]:
    """Return, for one column, each PETL method's difference from the frozen network in dB."""
    petl = ((row.label, row.values[place].frozen) for row in table.rows if row.kind == "petl")
    return {label: gain for label, gain in petl if gain is not None}


def against_untrained(table: Table, index: int, place: str = "") -> list[tuple[str, bool]]:
    """Return a comparison of a column's best PETL method with untrained baselines, and whether the method beats all."""
    petl = [row for row in table.rows if row.kind == "petl" and row.values[index].psnr is not None]
    if not petl:
        return []
    best = max(petl, key=lambda row: _psnr(row, index))
    rivals = [(name, table.row(label)) for name, label in (("bicubic", INPUT), (CASCADE, CASCADE))]
    known = [(name, row) for name, row in rivals if row and row.values[index].psnr is not None]
    absent = [f"{name} {ABSENT}" for name, _ in rivals if name not in dict(known)]
    numbers = [f"{best.label} {decibel(_psnr(best, index))} dB"]
    numbers += [*(f"{name} {decibel(_psnr(row, index))}" for name, row in known), *absent]
    where = f"{_column(table.columns[index])}{place}"
    return [(f"{where}: {', '.join(numbers)}", all(_psnr(best, index) > _psnr(row, index) for _, row in known))]


def _some(texts: Sequence[str]) -> str:
    """Join the first texts; replace the other texts by a reference to the tables."""
    further = [f"{len(texts) - MOST_COLUMNS} more in the tables"] if len(texts) > MOST_COLUMNS else []
    return "; ".join([*texts[:MOST_COLUMNS], *further])


def _psnr(row: ResultRow, index: int) -> float:
    value = row.values[index].psnr
    return float("-inf") if value is None else value


def _column(column: Column) -> str:
    return f"{column.title} ({column.set}, {column.protocol})"


def _place(table: Table, tables: Sequence[Table]) -> str:
    """Return the text that distinguishes a table from the others; empty for a single table."""
    parts = ("backbone", "track", "device", "regime")
    return "".join(
        f", {getattr(table.group, part)}" for part in parts if len({getattr(t.group, part) for t in tables}) > 1
    )


def smoke(records: Iterable[Record]) -> list[str]:
    """Return a sentence saying that smoke runs are too short to rank methods; without smoke runs, an empty list."""
    brief = [record for record in records if record.smoke and record.cell.regime != "none"]
    if not brief:
        return []
    steps = sorted({record.cell.steps for record in brief})
    seeds = len({record.cell.seed for record in brief})
    length = f"{joined([str(step) for step in steps])} {'step' if steps == [1] else 'steps'}"
    told = "one seed" if seeds == 1 else plural(seeds, "seed")
    return [
        f"These runs are too short to rank methods ({length}, {told}): a smoke run only shows that everything works."
    ]


def ranks(tables: Sequence[Table]) -> list[str]:
    """Return sentences on the best methods of ranked columns, or the reasons and the gains if no column is ranked."""
    columns = [(table, place) for table in tables for places in table.headlines.values() for place in places]
    ranked = [(table, index) for table, index in columns if not table.columns[index].unranked]
    if not ranked:
        reasons = {table.columns[index].unranked for table, index in columns} - {SMOKE}
        return [f"Nothing is ranked: {'; '.join(sorted(reasons))}.", *gains(tables)] if reasons else []
    if len(ranked) <= MOST_COLUMNS:
        told = [_best(table, index, _place(table, tables)) for table, index in ranked]
    else:
        told = [_often(ranked)]
    provisional = any(table.columns[index].provisional for table, index in ranked)
    limits = " (provisional: fewer than five seeds)" if provisional else ""
    demo = any(table.group.track == "demo" for table in tables)
    note = ["The demo track is only a demonstration; its ranking is not a finding."] if demo else []
    return [*(f"{sentence}{limits}." for sentence in told), *note]


def _best(table: Table, index: int, place: str) -> str:
    """Return a text on a ranked column's best method, its gain over the frozen network, and methods tied with it."""
    marked = [row for row in table.rows if row.kind == "petl" and row.values[index].mark]
    best, *tied = sorted(marked, key=lambda row: _psnr(row, index), reverse=True)
    gain = best.values[index].frozen
    told = f"Best on {_column(table.columns[index])}{place}: {best.label}"
    told += f", {signed(gain)} dB over the frozen network" if gain is not None else ""
    return f"{told}; tied with {_first([row.label for row in tied])}" if tied else told


def _often(ranked: Sequence[tuple[Table, int]]) -> str:
    """Return a text on the number of ranked columns in which each method is best or tied with the best."""
    counts = Counter(row.label for table, index in ranked for row in table.rows if row.values[index].mark)
    named = _first([f"{label} in {number}" for label, number in counts.most_common()])
    return f"Best or tied with the best in {plural(len(ranked), 'column')}: {named}"


def _first(texts: Sequence[str]) -> str:
    """Join the texts on the first methods, followed by the number of other methods."""
    more = len(texts) - MOST_METHODS
    return joined([*texts[:MOST_METHODS], *([plural(more, "further method")] if more > 0 else [])])


def extent(records: Sequence[Record]) -> str:
    """Return the numbers of tasks, methods, seeds and images, the devices, and the date of the newest run."""
    done = [record for record in records if record.state == "done"]
    scored = {(table.domain, table.set, image) for record in done for table in record.tables for image in table.images}
    photographs = sum(domain == "photographs" for domain, _, _ in scored)
    counts = [
        plural(len({record.cell.task for record in records}), "task"),
        plural(len({record.cell.label for record in records}), "method"),
        plural(len({r.cell.seed for r in records if r.cell.regime != "none"}), "seed"),
        plural(photographs, "photograph"),
        plural(len(scored) - photographs, "procedural image"),
    ]
    devices = sorted({record.environment.device for record in done})
    day = max(str(record.finished)[:10] for record in records)
    return f"{', '.join(counts)}; {joined(devices) or 'no device'}; {day}."


def states(cells: Iterable[CellRow]) -> str:
    """Return a sentence with the number of finished runs, and the numbers of other runs by state."""
    found = Counter(cell.state for cell in cells)
    others = [
        f"{found[state]} {one if found[state] == 1 else several}" for state, one, several in UNFINISHED if found[state]
    ]
    finished = f"{found['done']} of {plural(found.total(), 'run')} finished"
    return f"{'; '.join([finished, ', '.join(others)] if others else [finished])}."
