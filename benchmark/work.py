"""What a worker process does with a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark import experiment, tuning
from benchmark.bench import Bench
from benchmark.cell import Cell
from benchmark.records import Store


def work(payload: dict[str, Any], device: str, report: Callable[[float, str], None]) -> dict[str, Any]:
    """Do one job, a `cell` or a `trial` of tuning, and say how it ended."""
    cell, store = Cell(**payload["cell"]), Store(Path(payload["store"]))
    options = {**payload["bench"], "plugin_files": tuple(payload["bench"]["plugin_files"])}
    bench = Bench(**options)
    if payload["kind"] == "trial":
        return tuning.trial(cell, bench, store, payload["weights"], device)
    record = experiment.run(cell, payload["parts"], bench, store, device, report)
    return {"state": record["state"], "reason": record["reason"]}
