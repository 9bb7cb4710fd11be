"""Captions of the figures of a named grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise

import pandas as pd

from petlir.benchmark import statistics
from petlir.benchmark.statistics.columns import tables
from petlir.benchmark.weights.sources import UNTRAINED, network_of
from petlir.reports.formats import count, decibel, joined, plural, signed
from petlir.reports.grids.curves import along
from petlir.reports.grids.points import PARAMETERS, GridPoint

SMOKE = "These are smoke runs, which are too short to rank methods."


def of_curves(found: Sequence[GridPoint], axis: str) -> Iterator[str]:
    """Yield captions on the change along each curve, curves that rise throughout, seeds' spread, and convergence."""
    series = along(found)
    ends = {name: (some[0], some[-1]) for name, some in series.items()}
    gains = ", ".join(
        f"{name} {signed(last.mean - first.mean)} dB ({_at(first, axis)} to {_at(last, axis)})"
        for name, (first, last) in ends.items()
    )
    yield f"Change in mean PSNR from the first to the last point: {gains}."
    rising = [name for name, some in series.items() if all(b.mean > a.mean for a, b in pairwise(some))]
    others = [name for name in series if name not in rising]
    yield f"Mean PSNR rises from each point to the next for {joined(rising) if rising else 'none of the curves'}" + (
        f"; not for {joined(others)}." if rising and others else "."
    )
    yield from _spread([point for some in series.values() for point in some])
    yield from _unconverged(series)


def _unconverged(series: Mapping[str, Sequence[GridPoint]]) -> Iterator[str]:
    unconverged = [name for name, some in series.items() if not all(point.converged for point in some)]
    if any(point.smoke for some in series.values() for point in some):
        yield SMOKE
    elif unconverged:
        yield f"Curves with points that have not converged: {joined(unconverged)}."


def of_rows(found: Sequence[GridPoint]) -> Iterator[str]:
    """Yield captions on each backbone's best and worst method, the gain from pre-training, and the seeds' spread."""
    for backbone in dict.fromkeys(point.backbone for point in found):
        trained = [point for point in found if point.backbone == backbone and point.trained]
        if len(trained) > 1:
            high, low = (choose(trained, key=lambda point: point.mean) for choose in (max, min))
            named = f"{backbone}: " if len({point.backbone for point in found}) > 1 else ""
            yield (
                f"{named}{high.label} has the highest mean PSNR of the trained methods ({decibel(high.mean)} dB), "
                f"{low.label} the lowest ({decibel(low.mean)} dB)."
            )
    yield from _over_random(found)
    yield from _spread([point for point in found if point.trained])


def _over_random(found: Sequence[GridPoint]) -> Iterator[str]:
    """Yield a caption on the gain of pre-trained weights over random weights of the same network."""
    means = {(point.backbone, point.label): point.mean for point in found}
    for backbone in dict.fromkeys(point.backbone for point in found):
        random = f"{network_of(backbone)}:{UNTRAINED}"
        gains = [
            f"{label} {signed(mean - means[random, label])} dB"
            for (own, label), mean in means.items()
            if own == backbone != random and (random, label) in means
        ]
        if gains:
            yield f"Gain of {backbone} over the same network with random weights: {', '.join(gains)}."


def _spread(trained: Sequence[GridPoint]) -> Iterator[str]:
    several = [point for point in trained if len(point.seeds) > 1]
    if not several:
        yield "Each mean is from a single seed, so differences may be due to chance."
        return
    widest = max(max(point.seeds) - min(point.seeds) for point in several)
    yield f"The mean PSNR differs between seeds by up to {decibel(widest)} dB."


def told_apart(found: Sequence[GridPoint], rows: pd.DataFrame) -> str:
    """Return a caption on the best trained method and the methods tied with it, or on why methods are not compared."""
    trained = [point for point in found if point.trained]
    if any(point.smoke for point in trained):
        return SMOKE
    ranked = {point.label for point in trained if point.ranked}
    unconverged = sorted({point.label for point in trained if not point.converged})
    behind = f" Methods left out because they have not converged: {joined(unconverged)}." if unconverged else ""
    if len({point.backbone for point in trained}) > 1:
        return behind.strip()
    scores = tables(rows[rows.label.isin(ranked)], statistics.FEWEST_SEEDS)
    if len(scores) < 2 or len(next(iter(scores.values()))) < 2:
        return f"Not compared: fewer than two methods converged on {plural(statistics.FEWEST_SEEDS, 'seed')}.{behind}"
    first, *tied = statistics.compare(scores).tied()
    others = f"tied with it: {joined(tied)}" if tied else "significantly above every other method"
    return f"Highest mean PSNR of the converged methods: {first}; {others}.{behind}"


def against(paper: str, published: Mapping[str, float], found: Sequence[GridPoint]) -> str:
    """Return a caption on how many pairs of trained methods are in the paper's order; empty if there are no pairs."""
    means = {point.label: point.mean for point in found if point.trained and point.label in published}
    pairs = [(a, b) for a, b in combinations(means, 2) if published[a] != published[b]]
    if not pairs:
        return ""
    same = sum((published[a] > published[b]) == (means[a] > means[b]) for a, b in pairs)
    both = f"Of {plural(len(pairs), 'pair')} of trained methods that {paper} also reports"
    return f"{both}, {same} {'has' if same == 1 else 'have'} the same order of mean PSNR here as in the paper."


def _at(point: GridPoint, axis: str) -> str:
    assert point.x is not None
    return count(point.x) if axis == PARAMETERS else f"{point.x:g}"
