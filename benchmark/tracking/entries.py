"""Entries of a record in MLflow: tags, parameters and metrics. Records remain the primary data."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from petlir.benchmark.records.schema import Record

FAMILY = ("petlir.backbone", "petlir.method", "petlir.label", "petlir.task", "petlir.track", "petlir.regime")
"""The tags shared by the runs of cells that differ only in the seed."""
FORBIDDEN = re.compile(r"[^\w.\- /:]")
"""The characters that MLflow rejects in names: all except letters, digits, `_`, `.`, `-`, spaces, `/` and `:`."""
LONGEST = 200
"""The maximum length of a name, in characters; MLflow allows 250."""


def escaped(name: str) -> str:
    """Return a name that MLflow accepts for a metric, a parameter or a folder.

    `@` becomes `:`, and forbidden characters become `_`. If anything but `@` changes, or the name contains `:`
    itself, a digest of the original name is appended, so that different names stay different.
    """
    plain = name.replace("@", ":")
    allowed = FORBIDDEN.sub("_", plain)[:LONGEST]
    parts = [part for part in posixpath.normpath(allowed).split("/") if part.strip(".")]
    allowed = "/".join(parts)
    if allowed == plain and ":" not in name:
        return allowed
    return f"{allowed}_{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def tags(record: Record) -> dict[str, str]:
    """Return the tags by which runs are found and grouped."""
    cell = record.cell
    names = ("backbone", "method", "label", "task", "track", "seed", "regime")
    reason = {"petlir.reason": record.reason} if record.reason else {}
    return {f"petlir.{name}": str(getattr(cell, name)) for name in names} | {"petlir.state": record.state} | reason


def params(record: Record) -> dict[str, str]:
    """Return the method's options and the training budget."""
    cell = record.cell
    options = {f"option.{escaped(name)}": str(value) for name, value in cell.options.items()}
    return options | {name: str(getattr(cell, name)) for name in ("learning_rate", "steps", "batch_size", "patch")}


def metrics(record: Record) -> Iterator[tuple[str, float, int]]:
    """Yield (name, value, step) for mean scores per set and protocol, costs, and points of the training curve.

    Images whose restored or degraded version equals the clean image are left out of the means.
    """
    for table in record.tables:
        for metric in table.values:
            if (mean := table.differing().mean(metric)) is not None:
                yield f"{escaped(table.set)}/{escaped(table.protocol or '')}/{metric}", mean, 0
    for name, value in _flat("costs", record.costs.model_dump(exclude_unset=True)):
        yield name, value, 0
    for point in record.curve:
        values = {name: value for name, value in asdict(point).items() if name != "step"}
        for name, value in _flat("curve", values):
            yield name, value, point.step


def _flat(prefix: str, values: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}/{name}", value)
        elif isinstance(value, int | float):
            yield f"{prefix}/{name}", float(value)


def family(record: Record) -> dict[str, str]:
    """Return the tags shared by cells that differ only in the seed; their runs are nested in one parent run."""
    return {name: value for name, value in tags(record).items() if name in FAMILY}
