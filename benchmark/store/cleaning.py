"""Cleaning a store: what cells left while they were worked on goes; records, adapters and images never do."""

from __future__ import annotations

from dataclasses import dataclass

from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Index


@dataclass(frozen=True)
class Scratch:
    """What one cell has left in its work folder.

    Attributes:
        key: the cell's key.
        bytes: how much it is.
        about: why it may go.
    """

    key: str
    bytes: int
    about: str


def clean(store: Store, *, abandoned: bool = False, keep: bool = False) -> list[Scratch]:
    """Remove what finished cells have left behind; returns what went.

    What is being worked on stays. So do the checkpoints of cells that nobody works on, which go on from them, unless
    `abandoned` says that they are not wanted any more.

    Args:
        store: where.
        abandoned: whether checkpoints of unfinished cells go too.
        keep: only say what would go.

    Raises:
        Unwritable: something cannot be removed.
    """
    store.refresh()
    index, found = Index.of(store), []
    for key, size in sorted(store.scratch().items()):
        head = index.find(key.partition(".")[0])
        done = head is not None and not head.retried
        if not (done or abandoned):
            continue
        with store.leases.hold(key.partition(".")[0], f"cleaning {key[:8]}") as lease:
            if lease is None:  # somebody works on it
                continue
            found.append(Scratch(key, size, "its cell is finished" if done else "nobody works on it"))
            if not keep:
                store.discard(key)
            lease.done = not keep
    return found
