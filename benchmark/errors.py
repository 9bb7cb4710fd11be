"""What a user can cause: one clear line, and the nearest valid name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

FAULTS = (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError)
"""What others' code may raise, a plugin's or a metric's; it fails its cell or its column, and the grid goes on."""


class PetlirError(Exception):
    """A mistake that the user can mend; its text is one line: what, where, what was expected."""


class Unwritable(PetlirError):
    """The disk is full, or a folder cannot be written: no other cell would fare better."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> PetlirError:
    """The error for a name that nothing goes by: names its nearest neighbour, else all valid names."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names) or 'none'}"
    return PetlirError(f"unknown {kind} {name!r}; {hint}")


MAPS = re.compile(
    r"expected input\[.*\] to have \d+ channels|Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d"
)
"""What PyTorch says of a convolution whose input is not a map of its channels."""


def told(error: BaseException) -> str:
    """Return the kind and first line of an error, and a hint where a convolution reads tokens instead of a map."""
    lines = str(error).strip().splitlines()
    line = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    hint = "; a convolution reads maps N×C×H×W: where features are tokens, wrap it as OnMap(module, block.layout)"
    return line + hint if MAPS.search(line) else line


def chosen(kind: str, names: Iterable[str], valid: Mapping[str, T]) -> dict[str, T]:
    """Those entries of `valid` that are named, in the order of the names; raises on an unknown one."""
    picked = {}
    for name in names:
        if name not in valid:
            raise unknown(kind, name, valid)
        picked[name] = valid[name]
    return picked
