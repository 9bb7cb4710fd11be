"""Collapsed seeds: training runs that score far below the other seeds of their method, by a rule fixed beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.statistics.crossed import Floats, Scores

LEAST, DEVIATIONS = 1.0, 5.0
"""Distances below the median, in dB and in median absolute deviations; a seed that exceeds both has collapsed."""
RULE = (
    "A seed has collapsed if its mean PSNR is more than 1 dB and more than 5 median absolute deviations below the "
    "median of its method's seeds. Collapsed seeds are counted; intervals, ranks and recovered gains use the other "
    "seeds."
)
"""The rule as stated on the pages of the report."""


def far_below(means: Floats) -> NDArray[np.bool_]:
    """Return whether each seed of a method has collapsed, given the mean score of each seed: `... × seeds` in dB."""
    below = np.median(means, axis=-1, keepdims=True) - means
    return np.asarray((below > LEAST) & (below > DEVIATIONS * np.median(np.abs(below), axis=-1, keepdims=True)))


def collapsed(scores: Scores) -> NDArray[np.bool_]:
    """Return whether each seed has collapsed; a seed that did not run does not count as collapsed.

    Args:
        scores: units × seeds in dB; a seed without a run has a column of NaN.
    """
    there = np.isfinite(scores).all(axis=0)
    found = np.zeros(scores.shape[1], bool)
    if there.any():
        found[there] = far_below(scores[:, there].mean(axis=0))
    return found


def collapsed_each(scores: Floats) -> NDArray[np.bool_]:
    """Return whether each seed of each method has collapsed, as an array methods × seeds.

    Args:
        scores: methods × units × seeds in dB; a seed without any finite score did not run. A unit is left out of a
            method's means if the method lacks a score on this unit for a seed that ran.
    """
    methods, units, seeds = scores.shape
    there = np.isfinite(scores)
    if units and seeds and there.all():
        return far_below(scores.mean(axis=1))
    found = np.zeros((methods, seeds), bool)
    kinds, kind = np.unique(there.reshape(methods, -1), axis=0, return_inverse=True)
    for place, there in enumerate(kinds.reshape(-1, units, seeds)):
        alike, ran = np.flatnonzero(kind.ravel() == place), np.flatnonzero(there.any(axis=0))
        whole = np.flatnonzero(there[:, ran].all(axis=1))
        if len(ran) and len(whole):
            found[np.ix_(alike, ran)] = far_below(scores[np.ix_(alike, whole, ran)].mean(axis=1))
    return found


def uncollapsed(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """Return the tables with the scores of collapsed seeds replaced by NaN; all tables must have the same shape."""
    if not scores:
        return {}
    every = np.stack(list(scores.values()))
    return dict(zip(scores, np.where(collapsed_each(every)[:, None], np.nan, every), strict=True))
