"""Tables of units × seeds from a column's scores, and whether the column can be ranked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from petlir.benchmark.statistics import Scores
from petlir.benchmark.statistics.collapse import collapsed, uncollapsed
from petlir.benchmark.statistics.conditions import FEWEST_UNITS
from petlir.benchmark.statistics.convergence import FEWEST_METHODS

if TYPE_CHECKING:
    import pandas as pd

WORTH_ADAPTING = 0.5
"""Least gain in dB of full fine-tuning over training from scratch in a ranked column."""


def tables(rows: pd.DataFrame, fewest: int) -> dict[str, Scores]:
    """Return each method's scores, units × seeds, on the images that all methods have.

    A unit's images are averaged first. Images for which any method and seed lacks a finite score are left out.

    Args:
        rows: one per image and cell, with the columns `label`, `seed`, `unit`, `image` and `psnr`.
        fewest: minimum number of seeds; methods with fewer are left out.

    Returns:
        Method → table; all tables have the same units and seeds, with ascending seeds and a column of NaN for a seed
        without a run of the method.
    """
    import pandas as pd

    finite = rows[np.isfinite(rows.psnr)]
    if finite.empty:
        return {}
    by_image = finite.pivot_table(index=["unit", "image"], columns=["label", "seed"], values="psnr")
    counts = by_image.columns.get_level_values("label").value_counts()
    whole = [str(label) for label, count in counts.items() if count >= fewest]
    by_unit = by_image[whole].dropna().groupby(level="unit").mean()
    if by_unit.empty:
        return {}
    seeds = sorted(by_unit.columns.get_level_values("seed").unique())
    by_label = by_unit.reindex(columns=pd.MultiIndex.from_product([whole, seeds]))
    scores = by_label.to_numpy().reshape(len(by_unit), len(whole), len(seeds))
    return uncollapsed({label: scores[:, place] for place, label in enumerate(whole)})


def collapsed_seeds(rows: pd.DataFrame) -> dict[str, tuple[int, ...]]:
    """Return the collapsed seeds of each method that has some; `rows` as for `tables`."""
    finite = rows[np.isfinite(rows.psnr)]
    found = {}
    for label, own in finite.groupby("label"):
        means = own.groupby(["unit", "seed"]).psnr.mean().unstack().dropna()
        if lost := tuple(int(seed) for seed in means.columns[collapsed(means.to_numpy())]):
            found[str(label)] = lost
    return found


def rankable(rows: pd.DataFrame, fewest: int, references: pd.DataFrame) -> tuple[dict[str, Scores], str]:
    """Return the scores of the methods that are ranked in a column, or why it is not ranked.

    Args:
        rows: as for `tables`, of the column's PETL methods, with the column `converged`.
        fewest: minimum number of seeds of a method.
        references: the same columns, with full fine-tuning and training from scratch under `method`, where present.
    """
    gain = pretraining_gain(references)
    if gain is not None and gain < WORTH_ADAPTING:
        return {}, (
            f"full fine-tuning is {gain:+.2f} dB above training from scratch, less than {WORTH_ADAPTING} dB: "
            "this task does not need the pre-trained weights"
        )
    converged = rows.converged.eq(True).groupby(rows.label).transform("all")
    scores = tables(rows[converged], fewest)
    if len(scores) < FEWEST_METHODS:
        return {}, f"fewer than {FEWEST_METHODS} PETL methods converged with all seeds"
    if len(next(iter(scores.values()))) < 2:
        return {}, "fewer than two images with a finite PSNR everywhere"
    return scores, ""


def pretraining_gain(rows: pd.DataFrame) -> float | None:
    """Return the mean PSNR of full fine-tuning minus that of training from scratch in dB, or None without both."""
    finite = rows[np.isfinite(rows.psnr)]
    means = finite.groupby(["method", "seed", "unit"]).psnr.mean().groupby("method").mean()
    return float(means["full-ft"] - means["scratch"]) if {"full-ft", "scratch"} <= set(means.index) else None


def never_rankable(rows: pd.DataFrame) -> str:
    """Return why a column with these scores can never be ranked, whatever is trained; empty where it can."""
    scenes = rows[np.isfinite(rows.psnr)].unit.nunique()
    if scenes >= FEWEST_UNITS or rows.empty:
        return ""
    return f"a set of {scenes} scenes can never be ranked, whatever the seeds: it takes {FEWEST_UNITS}"
