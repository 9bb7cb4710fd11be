"""The page's first sentences: what was found, what may not be concluded, and from how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from petlir.benchmark.records.schema import Record
from petlir.reports.cells import CellRow
from petlir.reports.formats import decibel, joined, plural
from petlir.reports.results import CASCADE, INPUT, Column, ResultRow, Table

MOST_COLUMNS, MOST_METHODS = 4, 3
"""What a sentence names before it points to the tables."""


def answer(tables: Sequence[Table], records: Sequence[Record], cells: Sequence[CellRow]) -> list[str]:
    """The sentences at the top of the page, the plainest fact first."""
    shown = headline(tables)
    sentences = [*hybrid(shown), *smoke(records), *ranks(shown), extent(records), states(cells)]
    return [sentence for sentence in sentences if sentence]


def headline(tables: Sequence[Table]) -> list[Table]:
    """The tables of methods that are compared, on photographs; where there are none, what there is."""
    compared = [table for table in tables if not table.part] or list(tables)
    return [table for table in compared if table.domain == "photographs"] or compared


ABSENT = "not run"
UNTRAINED = "bicubic enlargement and the untrained cascade"


def hybrid(tables: Sequence[Table]) -> list[str]:
    """Whether training helped on the hybrid tasks: the best method against what needs no training."""
    compared = [
        (comparison, won)
        for table in tables
        for index, column in enumerate(table.columns)
        if column.hybrid and column.headline
        for comparison, won in _against_untrained(table, index, _place(table, tables))
    ]
    lost = [text for text, won in compared if not won]
    if lost:
        where = "the hybrid tasks" if len(lost) == len(compared) else f"{len(lost)} of {len(compared)} hybrid columns"
        return [
            f"On {where} no PETL method beats both bicubic enlargement and the untrained cascade of the "
            f"backbone's own heads: {_some(lost)}."
        ]
    if compared:
        texts = [text for text, _ in compared]
        beaten = "every untrained way that was run" if any(ABSENT in text for text in texts) else UNTRAINED
        return [f"On every hybrid task the best PETL method beats {beaten}: {_some(texts)}."]
    return []


def _against_untrained(table: Table, index: int, place: str) -> list[tuple[str, bool]]:
    """The best PETL method of a column beside the untrained ones, in words, and whether it beats them all."""
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
    """The first few; the tables hold the rest."""
    further = [f"{len(texts) - MOST_COLUMNS} more in the tables"] if len(texts) > MOST_COLUMNS else []
    return "; ".join([*texts[:MOST_COLUMNS], *further])


def _psnr(row: ResultRow, index: int) -> float:
    value = row.values[index].psnr
    return float("-inf") if value is None else value


def _column(column: Column) -> str:
    return f"{column.title} ({column.set}, {column.protocol})"


def _place(table: Table, tables: Sequence[Table]) -> str:
    """What sets a table apart from the others; nothing where there is but one."""
    parts = ("backbone", "track", "device", "regime")
    return "".join(
        f", {getattr(table.group, part)}" for part in parts if len({getattr(t.group, part) for t in tables}) > 1
    )


def smoke(records: Iterable[Record]) -> list[str]:
    """What a smoke run may not be read for."""
    brief = [record for record in records if record.smoke and record.cell.regime != "none"]
    if not brief:
        return []
    steps = sorted({record.cell.steps for record in brief})
    seeds = len({record.cell.seed for record in brief})
    told = "one seed" if seeds == 1 else plural(seeds, "seed")
    return [
        f"Smoke: {joined([str(step) for step in steps])} steps, {told}, no ranks. It shows that everything "
        "runs, not which method restores best."
    ]


def ranks(tables: Sequence[Table]) -> list[str]:
    """How often each method is marked as best; where nothing is, the reasons."""
    columns = [(table, place) for table in tables for places in table.headlines.values() for place in places]
    ranked = [(table, index) for table, index in columns if not table.columns[index].unranked]
    if not ranked:
        reasons = {table.columns[index].unranked for table, index in columns} - {"smoke"}
        return [f"Nothing is ranked: {'; '.join(sorted(reasons))}."] if reasons else []
    counts = Counter(row.label for table, index in ranked for row in table.rows if row.values[index].mark)
    best = [f"{label} in {number}" for label, number in counts.most_common(MOST_METHODS)]
    further = [plural(len(counts) - MOST_METHODS, "further method")] if len(counts) > MOST_METHODS else []
    told = f"Best, or not told apart from it, of {plural(len(ranked), 'column')}: {joined([*best, *further])}"
    provisional = any(table.columns[index].provisional for table, index in ranked)
    demo = any(table.group.track == "demo" for table in tables)
    return [
        f"{told}{' (provisional: fewer than five seeds)' if provisional else ''}."
        + (" The demo track is a demonstration; its order is no finding." if demo else "")
    ]


def extent(records: Sequence[Record]) -> str:
    """How many tasks, methods, seeds and images, on what, and when."""
    done = [record for record in records if record.state == "done"]
    scored = {(s.domain, s.set, s.image) for record in done for s in record.scores}
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
    """How many cells are in which state."""
    found = [cell.state for cell in cells]
    words = {"done": "done", "failed": "failed", "out-of-memory": "out of memory",
             "not-applicable": "not applicable", "missing": "missing"}  # fmt: skip
    return f"Cells: {', '.join(f'{found.count(state)} {word}' for state, word in words.items())}."
