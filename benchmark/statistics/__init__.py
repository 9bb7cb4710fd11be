"""Statistics of score tables, units × seeds: differences, ties, ranks, recovered gains and regrets.

A unit is a source scene; the scores of several images of a scene are averaged before any statistic is computed. The
functions take arrays of scores and do not depend on how records are stored.
"""

from petlir.benchmark.statistics.collapse import collapsed, uncollapsed
from petlir.benchmark.statistics.column import (
    FEWEST_SEEDS,
    FIRM_SEEDS,
    PROVISIONAL_GAP,
    Comparison,
    MethodPair,
    compare,
    holm,
    separable,
)
from petlir.benchmark.statistics.conditions import printable, skewed_coverage
from petlir.benchmark.statistics.crossed import Difference, Scores, difference, differences_of
from petlir.benchmark.statistics.gain import SMALLEST_GAIN, Interval, intervals, recovered, shares
from petlir.benchmark.statistics.regret import Stability, regret, stabilities, stability
from petlir.benchmark.statistics.spending import InterimAnalysis, planned, spend
from petlir.benchmark.statistics.winning import wins

__all__ = [
    "FEWEST_SEEDS",
    "FIRM_SEEDS",
    "PROVISIONAL_GAP",
    "SMALLEST_GAIN",
    "Comparison",
    "Difference",
    "InterimAnalysis",
    "Interval",
    "MethodPair",
    "Scores",
    "Stability",
    "collapsed",
    "compare",
    "difference",
    "differences_of",
    "holm",
    "intervals",
    "planned",
    "printable",
    "recovered",
    "regret",
    "separable",
    "shares",
    "skewed_coverage",
    "spend",
    "stabilities",
    "stability",
    "uncollapsed",
    "wins",
]
