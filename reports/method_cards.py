"""Method cards: the descriptions of methods that a report shows beside their results.

The code of a method imports torch, which takes seconds and hundreds of megabytes. So that reports need not import
torch, the cards of the built-in methods are also stored in `method_cards.json`, which
`python -m petlir.reports.method_cards` generates. The stored cards are used only if the source files of the methods
have not changed since `method_cards.json` was generated, and only if no installed package may define further methods.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from petlir import methods
from petlir.benchmark.method import Method, spelled
from petlir.benchmark.paper import Paper
from petlir.benchmark.plugin_modules import any_installed
from petlir.benchmark.writing import write_bytes

if TYPE_CHECKING:
    from petlir.benchmark.plugins import Plugins

CARDS = Path(__file__).with_name("method_cards.json")
SOURCES = ("*.py", "papers.bib")
"""The files of `methods/` on which the cards depend."""


@dataclass(frozen=True)
class PublishedSize:
    """A configuration reported in a paper for a backbone; see `petlir.benchmark.method.Published`."""

    backbone: str
    label: str
    parameters: str
    note: str
    ours: int | None


@dataclass(frozen=True)
class MethodCard:
    """The properties of a method; see the class attributes of `petlir.benchmark.method.Method`.

    Attributes:
        documentation: the docstring of the method's class.
        options: each option with its default, as written in a grid.
        published: the sizes reported in papers, sorted by backbone.
    """

    idea: str
    paper: Paper | None
    documentation: str
    options: tuple[tuple[str, str], ...]
    size: str | None
    identity: bool
    sees_whole: bool
    trains: bool
    tunes_backbone: bool
    unfreezes: bool
    published: tuple[PublishedSize, ...]

    @classmethod
    def from_method(cls, method: type[Method], backbones: Iterable[str]) -> Self:
        """Return the card of a method, with its published sizes on the given backbones."""
        return cls(
            method.idea,
            method.paper,
            inspect.cleandoc(method.__doc__ or ""),
            tuple(_options(method)),
            method.size,
            method.identity,
            method.sees_whole,
            method.trains,
            method.tunes_backbone,
            method.unfreezes,
            tuple(
                PublishedSize(backbone, one.method.label, one.parameters, one.note, one.ours)
                for backbone in sorted(backbones)
                for one in method.published(backbone)
            ),
        )


@dataclass(frozen=True)
class _File:
    """The content of `method_cards.json`: the digest of the methods' source files, and the cards by method."""

    sources: str
    cards: dict[str, MethodCard]


def method_cards() -> Mapping[str, MethodCard]:
    """Return the cards of all installed methods by name; torch is imported only if the stored cards cannot be used."""
    if not any_installed() and (found := _read()).sources == _digest():
        return found.cards
    from petlir.benchmark.plugins import find

    return cards_of(find([]))


def cards_of(plugins: Plugins) -> dict[str, MethodCard]:
    """Return the cards of the plugins' methods by name."""
    return {name: MethodCard.from_method(method, plugins.backbones) for name, method in sorted(plugins.methods.items())}


def generated() -> bytes:
    """Return the content of `method_cards.json`; no other package with plugins may be installed."""
    from pydantic import TypeAdapter

    from petlir.benchmark.plugins import find

    return TypeAdapter(_File).dump_json(_File(_digest(), cards_of(find([]))), indent=1) + b"\n"


def _read() -> _File:
    from pydantic import TypeAdapter

    return TypeAdapter(_File).validate_json(CARDS.read_bytes())


def _options(method: type[Method]) -> Iterable[tuple[str, str]]:
    """Yield each option of a method with its default."""
    for field in fields(method):
        unset = field.default is MISSING or field.default is None
        yield field.name, "none" if unset else spelled(field.default)


def _digest() -> str:
    """Return the digest of the source files of the built-in methods."""
    folder = Path(methods.__path__[0])
    files = sorted(path for pattern in SOURCES for path in folder.glob(pattern))
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


if __name__ == "__main__":
    write_bytes(CARDS, generated())
