"""The origins and verification levels of submitted records in a store, and the removal of unverified values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.json_files import read_json

if TYPE_CHECKING:
    from petlir.benchmark.records.schema import Origin, Record

FILE = "verification.json"
LEVELS = ("claimed", "re-scored", "re-inferred", "re-trained")
"""The levels of verification of a submitted record, lowest first; each level includes the previous one."""


def origins(store: Path) -> dict[str, Origin]:
    """Return the origins of a store's submitted cells by key; all other cells were run in this store.

    Raises:
        PetlirError: `verification.json` is damaged.
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
    """Return a record with its origin; a submitted record loses the values that verification did not recompute.

    Times, peak memory and energy were measured only by the submitter, and only the submitter states why a metric has no
    values. The training curve is recomputed only by retraining, and the doubling test only if the project ships its
    trials.
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
        changes["metrics"] = [metric for metric in record.metrics if metric.unavailable is None]
    shown = record.model_copy(update=changes)
    shown.annotate(origin, record.plan)
    return shown
