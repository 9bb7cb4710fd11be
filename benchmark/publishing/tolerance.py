"""Measured tolerances: how much a cell's scores differ if its training is repeated on another machine."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from petlir.benchmark.errors import PetlirError

TABLE = Path(__file__).parents[2] / "results" / "leaderboard" / "tolerance.csv"
"""The committed table, with the columns `COLUMNS` and possibly others; the column `method` holds a method's label or
its name.
"""
COLUMNS = ("method", "task", "tolerance_db")
FLOOR = 1e-3
"""The smallest tolerance, in dB: a few repeated runs may happen to differ less than runs on different processors."""


def measured(label: str, method: str, task: str, otherwise: float, table: Path = TABLE) -> float:
    """Return the measured tolerance, in dB and at least `FLOOR`, for the scores of a method on a task.

    Args:
        label: the method's label; a row of the table for this label takes precedence over a row for `method`.
        method: the method's name.
        task: the task's label.
        otherwise: the tolerance to return if the table has no row for the method and the task.
        table: the file of measurements; it may be missing.

    Raises:
        PetlirError: the table is damaged.
    """
    found = read(table)
    value = found.get((label, task), found.get((method, task)))
    return otherwise if value is None else max(value, FLOOR)


def read(table: Path) -> dict[tuple[str, str], float]:
    """Return a table's tolerances by method (label or name) and task; empty if the file does not exist.

    Raises:
        PetlirError: the table is damaged.
    """
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not set(COLUMNS).issubset(rows.fieldnames or ()):
            raise PetlirError(f"{table} is damaged: expected the columns {', '.join(COLUMNS)}")
        return {(row["method"], row["task"]): _decibel(row, table) for row in rows}


def _decibel(row: dict[str, str], table: Path) -> float:
    try:
        value = float(row["tolerance_db"])
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise PetlirError(f"{table} is damaged: tolerance_db {row['tolerance_db']!r}; expected a number of at least 0")
    return value
