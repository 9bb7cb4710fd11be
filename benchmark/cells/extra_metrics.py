"""Additional scores of finished cells, computed without training: scores under further protocols, and further metrics.

Additional scores do not affect a cell's result, so they are added to its record and are not part of its key. Where
possible, additional scores are computed from stored restored images. If a protocol scores unrounded images, or needs a
restoration mode without stored images, the network restores the test images again with the cell's adapter.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import cast

from petlir.benchmark.cells.adapted_model import finished
from petlir.benchmark.cells.job import Job
from petlir.benchmark.cells.rescoring import check_stored_images, rescored, ways
from petlir.benchmark.cells.stored_images import store_deep
from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import read_deep, read_image
from petlir.benchmark.plugins import Plugins
from petlir.benchmark.protocol import Protocol, protocol, protocols
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.records.scores import tabulated
from petlir.benchmark.scoring import evaluate
from petlir.benchmark.scoring.fields_of_view import scored_as
from petlir.benchmark.scoring.measurement import Look, Measurement
from petlir.benchmark.scoring.metrics import choose
from petlir.benchmark.scoring.metrics import measured as measured_by
from petlir.benchmark.scoring.registry import Score
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_json


@dataclass(frozen=True)
class ExtraMetrics:
    """Metrics and protocols that are requested in addition to the protocols of a task.

    Attributes:
        protocols: protocol ids; an id without a field of view applies to each field of view with which a cell was
            evaluated.
        metrics: metric names, see `petlir.benchmark.scoring.metrics`.
    """

    protocols: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    @classmethod
    def from_names(cls, names: str, metrics: str, plugins: Plugins) -> ExtraMetrics:
        """Return the metrics and protocols named in comma-separated lists.

        Raises:
            PetlirError: a name is unknown, or names a metric of pyiqa although pyiqa is not installed.
        """
        return cls(tuple(rule.id for rule in protocols(names)), choose(metrics, plugins.registered_metrics()))

    def missing(self, record: Record, own: Sequence[str], plugins: Plugins) -> ExtraMetrics:
        """Return the requested protocols and metrics that a record lacks, including metrics that were unavailable.

        Args:
            record: the record of a finished cell.
            own: the protocol ids that the cell was planned with.
            plugins: the source of registered metrics; values from another version of a metric count as missing.
        """
        seen = tuple(dict.fromkeys(protocol(name).seen for name in own))
        known = _measured(record, plugins)
        return ExtraMetrics(
            tuple(name for name in scored_as(self.protocols, seen) if name not in record.protocols),
            tuple(name for name in self.metrics if name not in known),
        )

    def __bool__(self) -> bool:
        """Return whether any protocol or metric is requested."""
        return bool(self.protocols or self.metrics)


def measured(job: Job) -> bool:
    """Return whether a cell's record contains all scores that the job requests."""
    path = job.store.fetch(job.folder / RECORD, newest=True)
    if not path.exists():
        return False
    record = read_record(path)
    return set(record.protocols).issuperset(job.protocols) and _measured(record, job.context.plugins).issuperset(
        job.metrics
    )


def _measured(record: Record, plugins: Plugins) -> set[str]:
    """Return the metrics for which a record has values.

    The value of a registered metric counts only if the current version of the metric's code computed it.
    """
    registered = plugins.registered_metrics()
    return {
        metric.metric
        for metric in record.metrics
        if metric.unavailable is None
        and (metric.metric not in registered or metric.library == registered[metric.metric].library)
    }


def measure(job: Job, device: str) -> Record:
    """Compute the scores that a job requests, add them to the finished cell's record, and return the record.

    Raises:
        PetlirError: the cell's images or its adapter are missing or have changed; the record stays unchanged.
    """
    job.store.fetch_all()
    folder = job.store.find(job.key)
    if folder is None:
        raise PetlirError(f"{job.cell} has no record in {job.store.root}")
    record = read_record(folder / RECORD)
    if not isinstance(record, Done):
        raise PetlirError(f"{job.cell} has state {record.state!r} in {job.store.root}; expected a finished cell")
    stored = {way.way for way in ways(record, job.store)}
    rules = [protocol(name) for name in job.protocols]
    told = [rule for rule in rules if rule.rounded and rule.way in stored]
    rows = rescored(record, job.store, told)
    if again := [rule for rule in rules if rule not in told]:
        rows += _restored_again(job, record, folder, again, device)
    if job.metrics:
        check_stored_images(record, job.store)
    images = _images(record, job.store, folder) if job.metrics else {}
    found = measured_by(job.metrics, images, device, job.context.plugins.registered_metrics())
    plain = record.model_dump(mode="json", by_alias=True, exclude_unset=True)
    known = [metric for metric in record.metrics if metric.metric not in job.metrics]
    names = dict.fromkeys([*record.cell.protocols, *job.protocols])
    measured = [row for metric in found for row in _rows(metric, record)]
    kept = [row for metric in known for row in record.measured(metric.metric)]
    plain |= {
        "cell": plain["cell"] | {"protocols": list(names)},
        "scores": tabulated(chain(record.every_row(), rows, kept, measured)),
        "metrics": [metric.model_dump() for metric in known] + [_as_dict(metric) for metric in found],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / RECORD, plain)
    job.store.publish(folder)
    return read_record(folder / RECORD)


def _restored_again(job: Job, record: Done, folder: Path, rules: Sequence[Protocol], device: str) -> list[Score]:
    """Restore the test images again and return their scores; images in a new restoration mode are added to the cell."""
    pairs = job.context.tests(job.cell.task, job.cell.track)
    if evaluate.digest_of(pairs) != record.digests.data:
        raise PetlirError(f"{job.cell} was scored on test images that differ from those available here")
    model = finished(folder, job.context, device)
    work, first = job.store.begin(record.key), ways(record, job.store)[0].way
    shared, names = job.store.shared(record.cell, record.digests.data), [rule.id for rule in rules]
    store_deep(pairs, shared)
    every = [replace(pair, protocols=()) for pair in pairs]
    rows = evaluate.evaluate(model.network, model.heads, every, names, work, shared, first).rows
    for new in {evaluate.kept_in(rule.way, first) for rule in rules}:
        if not (folder / new).exists():
            (work / new).rename(folder / new)
    shutil.rmtree(work)
    return rows


def _images(record: Done, store: Store, folder: Path) -> dict[str, Look]:
    """Return, by image name, functions that read the image restored in the record's first mode and the clean image."""
    shared = store.shared_by(record)
    files = [(score.set, f"{score.image}.png") for score in record.images]
    return {
        f"{set_}/{file}": partial(_read, folder / "restored" / set_ / file, shared / set_ / "clean" / file)
        for set_, file in files
    }


def _read(restored: Path, clean: Path) -> tuple[Image, Image]:
    return read_image(restored), cast("Image", read_deep(clean))


def _as_dict(metric: Measurement) -> dict[str, object]:
    """Return a metric's description in the form in which records store it."""
    named = ("better", "colour", "library", "unavailable")
    return {"metric": metric.name, **{name: getattr(metric, name) for name in named}}


def _rows(metric: Measurement, record: Record) -> list[Score]:
    """Return the values of a metric as scores without a protocol."""
    images = record.images if metric.values else ()
    return [
        Score(one.set, one.domain, one.image, one.unit, None, metric.name, value, None)
        for one, value in zip(images, metric.values, strict=True)
    ]
