"""Results for the terminal: tables of a run's scores, and sentences that summarize them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text
from scipy import special

from petlir.benchmark.records.files import headline_tables
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.records.scores import ScoreTable
from petlir.benchmark.scoring.registry import LEADING, METRICS
from petlir.benchmark.statistics.crossed import Scores, difference
from petlir.benchmark.statistics.gain import Interval
from petlir.reports import formats

INPUT, FROZEN = BASELINES = ("input", "frozen")
OTHERS = [metric for name, metric in METRICS.items() if name != LEADING]
LEVEL = 0.95
COLUMNS = 5
"""The maximum number of test sets shown side by side in a table."""
SHOWN = 3
"""The maximum number of warnings printed in full."""
WIDTH = 120
"""The width, in characters, of a table written to a file or a pipe."""


@dataclass(frozen=True)
class ColumnKey:
    """A test set of a task on a network, scored under its headline protocol."""

    backbone: str
    task: str
    set: str
    protocol: str


@dataclass
class MethodScores:
    """The scores of a method, trained for a given number of steps, on one test set.

    Attributes:
        trained: number of trained parameters.
        scores: for each image, the PSNR of each seed in dB.
        values: for each metric, the values of all images and seeds.
    """

    label: str
    steps: int
    trained: int
    scores: dict[str, dict[int, float]] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)

    @property
    def psnr(self) -> float:
        """The mean PSNR over images and seeds, in dB."""
        return float(np.mean([np.mean(list(seeds.values())) for seeds in self.scores.values()]))

    def others(self) -> dict[str, float]:
        """Return the means of the metrics other than PSNR."""
        return {name: float(np.mean(values)) for name, values in self.values.items() if values and name != LEADING}

    def over(self, other: MethodScores) -> Interval:
        """Return the mean gain in dB over another method, on the images that both restored, with its 95 % interval.

        With one seed, the interval covers the variation over images; with several seeds, it covers the variation over
        images and seeds. The ends of the interval are infinite if there is only one image.
        """
        images = [image for image in self.scores if image in other.scores]
        if not images:
            return Interval(np.nan, -np.inf, np.inf)
        seeds = sorted(set.intersection(*(set(self.scores[image]) for image in images)))
        gaps = np.array(
            [[self.scores[image][seed] - _at(other.scores[image], seed) for seed in seeds] for image in images]
        )
        return gain(gaps)


def _at(seeds: Mapping[int, float], seed: int) -> float:
    """Return the score of a seed; an untrained method has the same score for every seed."""
    return seeds[seed] if seed in seeds else next(iter(seeds.values()))


def gain(gaps: Scores) -> Interval:
    """Return the mean of the images×seeds differences in dB, with its 95 % interval."""
    mean, (images, seeds) = float(gaps.mean()), gaps.shape
    if images < 2:
        return Interval(mean, -np.inf, np.inf)
    if seeds > 1:
        found = difference(gaps, np.zeros_like(gaps), LEVEL)
        return Interval(mean, found.low, found.high)
    quantile = float(special.stdtrit(images - 1, (1 + LEVEL) / 2))
    half = quantile * float(gaps[:, 0].std(ddof=1)) / images**0.5
    return Interval(mean, mean - half, mean + half)


Columns = Mapping[ColumnKey, Mapping[tuple[str, int], MethodScores]]


def columns(records: Iterable[Record]) -> Columns:
    """Return the scores on each test set under its headline protocol.

    Images whose degraded or restored version equals the clean image are left out.
    """
    found: dict[ColumnKey, dict[tuple[str, int], MethodScores]] = {}
    for record in records:
        if isinstance(record, Done):
            for table in headline_tables(record):
                _add(found, record, table.differing())
    return found


def _add(found: dict[ColumnKey, dict[tuple[str, int], MethodScores]], record: Done, table: ScoreTable) -> None:
    cell = record.cell
    if not table.images:
        return
    column = found.setdefault(ColumnKey(cell.backbone, cell.task, table.set, table.protocol or ""), {})
    given = column.setdefault((INPUT, 0), MethodScores(INPUT, 0, 0))
    own = column.setdefault((cell.label, cell.steps), MethodScores(cell.label, cell.steps, record.costs.trainable))
    for metric in METRICS:
        own.values.setdefault(metric, []).extend(table.value(metric))
        before = zip(table.images, table.input(metric), strict=False)
        given.values.setdefault(metric, []).extend(value for image, value in before if image not in given.scores)
    for score in table.rows(LEADING):
        if score.input is not None:
            given.scores.setdefault(score.image, {0: score.input})
        own.scores.setdefault(score.image, {})[cell.seed] = score.value


def show(table: RenderableType) -> None:
    """Print a table to standard output."""
    Console(highlight=False, width=None if Console().is_terminal else WIDTH).print(table)


def detailed(records: Iterable[Record]) -> RenderableType:
    """Return a table for each test set, with the gains over the input and over the frozen network."""
    return Group(*(_detailed(key, column) for key, column in columns(records).items()))


def _detailed(key: ColumnKey, column: Mapping[tuple[str, int], MethodScores]) -> Grid:
    given = column[INPUT, 0]
    title = (
        f"{key.set} on {key.backbone}, {formats.plural(len(given.scores), 'test image')}, {key.protocol}; "
        "95 % intervals over the images"
    )
    grid = Grid(title=title, title_justify="left", title_style="")
    headings = [metric.heading for metric in (METRICS[LEADING], *OTHERS)]
    for name in ("method", "steps", "trained", *headings, "over the input (dB)", "over frozen (dB)"):
        grid.add_column(name, justify="left" if name == "method" else "right")
    frozen = column.get((FROZEN, 0))
    for row in sorted(column.values(), key=lambda one: one.psnr):
        over_input = "" if row.label == INPUT else signed(row.over(given))
        over_frozen = "" if frozen is None or row.label in (INPUT, FROZEN) else signed(row.over(frozen))
        steps, trained = (f"{row.steps}", f"{row.trained:,}") if row.steps else ("", "")
        means = row.others()
        others = [metric.text(means[metric.name]) if metric.name in means else "" for metric in OTHERS]
        grid.add_row(Text(row.label), steps, trained, f"{row.psnr:.2f}", *others, over_input, over_frozen)
    return grid


def rows(records: Iterable[Record]) -> list[dict[str, object]]:
    """Return the rows of `detailed` as JSON values: PSNR and gains in dB, each gain with the ends of its interval."""
    found = []
    for key, column in columns(records).items():
        given, frozen = column[INPUT, 0], column.get((FROZEN, 0))
        for row in column.values():
            others = {"input": given} | ({"frozen": frozen} if frozen else {})
            gains = {f"over_{name}": _finite(row.over(other)) for name, other in others.items()}
            own = {"method": row.label, "steps": row.steps, "psnr": row.psnr, **row.others()}
            found.append({**vars(key), **own, "trained": row.trained, "images": len(row.scores), **gains})
    return found


def _finite(value: Interval) -> dict[str, float | None]:
    return {name: end if np.isfinite(end) else None for name, end in vars(value).items()}


def signed(value: Interval) -> str:
    """Format a gain with its interval, e.g. `+1.83 (+1.20 to +2.46)`."""
    ends = f" ({formats.signed(value.low)} to {formats.signed(value.high)})" if np.isfinite(value.low) else ""
    return f"{formats.signed(value.value)}{ends}"


def short(records: Iterable[Record]) -> RenderableType:
    """Return a table for each network: a row for each method, with the PSNR and the gain over the input."""
    found = columns(records)
    grids: list[Grid] = []
    for backbone in dict.fromkeys(key.backbone for key in found):
        keys = [key for key in found if key.backbone == backbone]
        parts = (keys[first : first + COLUMNS] for first in range(0, len(keys), COLUMNS))
        grids += [_short(backbone, {key: found[key] for key in part}) for part in parts]
    return Group(*grids)


def _short(backbone: str, found: Columns) -> Grid:
    grid = Grid(title=f"{backbone}: PSNR in dB (gain over the input)", title_justify="left", title_style="")
    grid.add_column("method")
    for key in found:
        grid.add_column(Text(f"{key.task}\n{key.set}, {key.protocol}"), justify="right")
    places = dict.fromkeys(place for column in found.values() for place in column)
    for place in sorted(
        places, key=lambda place: BASELINES.index(place[0]) if place[0] in BASELINES else len(BASELINES)
    ):
        cells = (_cell(column.get(place), column[INPUT, 0]) for column in found.values())
        label, steps = place
        several = sum(name == label for name, _ in places) > 1
        grid.add_row(Text(f"{label}, {steps} steps" if several else label), *cells)
    return grid


def _cell(row: MethodScores | None, given: MethodScores) -> str:
    if row is None:
        return ""
    return f"{row.psnr:.2f}" if row.label == INPUT else f"{row.psnr:.2f} ({formats.signed(row.over(given).value)})"


def warnings(records: Iterable[Record]) -> Iterator[str]:
    """Yield a line for each result that is worse than the input; after `SHOWN` lines, only count further results."""
    lines = []
    for key, column in columns(records).items():
        for row in column.values():
            if row.label != INPUT and (below := -row.over(column[INPUT, 0]).value) > 0:
                name = "the frozen network" if row.label == FROZEN else row.label
                lines.append(f"{key.set} ({key.task}, {key.backbone}): {name} is {below:.2f} dB worse than the input")
    yield from lines[:SHOWN]
    if (more := len(lines) - SHOWN) > 0:
        verb = "is" if more == 1 else "are"
        yield f"{formats.plural(more, 'more result')} {verb} worse than the input; see the table"


def answer(best: Done, records: Sequence[Record]) -> Iterator[str]:
    """Yield, for each test set, the best adapter's gains over the input and the frozen network, and advice."""
    label, steps = best.cell.label, best.cell.steps
    for key, column in columns(records).items():
        row, given, frozen = column.get((label, steps)), column[INPUT, 0], column.get((FROZEN, 0))
        if row is None or key.backbone != best.cell.backbone:
            continue
        over = row.over(given)
        others = f" and {_than(row.over(frozen), 'the frozen network')}" if frozen else ""
        yield f"{label} after {steps} steps is {_than(over, 'the input')}{others} on {key.set}."
        if over.value <= 0:
            yield ADVICE
        elif over.low <= 0:
            images = f"{len(given.scores)} test image{'s' if len(given.scores) > 1 else ''}"
            yield f"With {images}, the gain over the input is not certain: its interval includes 0. Add test pairs."


def _than(value: Interval, what: str) -> str:
    return f"{abs(value.value):.2f} dB {'better' if value.value > 0 else 'worse'} than {what}"


ADVICE = (
    "The best adapter does not beat your input. Try more time (--minutes 60), more training pairs, or another network "
    "(-b). Check that the images of each pair are aligned: a shift of half a pixel lowers PSNR more than weak noise."
)
