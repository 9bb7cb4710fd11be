"""Values of a column: means, differences, and marks of the best methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark import statistics
from petlir.benchmark.protocol import protocol
from petlir.benchmark.records.groups import ANY
from petlir.benchmark.records.schema import Record
from petlir.benchmark.scoring.fields_of_view import TILES, WHOLE
from petlir.benchmark.scoring.registry import LEADING, METRICS
from petlir.benchmark.statistics.columns import ScoreRows, collapsed_seeds, never_rankable, rankable, tables
from petlir.benchmark.statistics.convergence import Convergence, convergence
from petlir.benchmark.statistics.crossed import Floats
from petlir.benchmark.statistics.grouped import means, numbered
from petlir.benchmark.statistics.spending import SpendingPlan
from petlir.reports.column_scores import ColumnScores
from petlir.reports.formats import plural
from petlir.reports.frame import BELIEVED, differing, provenance
from petlir.reports.results import FROZEN, FULL, INPUT, SMOKE, Column, Ranking, ResultValue


def fill(
    column: Column,
    rows: ColumnScores,
    by_label: dict[str, list[Record]],
    kinds: dict[str, str],
    plan: SpendingPlan | None,
) -> tuple[Column, dict[str, ResultValue]]:
    """Return the column with its ranking, and the results in the column by label.

    Args:
        column: the column.
        rows: the scores of the column.
        by_label: for each label of the table, the records of the column's task.
        kinds: for each label, `petl`, `reference`, `composed` or `untrained`.
        plan: the plan of interim analyses for the cells; None unless seeds are added until methods differ
            significantly.
    """
    kept = differing(rows)
    values = _scored(rows, kept)
    values |= {label: _absent(column, cells) for label, cells in by_label.items() if label not in values}
    values.setdefault(INPUT, ResultValue("missing", "no cell of this task has a result"))
    column = replace(column, identical=len(set(rows.image)) - len(set(kept.image)))
    rows = kept
    for label, gain in _gains(rows, column.seeds).items():
        values[label] = replace(values[label], gain=gain)
    petl = rows.rows[np.array([kinds[label] == "petl" for label in rows.label], bool)]
    column = replace(column, skewed_coverage=statistics.skewed_coverage(len(set(rows.unit)), column.seeds))
    scores, why = _ranked(column, petl, plan.seeds[0] if plan else column.seeds, rows.rows)
    if why:
        return replace(column, unranked=why), values
    found = statistics.compare(scores, plan.alpha, plan.analyses) if plan else statistics.compare(scores)
    for label, share in _shares(rows, column.seeds).items():
        values[label] = replace(values[label], share=share)
    first, *others = found.tied()
    for label in (first, *others):
        values[label] = replace(values[label], mark="best" if label == first else "tied")
    provisional = column.seeds < statistics.FIRM_SEEDS
    return replace(column, provisional=provisional, looks=found.analyses, ranking=Ranking(scores, found)), values


def _shares(rows: ColumnScores, seeds: int) -> dict[str, statistics.Interval]:
    """Return the fraction of full fine-tuning's gain that each converged method recovers on its uncollapsed seeds."""
    scores = _beside_frozen(rows.rows, rows.rows.converged, seeds)
    full, base = scores.pop(FULL, None), scores.pop(FROZEN, None)
    if full is None or base is None:
        return {}
    found: dict[str, statistics.Interval] = {}
    for kept, labels in _by_seeds({label: table + 0 * full for label, table in scores.items()}).items():
        seen = np.array(kept)
        if statistics.printable(len(base), int(seen.sum())):
            found |= statistics.shares(
                {label: scores[label][:, seen] for label in labels}, full[:, seen], base[:, seen]
            )
    return found


def _by_seeds(scores: dict[str, statistics.Scores]) -> dict[tuple[bool, ...], list[str]]:
    """Group the labels by the seeds for which they have scores."""
    found: dict[tuple[bool, ...], list[str]] = {}
    for label, table in scores.items():
        found.setdefault(tuple(bool(np.isfinite(of_seed).all()) for of_seed in table.T), []).append(label)
    return found


def _gains(rows: ColumnScores, seeds: int) -> dict[str, statistics.Interval]:
    """Return each trained method's mean gain over the frozen network on uncollapsed seeds, with the gain's interval."""
    if seeds < statistics.FEWEST_SEEDS:
        return {}
    scores = _beside_frozen(rows.rows, rows.trained, seeds)
    base = scores.pop(FROZEN, None)
    if base is None:
        return {}
    found: dict[str, statistics.Interval] = {}
    for kept, labels in _by_seeds(scores).items():
        seen = np.array(kept)
        if statistics.printable(len(base), int(seen.sum())):
            gaps = np.stack([scores[label][:, seen] - base[:, seen] for label in labels])
            found |= dict(zip(labels, statistics.intervals(gaps), strict=True))
    return found


def _beside_frozen(rows: ScoreRows, trained: NDArray[np.bool_], seeds: int) -> dict[str, statistics.Scores]:
    """Return the units×seeds scores of trained methods, and the frozen network's scores repeated for each seed."""
    frozen, own = np.flatnonzero(rows.label == FROZEN), np.flatnonzero(trained)
    if not len(frozen):
        return {}
    ran = list(dict.fromkeys(rows.seed[own].tolist()))
    every = rows[np.concatenate([np.tile(frozen, len(ran)), own])]
    seed = np.concatenate([np.repeat(np.array(ran, int), len(frozen)), rows.seed[own]])
    return tables(replace(every, seed=seed), seeds)


def _absent(column: Column, mine: Sequence[Record]) -> ResultValue:
    """Return a result without scores, with the reason why scores are missing.

    The result states that an evaluation window does not apply, repeats the reason of the newest unfinished record, or
    states that there is no record.
    """
    done = [record for record in mine if record.state == "done"]
    if done and column.set and not any(_windows(column.protocol) <= _windows(*r.cell.protocols) for r in done):
        return ResultValue(
            "not-applicable",
            "a second evaluation window is only for networks and methods with operators over the whole image",
        )
    if len(done) < len(mine):
        newest = max((one for one in mine if one.state != "done"), key=lambda record: str(record.finished))
        return ResultValue(newest.state, newest.reason or "")
    return ResultValue("missing", "no record in this store")


def _windows(*names: str) -> set[str]:
    """Return the evaluation windows that protocols name; see `petlir.benchmark.scoring.fields_of_view`."""
    return {seen for name in names if (seen := protocol(name).seen) == WHOLE or seen.startswith(TILES)}


def _scored(every: ColumnScores, rows: ColumnScores) -> dict[str, ResultValue]:
    """Return the results of all methods with scores, and of the degraded image.

    Args:
        every: the scores of all images.
        rows: the scores of the images over which means are taken; see `petlir.reports.frame.differing`.
    """
    if not len(every.run):
        return {}
    labels, by_image = _by_image(rows)
    finite = np.where(np.isinf(by_image[LEADING]), np.nan, by_image[LEADING])
    all_labels, all_images = (labels, by_image) if rows is every else _by_image(every)
    infinite = dict(zip(all_labels, np.isinf(all_images[LEADING]).sum(axis=0), strict=True))
    average = dict(zip(labels, np.nan_to_num(_means(finite), nan=np.inf), strict=True))
    full, frozen, input_ = (_gaps(labels, finite, other) for other in (FULL, FROZEN, INPUT))
    seeds, verdicts, (levels, sources) = _by_seed(rows), _verdicts(rows), _origins(rows)
    lost = collapsed_seeds(rows.rows[rows.trained])
    others = {
        name: dict(zip(labels, _mean(by_image[name], finite), strict=True))
        for name in METRICS
        if name != LEADING and not np.isnan(rows.values[name]).all()
    }
    return {
        label: ResultValue(
            "done",
            "",
            {LEADING: float(average[label]), **{name: float(values[label]) for name, values in others.items()}},
            full.get(label),
            frozen.get(label),
            input_.get(label),
            seeds.get(label, ()),
            int(infinite[label]),
            *verdicts.get(label, (None, None)),
            collapsed=lost.get(label, ()),
            level=levels.get(label, ""),
            source=sources.get(label, ""),
        )
        for label in labels
    }


def _means(table: Floats) -> Floats:
    """Return the column means of an images×labels table, ignoring NaN, with the same rounding as pandas.

    The last bits of a sum depend on the order of its terms. The last column, which holds the degraded images, is summed
    in a different order from the other columns.
    """
    found = []
    for part in (table[:, :-1], np.ascontiguousarray(table[:, -1:])):
        values, lost = part.T, np.isnan(part.T)
        if lost.any():
            values = values.copy()
            values[lost] = 0.0
        with np.errstate(invalid="ignore"):
            found.append(values.sum(axis=1) / (~lost).sum(axis=1))
    return np.concatenate(found)


def _mean(values: Floats, finite: Floats) -> Floats:
    """Return the mean of each label over the images with finite PSNR, or over all images if no PSNR is finite."""
    found = _means(np.where(np.isnan(finite), np.nan, values))
    return np.where(np.isnan(found), _means(values), found)


def _verdicts(rows: ColumnScores) -> dict[str, tuple[bool | None, float | None]]:
    """Return, by label, whether all cells converged (None if a cell was not tested), and the largest change in dB."""
    tests: dict[str, list[Convergence | None]] = {}
    for record in rows.present:
        if record.cell.regime != ANY:
            tests.setdefault(record.cell.label, []).append(convergence(record.convergence))
    found = {}
    for label, tested in tests.items():
        changes = [one.change for one in tested if one and one.change is not None]
        verdict = None if None in tested else all(one.converged for one in tested if one)
        found[label] = verdict, max(changes, key=abs, default=None)
    return found


def _by_image(rows: ColumnScores) -> tuple[list[str], dict[str, Floats]]:
    """Return the labels, with `INPUT` as the last label, and, by metric, the images×labels means over seeds."""
    (image, images), (label, labels) = numbered(rows.image), numbered(rows.label)
    count, metric = len(METRICS), np.repeat(np.arange(len(METRICS)), len(image))
    image, label = np.tile(image, count), np.tile(label, count)
    values, inputs = (np.concatenate([of[name] for name in METRICS]) for of in (rows.values, rows.inputs))
    shown = means(values, (metric, image, label), (count, len(images), len(labels)))
    given = means(inputs, (metric, image), (count, len(images)))
    every = np.concatenate([shown, given[:, :, None]], axis=2)
    return [*map(str, labels), INPUT], dict(zip(METRICS, every, strict=True))


def _by_seed(rows: ColumnScores) -> dict[str, tuple[float, ...]]:
    """Return, by label, the mean PSNR of each seed, which is infinite if no image has a finite PSNR."""
    (label, labels), (seed, seeds) = numbered(rows.label), numbered(rows.rows.seed)
    shape = len(labels), len(seeds)
    finite = means(np.where(np.isinf(rows.psnr), np.nan, rows.psnr), (label, seed), shape)
    ran = np.zeros(shape, bool)
    ran[label, seed] = True
    found = np.where(np.isnan(finite), np.inf, finite)
    return {str(name): tuple(map(float, found[place, ran[place]])) for place, name in enumerate(labels)}


def _origins(rows: ColumnScores) -> tuple[dict[str, str], dict[str, str]]:
    """Return, for each label, the lowest level of verification and the submitters of its records."""
    found: dict[str, set[tuple[str, str]]] = {}
    for record in rows.present:
        found.setdefault(record.cell.label, set()).add(provenance(record))
    levels = {label: min((level for level, _ in pairs), key=BELIEVED.index) for label, pairs in found.items()}
    return levels, {label: "; ".join(sorted({by for _, by in pairs} - {""})) for label, pairs in found.items()}


def _gaps(labels: Sequence[str], finite: Floats, other: str) -> dict[str, float]:
    """Return the mean difference in dB of each label from the label `other`, over images with finite PSNR for both."""
    if other not in labels:
        return {}
    gaps = _means(finite - finite[:, [labels.index(other)]])
    return {label: float(gap) for label, gap in zip(labels, gaps, strict=True) if not np.isnan(gap)}


def _ranked(column: Column, rows: ScoreRows, fewest: int, every: ScoreRows) -> tuple[dict[str, statistics.Scores], str]:
    """Return the units×seeds scores of a column's rankable methods, or the reason why no method can be ranked.

    Args:
        column: the column, with the number of seeds of its cells.
        rows: the scores of the column's PETL methods.
        fewest: the minimum number of seeds with which a method can be ranked.
        every: the scores of all cells of the column.
    """
    if column.smoke:
        return {}, SMOKE
    if never := never_rankable(rows):
        return {}, never
    if column.seeds < statistics.FEWEST_SEEDS:
        return {}, f"{plural(column.seeds, 'seed')}, but a ranking needs at least {statistics.FEWEST_SEEDS}"
    return rankable(rows, fewest, every)
