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
SMOKE = "too few steps (smoke run)"
"""The reason why no method of a smoke run is marked."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """The basis of a column's marks: each method's units × seeds scores in dB, and the comparison of the methods."""

    scores: Mapping[str, Scores] = field(repr=False)
    comparison: Comparison


@dataclass(frozen=True)
class Column:
    """The common properties of the values in a column of a results table.

    Attributes:
        task: the task's name.
        title: the task's title on the page.
        set: name of the image set; empty if no cell of the task has a result.
        domain: `photographs` or `procedural`.
        protocol: the protocol under which the images were scored.
        budget: training steps × batch size × side of the training patches; empty if no method was trained.
        transfer: `seen`, `related` or `unseen`: the task's relation to the backbone's pre-training.
        simulated: a description of the simulated degradation.
        data_label: a note on the kind of training and test data.
        smoke: whether the budget is too small for a ranking.
        images: number of images.
        seeds: number of different seeds with which methods were trained.
        hybrid: whether the task combines several single degradations.
        unranked: the reason why no method is marked as best; empty if a method is marked.
        provisional: whether the marks are based on fewer than five seeds.
        looks: number of interim analyses that led to the ranking; if there are several, alpha is spent over them.
        skewed_coverage: simulated coverage of the column's 95 % intervals for strongly skewed effects; None if no
            interval is shown.
        overlap: a note on images that the test set shares with image sets used to fit a model; empty if no shared image
            is known.
        headline: whether the protocol is the headline protocol of the task; summaries, means over tasks, regrets and
            orderings use only the headline protocol.
        identical: number of images left out of all means because the input or an output equals the clean image.
        ranking: the scores and the comparison on which the marks are based; None if no method is ranked.
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
        """A note on the information that the protocol takes from the clean image; empty if the protocol takes none."""
        borrows = bool(self.protocol) and protocol(self.protocol).uses_reference
        return "GT-mean: brightness taken from the clean image" if borrows else ""

    @property
    def left_out(self) -> str:
        """A note on the images left out of all means; empty if no image is left out."""
        return f"{plural(self.identical, 'identical image')} left out of the means" if self.identical else ""


@dataclass(frozen=True)
class ResultValue:
    """The result of one method in one column; missing values are None. PSNR and its differences are in dB.

    Attributes:
        state: `done`, `failed`, `out-of-memory`, `not-applicable` or `missing`.
        reason: the reason why the result is missing.
        scores: by metric, the mean over images of the mean over seeds; images whose input or output is identical to the
            clean image are left out of all means and differences; PSNR is infinite if all images would be left out.
        full: the difference in PSNR from full fine-tuning.
        frozen: the difference in PSNR from the frozen network.
        input: the difference in PSNR from the degraded image.
        seeds: the mean PSNR of each seed.
        infinite: number of restored images that are identical to the clean images.
        converged: whether all cells of the method converged; None if the method is untrained or a cell was not tested.
        change: the largest change in the PSNR of a cell in the doubling test, in dB; None if no cell was tested.
        mark: `best`, `tied` or empty.
        share: the fraction of full fine-tuning's gain that the method recovers, with its interval; None if full
            fine-tuning's gain is too small or too uncertain for a fraction.
        collapsed: the seeds whose training collapsed; see `petlir.benchmark.statistics.collapse`.
        gain: the difference in PSNR from the frozen network on images shared by all trained methods, with an interval;
            None if there are too few images or seeds for an interval.
        level: the lowest level of verification among the method's records; `run here` if no record was submitted.
        source: the submitters of the method's records; empty if no record was submitted.
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
        """The verdict of the doubling test on a trained method: `converged`, `not converged` or `not tested`."""
        return {True: CONVERGED, False: NOT_CONVERGED, None: NOT_TESTED}[self.converged]

    @property
    def collapse(self) -> str:
        """The number of collapsed seeds as text, as in `1 of 5 seeds collapsed (3)`; empty if no seed collapsed."""
        lost = ", ".join(map(str, self.collapsed))
        return f"{len(self.collapsed)} of {plural(len(self.seeds), 'seed')} collapsed ({lost})" if lost else ""

    @property
    def tested(self) -> str:
        """The verdict of the doubling test with the change in PSNR, as in `not converged, +0.41 dB`."""
        return self.verdict if self.change is None else f"{self.verdict}, {signed(self.change)} dB"


@dataclass(frozen=True)
class ResultRow:
    """A method in a table.

    Attributes:
        kind: `input`, `untrained`, `composed` (an untrained composition of adapters trained by other cells), `petl`
            or `reference` (trained, but never ranked).
        overlap: whether a test image was among the images used to fit the method.
    """

    label: str
    method: str
    kind: str
    costs: MedianCosts | None
    values: tuple[ResultValue, ...]
    overlap: bool = False


@dataclass(frozen=True)
class Table:
    """The results of one group of cells on one image domain.

    Attributes:
        part: a description of the methods in the table if they are only part of the group, such as composed methods;
            empty for the main table, whose methods are compared with one another.
    """

    group: Group
    domain: str
    columns: tuple[Column, ...]
    rows: tuple[ResultRow, ...]
    part: str = ""

    @property
    def title(self) -> str:
        """The title of the group, followed by `part` if the table shows only a part of the group."""
        return f"{self.group.title}; {self.part}" if self.part else self.group.title

    def below(self) -> list[str]:
        """Return notes on each column: on unranked trained methods, except in smoke runs, and on collapsed seeds."""
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
        """The indices of the headline columns of each task, one for each test set and budget with a result."""
        found: dict[str, list[int]] = {}
        for place, column in enumerate(self.columns):
            if column.set and column.headline:
                found.setdefault(column.task, []).append(place)
        return found

    @property
    def leading(self) -> list[int]:
        """The index of one headline column for each task.

        Ranked columns are preferred, then columns without smoke runs, then columns with the most results, and then
        columns with the most images.
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
        """The indices of all columns with results except the leading columns: further sets, protocols and budgets."""
        return (
            set(range(len(self.columns)))
            - set(self.leading)
            - {place for place, column in enumerate(self.columns) if not column.set}
        )

    @property
    def folded(self) -> dict[str, str]:
        """The configurations hidden beneath another configuration of the same method: hidden label → visible label.

        The visible configuration has the most marks; ties are broken by the number of results, then by the row order.
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
        """Return the table with only the columns of one task; None if no column of the task has a result."""
        places = [place for place, column in enumerate(self.columns) if column.task == task and column.set]
        if not places:
            return None
        rows = (replace(row, values=tuple(row.values[place] for place in places)) for row in self.rows)
        shown = tuple(row for row in rows if any(value.state != "missing" for value in row.values))
        return replace(self, columns=tuple(self.columns[place] for place in places), rows=shown)

    def row(self, label: str) -> ResultRow | None:
        """Return the row with this label; None if no row has the label."""
        return next((row for row in self.rows if row.label == label), None)
