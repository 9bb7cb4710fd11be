"""What a network sees of an image at once when it is evaluated; part of every protocol id of a record.

An operator over the whole image (Fourier transform, spatial softmax, global pooling) sees crops in training, so its
scores depend on it; where there is one, both are reported.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.backbone import Backbone
from benchmark.method import Method

WHOLE = "whole"


def views(backbone: Backbone, method: Method, patch: int) -> tuple[str, ...]:
    """`whole` and `tiles-SIDE`; the restored images of the first are kept.

    Args:
        backbone: the network.
        method: what is put on it.
        patch: side of the crops that were trained on.
    """
    if backbone.window is not None:
        return (f"tiles-{backbone.window}",)
    return (WHOLE, f"tiles-{patch}") if backbone.sees_whole or method.sees_whole else (WHOLE,)


def scored_as(protocols: Iterable[str], seen: Iterable[str]) -> tuple[str, ...]:
    """The protocol ids of a record, e.g. `y-crop4@tiles-48`."""
    names = tuple(protocols)
    return tuple(f"{name}@{view}" for view in seen for name in names)


def tile_of(view: str) -> int | None:
    """The side of the tiles; None for the whole image."""
    return None if view == WHOLE else int(view.removeprefix("tiles-"))
