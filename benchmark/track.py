"""The tracks, each with a data source and a training budget."""

from __future__ import annotations

from dataclasses import dataclass, replace

from petlir.benchmark.errors import unknown

LONGER = 5
"""A cell of a smoke track is ranked only if it passes the doubling test after training for at least this many times the
track's number of steps."""


@dataclass(frozen=True)
class Track:
    """A training budget and its purpose.

    Attributes:
        name: `demo`, `open` or `paper`.
        title: a phrase that states the purpose of the track.
        needs: the images and weights that must be available.
        steps: optimiser steps of a cell.
        batch_size: crops per step.
        patch: side length of a degraded crop in pixels.
        regime: `tuned` (a learning rate chosen on validation images) or `paper` (AdamW at 1e-4 for every method).
        smoke: whether the track's default budget is too small to rank methods.
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
        """Return whether `steps` are too few to rank methods; on a smoke track, 0 steps (no training) are too few."""
        return self.smoke and steps < LONGER * self.steps


DEMO = Track(
    name="demo",
    title="a first run or CI, in minutes on a CPU",
    needs="only the installed package",
    steps=40,
    batch_size=4,
    patch=48,
    regime="tuned",
    smoke=True,
)
OPEN = replace(
    DEMO,
    name="open",
    title="public test sets, on one small GPU or slowly on a CPU",
    needs="images under PETLIR_DATA",
    steps=60,
)
PAPER = Track(
    name="paper",
    title="the set-up of the papers",
    needs="images and official checkpoints",
    steps=26_500,
    batch_size=64,
    patch=48,
    regime="paper",
    smoke=False,
)
TRACKS = {track.name: track for track in (DEMO, OPEN, PAPER)}


def track(name: str) -> Track:
    """Return the track with this name; the error for an unknown name suggests the nearest name."""
    if name not in TRACKS:
        raise unknown("track", name, TRACKS)
    return TRACKS[name]
