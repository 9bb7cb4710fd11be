"""Data structures of a results table: columns, values and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from petlir.benchmark.protocol import protocol
from petlir.benchmark.records.groups import Group
from petlir.benchmark.scoring.registry import LEADING
from petlir.benchmark.statistics import Comparison, Interval, Scores
from petlir.benchmark.statistics.convergence import CONVERGED, NOT_CONVERGED, NOT_TESTED
from petlir.reports.costs import MedianCosts
from petlir.reports.formats import plural, signed

INPUT, FROZEN, CASCADE, FULL, SCRATCH = "input (bicubic)", "frozen", "cascade", "full-ft", "scratch"


@dataclass(frozen=True, eq=False)
class Ranking:
    """The basis of a column's marks: units × seeds in dB of each method, and their comparison."""

    scores: Mapping[str, Scores] = field(repr=False)
    comparison: Comparison


@dataclass(frozen=True)
class Column:
    """The common properties of the values in a column.

    Attributes:
        task: the task's name.
        title: its name on the page.
        set: name of the image set; empty where no cell of the task has a result.
        domain: `photographs` or `procedural`.
        protocol: how the images were scored.
        budget: steps × batch size × patch side of what was trained; empty where nothing was.
        transfer: `seen`, `related` or `unseen`: whether the backbone was pre-trained on such a task.
        simulated: a description of the simulated degradation.
        data_label: how training and test data differ in kind.
        smoke: whether the budget is too small to rank by.
        images: how many images.
        seeds: how many seeds the trained methods share.
        hybrid: whether the task is a chain of single degradations.
        unranked: why nothing is marked as best; empty where something is.
        provisional: whether the marks stand on fewer than five seeds.
        looks: how often was looked for separations, where there is a rank; more than once spends alpha over the looks.
        skewed_coverage: of its 95 % intervals for strongly skewed effects, by simulation; None where none is printed.
        overlap: what the test set shares with the sets that cells were fitted to; empty where nothing is known of it.
        headline: whether it is under the headline protocol of its task: the only one that answers, means, regrets and
            orderings read.
        identical: how many images all of its means leave out, since something equals the clean image there.
        ranking: what the marks stand on; None where nothing is ranked.
    """

    task: str
    title: str
    set: str
    domain: str
    protocol: str
    budget: str
    transfer: str = ""
    simulated: str = ""
    data_label: str = ""
    smoke: bool = False
    images: int = 0
    seeds: int = 0
    hybrid: bool = False
    unranked: str = ""
    provisional: bool = False
    looks: int = 0
    skewed_coverage: float | None = None
    overlap: str = ""
    headline: bool = True
    identical: int = 0
    ranking: Ranking | None = field(default=None, repr=False, compare=False)

    @property
    def borrowed(self) -> str:
        """A note on what the protocol takes from the clean image; empty if nothing."""
        borrows = bool(self.protocol) and protocol(self.protocol).uses_reference
        return "GT-mean: brightness taken from the clean image" if borrows else ""

    @property
    def left_out(self) -> str:
        """A note on the images left out of all means; empty if there are none."""
        return f"{plural(self.identical, 'identical image')} left out of the means" if self.identical else ""


@dataclass(frozen=True)
class ResultValue:
    """One method in one column; what there is none of is None. PSNR and differences in dB.

    Attributes:
        state: `done`, `failed`, `out-of-memory`, `not-applicable` or `missing`.
        reason: why there is no number.
        scores: metric → mean over images of the mean over seeds, identical images left out of all of them and of
            every difference; PSNR is infinite where all are.
        seeds: the mean PSNR of each seed.
        infinite: how many images are identical to the clean one.
        converged: whether all its cells have; None where nothing is trained, or one was not tested.
        change: of the doubling test in dB, the largest of its cells; None where there is none.
        mark: `best`, `tied` or empty.
        share: of full fine-tuning's gain that is recovered, with its interval; None where that says nothing.
        collapsed: the seeds that collapsed, see `petlir.benchmark.statistics.collapse`.
        gain: the difference to the frozen network on the images that all trained methods have, with its interval; None
            where there are too few images or seeds for one.
        level: how far its records can be believed, the least of them; `run here` where none was submitted.
        source: who submitted them; empty where none was.
    """

    state: str
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    full: float | None = None
    frozen: float | None = None
    input: float | None = None
    seeds: tuple[float, ...] = ()
    infinite: int = 0
    converged: bool | None = None
    change: float | None = None
    mark: str = ""
    share: Interval | None = None
    gain: Interval | None = None
    collapsed: tuple[int, ...] = ()
    level: str = ""
    source: str = ""

    @property
    def psnr(self) -> float | None:
        """The PSNR in dB."""
        return self.scores.get(LEADING)

    @property
    def verdict(self) -> str:
        """`converged`, `not converged` or `not tested`, for trained methods."""
        return {True: CONVERGED, False: NOT_CONVERGED, None: NOT_TESTED}[self.converged]

    @property
    def collapse(self) -> str:
        """Return the number of collapsed seeds, and which: `1 of 5 seeds collapsed (3)`; empty if there are none."""
        lost = ", ".join(map(str, self.collapsed))
        return f"{len(self.collapsed)} of {plural(len(self.seeds), 'seed')} collapsed ({lost})" if lost else ""

    @property
    def tested(self) -> str:
        """The verdict with the change: `not converged, +0.41 dB`."""
        return self.verdict if self.change is None else f"{self.verdict}, {signed(self.change)} dB"


@dataclass(frozen=True)
class ResultRow:
    """A method in a table.

    Attributes:
        kind: `input`, `untrained`, `composed` (of adapters trained by other cells, itself untrained), `petl` or
            `reference` (trained, but never ranked).
        overlap: whether a test image was among the images used to fit it.
    """

    label: str
    method: str
    kind: str
    costs: MedianCosts | None
    values: tuple[ResultValue, ...]
    overlap: bool = False


@dataclass(frozen=True)
class Table:
    """One group on one image domain.

    Attributes:
        part: the subset of the group's methods, as text; empty for the methods compared with one another.
    """

    group: Group
    domain: str
    columns: tuple[Column, ...]
    rows: tuple[ResultRow, ...]
    part: str = ""

    @property
    def title(self) -> str:
        """The title of the group, with the part."""
        return f"{self.group.title}; {self.part}" if self.part else self.group.title

    def below(self) -> list[str]:
        """For each column: the trained methods not ranked but for smoke, with their doubling test; collapsed seeds."""
        lines = []
        for index, column in enumerate(self.columns):
            values = [(row, row.values[index]) for row in self.rows if row.values[index].state == "done"]
            listed = [
                f"{row.label} ({'reference, ' if row.kind == 'reference' else ''}{value.tested})"
                for row, value in values
                if row.kind == "reference" or (row.kind == "petl" and not value.converged)
            ]
            if listed and not column.smoke:
                lines.append(f"Not ranked in {column.title} ({column.set}, {column.protocol}): {', '.join(listed)}")
            lost = [f"{row.label}: {value.collapse}" for row, value in values if value.collapsed]
            if lost:
                lines.append(f"{column.title} ({column.set}, {column.protocol}): {'; '.join(lost)}")
        return lines

    @property
    def headlines(self) -> dict[str, list[int]]:
        """Indices of headline columns by task: one for each test set and budget with a result."""
        found: dict[str, list[int]] = {}
        for place, column in enumerate(self.columns):
            if column.set and column.headline:
                found.setdefault(column.task, []).append(place)
        return found

    @property
    def leading(self) -> list[int]:
        """The place of one column for each task: the headline column that is ranked, else that of the longest run.

        Among these the one with the most images; a smoke run gives way to any other.
        """

        def weight(place: int) -> tuple[bool, bool, int, int]:
            column = self.columns[place]
            return column.ranking is not None, not column.smoke, self.done(place), column.images

        return [max(places, key=weight) for places in self.headlines.values()]

    def done(self, place: int) -> int:
        """Return the number of methods with a result in a column."""
        return sum(row.values[place].state == "done" for row in self.rows)

    @property
    def further(self) -> set[int]:
        """The places of all other columns: further sets, protocols and budgets."""
        return (
            set(range(len(self.columns)))
            - set(self.leading)
            - {place for place, column in enumerate(self.columns) if not column.set}
        )

    @property
    def folded(self) -> dict[str, str]:
        """The configurations that are shown under another of the same method: label → the label of that one.

        It is the one with the most marks, of those with as many the one with the most results, and then the first.
        """

        def weight(row: ResultRow) -> tuple[int, int]:
            return sum(bool(value.mark) for value in row.values), sum(value.state == "done" for value in row.values)

        by_method: dict[str, list[ResultRow]] = {}
        for row in self.rows:
            by_method.setdefault(row.method, []).append(row)
        found: dict[str, str] = {}
        for method, rows in by_method.items():
            first = max(rows, key=weight)
            found |= {row.label: first.label for row in rows if method and row is not first}
        return found

    def only(self, task: str) -> Table | None:
        """The table's columns of one task; None where it has none with a result."""
        places = [place for place, column in enumerate(self.columns) if column.task == task and column.set]
        if not places:
            return None
        rows = (replace(row, values=tuple(row.values[place] for place in places)) for row in self.rows)
        shown = tuple(row for row in rows if any(value.state != "missing" for value in row.values))
        return replace(self, columns=tuple(self.columns[place] for place in places), rows=shown)

    def row(self, label: str) -> ResultRow | None:
        """Return the row of this label; None if it is missing."""
        return next((row for row in self.rows if row.label == label), None)
