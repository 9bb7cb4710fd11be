"""Where submitted records of a store came from, how far each was verified, and how they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.json_files import read_json

if TYPE_CHECKING:
    from petlir.benchmark.records.schema import Origin, Record

FILE = "verification.json"
LEVELS = ("claimed", "re-scored", "re-inferred", "re-trained")
"""How far a submitted record was verified, the least first; each level includes the one before."""


def origins(store: Path) -> dict[str, Origin]:
    """Return the submitted cells of a store by key; the others were run in this store.

    Raises:
        PetlirError: the file is damaged.
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


def attributed(record: Record, origin: Origin | None) -> Record:
    """Return a record with its origin; a submitted one without the figures that its verification did not derive.

    Times, peak memory and energy were measured by the submitter. The training curve is derived by training again, and
    the doubling test only where the project ships its trials.
    """
    if origin is None:
        return record
    changes: dict[str, object] = {}
    if not origin.get("convergence"):
        changes["convergence"] = None
    if origin["level"] != LEVELS[-1]:
        changes["curve"] = []
    if record.state == "done":
        memory = record.costs.memory.model_copy(update={"peak": None})
        unmeasured = {"exclusive": False, "step_seconds": None, "energy_joules": None, "waiting_share": None}
        changes["costs"] = record.costs.model_copy(update={**unmeasured, "memory": memory})
    shown = record.model_copy(update=changes)
    shown.annotate(origin, record.plan)
    return shown
