"""Quality over cost: the gain of each method over the frozen backbone against its costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from petlir.reports.figures.axis import Axis, spanning
from petlir.reports.formats import signed
from petlir.reports.results import CASCADE, FROZEN, INPUT, ResultRow, Table

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 740, 16, 356
LINE = 15
"""Height of a label in SVG units."""
LETTER, LONGEST = 6.8, 28
"""Width of a letter in SVG units, and the maximum number of letters of a label shown in full."""
APART = 24
"""The horizontal offset, in SVG units, of a label that does not fit next to its point."""
STEPS = (1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6)
"""The vertical offsets, in lines of text, to try for a label that does not fit next to its point; positive is down."""
NARROWEST = 0.2
"""The distance in dB: a baseline at most this far from the methods' range of gains is always drawn."""


@dataclass(frozen=True)
class Box:
    """The rectangle covered by a mark or a label."""

    left: float
    top: float
    right: float
    bottom: float

    def hits(self, others: Iterable[Box]) -> bool:
        """Return whether the box overlaps any of the other boxes."""
        return any(
            self.left < o.right and o.left < self.right and self.top < o.bottom and o.top < self.bottom for o in others
        )


@dataclass(frozen=True)
class Text:
    """A label and its position; `leader` is the line to the label's point if the label is not next to the point."""

    shown: str
    x: float
    y: float
    anchor: str
    box: Box
    leader: str = ""


@dataclass(frozen=True)
class Scale:
    """The cost axis of a plot.

    Attributes:
        part: the name of the field of `MedianCosts` that holds the cost.
        title: the title of the axis, with the unit.
        unit: the name of the template filter that formats a value.
    """

    part: str
    title: str
    unit: str


SCALES = (
    Scale("trainable", "trainable parameters", "count"),
    Scale("stored", "stored bytes", "size"),
    Scale("saved", "bytes saved for the backward pass", "size"),
    Scale("flops", "FLOPs per training step", "flops"),
    Scale("step", "seconds per training step", "seconds"),
)


@dataclass(frozen=True)
class ParetoPoint:
    """A method in the plot: its cost, its gain in dB, its position, and its label if there is room for the label."""

    label: str
    method: str
    kind: str
    colour: str
    cost: float
    gain: float
    x: float
    y: float
    text: Text | None


@dataclass(frozen=True)
class BaselineLine:
    """The horizontal line of an untrained baseline, with the vertical position of its label."""

    label: str
    gain: float
    y: float
    text_y: float


@dataclass(frozen=True)
class Plot:
    """A plot of the methods' gains on tasks against a cost.

    `sizes` are the lines that connect the sizes of each method. `frontier` is empty if no method may be ranked.
    Baselines far from every method would flatten the plot; they are not drawn, but named in `beyond`.
    """

    title: str
    scale: Scale
    unranked: str
    x: Axis
    y: Axis
    points: tuple[ParetoPoint, ...]
    levels: tuple[BaselineLine, ...]
    sizes: tuple[tuple[str, str], ...]
    frontier: str
    left_out: tuple[str, ...]
    beyond: tuple[str, ...] = ()


def overview(table: Table, colours: Mapping[str, str]) -> list[Plot]:
    """Return plots of the mean gains on the seen, related or unseen tasks against each cost.

    Plots with the most points come first. Each task contributes the mean over its headline columns, so that all tasks
    have the same weight.
    """
    kinds: dict[str, list[list[int]]] = {}
    for places in table.headlines.values():
        kinds.setdefault(table.columns[places[0]].transfer, []).append(places)
    titles = {kind: f"Mean over {kind} tasks ({len(tasks)})".replace("  ", " ") for kind, tasks in kinds.items()}
    made = [_plot(titles[kind], table, kinds[kind], colours, scale) for scale in SCALES for kind in sorted(kinds)]
    return sorted((plot for plot in made if plot), key=lambda plot: -len(plot.points))


def of_task(table: Table, task: str, colours: Mapping[str, str]) -> list[Plot]:
    """Return plots of the gains in each column of a task against each cost."""
    columns = [(index, column) for index, column in enumerate(table.columns) if column.set and column.task == task]
    titles = {index: ", ".join(filter(None, (c.set, c.protocol, c.budget))) for index, c in columns}
    made = [_plot(titles[index], table, [[index]], colours, scale) for scale in SCALES for index, _ in columns]
    return [plot for plot in made if plot]


def _gain(row: ResultRow, tasks: Sequence[Sequence[int]]) -> float | None:
    """Return the gain over the frozen network in dB, averaged over columns, then over tasks.

    The result is None if the method has no gain in one of the columns.
    """
    gains = [[row.values[place].frozen for place in places] for places in tasks]
    known = [[gain for gain in own if gain is not None] for own in gains]
    return fmean(map(fmean, known)) if known == gains else None


def _cost(row: ResultRow, scale: Scale) -> float | None:
    """Return a cost of a method; None if the cost is unknown, or if it is a time and other work ran on the device."""
    found = getattr(row.costs, scale.part) if row.costs else None
    return None if scale.part == "step" and row.costs and not row.costs.exclusive else found


def _plot(
    title: str, table: Table, tasks: Sequence[Sequence[int]], colours: Mapping[str, str], scale: Scale
) -> Plot | None:
    gains = {row.label: _gain(row, tasks) for row in table.rows}
    trained = [row for row in table.rows if row.kind in ("petl", "reference")]
    drawn = [
        (row, gain, cost) for row in trained if (gain := gains[row.label]) is not None and (cost := _cost(row, scale))
    ]
    if not drawn:
        return None
    known = {label: gain for label in (INPUT, FROZEN, CASCADE) if (gain := gains.get(label)) is not None}
    lines = _near(known, [gain for _, gain, _ in drawn])
    x = spanning([cost for _, _, cost in drawn], LEFT, RIGHT - 90, log=True)
    y = spanning([gain for _, gain, _ in drawn] + list(lines.values()), BOTTOM, TOP)
    levels = _levels(lines, y)
    points = _points(drawn, x, y, colours, [_beside(level) for level in levels])
    reasons = sorted({table.columns[place].unranked for places in tasks for place in places} - {""})
    there = {point.label for point in points}
    return Plot(
        title,
        scale,
        "; ".join(reasons),
        x,
        y,
        tuple(points),
        tuple(levels),
        _joined(points),
        "" if reasons else frontier(points),
        tuple(row.label for row in trained if row.label not in there),
        tuple(f"{label} {signed(gain)} dB" for label, gain in known.items() if label not in lines),
    )


def _near(lines: Mapping[str, float], gains: Sequence[float]) -> dict[str, float]:
    """Return the baselines to draw, whose distance from the range of gains is at most twice the width of the range.

    The range of gains includes 0, the gain of the frozen network. The distance may always be up to `NARROWEST` dB.
    """
    low, high = min(0.0, *gains), max(0.0, *gains)
    room = max(2 * (high - low), NARROWEST)
    return {label: gain for label, gain in lines.items() if low - room <= gain <= high + room}


def _points(
    drawn: Sequence[tuple[ResultRow, float, float]],
    x: Axis,
    y: Axis,
    colours: Mapping[str, str],
    labelled: Sequence[Box],
) -> list[ParetoPoint]:
    """Return methods by decreasing gain; a label that overlaps other marks at every position is shown only on hover."""
    places = {row.label: (x(cost), y(gain)) for row, gain, cost in drawn}
    taken = [*labelled, *(Box(at - 7, height - 7, at + 7, height + 7) for at, height in places.values())]
    points: list[ParetoPoint] = []
    for row, gain, cost in sorted(drawn, key=lambda one: -one[1]):
        at, height = places[row.label]
        text = next((text for text in _around(row.label, at, height) if not text.box.hits(taken)), None)
        taken += [text.box] if text else []
        points.append(
            ParetoPoint(row.label, row.method, row.kind, colours.get(row.label, ""), cost, gain, at, height, text)
        )
    return points


def _around(label: str, x: float, y: float) -> list[Text]:
    """Return candidate positions of a label: next to, above or below its point, then farther away with a line."""
    shown = label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"
    wide = LETTER * len(shown)
    texts = [
        Text(shown, x + 10, y + 4, "start", Box(x + 10, y - 8, x + 10 + wide, y + 7)),
        Text(shown, x - 10, y + 4, "end", Box(x - 10 - wide, y - 8, x - 10, y + 7)),
        Text(shown, x, y - 11, "middle", Box(x - wide / 2, y - 23, x + wide / 2, y - 8)),
        Text(shown, x, y + 20, "middle", Box(x - wide / 2, y + 8, x + wide / 2, y + 23)),
        *(_apart(shown, x, y, side, LINE * step) for step in STEPS for side in (1, -1)),
    ]
    return [text for text in texts if text.box.left > LEFT and text.box.right < WIDTH and TOP <= text.y <= BOTTOM]


def _apart(shown: str, x: float, y: float, side: int, down: float) -> Text:
    """Return a label `down` SVG units below its point, on the right (1) or left (-1) side, with a line to the point."""
    wide, at, height = LETTER * len(shown), x + side * APART, y + down
    left = at if side > 0 else at - wide
    box = Box(left, height - 8, left + wide, height + 7)
    return Text(shown, at, height + 4, "start" if side > 0 else "end", box, f"M{x} {y}L{at - 2 * side} {height}")


def _beside(level: BaselineLine) -> Box:
    """Return the rectangle covered by a baseline's label, at the right end of its line."""
    return Box(RIGHT - LETTER * len(level.label), level.text_y - LINE, RIGHT, level.text_y + 3)


def _joined(points: Sequence[ParetoPoint]) -> tuple[tuple[str, str], ...]:
    """Return, for each method with several sizes, the CSS class and the polyline that connects the sizes."""
    by_method: dict[str, list[ParetoPoint]] = {}
    for point in sorted(points, key=lambda point: point.cost):
        by_method.setdefault(point.method, []).append(point)
    return tuple(
        (sizes[0].colour.partition(" ")[0], " ".join(f"{size.x},{size.y}" for size in sizes))
        for sizes in by_method.values()
        if len(sizes) > 1
    )


def _levels(lines: Mapping[str, float], y: Axis) -> list[BaselineLine]:
    """Return the untrained baselines by decreasing gain, with labels that do not overlap."""
    placed: list[BaselineLine] = []
    for label, gain in sorted(lines.items(), key=lambda pair: -pair[1]):
        lowest = placed[-1].text_y + LINE if placed else -math.inf
        placed.append(BaselineLine(label, gain, y(gain), max(y(gain) - 4, lowest)))
    return placed


def frontier(points: Sequence[ParetoPoint]) -> str:
    """Return the Pareto frontier of PETL methods as the points of a polyline.

    A method is on the frontier if its gain exceeds the gain of every cheaper method.
    """
    best, steps = -math.inf, []
    for point in sorted((p for p in points if p.kind == "petl"), key=lambda p: (p.cost, -p.gain)):
        if point.gain > best:
            best = point.gain
            steps.append(f"{point.x},{point.y}")
    return " ".join(steps)
