"""Tables of units × seeds from the scores of a column, and the conditions for ranking a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.errors import counted
from petlir.benchmark.statistics import Scores
from petlir.benchmark.statistics.collapse import collapsed_each, uncollapsed
from petlir.benchmark.statistics.conditions import FEWEST_UNITS
from petlir.benchmark.statistics.convergence import FEWEST_METHODS
from petlir.benchmark.statistics.grouped import means, numbered

if TYPE_CHECKING:
    import pandas as pd

WORTH_ADAPTING = 0.5
"""The minimum gain, in dB, of full fine-tuning over training from scratch in a ranked column."""
PRETRAINING = ("full-ft", "scratch")
"""The methods whose difference is the gain from pre-training."""
Names = NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class ScoreRows:
    """Arrays with one entry per image and cell: a faster substitute for a data frame with the fields as columns.

    Attributes:
        psnr: PSNR in dB.
        converged: True where the cell has converged.
    """

    label: Names
    method: Names
    seed: NDArray[np.int_]
    unit: Names
    image: Names
    psnr: Scores
    converged: NDArray[np.bool_]

    def __getitem__(self, kept: NDArray[np.bool_] | Sequence[int]) -> Self:
        """Return the chosen entries."""
        return replace(self, **{one.name: getattr(self, one.name)[kept] for one in fields(self)})


def tables(rows: pd.DataFrame | ScoreRows, fewest: int) -> dict[str, Scores]:
    """Return each method's scores (units × seeds) on the images common to all methods.

    The scores of a unit's images are averaged. An image is left out unless every method has a finite score on
    it for each of the method's seeds that ran.

    Args:
        rows: one row per image and cell, with the columns `label`, `seed`, `unit`, `image` and `psnr`.
        fewest: minimum number of seeds; methods with fewer are left out.

    Returns:
        Method → table; all tables have the same units and seeds, with ascending seeds and a column of NaN for a seed
        that the method lacks or that has collapsed.
    """
    finite = np.isfinite(psnr := np.asarray(rows.psnr))
    if not finite.any():
        return {}
    (label, labels), (seed, seeds), (unit, units), (image, images) = (
        numbered(np.asarray(names)[finite]) for names in (rows.label, rows.seed, rows.unit, rows.image)
    )
    shape = (len(units), len(images), len(labels), len(seeds))
    by_image = means(psnr[finite], (unit, image, label, seed), shape)
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
    """Average the scores of each unit over the images that `whole` marks; units without a marked image are left out."""
    import pandas as pd

    unit, _ = np.nonzero(whole)
    units, place = np.unique(unit, return_inverse=True)
    columns = by_image[whole].reshape(len(place), -1)
    if len(units) < len(place):
        columns = pd.DataFrame(columns).groupby(place).mean().to_numpy()
    return columns.reshape(len(units), *by_image.shape[2:])


def collapsed_seeds(rows: pd.DataFrame | ScoreRows) -> dict[str, tuple[int, ...]]:
    """Return the collapsed seeds of each method that has collapsed seeds; `rows` is as for `tables`."""
    finite = np.isfinite(psnr := np.asarray(rows.psnr))
    if not finite.any():
        return {}
    (label, labels), (seed, seeds), (unit, units) = (
        numbered(np.asarray(names)[finite]) for names in (rows.label, rows.seed, rows.unit)
    )
    by_unit = means(psnr[finite], (label, unit, seed), (len(labels), len(units), len(seeds)))
    lost = collapsed_each(by_unit)
    return {
        str(labels[place]): tuple(int(str(seeds[at])) for at in np.flatnonzero(lost[place]))
        for place in np.flatnonzero(lost.any(axis=1))
    }


def rankable(
    rows: pd.DataFrame | ScoreRows, fewest: int, references: pd.DataFrame | ScoreRows
) -> tuple[dict[str, Scores], str]:
    """Return the scores of the methods that are ranked in a column, and the reason if the column is not ranked.

    Args:
        rows: rows of the PETL methods, as for `tables`, with the additional column `converged`.
        fewest: minimum number of seeds of a method.
        references: rows of full fine-tuning and training from scratch, as named in the column `method`; either may be
            missing.
    """
    gain = pretraining_gain(references)
    if gain is not None and gain < WORTH_ADAPTING:
        better = f"only {gain:.2f} dB better" if gain >= 0 else f"{-gain:.2f} dB worse"
        return {}, (
            f"full fine-tuning is {better} than training from scratch (expected: at least {WORTH_ADAPTING} dB better); "
            "this task does not need the pre-trained weights"
        )
    label, converged = np.asarray(rows.label), np.asarray(rows.converged) == True  # noqa: E712 - None is not True
    lost = set(label[~converged])
    scores = tables(rows[np.array([name not in lost for name in label], bool)], fewest)
    if len(scores) < FEWEST_METHODS:
        return {}, f"fewer than {FEWEST_METHODS} PETL methods converged with all seeds"
    if len(next(iter(scores.values()))) < 2:
        return {}, "fewer than two scenes have an image with a finite PSNR for every method and seed"
    return scores, ""


def pretraining_gain(rows: pd.DataFrame | ScoreRows) -> float | None:
    """Return the mean PSNR of full fine-tuning minus the mean PSNR of training from scratch, in dB.

    Return None if full fine-tuning or training from scratch has no scores.
    """
    finite = np.isfinite(psnr := np.asarray(rows.psnr)) & np.isin(method := np.asarray(rows.method), PRETRAINING)
    if set(method[finite]) != set(PRETRAINING):
        return None
    (method, _), (seed, seeds), (unit, units) = (
        numbered(np.asarray(names)[finite]) for names in (rows.method, rows.seed, rows.unit)
    )
    by_unit = means(psnr[finite], (method, seed, unit), (2, len(seeds), len(units))).reshape(2, -1)
    place = np.repeat([0, 1], by_unit.shape[1])
    full, scratch = means(by_unit.ravel(), (place,), (2,))
    return float(full - scratch)


def never_rankable(rows: pd.DataFrame | ScoreRows) -> str:
    """Return the reason why a column with these scores can never be ranked, or an empty string if it can be."""
    scenes = len(set(np.asarray(rows.unit)[np.isfinite(rows.psnr)]))
    if scenes >= FEWEST_UNITS or not len(rows.psnr):
        return ""
    return (
        f"a column with {counted(scenes, 'scene')} is never ranked, whatever the number of seeds: "
        f"the minimum is {FEWEST_UNITS}"
    )
