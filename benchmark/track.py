"""The tracks: where data and budget come from."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.errors import unknown


@dataclass(frozen=True)
class Track:
    """A budget, and what it is meant for.

    Attributes:
        name: `demo`, `open` or `paper`.
        title: what it is for, in a few words.
        needs: what must be at hand.
        steps: optimiser steps of a cell.
        batch_size: crops of a step.
        patch: side of a crop on the degraded side.
        regime: `tuned` (a learning rate chosen on validation images) or `paper` (AdamW 1e-4 for all).
        smoke: whether the budget is too small to rank anything by.
    """

    name: str
    title: str
    needs: str
    steps: int
    batch_size: int
    patch: int
    regime: str
    smoke: bool


TRACKS = {
    track.name: track
    for track in (
        Track(
            "demo",
            "first run, CI, the whole thing in CPU minutes",
            "nothing but the install",
            60,
            4,
            48,
            "tuned",
            True,
        ),
        Track(
            "open",
            "public test sets, one small GPU or a patient CPU",
            "images under PETLIR_DATA",
            200,
            4,
            48,
            "tuned",
            True,
        ),
        Track(
            "paper",
            "the papers' own set-up",
            "images and official checkpoints",
            26_500,
            64,
            48,
            "paper",
            False,
        ),
    )
}


def track(name: str) -> Track:
    """The track of this name; an unknown one is named with its nearest neighbour."""
    if name not in TRACKS:
        raise unknown("track", name, TRACKS)
    return TRACKS[name]
