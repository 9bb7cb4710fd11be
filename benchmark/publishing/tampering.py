"""The error for inconsistent results, and the comparisons that raise it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from petlir.benchmark.errors import PetlirError


class Tampered(PetlirError):
    """An inconsistency in a submission."""


def check_same(said: Mapping[str, object], derived: Mapping[str, object], where: str = "") -> None:
    """Compare each derived value with the value in the record.

    Raises:
        Tampered: a value differs from the record; the message names the first such value.
    """
    for name, value in derived.items():
        if said[name] != value:
            raise Tampered(f"{where}the record says {name} {_short(said[name])}; expected {_short(value)}")


def check_near(
    name: str, said: float | str | None, derived: float | str | None, tolerance: float, where: str = ""
) -> None:
    """Compare a derived value with the value in the record; `inf` is the PSNR of identical images.

    Raises:
        Tampered: the values differ by more than `tolerance`.
    """
    if said == derived:
        return
    if said is None or derived is None or not abs(float(said) - float(derived)) <= tolerance:
        raise Tampered(f"{where}the record says {name} {said}; expected {derived}")


def check_share(name: str, said: float, derived: float, share: float) -> None:
    """Raise Tampered if two values differ by more than the fraction `share` of the derived value."""
    check_near(name, said, derived, share * abs(derived) if math.isfinite(derived) else 0.0)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
