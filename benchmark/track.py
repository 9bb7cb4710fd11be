"""The tracks: where data and budget come from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from petlir.benchmark.errors import unknown

LONGER = 5
"""How many times a smoke track's steps a cell must train to be no smoke run; the doubling test is asked besides."""


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
        smoke: whether its own budget is too small to rank anything by.
    """

    name: str
    title: str
    needs: str
    steps: int
    batch_size: int
    patch: int
    regime: str
    smoke: bool

    def too_brief(self, steps: int) -> bool:
        """Whether so many steps are too few to rank by; 0, of what trains nothing, are."""
        return self.smoke and steps < LONGER * self.steps


DEMO = Track(
    name="demo",
    title="first run, CI, the whole thing in CPU minutes",
    needs="nothing but the install",
    steps=40,
    batch_size=4,
    patch=48,
    regime="tuned",
    smoke=True,
)
OPEN = replace(
    DEMO,
    name="open",
    title="public test sets, one small GPU or a patient CPU",
    needs="images under PETLIR_DATA",
    steps=60,
)
PAPER = Track(
    name="paper",
    title="the papers' own set-up",
    needs="images and official checkpoints",
    steps=26_500,
    batch_size=64,
    patch=48,
    regime="paper",
    smoke=False,
)
TRACKS = {track.name: track for track in (DEMO, OPEN, PAPER)}


def track(name: str) -> Track:
    """The track of this name; an unknown one is named with its nearest neighbour."""
    if name not in TRACKS:
        raise unknown("track", name, TRACKS)
    return TRACKS[name]
