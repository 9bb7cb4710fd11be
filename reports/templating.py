"""Jinja environment of the pages, with automatic escaping and number formats."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from petlir.benchmark.scoring.registry import LEADING, METRICS
from petlir.benchmark.statistics import collapse
from petlir.benchmark.statistics.convergence import RULE
from petlir.reports import formats
from petlir.reports.costs import PARTS
from petlir.reports.figures import curves, distributions, pareto, ranks, strengths, waterfall
from petlir.reports.links import page
from petlir.reports.navigation import navigation_bar

HERE = Path(__file__).parent
FILTERS = (
    formats.decibel, formats.signed, formats.count, formats.size,
    formats.flops, formats.seconds, formats.percent, formats.plural, formats.joined,
    formats.scientific,
)  # fmt: skip


def templates() -> Environment:
    """Return a Jinja environment that escapes all values and rejects undefined names."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    units = {function.__name__: function for function in FILTERS}
    made.filters |= units
    made.globals |= {
        "units": units,
        "page": page,
        "navigation_bar": navigation_bar,
        "pareto": pareto,
        "ranks": ranks,
        "chart": curves,
        "strengths": strengths,
        "spreads": distributions,
        "waterfall": waterfall,
        "memory_parts": PARTS,
        "convergence_rule": RULE,
        "collapse_rule": collapse.RULE,
        "metrics": tuple(METRICS.values()),
        "other_metrics": tuple(metric for name, metric in METRICS.items() if name != LEADING),
    }
    return made
