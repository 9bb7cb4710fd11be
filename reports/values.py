"""The values of one column: means, differences, and which may be marked as best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from reports import ties
from reports.formats import plural
from reports.frame import Record
from reports.groups import ANY
from reports.results import FROZEN, FULL, INPUT, Column, Value


def fill(
    column: Column, frame: pd.DataFrame, by_label: dict[str, list[Record]], kinds: dict[str, str]
) -> tuple[Column, dict[str, Value]]:
    """A column's values, and the column with what they say about ranks."""
    rows = _under(column, frame)
    scored = {str(label): part for label, part in rows.groupby("label")}
    images = {label: part.groupby("image").psnr.mean() for label, part in scored.items()}
    images[INPUT] = rows.groupby("image").input_psnr.mean()
    values = {label: _missing(column.task, by_label[label]) for label in by_label if label not in scored}
    for label, part in scored.items():
        values[label] = _value(part, images[label], images)
    values[INPUT] = _input_value(rows, images)
    ranked, why = _ranked(column, {label: scored[label] for label in scored if kinds[label] == "petl"})
    if why:
        return replace(column, unranked=why), values
    first, *others = ties.best_group(ranked)
    for label in (first, *others):
        values[label] = replace(values[label], mark="best" if label == first else "tied")
    seeds = next(iter(ranked.values())).shape[1]
    return replace(column, provisional=seeds < ties.FIRM_SEEDS), values


def _under(column: Column, frame: pd.DataFrame) -> pd.DataFrame:
    """The scores that stand in a column: its budget, and whatever was not trained."""
    here = (frame.task == column.task) & (frame.set == column.set) & (frame.protocol == column.protocol)
    return frame[here & ((frame.regime == ANY) | (frame.budget == column.budget))]


def _missing(task: str, cells: Iterable[Record]) -> Value:
    """Why a method has no number in a column: its newest record says, or there is none."""
    mine = [record for record in cells if record["cell"]["task"] == task and record["state"] != "done"]
    if not mine:
        return Value("missing", "no record in this store")
    newest = max(mine, key=lambda record: str(record["finished"]))
    return Value(newest["state"], newest["reason"])


def _value(part: pd.DataFrame, psnr: pd.Series, images: dict[str, pd.Series]) -> Value:
    trained = part[part.regime != ANY]
    return Value(
        "done",
        "",
        _mean(psnr),
        float(part.groupby("image").ssim.mean().mean()),
        _gap(psnr, images.get(FULL)),
        _gap(psnr, images.get(FROZEN)),
        _gap(psnr, images[INPUT]),
        tuple(_mean(rows.psnr) for _, rows in part.groupby("seed")),
        int(np.isinf(psnr).sum()),
        None if trained.empty else bool(trained.converged.eq(True).all()),
    )


def _input_value(rows: pd.DataFrame, images: dict[str, pd.Series]) -> Value:
    psnr = images[INPUT]
    if psnr.empty:
        return Value("missing", "no cell of this task has a result")
    ssim = float(rows.groupby("image").input_ssim.mean().mean())
    full, frozen = _gap(psnr, images.get(FULL)), _gap(psnr, images.get(FROZEN))
    return Value("done", "", _mean(psnr), ssim, full, frozen, infinite=int(np.isinf(psnr).sum()))


def _mean(psnr: pd.Series) -> float:
    finite = psnr[np.isfinite(psnr)]
    return float(finite.mean()) if len(finite) else float("inf")


def _gap(psnr: pd.Series, other: pd.Series | None) -> float | None:
    """Mean difference over the images that have a finite PSNR on both sides."""
    if other is None:
        return None
    gap = psnr.replace(np.inf, np.nan) - other.replace(np.inf, np.nan)
    return float(gap.mean()) if gap.notna().any() else None


def _ranked(column: Column, scored: dict[str, pd.DataFrame]) -> tuple[dict[str, ties.Scores], str]:
    """The methods that may be ranked in a column as units × seeds, or why none may."""
    if column.smoke:
        return {}, "smoke"
    if column.seeds < ties.FEWEST_SEEDS:
        return {}, f"{plural(column.seeds, 'seed')}: no separation is stated below {ties.FEWEST_SEEDS}"
    finite = {label: part[np.isfinite(part.psnr)] for label, part in scored.items() if part.converged.eq(True).all()}
    tabled = {label: part.pivot_table(index="unit", columns="seed", values="psnr") for label, part in finite.items()}
    tabled = {label: part.dropna() for label, part in tabled.items() if part.shape[1] == column.seeds}
    if len(tabled) < 2:
        return {}, "fewer than two methods converged with all seeds"
    units = sorted(set.intersection(*(set(part.index) for part in tabled.values())))
    if len(units) < 2:
        return {}, "fewer than two images with a finite PSNR everywhere"
    return {label: part.loc[units].to_numpy() for label, part in tabled.items()}, ""
