"""Fields of view; a field of view is the part of an image that a network reads at once in evaluation.

The field of view is part of every protocol id in a record. An operator over the whole image (Fourier transform, spatial
softmax, global pooling) reads only crops in training, so scores depend on the field of view. For networks with an
operator over the whole image, scores are reported both for the whole image and for tiles as large as training crops.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from petlir.benchmark.protocol import protocol

if TYPE_CHECKING:
    from petlir.benchmark.backbone import Backbone
    from petlir.benchmark.method import Method

WHOLE, TILES = "whole", "tiles-"


def views(backbone: Backbone, method: Method, patch: int) -> tuple[str, ...]:
    """Return the fields of view in which a cell is evaluated: `whole`, `tiles-SIDE`, or both in this order.

    Args:
        backbone: the network.
        method: the method applied to the network.
        patch: side of the training crops.
    """
    if backbone.window is not None:
        return (f"{TILES}{backbone.window}",)
    return (WHOLE, f"{TILES}{patch}") if backbone.sees_whole or method.sees_whole else (WHOLE,)


def scored_as(names: Iterable[str], seen: Sequence[str]) -> tuple[str, ...]:
    """Return the protocol ids of a record, e.g. `y-crop4@tiles-48`.

    A protocol id without a field of view is returned once with each field of view in `seen`.

    Raises:
        PetlirError: a name is not a protocol id.
    """
    rules = [protocol(name) for name in names]
    meant = (rule if rule.seen else replace(rule, seen=view) for view in seen for rule in rules)
    return tuple(dict.fromkeys(rule.id for rule in meant))


def tiling_of(view: str) -> tuple[str, int | None]:
    """Convert a field of view to the `tiling` and `tile` of `petlir.benchmark.restoration.restore.restore`."""
    return ("default", int(view.removeprefix(TILES))) if view.startswith(TILES) else (view, None)
