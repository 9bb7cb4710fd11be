"""The registry of analyses, and a function that writes their results to files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from petlir.benchmark.analysis.finished import Analysis, Finished
from petlir.benchmark.analysis.fourier import fourier
from petlir.benchmark.analysis.response import response
from petlir.benchmark.analysis.shares import shares
from petlir.benchmark.analysis.transfer import transfer
from petlir.benchmark.cells.context import Context
from petlir.benchmark.writing import write_bytes, write_json

Study = Callable[[Sequence[Finished], Context, str], Analysis]
STUDIES: Mapping[str, Study] = {
    "fourier": fourier,
    "contribution": shares,
    "response": response,
    "transfer": transfer,
}


def keep(found: Analysis, path: Path) -> None:
    """Write the rows as CSV, and sentences and exclusions as JSON next to the CSV; each file is written atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, pd.DataFrame(found.rows).to_csv(index=False).encode())
    write_json(path.with_suffix(".json"), {"sentences": found.sentences, "left_out": found.left_out})
