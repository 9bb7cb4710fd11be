"""Two stores side by side: what moved between them, whether that is more than chance, and what had changed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from petlir.benchmark import statistics
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.schema import Record
from petlir.reports.frame import load, score_frame

ROW = ["backbone", "label", "task", "track", "regime", "budget", "set", "protocol"]
"""What two scores must share to be compared, beside image and seed."""
ENVIRONMENT = ("device", "torch", "python", "petlir", "git_revision", "precision", "deterministic", "threads")


@dataclass(frozen=True)
class Move:
    """One method in one column of both stores; PSNR and its differences in dB.

    Attributes:
        name: backbone, label, task, set and protocol.
        before: mean PSNR over the images and seeds that both have; None where the first store has none.
        after: the same of the second store.
        delta: `after - before`.
        low: lower end of the 95 % interval of `delta`; None where too few seeds or scenes are shared.
        high: its upper end.
        seeds: how many seeds both have.
        verdict: `equal`, `moved`, `within chance`, `not tested`, or the store that lacks it.
        changed: the components of the cells' keys that differ.
        environment: what differs in where they ran, each `name: before -> after`.
    """

    name: str
    before: float | None
    after: float | None
    delta: float | None
    low: float | None
    high: float | None
    seeds: int
    verdict: str
    changed: tuple[str, ...]
    environment: tuple[str, ...]


def compare(first: Path, second: Path) -> list[Move]:
    """Every method and column of two stores, what moved farthest first.

    Raises:
        PetlirError: a store holds no record.
    """
    records = [load(store) for store in (first, second)]
    for store, found in zip((first, second), records, strict=True):
        if not found:
            raise PetlirError(f"store {store} holds no records; expected cells/BACKBONE/TASK/CELL/record.json")
    frames = [score_frame(found) for found in records]
    by_key = [{record.key: record for record in found} for found in records]
    groups = [dict(iter(frame.groupby(ROW))) for frame in frames]
    moves = [_move(key, [group.get(key) for group in groups], by_key) for key in {*groups[0], *groups[1]}]
    return sorted(moves, key=lambda move: (-abs(move.delta or 0.0), move.name))


def _move(key: Sequence[Hashable], rows: Sequence[pd.DataFrame | None], by_key: Sequence[dict[str, Record]]) -> Move:
    row = dict(zip(ROW, key, strict=True))
    name = " · ".join(str(row[part]) for part in ("backbone", "label", "task", "set", "protocol"))
    before, after = rows
    if before is None or after is None:
        there, here = (None if one is None else float(one.psnr.mean()) for one in rows)
        return Move(
            name, there, here, None, None, None, 0, f"only in the {'second' if before is None else 'first'}", (), ()
        )
    cells = [[by_key[place][found] for found in one.key.unique()] for place, one in enumerate((before, after))]
    return _tested(name, before, after, tuple(_key_components(*cells)), tuple(_environments(*cells)))


def _tested(
    name: str, before: pd.DataFrame, after: pd.DataFrame, changed: tuple[str, ...], environment: tuple[str, ...]
) -> Move:
    """The difference over the images and seeds that both have; images of one scene are averaged first."""
    both = before.merge(after, on=["unit", "image", "seed"], suffixes=("", "_after"))
    finite = both[np.isfinite(both.psnr) & np.isfinite(both.psnr_after)]
    if finite.empty:
        return Move(name, None, None, None, None, None, 0, "no image and seed in common", changed, environment)
    gap = (finite.psnr_after - finite.psnr).groupby([finite.unit, finite.seed]).mean().unstack().dropna()
    means = float(finite.psnr.mean()), float(finite.psnr_after.mean())
    delta, seeds = means[1] - means[0], gap.shape[1]
    if not (gap.to_numpy() != 0).any():
        return Move(name, *means, 0.0, 0.0, 0.0, seeds, "equal", changed, environment)
    if not statistics.printable(*gap.shape):
        return Move(name, *means, delta, None, None, seeds, "not tested", changed, environment)
    found = statistics.difference(gap.to_numpy(), np.zeros(gap.shape))
    verdict = "moved" if found.p < 0.05 else "within chance"
    return Move(name, *means, delta, found.low, found.high, seeds, verdict, changed, environment)


def _key_components(before: Sequence[Record], after: Sequence[Record]) -> Iterator[str]:
    """The components that differ between cells of one seed."""
    then = {record.cell.seed: record.key_components for record in before}
    pairs = [(then[seed], record.key_components) for record in after if (seed := record.cell.seed) in then]
    for name in sorted({name for pair in pairs for part in pair for name in part}):
        if any(a.get(name) != b.get(name) for a, b in pairs):
            yield name


def _environments(before: Sequence[Record], after: Sequence[Record]) -> Iterator[str]:
    for name in ENVIRONMENT:
        then, now = (sorted({str(getattr(record.environment, name)) for record in cells}) for cells in (before, after))
        if then != now:
            yield f"{name}: {', '.join(then)} -> {', '.join(now)}"
