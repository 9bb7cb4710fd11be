"""A planned cell, its key and its state in a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from petlir.benchmark import cell as cells
from petlir.benchmark.cell import Cell
from petlir.benchmark.statistics.convergence import Convergence
from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Head, Index

SAME = ("track", "regime", "steps", "batch_size", "patch")
"""Fields in which two records must agree to belong to the same cell, if their folder names agree apart from the key."""


@dataclass(frozen=True)
class Planned:
    """A cell with its key components and, if any, the reason why it cannot be processed.

    Attributes:
        cell: the cell.
        parts: the components of the cell's key.
        obstacle: the reason why backbone, method and task cannot be combined; None if they can.
        fault: the reason why the cell cannot be processed here: its weights cannot be fetched, its method fails, no
            learning rate was chosen, or a required cell has a fault. None if the cell can be processed.
        needs: the cells that the cell requires.
        convergence: the doubling test of the cell's learning rate; None if the rate was not tuned.
    """

    cell: Cell
    parts: dict[str, str]
    obstacle: str | None
    fault: str | None = None
    needs: tuple[Planned, ...] = ()
    convergence: Convergence | None = None

    @cached_property
    def key(self) -> str:
        """The cell's content key."""
        return cells.key(self.parts)

    @property
    def ids(self) -> list[str]:
        """The ids of the protocols under which the cell will be scored."""
        return self.parts["protocols"].split()

    def folder(self, store: Store) -> Path:
        """Return the cell's folder in `store`."""
        return store.cell_folder(self.cell, self.key)


def state(planned: Planned, index: Index) -> str:
    """Return the state of a planned cell: `done`, `failed`, `stale` or `missing`."""
    head = index.find(planned.key)
    if head is not None:
        return "failed" if head.retried else "done"
    return "stale" if any(True for _ in predecessors(planned, index)) else "missing"


def with_needs(planned: Iterable[Planned]) -> list[Planned]:
    """Return each cell once, preceded by the cells that it requires."""
    found: dict[str, Planned] = {}
    for one in planned:
        for each in (*with_needs(one.needs), one):
            found.setdefault(each.key, each)
    return list(found.values())


def predecessors(planned: Planned, index: Index) -> Iterator[Head]:
    """Yield the records of the same cell with other key components."""
    now = vars(planned.cell)
    for head in index.beside(planned.folder(index.store)) if index.heads else ():
        if head.key != planned.key and all(getattr(head.cell, name) == now[name] for name in SAME):
            yield head
