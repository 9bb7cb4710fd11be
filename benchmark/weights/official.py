"""Known official checkpoints: their pre-training tasks, licences and sources."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from petlir.benchmark.backbone import Backbone

KNOWN = Path(__file__).parents[1] / "backbones" / "weights" / "official.json"


@dataclass(frozen=True)
class Official:
    """A checkpoint released by the authors of a paper.

    Attributes:
        file: official name of the file.
        backbone: name of the network that the checkpoint belongs to.
        heads: heads with which the network is built; empty if the network always has the same heads.
        title: title of the paper.
        images: description of the training images.
        sets: names of the training image sets, as in the catalogue of image sets if they are listed there; None if not
            stated.
        pretrained_on: tasks that the network was trained on.
        related: task → the pre-training task to which it is similar.
        licence: licence as stated by the authors.
        source: where the checkpoint can be downloaded.
        digest: first and last digits of the file's SHA-256, `89c70e80…26f4`; empty if unknown.
        size: size of the file in bytes; None if unknown.
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
        """Return whether the checkpoint belongs to this network with these heads."""
        return self.backbone == backbone.name and (not self.heads or self.heads == tuple(backbone.heads))

    def identical(self, path: Path, sha256: str) -> bool:
        """Return whether the file at `path` has the known digest and, if known, the size of this checkpoint."""
        first, _, last = self.digest.partition("…")
        same = bool(self.digest) and sha256.startswith(first) and sha256.endswith(last)
        return same and (self.size is None or self.size == path.stat().st_size)


@cache
def known() -> tuple[Official, ...]:
    """Return all known official checkpoints."""
    families = json.loads(KNOWN.read_text())
    rows = [{**family["common"], **row} for family in families for row in family["checkpoints"]]
    return tuple(map(_entry, [*rows, *_fetched()]))


def _fetched() -> Iterator[dict[str, object]]:
    """Yield the checkpoints whose cards name a source; they are not shipped but downloaded on demand."""
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
    """Return the official checkpoints that the weights of `backbone` at `path` may be.

    A checkpoint with the digest of the file is the only candidate. Otherwise the checkpoints with the same file name
    are candidates, even if their known digest differs, or else all checkpoints without a known digest.
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
