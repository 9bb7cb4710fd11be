"""Interim analyses at which seeds are added until methods separate, stated before the first analysis.

They are stored in `interim_analyses.json` of the store, so that readers of its records know the number of analyses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.statistics import InterimAnalysis, spend
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_json

FILE = "interim_analyses.json"


@dataclass(frozen=True)
class Plan:
    """The stated interim analyses for the cells of one backbone and task.

    Attributes:
        seeds: number of seeds at each analysis.
        alpha: probability of any false separation in a column, over all analyses.
    """

    backbone: str
    task: str
    track: str
    steps: int
    seeds: tuple[int, ...]
    alpha: float

    @property
    def analyses(self) -> tuple[InterimAnalysis, ...]:
        """The analyses with the alpha that each spends."""
        return spend(self.seeds, self.alpha)

    def covers(self, cell: dict[str, Any]) -> bool:
        """Return whether the plan was stated for a record's cell."""
        return all(cell[part] == getattr(self, part) for part in ("backbone", "task", "track", "steps"))


def stated(store: Store) -> list[Plan]:
    """Return the plans stated in this store.

    Raises:
        PetlirError: `interim_analyses.json` is damaged.
    """
    path = store.root / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        return [Plan(**{**plan, "seeds": tuple(plan["seeds"])}) for plan in found]
    except (ValueError, TypeError, KeyError) as error:
        raise PetlirError(f"{path} does not state interim analyses: {error}") from error


def state(store: Store, new: Sequence[Plan]) -> None:
    """Write the plans to the store before the first analysis.

    Raises:
        PetlirError: other plans were stated for the same cells.
    """
    before = stated(store)
    for plan in new:
        same = [old for old in before if old.covers(asdict(plan))]
        if same and same[0] != plan:
            raise PetlirError(
                f"{store.root / FILE}: {plan.backbone} · {plan.task} was to be looked at after "
                f"{_counted(same[0].seeds)} seeds at {1 - same[0].alpha:g}; ask for the same, or take a new store"
            )
    write_json(store.root / FILE, [asdict(plan) for plan in dict.fromkeys([*before, *new])])


def _counted(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
