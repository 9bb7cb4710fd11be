"""What a network sees of an image at once when it is evaluated; part of every protocol id of a record.

An operator over the whole image (Fourier transform, spatial softmax, global pooling) sees crops in training, so its
scores depend on it; where there is one, both are reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.method import Method
from petlir.benchmark.protocol import protocol

WHOLE, TILES = "whole", "tiles-"


def views(backbone: Backbone, method: Method, patch: int) -> tuple[str, ...]:
    """`whole` and `tiles-SIDE`; the restored images of the first are kept.

    Args:
        backbone: the network.
        method: what is put on it.
        patch: side of the crops that were trained on.
    """
    if backbone.window is not None:
        return (f"{TILES}{backbone.window}",)
    return (WHOLE, f"{TILES}{patch}") if backbone.sees_whole or method.sees_whole else (WHOLE,)


def scored_as(names: Iterable[str], seen: Sequence[str]) -> tuple[str, ...]:
    """The protocol ids of a record, e.g. `y-crop4@tiles-48`; what names no view is meant under each of `seen`.

    Raises:
        PetlirError: a name is no protocol's.
    """
    rules = [protocol(name) for name in names]
    meant = (rule if rule.seen else replace(rule, seen=view) for view in seen for rule in rules)
    return tuple(dict.fromkeys(rule.id for rule in meant))


def tiling_of(view: str) -> tuple[str, int | None]:
    """How `petlir.benchmark.restoration.restore.restore` is told of a view: the tiling, and the side of its tiles."""
    return ("default", int(view.removeprefix(TILES))) if view.startswith(TILES) else (view, None)
