"""The page's first sentences: what was found, what may not be concluded, and from how much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.cells import Listed
from reports.formats import decibel, joined, plural
from reports.frame import Record
from reports.results import CASCADE, INPUT, Column, Row, Table


def answer(tables: Sequence[Table], records: Sequence[Record], cells: Sequence[Listed]) -> list[str]:
    """The sentences at the top of the page, the plainest fact first."""
    shown = headline(tables)
    sentences = [*hybrid(shown), *smoke(records), *ranks(shown), extent(records), states(cells)]
    return [sentence for sentence in sentences if sentence]


def headline(tables: Sequence[Table]) -> list[Table]:
    """The tables on photographs; all tables where there are none."""
    return [table for table in tables if table.domain == "photographs"] or list(tables)


def hybrid(tables: Sequence[Table]) -> list[str]:
    """Whether training helped on the hybrid tasks: the best method against what needs no training."""
    compared = [
        (comparison, won)
        for table in tables
        for index, column in enumerate(table.columns)
        if column.hybrid
        for comparison, won in _against_untrained(table, index, _place(table, tables))
    ]
    lost = [text for text, won in compared if not won]
    if lost:
        where = "the hybrid tasks" if len(lost) == len(compared) else f"{len(lost)} of {len(compared)} hybrid columns"
        return [
            f"On {where} no PETL method beats both bicubic enlargement and the untrained cascade of the "
            f"backbone's own heads: {'; '.join(lost)}."
        ]
    if compared:
        return ["On every hybrid task the best PETL method beats bicubic enlargement and the untrained cascade: "
                + "; ".join(text for text, _ in compared) + "."]  # fmt: skip
    return []


def _against_untrained(table: Table, index: int, place: str) -> list[tuple[str, bool]]:
    """The best PETL method of a column beside the untrained ones, in words, and whether it beats them all."""
    petl = [row for row in table.rows if row.kind == "petl" and row.values[index].psnr is not None]
    if not petl:
        return []
    best = max(petl, key=lambda row: _psnr(row, index))
    rivals = [(name, table.row(label)) for name, label in (("bicubic", INPUT), (CASCADE, CASCADE))]
    known = [(name, row) for name, row in rivals if row and row.values[index].psnr is not None]
    numbers = [f"{best.label} {decibel(_psnr(best, index))} dB"]
    numbers += [f"{name} {decibel(_psnr(row, index))}" for name, row in known]
    where = f"{_column(table.columns[index])}{place}"
    return [(f"{where}: {', '.join(numbers)}", all(_psnr(best, index) > _psnr(row, index) for _, row in known))]


def _psnr(row: Row, index: int) -> float:
    value = row.values[index].psnr
    return float("-inf") if value is None else value


def _column(column: Column) -> str:
    return f"{column.title} ({column.set}, {column.protocol})"


def _place(table: Table, tables: Sequence[Table]) -> str:
    """Which table is meant, where there are several."""
    return f" in the table {table.group.title}" if len(tables) > 1 else ""


def smoke(records: Iterable[Record]) -> list[str]:
    """What a smoke run may not be read for."""
    brief = [record for record in records if record["smoke"] and record["cell"]["regime"] != "none"]
    if not brief:
        return []
    steps = sorted({record["cell"]["steps"] for record in brief})
    seeds = len({record["cell"]["seed"] for record in brief})
    told = "one seed" if seeds == 1 else plural(seeds, "seed")
    return [
        f"Smoke: {joined([str(step) for step in steps])} steps, {told}, no ranks. It shows that everything "
        "runs, not which method restores best."
    ]


def ranks(tables: Sequence[Table]) -> list[str]:
    """The tied groups of each column; where there are none, the one reason that holds everywhere."""
    told = [
        f"{joined([row.label for row in _marked(table, index)])} on {_column(column)}{_place(table, tables)}"
        for table in tables
        for index, column in enumerate(table.columns)
        if _marked(table, index)
    ]
    reasons = {column.unranked for table in tables for column in table.columns if column.set} - {"smoke", ""}
    if told:
        marks = [column for table in tables for column in table.columns if column.provisional]
        demo = any(table.group.track == "demo" for table in tables)
        return [
            f"Best or not told apart from it{', provisionally' if marks else ''}: {'; '.join(told)}."
            + (" The demo track is a demonstration; its order is no finding." if demo else "")
        ]
    return [f"Nothing is ranked: {'; '.join(sorted(reasons))}."] if reasons else []


def _marked(table: Table, index: int) -> list[Row]:
    return sorted(
        (row for row in table.rows if row.values[index].mark), key=lambda row: row.values[index].mark != "best"
    )


def extent(records: Sequence[Record]) -> str:
    """How many tasks, methods, seeds and images, on what, and when."""
    done = [record for record in records if record["state"] == "done"]
    scored = {(s["domain"], s["set"], s["image"]) for record in done for s in record["scores"]}
    photographs = sum(domain == "photographs" for domain, _, _ in scored)
    counts = [
        plural(len({record["cell"]["task"] for record in records}), "task"),
        plural(len({record["cell"]["label"] for record in records}), "method"),
        plural(len({r["cell"]["seed"] for r in records if r["cell"]["regime"] != "none"}), "seed"),
        plural(photographs, "photograph"),
        plural(len(scored) - photographs, "procedural image"),
    ]
    devices = sorted({record["environment"]["device"] for record in done})
    day = max(str(record["finished"])[:10] for record in records)
    return f"{', '.join(counts)}; {joined(devices) or 'no device'}; {day}."


def states(cells: Iterable[Listed]) -> str:
    """How many cells are in which state."""
    found = [cell.state for cell in cells]
    words = {"done": "done", "failed": "failed", "out-of-memory": "out of memory",
             "not-applicable": "not applicable", "missing": "missing"}  # fmt: skip
    return f"Cells: {', '.join(f'{found.count(state)} {word}' for state, word in words.items())}."
