"""Cleaning of a store: temporary files of cells are removed, but never records, adapters or images."""

from __future__ import annotations

from dataclasses import dataclass

from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Index


@dataclass(frozen=True)
class Scratch:
    """A work folder that a cell has left behind.

    Attributes:
        key: the cell's key.
        bytes: size of the folder.
        about: reason why the folder can be removed.
    """

    key: str
    bytes: int
    about: str


def clean(store: Store, *, abandoned: bool = False, keep: bool = False) -> list[Scratch]:
    """Remove the work folders of finished cells, and return the removed folders.

    Leased cells are skipped. Work folders of unfinished cells without a lease hold checkpoints, from which training can
    resume; these folders are also skipped unless `abandoned` is set.

    Args:
        store: the store to clean.
        abandoned: whether to also remove the work folders of unfinished cells without a lease.
        keep: whether to keep all folders and only return those that would be removed.

    Raises:
        Unwritable: a folder cannot be removed.
    """
    store.refresh()
    index, found = Index.from_store(store), []
    for key, size in sorted(store.scratch().items()):
        head = index.find(key.partition(".")[0])
        done = head is not None and not head.retried
        if not (done or abandoned):
            continue
        with store.leases.hold(key.partition(".")[0], f"cleaning {key[:8]}") as lease:
            if lease is None:  # another process works on it
                continue
            found.append(Scratch(key, size, "its cell is finished" if done else "no process works on it"))
            if not keep:
                store.discard(key)
            lease.done = not keep
    return found
