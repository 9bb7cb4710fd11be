"""Record files, one per cell. Reading a record needs pydantic; writing a record needs no third-party library.

A record is a JSON file in its cell's folder. `schema.py` defines the type of a record, and `record.schema.json` defines
the file format.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.json_files import parsed, read_bytes
from petlir.benchmark.records.origins import LEVELS

if TYPE_CHECKING:
    from petlir.benchmark.records.schema import Record
    from petlir.benchmark.records.scores import ScoreTable

SCHEMA = "petlir-record/2"
RECORD = "record.json"
ADAPTER = "adapter.safetensors"
SHIPPED_FILES = "low-resolution files of"
"""The start of the note in `data_label` about the image sets that include low-resolution images."""


def headlines(record: Record) -> dict[str, str]:
    """Return the headline protocol of each test set: the protocol used wherever a single number is quoted.

    The headline protocol is the first of the cell's protocols under which the test set was scored, usually the task's
    first protocol, on images restored in the cell's first restoration mode. Protocols that were added to a finished
    cell rank after the cell's own protocols.
    """
    named = {name: place for place, name in enumerate(record.cell.protocols)}
    found: dict[str, str] = {}
    for table in record.tables:
        assert table.protocol is not None
        best = found.setdefault(table.set, table.protocol)
        if named.get(table.protocol, len(named)) < named.get(best, len(named)):
            found[table.set] = table.protocol
    return found


def headline_tables(record: Record) -> list[ScoreTable]:
    """Return the scores under the headline protocols."""
    quoted = headlines(record)
    return [table for table in record.tables if table.protocol == quoted[table.set]]


def newest(records: Iterable[Record]) -> list[Record]:
    """Return the newest record of every cell on every device; older records, of other data or code, are left out.

    The store's own records take precedence over submitted records, and among submitted records a higher level of
    verification takes precedence over a newer date.
    """
    found: dict[tuple[object, ...], Record] = {}
    for record in records:
        cell = record.cell
        place = (cell.backbone, cell.label, cell.task, cell.track, cell.seed, record.device)
        same = (*place, cell.regime, cell.steps, cell.batch_size, cell.patch)
        if same not in found or _precedence(found[same]) < _precedence(record):
            found[same] = record
    return list(found.values())


def _precedence(record: Record) -> tuple[int, datetime]:
    """Return the sort key of a cell's records: the verification level (highest for the store's own) and the date."""
    level = len(LEVELS) if record.origin is None else LEVELS.index(record.origin["level"])
    return level, datetime.fromisoformat(record.finished)


def read_record(path: Path) -> Record:
    """Read the record in `path` and validate it against the schema.

    Raises:
        PetlirError: the file cannot be read, is truncated or is not a record; the message names the file and the first
            error.
    """
    try:
        text = read_bytes(path).decode()
    except OSError as error:
        raise PetlirError(f"cannot read the record {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PetlirError(f"{path} is not a record: it is not UTF-8 text") from error
    except ValueError as error:
        raise PetlirError(f"{path} is not a record: {error}") from error
    return parse_record(text, path)


def parse_record(text: str, path: Path) -> Record:
    """Validate the JSON text of a record in the current or an earlier version; `path` is used in error messages.

    Raises:
        PetlirError: the text is not a record; the message names the first error.
    """
    from pydantic import ValidationError

    from petlir.benchmark.records import version_1
    from petlir.benchmark.records.schema import RECORDS

    try:
        return version_1.parse(text) or RECORDS.validate_json(text, strict=True)
    except ValidationError as error:
        if newer := _newer(text):
            raise PetlirError(
                f"{path} is a {newer} record; this version reads {SCHEMA}: install a newer petlir to read it"
            ) from error
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PetlirError(f"{path} is not a {SCHEMA} record: {where}: {first['msg']}") from error


def _newer(text: str) -> str:
    """Return the schema's name in a record written by a later version of petlir; empty for any other text."""
    with suppress(ValueError):
        found = parsed(text)
        schema = str(found.get("schema")) if isinstance(found, dict) else ""
        form, _, number = schema.partition("/")
        known, _, ours = SCHEMA.partition("/")
        return schema if form == known and int(number) > int(ours) else ""
    return ""
