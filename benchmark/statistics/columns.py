"""Tables of units × seeds from a column's scores, and whether the column can be ranked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.statistics import Scores
from petlir.benchmark.statistics.collapse import collapsed, uncollapsed
from petlir.benchmark.statistics.conditions import FEWEST_UNITS
from petlir.benchmark.statistics.convergence import FEWEST_METHODS
from petlir.benchmark.statistics.grouped import means, numbered

if TYPE_CHECKING:
    import pandas as pd

WORTH_ADAPTING = 0.5
"""The minimum gain, in dB, of full fine-tuning over training from scratch in a ranked column."""


def tables(rows: pd.DataFrame, fewest: int) -> dict[str, Scores]:
    """Return each method's scores (units × seeds) on the images common to all methods.

    A unit's images are averaged first. Images for which any method and seed lacks a finite score are left out.

    Args:
        rows: one per image and cell, with the columns `label`, `seed`, `unit`, `image` and `psnr`.
        fewest: minimum number of seeds; methods with fewer are left out.

    Returns:
        Method → table; all tables have the same units and seeds, with ascending seeds and a column of NaN for a seed
        without a run of the method.
    """
    finite = rows[np.isfinite(rows.psnr)]
    if finite.empty:
        return {}
    (label, labels), (seed, seeds), (unit, units), (image, images) = (
        numbered(finite[name]) for name in ("label", "seed", "unit", "image")
    )
    shape = (len(units), len(images), len(labels), len(seeds))
    by_image = means(finite.psnr.to_numpy(), (unit, image, label, seed), shape)
    ran = np.asarray(np.isfinite(by_image).any(axis=(0, 1)))
    counts = ran.sum(axis=1)
    kept = [place for place in np.argsort(-counts, kind="stable") if counts[place] >= fewest]
    wanted = by_image[:, :, kept]
    whole = np.asarray((np.isfinite(wanted) | ~ran[kept]).all(axis=(2, 3)) & np.isfinite(by_image).any(axis=(2, 3)))
    if not kept or not whole.any():
        return {}
    by_unit = np.ascontiguousarray(_over_images(wanted, whole)[:, :, ran[kept].any(axis=0)])
    return uncollapsed({str(labels[label]): by_unit[:, place] for place, label in enumerate(kept)})


def _over_images(by_image: Scores, whole: NDArray[np.bool_]) -> Scores:
    """Return the means over the `whole` images (units × images × ...), for units with at least one such image."""
    import pandas as pd

    unit, _ = np.nonzero(whole)
    units, place = np.unique(unit, return_inverse=True)
    columns = by_image[whole].reshape(len(place), -1)
    if len(units) < len(place):
        columns = pd.DataFrame(columns).groupby(place).mean().to_numpy()
    return columns.reshape(len(units), *by_image.shape[2:])


def collapsed_seeds(rows: pd.DataFrame) -> dict[str, tuple[int, ...]]:
    """Return the collapsed seeds of each method that has any; `rows` as for `tables`."""
    finite = rows[np.isfinite(rows.psnr)]
    if finite.empty:
        return {}
    (label, labels), (seed, seeds), (unit, units) = (numbered(finite[name]) for name in ("label", "seed", "unit"))
    by_unit = means(finite.psnr.to_numpy(), (label, unit, seed), (len(labels), len(units), len(seeds)))
    found = {}
    for name, scores in zip(labels, by_unit, strict=True):
        ran = np.isfinite(scores).any(axis=0)
        whole = scores[:, ran][np.isfinite(scores[:, ran]).all(axis=1)]
        lost = np.flatnonzero(ran)[collapsed(whole)] if len(whole) else ()
        if len(lost):
            found[str(name)] = tuple(int(str(seeds[place])) for place in lost)
    return found


def rankable(rows: pd.DataFrame, fewest: int, references: pd.DataFrame) -> tuple[dict[str, Scores], str]:
    """Return the scores of the methods that are ranked in a column, or why it is not ranked.

    Args:
        rows: as for `tables`, of the column's PETL methods, with the column `converged`.
        fewest: minimum number of seeds of a method.
        references: the same columns, with full fine-tuning and training from scratch under `method`, if present.
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
    if not {"full-ft", "scratch"} <= set(finite.method):
        return None
    found = finite.groupby(["method", "seed", "unit"]).psnr.mean().groupby("method").mean()
    return float(found["full-ft"] - found["scratch"])


def never_rankable(rows: pd.DataFrame) -> str:
    """Return why a column with these scores can never be ranked, whatever is trained; empty if it can."""
    scenes = rows[np.isfinite(rows.psnr)].unit.nunique()
    if scenes >= FEWEST_UNITS or rows.empty:
        return ""
    return f"a set of {scenes} scenes can never be ranked, whatever the seeds: it takes {FEWEST_UNITS}"
