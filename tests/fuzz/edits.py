"""Damage to files, drawn by hypothesis, and the accepted reactions of petlir: it works, or refuses in one line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st

from petlir.benchmark.errors import PetlirError

T = TypeVar("T")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def refused_in_a_line(function: Callable[[], T]) -> T | None:
    """Return the result of `function`, or None if it refuses in one line; any other exception is a bug."""
    try:
        return function()
    except PetlirError as error:
        line = str(error)
        assert line.strip() and "\n" not in line and "\r" not in line, line
        return None


def in_a_folder(test: Callable[..., None]) -> Callable[..., None]:
    """Return the test with a new empty folder passed before its drawn arguments."""

    def run(**drawn: Any) -> None:
        with tempfile.TemporaryDirectory() as name:
            test(Path(name), **drawn)

    run.__name__ = test.__name__
    return run


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a file's content that is cut, overwritten or extended in some places."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 1, 4, 64, len(content)])))
        content = content[:start] + draw(st.binary(max_size=16)) + content[end:]
    return content


@st.composite
def altered(draw: st.DrawFn, plain: Any) -> Any:
    """Draw JSON data in which a value at any depth is replaced or removed, or its key is renamed."""
    if not isinstance(plain, dict | list) or not plain or draw(st.integers(0, 3)) == 0:
        return draw(JSON)
    if isinstance(plain, list):
        place = draw(st.integers(0, len(plain) - 1))
        return [*plain[:place], draw(altered(plain[place])), *plain[place + 1 :]]
    key = draw(st.sampled_from(sorted(plain)))
    rest = {name: value for name, value in plain.items() if name != key}
    kind = draw(st.sampled_from(["alter", "drop", "rename"]))
    if kind == "drop":
        return rest
    return {**rest, draw(st.text(max_size=5)) if kind == "rename" else key: draw(altered(plain[key]))}
