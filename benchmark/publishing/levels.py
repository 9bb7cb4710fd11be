"""What is known of cells that came from elsewhere: who submitted them, and how far they were verified."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing import manifest
from petlir.benchmark.publishing.archive import MANIFEST
from petlir.benchmark.publishing.manifest import LEVELS
from petlir.benchmark.records.files import read_record
from petlir.benchmark.records.json_files import read_json
from petlir.benchmark.records.schema import Origin
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_json

if TYPE_CHECKING:
    from petlir.benchmark.publishing.verify import VerifiedCell

FILE = "verification.json"


def origins(store: Path) -> dict[str, Origin]:
    """By key, the cells of a store that were submitted; what is not here was run in this store.

    Raises:
        PetlirError: the note on them is damaged.
    """
    path = store / FILE
    if not path.exists():
        return {}
    try:
        found: dict[str, Origin] = read_json(path)
        if all(origin["level"] in LEVELS and isinstance(origin["by"], str) for origin in found.values()):
            return found
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PetlirError(f"{path} is damaged: {error}") from error
    raise PetlirError(f"{path} is damaged: expected levels among {', '.join(LEVELS)}")


def adopt(folder: Path, verdicts: Sequence[VerifiedCell], store: Path) -> int:
    """Take the verified cells of an unpacked archive into a store, with their levels; returns how many are new.

    A cell that the store has already, by its key, stays as it is. What contradicts itself is not taken.
    """
    submission = manifest.read(folder)
    if submission is None:
        raise PetlirError(f"{folder} has no {MANIFEST}; only what `petlir submit` has packed is taken over")
    into = Store(store).create()
    levels = {verdict.key: verdict.level for verdict in verdicts if verdict.level}
    known, new = origins(store), 0
    for path in Store(folder).files():
        key = read_record(path).key
        if key in levels and into.find(key) is None:
            shutil.copytree(path.parent, store / path.parent.relative_to(folder))
            origin = Origin(
                level=levels[key], by=submission.by, tuning=submission.tuning, used_test_data=submission.used_test_data
            )
            known[key], new = origin, new + 1
            write_json(store / FILE, known)
    return new
