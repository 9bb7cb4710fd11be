"""Mirroring of records in MLflow by a background thread, so that no cell waits for MLflow."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path

from petlir.benchmark.records.schema import Record
from petlir.benchmark.tracking.tracker import NotTaken, ServerLost, Tracker

NOWHERE = "none"
"""The URI that disables mirroring."""


class Mirror:
    """A `Tracker` that runs in a separate thread, so that no cell waits for MLflow.

    If the connection to the server is lost, one warning is issued, and the records of this run are mirrored by a later
    run. If the server rejects a record, a warning is issued, and the other records are still mirrored.

    Args:
        uri: URI of the server or the database, or `none` to mirror nothing.
        warn: receives each warning.
        store: the folder of the records.
    """

    def __init__(self, uri: str, warn: Callable[[str], None], store: Path) -> None:
        self._records: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._drain, args=(uri, warn, store), name="mlflow mirror", daemon=True)
        self._warn = warn
        self._thread.start()

    def put(self, record: Record) -> None:
        """Queue a record for mirroring and return immediately."""
        self._records.put(record)

    def close(self, timeout: float = 60.0) -> None:
        """Wait until all queued records are mirrored, but for at most `timeout` seconds."""
        self._records.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._warn(f"MLflow took longer than {timeout:.0f} s; the next run mirrors the remaining records")

    def _drain(self, uri: str, warn: Callable[[str], None], store: Path) -> None:
        record = None if uri == NOWHERE else self._records.get()
        if record is None:
            return
        try:
            tracker = Tracker(uri, store)
            while record is not None:
                try:
                    tracker.mirror(record)
                except NotTaken as error:
                    warn(str(error))
                record = self._records.get()
        except ServerLost as error:
            warn(str(error))
