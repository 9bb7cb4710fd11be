"""Errors that a user can cause: one clear line with the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

FAULTS = (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError)
"""Exceptions that third-party code, such as a plugin or a metric, may raise; only its cell or column fails."""


class PetlirError(Exception):
    """An error that the user can fix; its message is one line: what, where, what was expected."""


class Unwritable(PetlirError):
    """A full disk or an unwritable folder; every other cell would fail too."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> PetlirError:
    """Return the error for an unknown name; it suggests the nearest valid name, or lists all."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names) or 'none'}"
    return PetlirError(f"unknown {kind} {name!r}; {hint}")


def chosen(kind: str, names: Iterable[str], valid: Mapping[str, T]) -> dict[str, T]:
    """Return the named entries of `valid` in the order of `names`; raise on an unknown name."""
    picked = {}
    for name in names:
        if name not in valid:
            raise unknown(kind, name, valid)
        picked[name] = valid[name]
    return picked
