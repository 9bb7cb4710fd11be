"""Training curves: validation PSNR over the steps, one small plot for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.axis import Axis, spanning
from reports.frame import Record

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 40, 330, 10, 182


@dataclass(frozen=True)
class Line:
    """One seed of one method."""

    label: str
    seed: int
    colour: str
    last: float
    points: str


@dataclass(frozen=True)
class Curves:
    """All curves of one task."""

    task: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]


def curves(members: Sequence[Record], colours: Mapping[str, str]) -> list[Curves]:
    """One plot for each task that was trained on, of the records of one table."""
    trained = [record for record in members if len(_finite(record)) > 1]
    tasks = sorted({record["cell"]["task"] for record in trained})
    return [_plot(task, [r for r in trained if r["cell"]["task"] == task], colours) for task in tasks]


def _finite(record: Record) -> list[tuple[int, float]]:
    return [(p["step"], p["validation_psnr"]) for p in record["curve"] if p["validation_psnr"] != "inf"]


def _plot(task: str, records: Sequence[Record], colours: Mapping[str, str]) -> Curves:
    series = [(record["cell"], _finite(record)) for record in records]
    x = Axis(0, max(step for _, points in series for step, _ in points), LEFT, RIGHT)
    y = spanning([psnr for _, points in series for _, psnr in points], BOTTOM, TOP)
    lines = (
        Line(
            cell["label"],
            cell["seed"],
            colours.get(cell["label"], ""),
            points[-1][1],
            " ".join(f"{x(step)},{y(psnr)}" for step, psnr in points),
        )
        for cell, points in series
    )
    return Curves(task, x, y, tuple(sorted(lines, key=lambda line: (line.label, line.seed))))
