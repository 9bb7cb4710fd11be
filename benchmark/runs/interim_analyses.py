"""Interim analyses, which are stated in advance; after each analysis, tied methods get more seeds.

The store's file `interim_analyses.json` lists the interim analyses, so that readers of the records know their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import TypeAdapter, ValidationError

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.json_files import read_bytes
from petlir.benchmark.statistics.spending import SpendingPlan
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_json

FILE = "interim_analyses.json"


def stated(store: Store) -> list[SpendingPlan]:
    """Return the plans of interim analyses that are stated in a store.

    Raises:
        PetlirError: `interim_analyses.json` is damaged.
    """
    path = store.root / FILE
    try:
        return TypeAdapter(list[SpendingPlan]).validate_json(read_bytes(path)) if path.is_file() else []
    except ValidationError as error:
        raise PetlirError(f"{path} is not a list of interim analyses: {error.errors()[0]['msg']}") from error
    except ValueError as error:
        raise PetlirError(f"{path} is not a list of interim analyses: {error}") from error


def state(store: Store, new: Sequence[SpendingPlan]) -> None:
    """Write the plans of interim analyses to the store, before the first analysis.

    Raises:
        PetlirError: other plans were stated for the same cells.
    """
    before = stated(store)
    for plan in new:
        same = [old for old in before if old.covers(plan)]
        if same and same[0] != plan:
            raise PetlirError(
                f"{store.root / FILE}: {plan.backbone} · {plan.task} was to be analysed after "
                f"{_counted(same[0].seeds)} seeds at confidence {1 - same[0].alpha:g}; "
                "request the same analyses, or use a new store"
            )
    write_json(store.root / FILE, [asdict(plan) for plan in dict.fromkeys([*before, *new])])


def _counted(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
