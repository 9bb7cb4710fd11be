"""The MLflow mirror: one run per cell. The records are the truth and are never read from here."""

from __future__ import annotations

import os
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmark.errors import PetlirError

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "petlir.key"
FINISHED = "petlir.finished"
"""Logged with the last batch: a run without it was cut off."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""MLflow reads these at import; what the user has set stands. Its default waits minutes for a lost server."""

BATCH = 1000
"""Most metrics that MLflow takes in one call."""


def default_uri(store: Path) -> str:
    """The sqlite database in the store: where records are mirrored unless another URI is given."""
    return f"sqlite:///{(store / 'mlflow.db').resolve().as_posix()}"


def tags(record: Mapping[str, Any]) -> dict[str, str]:
    """By what the runs are found and grouped."""
    cell = record["cell"]
    names = ("backbone", "method", "label", "task", "track", "seed", "regime")
    reason = {"petlir.reason": str(record["reason"])} if record["reason"] else {}
    return {f"petlir.{name}": str(cell[name]) for name in names} | {"petlir.state": record["state"]} | reason


def params(record: Mapping[str, Any]) -> dict[str, str]:
    """The method's options and the training budget."""
    cell = record["cell"]
    options = {f"option.{name}": str(value) for name, value in cell["options"].items()}
    return options | {name: str(cell[name]) for name in ("learning_rate", "steps", "batch_size", "patch")}


def metrics(record: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """(name, value, step): mean scores per set and protocol, costs, the curve; only what is finite."""
    named: dict[str, list[float]] = defaultdict(list)
    for score in record["scores"]:
        for metric in ("psnr", "ssim"):
            protocol = score["protocol"].replace("@", ":")  # MLflow takes no @ in a name
            named[f"{score['set']}/{protocol}/{metric}"].append(float(score[metric]))
    for name, values in named.items():
        if finite := [value for value in values if isfinite(value)]:
            yield name, fmean(finite), 0
    for name, value in _flat("costs", record["costs"]):
        yield name, value, 0
    for point in record["curve"]:
        for name, value in _flat("curve", {key: value for key, value in point.items() if key != "step"}):
            yield name, value, point["step"]


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}/{name}", value)
        elif isinstance(value, int | float):
            yield f"{prefix}/{name}", float(value)


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


class Tracker:
    """An MLflow experiment that records are mirrored into; a record that is already there is not repeated.

    Raises:
        PetlirError: the server or the database cannot be reached, at construction or at any `mirror`.
    """

    def __init__(self, uri: str, experiment: str = "petlir") -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        self.uri = uri
        self._errors: tuple[type[Exception], ...] = (MlflowException, SQLAlchemyError, OSError)
        try:
            _check_database(uri)
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = found.experiment_id if found else self._client.create_experiment(experiment)
            self._runs = dict(_mirrored(self._client, self._experiment))
        except self._errors as error:
            raise self._lost(error) from error

    def mirror(self, record: Mapping[str, Any]) -> None:
        """Log this record as a run; a run of an older record of the same cell gives way to it."""
        run, finished = self._runs.get(record["key"], (None, None))
        if finished == record["finished"]:
            return
        try:
            if run:
                self._client.delete_run(run)
            self._runs[record["key"]] = (self._log(record), record["finished"])
        except self._errors as error:
            raise self._lost(error) from error

    def _log(self, record: Mapping[str, Any]) -> str:
        from mlflow.entities import Metric, Param, RunTag

        cell, finished = record["cell"], _milliseconds(record["finished"])
        name = f"{cell['backbone']} {cell['label']} {cell['task']} s{cell['seed']}"
        started = _milliseconds(record["started"])
        info = self._client.create_run(
            self._experiment, start_time=started, run_name=name, tags={KEY: record["key"]}
        ).info
        values = [Metric(key, value, finished, step) for key, value, step in metrics(record)]
        for first in range(0, len(values), BATCH):
            self._client.log_batch(info.run_id, metrics=values[first : first + BATCH])
        last = tags(record) | {FINISHED: record["finished"]}
        self._client.log_batch(
            info.run_id,
            params=[Param(key, value) for key, value in params(record).items()],
            tags=[RunTag(key, value) for key, value in last.items()],
        )
        failed = record["state"] in ("failed", "out-of-memory")
        self._client.set_terminated(info.run_id, "FAILED" if failed else "FINISHED", finished)
        run: str = info.run_id
        return run

    def _lost(self, error: Exception) -> PetlirError:
        line = next(iter(str(error).splitlines()), "") or type(error).__name__
        return PetlirError(f"MLflow at {self.uri} cannot be written to: {line}; the records are not touched")


def _check_database(uri: str) -> None:
    """Opens a sqlite file once, since MLflow tries an impossible one again for many minutes."""
    if uri.startswith("sqlite:///"):
        file = Path(uri.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab"):
            pass


def _mirrored(client: MlflowClient, experiment: str) -> Iterator[tuple[str, tuple[str, str | None]]]:
    token: str | None = None
    while True:
        page = client.search_runs([experiment], max_results=BATCH, page_token=token)
        for run in page:
            yield run.data.tags.get(KEY, ""), (run.info.run_id, run.data.tags.get(FINISHED))
        token = page.token
        if not token:
            return


class Mirror:
    """A `Tracker` in a thread of its own, so that no cell waits for it.

    A lost server is warned of once, through `warn`; the records of this run are then mirrored by a later one.
    """

    def __init__(self, uri: str, warn: Callable[[str], None], experiment: str = "petlir") -> None:
        self._records: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._drain, args=(uri, warn, experiment), name="mlflow mirror", daemon=True
        )
        self._warn = warn
        self._thread.start()

    def put(self, record: Mapping[str, Any]) -> None:
        """Have this record mirrored soon; returns at once."""
        self._records.put(record)

    def close(self, timeout: float = 60.0) -> None:
        """Wait until all is mirrored, at most `timeout` seconds."""
        self._records.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._warn(f"MLflow took longer than {timeout:.0f} s; the rest is mirrored by the next run")

    def _drain(self, uri: str, warn: Callable[[str], None], experiment: str) -> None:
        first = self._records.get()
        if first is None:
            return
        try:
            tracker = Tracker(uri, experiment)
            tracker.mirror(first)
            while (record := self._records.get()) is not None:
                tracker.mirror(record)
        except PetlirError as error:
            warn(str(error))
