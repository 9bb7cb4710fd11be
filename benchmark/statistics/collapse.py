"""Collapsed seeds: training runs that end far below the other seeds of their method, by a rule fixed beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.statistics.crossed import Floats, Scores

LEAST, DEVIATIONS = 1.0, 5.0
"""Distances below the median, in dB and in median absolute deviations; a seed beyond both has collapsed."""
RULE = (
    "A seed has collapsed if its mean is more than 1 dB and more than 5 median absolute deviations below the median "
    "of its method's seeds. Collapsed seeds are counted; intervals, ranks and recovered gains use the other seeds."
)
"""The rule as stated in the documentation and on the pages."""


def far_below(means: Floats) -> NDArray[np.bool_]:
    """Return whether each seed of a method has collapsed by the rule, from the seeds' means, `... × seeds` in dB."""
    below = np.median(means, axis=-1, keepdims=True) - means
    return np.asarray((below > LEAST) & (below > DEVIATIONS * np.median(np.abs(below), axis=-1, keepdims=True)))


def collapsed(scores: Scores) -> NDArray[np.bool_]:
    """Return whether each seed is collapsed; a seed that did not run does not count as collapsed.

    Args:
        scores: units × seeds in dB; a column of NaN is a seed without a run.
    """
    there = np.isfinite(scores).all(axis=0)
    found = np.zeros(scores.shape[1], bool)
    if there.any():
        found[there] = far_below(scores[:, there].mean(axis=0))
    return found


def collapsed_each(scores: Floats) -> NDArray[np.bool_]:
    """Return whether each seed of each method is collapsed: methods × seeds.

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
    """Return the tables, all of one shape, with NaN for collapsed seeds."""
    if not scores:
        return {}
    every = np.stack(list(scores.values()))
    return dict(zip(scores, np.where(collapsed_each(every)[:, None], np.nan, every), strict=True))
