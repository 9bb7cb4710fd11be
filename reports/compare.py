"""Comparison of two stores: differences in PSNR, their significance, and changes in keys and environments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.schema import Record
from petlir.benchmark.scoring.registry import LEADING
from petlir.reports.frame import load

Key = tuple[str, ...]
"""Backbone, label, task, track, regime, budget, set and protocol, which must be equal for two scores to be compared."""
Place = tuple[str, str, int]
"""Scene, image and seed of a score."""
ENVIRONMENT = ("device", "torch", "python", "petlir", "git_revision", "precision", "deterministic", "threads")


@dataclass(frozen=True)
class Move:
    """One method in one column of both stores; PSNR and differences in dB.

    Attributes:
        name: backbone, label, task, set and protocol.
        before: mean PSNR of the first store over shared images and seeds, or over all if only this store has a result;
            None if the first store has no result or the stores share no image and seed.
        after: the same for the second store.
        delta: `after - before`.
        low: lower end of the 95 % interval of `delta`; None if there are too few shared seeds or scenes.
        high: upper end of the 95 % interval of `delta`.
        seeds: number of shared seeds.
        verdict: `equal`, `moved`, `within chance`, `not tested`, `no image and seed in common`, or, if a single store
            has a result, `only in the first` or `only in the second`.
        changed: components of the cells' keys that differ.
        environment: differences between the environments, each `name: before -> after`.
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


@dataclass
class ComparedColumn:
    """One method in one column of a store: PSNR by scene, image and seed, and the records that contain these scores."""

    psnr: dict[Place, float] = field(default_factory=dict)
    cells: dict[str, Record] = field(default_factory=dict)


def compare(first: Path, second: Path) -> list[Move]:
    """Return a comparison of each method in each column of two stores, the largest difference first.

    Raises:
        PetlirError: a store holds no record.
    """
    records = [load(store) for store in (first, second)]
    for store, found in zip((first, second), records, strict=True):
        if not found:
            raise PetlirError(f"store {store} holds no records; expected cells/BACKBONE/TASK/CELL/record.json")
    before, after = map(_columns, records)
    moves = [_move(key, before.get(key), after.get(key)) for key in {*before, *after}]
    return sorted(moves, key=lambda move: (-abs(move.delta or 0.0), move.name))


def _columns(records: Iterable[Record]) -> Mapping[Key, ComparedColumn]:
    found: dict[Key, ComparedColumn] = {}
    for record in records:
        cell = record.cell
        budget = "" if cell.regime == "none" else cell.budget
        for table in record.tables:
            place = (cell.backbone, cell.label, cell.task, cell.track, cell.regime, budget)
            column = found.setdefault((*place, table.set, table.protocol or ""), ComparedColumn())
            column.cells[record.key] = record
            for score in table.rows(LEADING):
                column.psnr[score.unit, score.image, cell.seed] = score.value
    return found


def _move(key: Key, before: ComparedColumn | None, after: ComparedColumn | None) -> Move:
    backbone, label, task, *_, test_set, protocol = key
    name = " · ".join((backbone, label, task, test_set, protocol))
    if before is None or after is None:
        there, here = (None if one is None else fmean(one.psnr.values()) for one in (before, after))
        return Move(
            name, there, here, None, None, None, 0, f"only in the {'second' if before is None else 'first'}", (), ()
        )
    cells = [list(one.cells.values()) for one in (before, after)]
    return _tested(name, before.psnr, after.psnr, tuple(_key_components(*cells)), tuple(_environments(*cells)))


def _tested(
    name: str,
    before: Mapping[Place, float],
    after: Mapping[Place, float],
    changed: tuple[str, ...],
    environment: tuple[str, ...],
) -> Move:
    """Return the difference over shared images and seeds; for the test, images of one scene are averaged first."""
    shared = [place for place in before if place in after and math.isfinite(before[place] - after[place])]
    if not shared:
        return Move(name, None, None, None, None, None, 0, "no image and seed in common", changed, environment)
    gaps = _gaps({place: after[place] - before[place] for place in shared})
    means = fmean(before[place] for place in shared), fmean(after[place] for place in shared)
    delta, seeds = means[1] - means[0], len({seed for _, _, seed in shared})
    if not any(map(any, gaps)):
        return Move(name, *means, 0.0, 0.0, 0.0, seeds, "equal", changed, environment)
    from petlir.benchmark.statistics.conditions import printable

    if not printable(len(gaps), seeds):
        return Move(name, *means, delta, None, None, seeds, "not tested", changed, environment)
    import numpy as np  # imported here, as most comparisons need no test

    from petlir.benchmark import statistics

    found = statistics.difference(np.array(gaps), np.zeros((len(gaps), seeds)))
    verdict = "moved" if found.p < 0.05 else "within chance"
    return Move(name, *means, delta, found.low, found.high, seeds, verdict, changed, environment)


def _gaps(gaps: Mapping[Place, float]) -> list[list[float]]:
    """Return the mean differences, scenes × seeds, of the scenes that have a difference for every seed."""
    by_scene: dict[str, dict[int, list[float]]] = {}
    for (scene, _, seed), gap in gaps.items():
        by_scene.setdefault(scene, {}).setdefault(seed, []).append(gap)
    seeds = sorted({seed for _, _, seed in gaps})
    return [[fmean(own[seed]) for seed in seeds] for _, own in sorted(by_scene.items()) if own.keys() == set(seeds)]


def _key_components(before: Sequence[Record], after: Sequence[Record]) -> Iterator[str]:
    """Yield the components of the key that differ between cells with the same seed."""
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
