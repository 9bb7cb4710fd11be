"""The MLflow mirror of a store. Records are the primary data and are never read from the mirror."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from filelock import FileLock

from petlir.benchmark import track as tracks
from petlir.benchmark.errors import FAULTS, PetlirError
from petlir.benchmark.records.files import ADAPTER, RECORD
from petlir.benchmark.records.schema import Done, Record, RecordedCell
from petlir.benchmark.store import Store
from petlir.benchmark.tracking.comparison import FROZEN, TaskScores
from petlir.benchmark.tracking.entries import escaped, family, metrics, params, tags
from petlir.benchmark.tracking.lineage import log_adapter, log_data, source_tags
from petlir.benchmark.tracking.model_card import card

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "petlir.key"
FINISHED = "petlir.finished"
"""A tag logged with the last batch of a run; a run without this tag was interrupted."""
FAMILY_NAME = "petlir.seeds_of"
"""The tag of a parent run, in which the runs of cells that differ only in the seed are nested."""
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"
"""MLflow's own tags for the parent run and for the text on a run's page."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Environment variables that MLflow reads at import; values set by the user are kept. By default, MLflow waits
several minutes for an unreachable server.
"""

SQLITE = ("sqlite:///", "sqlite+pysqlite:///")
"""The prefixes of a sqlite file's URI, without and with the name of the driver."""
DATABASE = "mlflow.db"
"""The file name of the database in a store."""
LOCKED = 120.0
"""The number of seconds to wait for another process that creates the same database."""

BATCH = 1000
"""The maximum number of metrics or runs per call to MLflow."""


def default_uri(store: Path) -> str:
    """Return the URI of the sqlite database in the store, the default mirror of records."""
    path = (store / DATABASE).resolve().as_posix()
    quoted = path.replace("%", "%25").replace("?", "%3F")
    # if the URI names the driver, MLflow does not create a folder with the quoted name
    return f"{SQLITE[0] if quoted == path else SQLITE[1]}{quoted}"


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


class ServerLost(PetlirError):
    """The failure to reach an MLflow server or database."""


class NotTaken(PetlirError):
    """The rejection of a record by MLflow."""


class Tracker:
    """A tracker: one MLflow experiment per track, one run per cell, and one parent run for all seeds of a setting.

    Records that are already logged are not logged again.

    Args:
        uri: URI of the server or the database.
        store: the folder whose adapters and images are logged with the records.

    Raises:
        ServerLost: the server or the database cannot be reached, on construction or in `mirror`.
    """

    def __init__(self, uri: str, store: Path) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        self.uri, self._store = uri, store
        self._tracks: dict[str, _Experiment] = {}
        self._tasks: dict[tuple[str, str], TaskScores] = {}
        try:
            _check_database(uri)
            # without the lock, the second of two processes that create the same database would fail, and would treat
            # the runs that the first one is logging as interrupted
            file = database(uri)
            self._alone = nullcontext() if file is None else FileLock(f"{file}.lock", timeout=LOCKED)
            with self._alone:
                self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
                self._client.search_experiments(max_results=1)
        except FAULTS as error:
            raise self._lost(error) from error

    def mirror(self, record: Record) -> None:
        """Log this record as a run, replacing the run of an older record of the same cell.

        Raises:
            ServerLost: the server or the database can no longer be reached.
            NotTaken: MLflow rejects this record; other records may still be mirrored.
        """
        try:
            self._mirror(record)
        except FAULTS as error:
            try:
                self._client.search_experiments(max_results=1)
            except FAULTS as lost:
                raise self._lost(lost) from lost
            cell = record.cell
            name = f"{cell.backbone} · {cell.label} · {cell.task} · seed {cell.seed}"
            raise NotTaken(f"MLflow at {self.uri} rejects the record of {name}: {_first_line(error)}") from error

    def _mirror(self, record: Record) -> None:
        with self._alone:
            track = self._experiment(tracks.track(record.cell.track).name)
            if record.key not in track.runs:
                track.update(self._client, f"tags.`{KEY}` = '{record.key}'")
            run, finished = track.runs.get(record.key, (None, None))
            if finished == record.finished:
                return
            if run:
                self._client.delete_run(run)
            self._scores(record).add(record)
            track.runs[record.key] = (self._log(record, track), record.finished)
            self._compare(record, track)

    def _experiment(self, track: str) -> _Experiment:
        if track not in self._tracks:
            name = f"petlir {track}"
            # a server chooses the location of artefacts; for a database they are in the store
            place = (self._store.resolve() / "mlflow-artifacts" / track).as_uri() if database(self.uri) else None
            found = self._client.get_experiment_by_name(name)
            number = found.experiment_id if found else self._client.create_experiment(name, artifact_location=place)
            self._tracks[track] = _Experiment(number)
            self._tracks[track].update(self._client)
        return self._tracks[track]

    def _log(self, record: Record, track: _Experiment) -> str:
        from mlflow.entities import Metric, Param, RunTag

        cell, finished = record.cell, _milliseconds(record.finished)
        name = f"{cell.backbone} {cell.label} {cell.task} s{cell.seed}"
        started = _milliseconds(record.started)
        above = {PARENT: self._family(record, track)}
        info = self._client.create_run(track.number, start_time=started, run_name=name, tags=above | {KEY: record.key})
        run: str = info.info.run_id
        values = [Metric(key, value, finished, step) for key, value, step in metrics(record)]
        for start in range(0, len(values), BATCH):
            self._client.log_batch(run, metrics=values[start : start + BATCH])
        self._log_files(record, run)
        if isinstance(record, Done):
            log_data(self._client, run, record)
            log_adapter(self._client, track.number, run, record, self._folder(record))
        last = tags(record) | source_tags(record) | {FINISHED: record.finished, NOTE: card(record)}
        self._client.log_batch(
            run,
            params=[Param(key, value) for key, value in params(record).items()],
            tags=[RunTag(key, value) for key, value in last.items()],
        )
        failed = record.state in ("failed", "out-of-memory")
        self._client.set_terminated(run, "FAILED" if failed else "FINISHED", finished)
        return run

    def _folder(self, record: Record) -> Path:
        return Store(self._store).cell_folder(record.cell, record.key)

    def _scores(self, record: Record) -> TaskScores:
        """Return the known scores of all cells of the record's backbone, task and track."""
        folder, track = self._folder(record).parent, record.cell.track
        if (place := (str(folder), track)) not in self._tasks:
            self._tasks[place] = TaskScores.read(folder, track)
        return self._tasks[place]

    def _compare(self, record: Record, track: _Experiment) -> None:
        """Log the compared metrics of a run and its parent; a frozen network's record updates the gains of all runs."""
        scores = self._scores(record)
        frozen = record.cell.method == FROZEN
        for key in scores.cells if frozen else [record.key]:
            if key in track.runs:
                self._log_values(track.runs[key][0], scores.metrics(key), 0)
        for cell in [one.cell for one in scores.cells.values()] if frozen else [record.cell]:
            if (parent := track.families.get(family_name(cell))) is not None:
                self._log_values(parent, scores.over_seeds(cell), cell.steps)

    def _log_values(self, run: str, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        self._client.log_batch(run, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def _family(self, record: Record, track: _Experiment) -> str:
        """Return the id of the parent run of the record's run, creating the parent run if necessary."""
        shared, name = family(record), family_name(record.cell)
        if name not in track.families:
            # `_` matches any character, including quotes, which a filter cannot contain
            pattern = name.replace("'", "_")
            track.update(self._client, f"tags.`{FAMILY_NAME}` LIKE '{pattern}'")
        if name not in track.families:
            started = _milliseconds(record.started)
            marked = shared | {FAMILY_NAME: name}
            parent = self._client.create_run(track.number, start_time=started, run_name=name, tags=marked)
            self._client.set_terminated(parent.info.run_id, "FINISHED")
            track.families[name] = parent.info.run_id
        return track.families[name]

    def _log_files(self, record: Record, run: str) -> None:
        """Log the record, the adapter and one restored image of each set, if they exist."""
        folder = self._folder(record)
        for path in (folder / RECORD, folder / ADAPTER):
            if path.exists():
                self._client.log_artifact(run, str(path))
        for images in sorted(folder.glob("restored/*")):
            for image in sorted(images.glob("*.png"))[:1]:
                self._client.log_artifact(run, str(image), f"restored/{escaped(images.name)}")

    def _lost(self, error: Exception) -> ServerLost:
        line = _first_line(error)
        return ServerLost(f"MLflow at {self.uri} cannot be written to: {line}; the records are unchanged")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def family_name(cell: RecordedCell) -> str:
    """Return the name of the parent run of a cell, which is the same for all seeds."""
    return f"{cell.backbone} {cell.label} {cell.task} {cell.regime}"


@dataclass(frozen=True)
class _Experiment:
    """The contents of an experiment: the runs by the keys of their cells, and the parent runs by name."""

    number: str
    runs: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)

    def update(self, client: MlflowClient, query: str = "") -> None:
        """Read the runs that an MLflow filter selects, including runs that another process has logged."""
        token: str | None = None
        while True:
            page = client.search_runs([self.number], query, max_results=BATCH, page_token=token)
            for run in page:
                if FAMILY_NAME in run.data.tags:
                    self.families[run.data.tags[FAMILY_NAME]] = run.info.run_id
                else:
                    self.runs[run.data.tags.get(KEY, "")] = (run.info.run_id, run.data.tags.get(FINISHED))
            token = page.token
            if not token:
                return


def database(uri: str) -> Path | None:
    """Return the sqlite file of a URI, or None for a server; as in any URI, `%20` is a space."""
    opening = next(filter(uri.startswith, SQLITE), None)
    return None if opening is None else Path(unquote(uri.removeprefix(opening).partition("?")[0]))


def _check_database(uri: str) -> None:
    """Open a sqlite file once to detect errors, since MLflow would retry for many minutes."""
    if (file := database(uri)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab"):
            pass
