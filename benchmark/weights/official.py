"""The official checkpoints that are known: what they have seen, under which licence, and where to get them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from petlir.benchmark.backbone import Backbone

KNOWN = Path(__file__).parents[1] / "backbones" / "weights" / "official.json"


@dataclass(frozen=True)
class Official:
    """A checkpoint that a paper's authors released.

    Attributes:
        file: its official name.
        backbone: which network it is of.
        heads: the heads that the network is built with; empty where it has but one set.
        title: of the paper.
        images: what it was trained on.
        sets: names of the image sets, those of the catalogue by their names there; None where they are not stated.
        pretrained_on: the tasks that it has seen.
        related: task → the seen task that it resembles.
        licence: as the authors state it.
        source: where to get it.
        digest: first and last digits of its SHA-256, `89c70e80…26f4`; empty where it is not known.
        size: bytes; None where they are not known.
    """

    file: str
    backbone: str
    heads: tuple[str, ...]
    title: str
    images: str
    pretrained_on: tuple[str, ...]
    related: Mapping[str, str]
    licence: str
    source: str
    digest: str = ""
    size: int | None = None
    sets: tuple[str, ...] | None = None

    def fits(self, backbone: Backbone) -> bool:
        """Whether it is of this network with these heads."""
        return self.backbone == backbone.name and (not self.heads or self.heads == tuple(backbone.heads))

    def identical(self, path: Path, sha256: str) -> bool:
        """Whether the file at `path` is this one, as far as its digest and size are known."""
        first, _, last = self.digest.partition("…")
        same = bool(self.digest) and sha256.startswith(first) and sha256.endswith(last)
        return same and (self.size is None or self.size == path.stat().st_size)


@cache
def known() -> tuple[Official, ...]:
    """All known official checkpoints."""
    families = json.loads(KNOWN.read_text())
    rows = [{**family["common"], **row} for family in families for row in family["checkpoints"]]
    return tuple(map(_entry, [*rows, *_fetched()]))


def _fetched() -> Iterator[dict[str, object]]:
    """The checkpoints that cards name the source of, which are shipped in all but their bytes."""
    for path in sorted(KNOWN.parent.glob("*.json")):
        card = json.loads(path.read_text())
        if path != KNOWN and card.get("source"):
            own = {key: value for key, value in card.items() if key in Official.__dataclass_fields__}
            member, _, digest = card["source"].rpartition("#sha256=")
            named = {"file": PurePosixPath(member).name, "backbone": path.stem, "title": card["paper"]}
            yield {**own, **named, "digest": f"{digest[:8]}…{digest[-4:]}"}


def _entry(row: dict[str, object]) -> Official:
    listed = {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
    return Official(**{"heads": (), "related": {}, **row, **listed})  # type: ignore[arg-type]


def candidates(backbone: Backbone, path: Path, sha256: str) -> tuple[Official, ...]:
    """The official checkpoints that the weights of `backbone` at `path` are, or may be.

    One of a known digest is either this file or is not. The others may be it, the one of the same name first of all.
    """
    fitting = [one for one in known() if one.fits(backbone)]
    for rule in (
        lambda one: one.identical(path, sha256),
        lambda one: one.file == path.name,
        lambda one: not one.digest,
    ):
        found = tuple(one for one in fitting if rule(one))
        if found:
            return found
    return ()
