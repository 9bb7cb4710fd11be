"""Probability that a method beats another on a new scene and with a new seed.

Scenes and seeds are random effects, drawn independently: each entry of the table of scenes × seeds has the same
distribution as the entry of a new scene and a new seed. The fraction of entries in which a method scores higher is
therefore an unbiased estimate of the probability of a higher score, for any distribution; a tie counts half. The
estimated probability is the probability of superiority (the common language effect size of McGraw and Wong,
Psychological Bulletin 111, 1992) of paired scores. Entries that share a scene or a seed are dependent, so the fraction
is less certain than the number of entries suggests. The fraction is descriptive and does not imply a separation; for
separations, see `column.compare`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import numpy as np

from petlir.benchmark.statistics.crossed import Scores


def wins(scores: Mapping[str, Scores]) -> dict[tuple[str, str], float]:
    """Return the probability that the first method beats the second, for each ordered pair.

    Args:
        scores: method → units × seeds in dB, as for `compare`; a pair is compared on the seeds that both methods have;
            without such seeds, its probabilities are NaN.
    """
    names = list(scores)
    table = np.stack([scores[name] for name in names])
    rows = []
    for own in table:
        gaps = own - table
        cells = np.isfinite(gaps).sum(axis=(1, 2))
        won = ((gaps > 0) + 0.5 * (gaps == 0)).sum(axis=(1, 2))
        rows.append(np.where(cells, won / np.maximum(cells, 1), np.nan))
    return {(names[i], names[j]): float(rows[i][j]) for i, j in permutations(range(len(names)), 2)}
