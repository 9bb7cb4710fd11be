"""Number formats for display: few digits, with units, and a dash for missing values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "–"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Characters that start a formula: spreadsheets evaluate text that begins with one of them."""


def decibel(value: float | None, digits: int = 2) -> str:
    """Format a PSNR in dB; the PSNR of identical images is shown as `∞`."""
    if value is None or math.isnan(value):
        return NOTHING
    return "∞" if value == math.inf else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """Format a difference in dB with its sign; the minus is U+2212, so that columns align."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:+.2f}".replace("-", "−")


def count(value: float | None) -> str:
    """Format a count with three significant digits, as in `20.7 K`."""
    return _scaled(value, 1000.0, ("", " K", " M", " G", " T"))


def scientific(value: float) -> str:
    """Format a round value on a logarithmic axis in scientific notation, as in `1e-5`."""
    digit, _, power = f"{value:.0e}".partition("e")
    return f"{digit}e{int(power)}"


def size(value: float | None) -> str:
    """Format a number of bytes with three significant digits, as in `81.0 KiB`."""
    return _scaled(value, 1024.0, (" B", " KiB", " MiB", " GiB", " TiB"))


def flops(value: float | None) -> str:
    """Format a number of floating-point operations, as in `1.24 GFLOP`."""
    return _scaled(value or None, 1000.0, (" FLOP", " KFLOP", " MFLOP", " GFLOP", " TFLOP"))


def _scaled(value: float | None, base: float, units: tuple[str, ...]) -> str:
    if value is None or math.isnan(value):
        return NOTHING
    power = 0
    while value >= 999.5 and power < len(units) - 1:
        value, power = value / base, power + 1
    digits = 0 if power == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}{units[power]}"


def seconds(value: float | None) -> str:
    """Format a duration in seconds, as in `105 ms`, `4.0 s` or `12 min`."""
    if value is None or math.isnan(value):
        return NOTHING
    if value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min"


def percent(value: float | None) -> str:
    """Format a fraction in [0, 1] as a percentage, as in `0.61 %`."""
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value * 100:.3g} %"


def plural(number: int, noun: str) -> str:
    """Format a number with its noun, as in `1 seed` or `3 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def joined(words: list[str]) -> str:
    """Join words with commas and a final “and”, as in `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def csv_text(rows: pd.DataFrame) -> str:
    """Return the rows as CSV, with an apostrophe before text that spreadsheets would evaluate as a formula."""
    import pandas as pd

    texts = rows.select_dtypes(include=["object", "string"])
    shown = {str(name): pd.Series(_inert(column), column.index, object) for name, column in texts.items()}
    return str(rows.assign(**shown).to_csv(index=False))


def _inert(values: Iterable[object]) -> list[object]:
    return [f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value for value in values]
