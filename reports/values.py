"""Values of a column: means, differences, and marks of the best methods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from petlir.benchmark import statistics
from petlir.benchmark.protocol import protocol
from petlir.benchmark.records.groups import ANY
from petlir.benchmark.records.schema import Record
from petlir.benchmark.scoring.fields_of_view import TILES, WHOLE
from petlir.benchmark.scoring.registry import LEADING, METRICS
from petlir.benchmark.statistics.columns import collapsed_seeds, never_rankable, rankable, tables
from petlir.benchmark.statistics.grouped import means, numbered
from petlir.benchmark.statistics.spending import SpendingPlan
from petlir.reports.formats import plural
from petlir.reports.frame import BELIEVED, differing
from petlir.reports.results import FROZEN, FULL, INPUT, Column, Ranking, ResultValue


def fill(
    column: Column, frame: pd.DataFrame, by_label: dict[str, list[Record]], kinds: dict[str, str]
) -> tuple[Column, dict[str, ResultValue]]:
    """Return the column with its ranking, and its values by label.

    Args:
        column: the column.
        frame: the scores of the table's records.
        by_label: the table's records.
        kinds: `petl`, `reference` or `untrained` for each label.
    """
    rows = _under(column, frame)
    values = {label: _absent(column, cells) for label, cells in by_label.items()}
    values[INPUT] = ResultValue("missing", "no cell of this task has a result")
    values |= _scored(rows)
    column = replace(column, identical=rows.image.nunique() - differing(rows).image.nunique())
    rows = differing(rows)
    for label, gain in _gains(rows, column.seeds).items():
        values[label] = replace(values[label], gain=gain)
    petl = rows[rows.label.map(kinds).eq("petl")]
    column = replace(column, skewed_coverage=statistics.skewed_coverage(rows.unit.nunique(), column.seeds))
    plan = _plan(column, by_label)
    scores, why = _ranked(column, petl, plan.seeds[0] if plan else column.seeds, rows)
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


def _shares(rows: pd.DataFrame, seeds: int) -> dict[str, statistics.Interval]:
    """Return the fraction of full fine-tuning's gain that each converged method recovers, without collapsed seeds."""
    scores = _beside_frozen(rows, rows[rows.converged.eq(True)], seeds)
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
    """Group the labels by the seeds that they have."""
    found: dict[tuple[bool, ...], list[str]] = {}
    for label, table in scores.items():
        found.setdefault(tuple(bool(np.isfinite(of_seed).all()) for of_seed in table.T), []).append(label)
    return found


def _gains(rows: pd.DataFrame, seeds: int) -> dict[str, statistics.Interval]:
    """Return each trained method's mean difference from frozen on its uncollapsed seeds, with its interval."""
    if seeds < statistics.FEWEST_SEEDS:
        return {}
    scores = _beside_frozen(rows, rows[rows.regime != ANY], seeds)
    base = scores.pop(FROZEN, None)
    if base is None:
        return {}
    found = {}
    for label, table in scores.items():
        seen = np.isfinite(table).all(axis=0)
        if statistics.printable(len(table), int(seen.sum())):
            one = statistics.difference(table[:, seen], base[:, seen])
            found[label] = statistics.Interval(one.mean, one.low, one.high)
    return found


def _beside_frozen(rows: pd.DataFrame, trained: pd.DataFrame, seeds: int) -> dict[str, statistics.Scores]:
    """Return the scores of trained methods and, repeated for each seed, of the frozen network; units × seeds."""
    every = [rows[rows.label == FROZEN].assign(seed=seed) for seed in trained.seed.unique()]
    return tables(pd.concat([*every, trained]), seeds)


def _plan(column: Column, by_label: dict[str, list[Record]]) -> SpendingPlan | None:
    """Return the interim analyses planned for a column's cells; None unless seeds are added until methods separate."""
    cells = (record for records in by_label.values() for record in records if record.cell.task == column.task)
    return next((cell.plan for cell in cells if cell.plan and cell.cell.budget == column.budget), None)


def _under(column: Column, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of a column: those of its budget, and those of untrained methods."""
    here = (frame.task == column.task) & (frame.set == column.set) & (frame.protocol == column.protocol)
    return frame[here & ((frame.regime == ANY) | (frame.budget == column.budget))]


def _absent(column: Column, cells: Iterable[Record]) -> ResultValue:
    """Return an empty value with the reason: that of the newest record, an inapplicable window, or a missing record."""
    mine = [record for record in cells if record.cell.task == column.task]
    done = [record for record in mine if record.state == "done"]
    if done and column.set and not any(_windows(column.protocol) <= _windows(*r.cell.protocols) for r in done):
        return ResultValue(
            "not-applicable",
            "a second evaluation window is only for networks and methods with operators over the whole image",
        )
    if len(done) < len(mine):
        newest = max((one for one in mine if one not in done), key=lambda record: str(record.finished))
        return ResultValue(newest.state, newest.reason or "")
    return ResultValue("missing", "no record in this store")


def _windows(*names: str) -> set[str]:
    """Return the evaluation windows that protocols name, see `petlir.benchmark.scoring.fields_of_view`."""
    return {seen for name in names if (seen := protocol(name).seen) == WHOLE or seen.startswith(TILES)}


def _scored(rows: pd.DataFrame) -> dict[str, ResultValue]:
    """Return the values of all methods with scores, and of the degraded image."""
    if rows.empty:
        return {}
    every = _by_image(rows, LEADING)
    rows = differing(rows)
    psnr = _by_image(rows, LEADING)
    finite = psnr.replace(np.inf, np.nan)
    infinite, average = np.isinf(every).sum(), finite.mean().fillna(np.inf)
    full, frozen, input_ = (_gaps(finite, other) for other in (FULL, FROZEN, INPUT))
    seeds = _by_seed(rows)
    verdicts = _verdicts(rows[rows.regime != ANY])
    others = {
        name: _mean(_by_image(rows, name), finite) for name in METRICS if name != LEADING and rows[name].notna().any()
    }
    levels, sources = _origins(rows)
    lost = collapsed_seeds(rows[rows.regime != ANY])
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
        for label in map(str, psnr.columns)
    }


def _mean(values: pd.DataFrame, finite: pd.DataFrame) -> pd.Series:
    """Return the mean of each label over the images with finite PSNR, or over all images if there are none."""
    return values.where(finite.notna()).mean().fillna(values.mean())


def _verdicts(rows: pd.DataFrame) -> dict[str, tuple[bool | None, float | None]]:
    """Return, by label, whether all its cells converged (None if one was not tested), and the largest change in dB."""
    found: dict[str, tuple[bool | None, float | None]] = {}
    for label, cells in rows.drop_duplicates("key").groupby("label"):
        tested = set(cells.converged)
        largest = max(cells.change.dropna().tolist(), key=abs, default=None)
        found[str(label)] = (None if None in tested else tested == {True}), largest
    return found


def _by_image(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric by image and label, averaged over seeds; that of the degraded image is under `INPUT`."""
    (image, images), (label, labels) = numbered(rows.image), numbered(rows.label)
    shown = means(rows[metric].to_numpy(), (image, label), (len(images), len(labels)))
    given = means(rows[f"input_{metric}"].to_numpy(), (image,), (len(images),))
    return pd.DataFrame(shown, index=images, columns=labels, copy=False).assign(**{INPUT: given})


def _by_seed(rows: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    """Return the mean PSNR of each seed by label; infinite if no image has a finite PSNR."""
    (label, labels), (seed, seeds) = numbered(rows.label), numbered(rows.seed)
    shape = len(labels), len(seeds)
    finite = means(rows.psnr.replace(np.inf, np.nan).to_numpy(), (label, seed), shape)
    ran = np.zeros(shape, bool)
    ran[label, seed] = True
    found = np.where(np.isnan(finite), np.inf, finite)
    return {str(name): tuple(map(float, found[place, ran[place]])) for place, name in enumerate(labels)}


def _origins(rows: pd.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """Return, by label, the lowest level of its records, and all their submitters."""
    found: dict[str, list[tuple[str, str]]] = {}
    for label, level, source in rows[["label", "level", "source"]].drop_duplicates().itertuples(index=False):
        found.setdefault(label, []).append((level, source))
    levels = {label: min((level for level, _ in pairs), key=BELIEVED.index) for label, pairs in found.items()}
    return levels, {label: "; ".join(sorted({by for _, by in pairs} - {""})) for label, pairs in found.items()}


def _gaps(finite: pd.DataFrame, other: str) -> dict[str, float]:
    """Return the mean difference of each label to `other` in dB, over the images with finite PSNR for both."""
    if other not in finite:
        return {}
    gaps = finite.sub(finite[other], axis=0).mean().dropna()
    return {str(label): float(gap) for label, gap in gaps.items()}


def _ranked(
    column: Column, rows: pd.DataFrame, fewest: int, every: pd.DataFrame
) -> tuple[dict[str, statistics.Scores], str]:
    """Return the rankable methods of a column as units × seeds, or the reason why there are none.

    Args:
        column: the column, with the number of seeds of its cells.
        rows: the scores of its PETL cells.
        fewest: minimum number of seeds of a method.
        every: the scores of all its cells.
    """
    if column.smoke:
        return {}, "smoke"
    if never := never_rankable(rows):
        return {}, never
    if column.seeds < statistics.FEWEST_SEEDS:
        return {}, f"{plural(column.seeds, 'seed')}: no separation is stated below {statistics.FEWEST_SEEDS}"
    return rankable(rows, fewest, every)
