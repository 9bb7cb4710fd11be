"""Records as data frames: the input of all tables, plots and exports."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from petlir.benchmark.protocol import Protocol
from petlir.benchmark.records.files import headlines, newest
from petlir.benchmark.records.origins import LEVELS
from petlir.benchmark.records.schema import Record
from petlir.benchmark.runs.interim_analyses import stated
from petlir.benchmark.scoring.registry import METRICS
from petlir.benchmark.statistics import Scores
from petlir.benchmark.statistics.convergence import convergence
from petlir.benchmark.store import Store
from petlir.benchmark.store.reading import without_collection

if TYPE_CHECKING:
    import pandas as pd

    from petlir.reports.column_scores import ColumnScores

    Rows = TypeVar("Rows", pd.DataFrame, ColumnScores)

CELL = ("backbone", "method", "label", "task", "track", "seed", "regime", "learning_rate", "steps", "batch_size")
CELL_TEXT = ("patch", "simulated", "data_label", "transfer")
PLACE = ("set", "domain", "image", "unit", "protocol")
INPUTS = {f"input_{name}": name for name in METRICS}
"""The metric of each column that holds scores of the degraded images."""
COLUMNS = (
    "key", *CELL, *CELL_TEXT, "budget", "device", "smoke", "converged", "change", "level", "source", *PLACE,
    *METRICS, *INPUTS, "headline", "overlap",
)  # fmt: skip
HERE = "run here"
"""The level of verification of records whose cells were run in this store rather than submitted."""
BELIEVED = (*LEVELS, HERE)
"""Levels of verification, the lowest first."""


def load(
    store: Path,
    warn: Callable[[str], None] = lambda line: None,
    extra_protocols: Sequence[Protocol] = (),
    keys: Collection[str] | None = None,
) -> list[Record]:
    """Return the newest record of every cell in a store.

    If a cell was rerun after its data or code changed, its older records are left out. If seeds are added until methods
    differ significantly, a record's `plan` holds the plan of interim analyses for its cell. If a record was imported
    from an archive, its `origin` holds the submitter and the level of verification. The store's own records take
    precedence over submitted records.

    Args:
        store: the folder that holds the records.
        warn: receives one line for each file that is not a record; such files are left out.
        extra_protocols: additional protocols under which the stored images are scored.
        keys: keys of the cells to load; None to load all cells.

    Raises:
        PetlirError: the stored images do not suffice for an extra protocol, or the file of verified records is damaged.
    """
    plans = stated(Store(store))
    with without_collection():
        found = newest(record for record in Store(store).records(warn) if keys is None or record.key in keys)
    for record in found:
        record.annotate(record.origin, next((plan for plan in reversed(plans) if plan.covers(record.cell)), None))
    if not extra_protocols:
        return found
    from petlir.benchmark.cells.rescoring import through

    return through(extra_protocols, found, Store(store), warn)


def score_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return a frame with a row for each image, protocol and cell; an exactly restored image has infinite PSNR.

    Returns:
        A frame with the columns in `COLUMNS`; PSNR is in dB. The column `headline` marks scores under the headline
        protocol; see `petlir.benchmark.records.files.headlines`.
    """
    import pandas as pd  # imported here, as `petlir compare` reads records without pandas

    records = list(records)
    tables = [(record, headlines(record), table) for record in records for table in record.tables]
    sizes = [len(table.images) for _, _, table in tables]
    cells = {record.key: _cell(record) for record in records}
    of_tables = pd.DataFrame(
        [
            {
                **cells[record.key],
                "set": table.set,
                "domain": table.domain,
                "protocol": table.protocol,
                "headline": table.protocol == quoted[table.set],
                "overlap": overlap(record, table.set),
            }
            for record, quoted, table in tables
        ],
        columns=[*COLUMNS],
    )
    frame = of_tables.loc[np.repeat(np.arange(len(tables)), sizes)].reset_index(drop=True)
    frame["image"] = [image for _, _, table in tables for image in table.images]
    frame["unit"] = [unit for _, _, table in tables for unit in table.units]
    for metric in METRICS:
        frame[metric] = _column(table.value(metric) or [math.nan] * len(table.images) for _, _, table in tables)
    for name, metric in INPUTS.items():
        frame[name] = _column(table.input(metric) or [math.nan] * len(table.images) for _, _, table in tables)
    return frame.astype({"change": float, "headline": bool})


def _column(parts: Iterable[Sequence[float]]) -> Scores:
    return np.array([value for part in parts for value in part], dtype=float)


def differing(rows: Rows) -> Rows:
    """Return the rows of a column over which means are taken, so that all means of the column are over the same images.

    Images are left out if the degraded image or the output of any method equals the clean image. If no image would
    remain, all rows are returned.
    """
    identical = np.isinf(rows.psnr) | np.isinf(rows.input_psnr)
    if not identical.any():
        return rows
    lost = set(rows.image[identical])
    kept = np.array([image not in lost for image in rows.image], bool)
    return rows[kept] if kept.any() else rows


def _cell(record: Record) -> dict[str, object]:
    cell, tested = record.cell, convergence(record.convergence)
    level, source = provenance(record)
    return {
        "key": record.key,
        **{name: getattr(cell, name) for name in (*CELL, *CELL_TEXT)},
        "budget": "" if cell.regime == "none" else cell.budget,
        "device": record.environment.device,
        "smoke": record.smoke,
        "converged": tested and tested.converged,
        "change": tested and tested.change,
        "level": level,
        "source": source,
    }


def provenance(record: Record) -> tuple[str, str]:
    """Return a record's level of verification and its submitter, which is empty if the record was not submitted."""
    origin = record.origin
    return (origin["level"], origin["by"]) if origin else (HERE, "")


def overlap(record: Record, test_set: str) -> str:
    """Return a note on the overlap of a test set with image sets used to fit a model; empty if no overlap is known."""
    found = [one for one in record.overlap or () if one.set == test_set]
    return "; ".join(f"shares {one.shared} with {one.holder} ({one.role})" for one in found)
