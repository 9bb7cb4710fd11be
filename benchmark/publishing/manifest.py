"""What a submission says of itself: who, how it was tuned, whether test data was used, and a digest of every file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.archive import MANIFEST
from petlir.benchmark.records.json_files import read_bytes
from petlir.benchmark.weights.sources import sha256

LEVELS = ("claimed", "re-scored", "re-inferred", "re-trained")
"""How far a submitted record can be believed, the least first."""
Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Submission(BaseModel):
    """The manifest of an archive; `files` maps each path to its SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Literal["petlir-submission/1"] = "petlir-submission/1"
    by: Text
    tuning: Text
    used_test_data: bool
    created: AwareDatetime
    petlir: Text
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]


def read(folder: Path) -> Submission | None:
    """The manifest of an unpacked archive; None for a plain store.

    Raises:
        PetlirError: it is no manifest of this version; names the first offence.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        return Submission.model_validate_json(read_bytes(path), strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PetlirError(f"{path.name} is no petlir-submission/1: {where}: {first['msg']}") from error
    except ValueError as error:
        raise PetlirError(f"{path.name} is no petlir-submission/1: {error}") from error


def check_files(submission: Submission, folder: Path) -> None:
    """Hold every file against its digest.

    Raises:
        PetlirError: a file was changed, is missing, or is not in the manifest; names the first.
    """
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(submission.files.keys() - present):
        raise PetlirError(f"{name} is missing; the submission lists it")
    for name in sorted(present - submission.files.keys()):
        raise PetlirError(f"{name} is not listed in {MANIFEST}; expected only files that are")
    for name, expected in sorted(submission.files.items()):
        if sha256(folder / name) != expected:
            raise PetlirError(f"{name} was changed: its digest is not the one in {MANIFEST}")
