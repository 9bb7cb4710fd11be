"""Jobs: units of work that a worker process receives as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from petlir.benchmark.cell import Cell, key
from petlir.benchmark.cells.context import Context
from petlir.benchmark.store import Store
from petlir.benchmark.store.remote import store_at


@dataclass(frozen=True)
class Job:
    """A unit of work for a worker process.

    Attributes:
        kind: the kind of work: `cell` to process a cell, `trial` to try a learning rate, or `measure` to compute extra
            metrics of a finished cell.
        cell: the cell to process.
        context: the plugins and images with which the cell is processed.
        store: the store to which results are written.
        needs: folders of the finished cells that the cell requires, relative to the store.
        parts: the components of the cell's key or, for a trial, the selection context.
        weights: digest of the pre-trained weights, if `parts` does not contain it.
        protocols: ids of additional protocols for a finished cell.
        metrics: names of additional metrics for a finished cell.
        before: finishing time of the failed record that this job replaces; empty if the job replaces no record.
        convergence: the doubling test of the cell's learning rate, as written to the cell's record.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)

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
        """The cell's key, which is the digest of its key components."""
        return key(self.parts)

    @property
    def folder(self) -> Path:
        """The cell's folder in the store."""
        return self.store.cell_folder(self.cell, self.key)

    def packed(self) -> dict[str, object]:
        """Return the job as values that JSON can represent."""
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


JOB = TypeAdapter(Job)


def unpack(plain: Mapping[str, object]) -> Job:
    """Rebuild a job from the values that `Job.packed` returned."""
    return JOB.validate_python({**plain, "store": store_at(str(plain["store"]))})
