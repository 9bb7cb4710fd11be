"""What a job carries to its worker, as plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from petlir.benchmark.cell import Cell, key
from petlir.benchmark.cells.context import Context
from petlir.benchmark.store import Store
from petlir.benchmark.store.remote import store_at


@dataclass(frozen=True)
class Job:
    """A piece of work.

    Attributes:
        kind: `cell`, `trial` of a learning rate, or `measure` a finished cell further.
        cell: what to work on.
        context: plugins and images.
        store: where it goes.
        needs: folders of the finished cells that the cell requires, relative to the store.
        parts: the components of a cell's key; of a trial what it is chosen on.
        weights: digest of the pre-trained weights, where `parts` does not hold it.
        protocols: ids to score a finished cell under, beyond those that it has.
        metrics: names of further metrics to measure a finished cell by.
        before: when the failed record was finished that this work is to replace; empty where there is none.
        convergence: the doubling test of the cell's learning rate, as its record is to hold it.
    """

    kind: str
    cell: Cell
    context: Context
    store: Store
    needs: tuple[Path, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    weights: str = ""
    protocols: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    before: str = ""
    convergence: Mapping[str, float | None] | None = None

    @property
    def key(self) -> str:
        """The content key of the cell."""
        return key(self.parts)

    @property
    def folder(self) -> Path:
        """Where the store keeps the cell."""
        return self.store.cell_folder(self.cell, self.key)

    def packed(self) -> dict[str, Any]:
        """Return the job as plain JSON values."""
        return {
            "kind": self.kind,
            "cell": self.cell.to_dict(),
            "context": asdict(self.context),
            "store": self.store.address,
            "needs": [str(need) for need in self.needs],
            "parts": dict(self.parts),
            "weights": self.weights,
            "protocols": list(self.protocols),
            "metrics": list(self.metrics),
            "before": self.before,
            "convergence": self.convergence and dict(self.convergence),
        }


def unpack(plain: Mapping[str, Any]) -> Job:
    """Return the job of these plain values."""
    context: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list | tuple) else v for name, v in plain["context"].items()
    }
    return Job(
        kind=plain["kind"],
        cell=Cell(**plain["cell"]),
        context=Context(**context),
        store=store_at(plain["store"]),
        needs=tuple(Path(need) for need in plain["needs"]),
        parts=plain["parts"],
        weights=plain["weights"],
        protocols=tuple(plain["protocols"]),
        metrics=tuple(plain["metrics"]),
        before=plain["before"],
        convergence=plain["convergence"],
    )
