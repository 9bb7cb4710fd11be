"""Results in documents: the text between two markers is generated from the records of a store.

    <!-- figures: table store=results/leaderboard/reference tasks=sr_x4,low_light -->
    <!-- end -->

The opening marker states the kind of the block and its options:

    answer store=STORE                              the first sentences of the store's report
    best store=STORE [tasks=…]                      each task's best PETL method, and the methods tied with it
    table store=STORE [tasks=…] [set=…]             PSNR under each task's headline protocol
    grid store=STORE grid=NAME [tasks=…] [set=…]    the points of a named grid, with findings

`python -m petlir.reports.documents` updates the generated blocks in the project's own documents.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from petlir.benchmark.errors import PetlirError, unknown
from petlir.reports.answer import answer, headline
from petlir.reports.context import ReportContext
from petlir.reports.export import SHORT, head, notes
from petlir.reports.formats import count, decibel, joined, plural, signed
from petlir.reports.frame import load
from petlir.reports.grids.curves import along, by_series
from petlir.reports.grids.points import GridPoint
from petlir.reports.grids.studies import Figure, GridPage, studies
from petlir.reports.markdown import escaped, table
from petlir.reports.results import FROZEN, FULL, ResultRow, ResultValue, Table
from petlir.reports.summary import TaskSummary, task_summaries

DOCUMENTS = ("README.md", "results/*/README.md")
"""The project's documents with generated blocks."""
OPENING, CLOSING = "<!-- figures:", "<!-- end -->"
BLOCK = re.compile(rf"{OPENING} *(?P<what>[^\n]*?) *-->\n(?P<body>.*?){CLOSING}", re.DOTALL)
PHOTOGRAPHS = "photographs"

Options = Mapping[str, str]


@dataclass
class Stores:
    """The stores that generated blocks name; each store is read once.

    Attributes:
        root: the folder to which the paths of stores are relative.
    """

    root: Path
    known: dict[str, ReportContext] = field(default_factory=dict)
    pages: dict[str, list[GridPage]] = field(default_factory=dict)

    def context(self, name: str) -> ReportContext:
        """Return the report context of a store.

        Raises:
            PetlirError: a file of the store is not a record.
        """
        if name not in self.known:
            problems: list[str] = []
            self.known[name] = ReportContext(self.root / name, load(self.root / name, problems.append), problems)
            if problems:
                raise PetlirError(f"{problems[0]}; expected a store whose records can all be read")
        return self.known[name]

    def grid(self, name: str, grid: str) -> GridPage | None:
        """Return the page of a named grid; None if fewer than half of the grid's trained cells have a result."""
        if name not in self.pages:
            context = self.context(name)
            self.pages[name] = studies(context.records, context.claims)
        return next((page for page in self.pages[name] if page.grid.name == grid), None)


def refreshed(text: str, stores: Stores) -> str:
    """Return a document with all its generated blocks updated.

    Raises:
        PetlirError: a block has no closing marker, has an unknown kind or option, or lacks a required option.
    """
    if text.count(OPENING) != len(BLOCK.findall(text)):
        opened = plural(text.count(OPENING), "generated block")
        raise PetlirError(f"the document opens {opened}; expected {CLOSING!r} after each")
    return BLOCK.sub(lambda match: f"{OPENING} {match['what']} -->\n{block(match['what'], stores)}\n{CLOSING}", text)


def block(what: str, stores: Stores) -> str:
    """Return the Markdown of a block.

    Args:
        what: the text of the block's opening marker, e.g. `table store=results/leaderboard/reference`.
        stores: the stores to read.

    Raises:
        PetlirError: the kind or an option is unknown, or a required option is missing.
    """
    kind, *words = what.split()
    if kind not in KINDS:
        raise unknown("kind of block", kind, KINDS)
    write, needed, further = KINDS[kind]
    options = dict(word.partition("=")[::2] for word in words)
    for option in options:
        if option not in (*needed, *further):
            raise unknown(f"option of block {kind!r}", option, (*needed, *further))
    for option in needed:
        if not options.get(option):
            raise PetlirError(f"block {what!r} lacks an option: expected {option}=…")
    return "\n\n".join(write(stores, options)) or f"`{options['store']}` has no records for this block."


def _answer(stores: Stores, options: Options) -> Iterator[str]:
    """Yield the first sentences of a store's report."""
    context = stores.context(options["store"])
    if context.records:
        yield "\n".join(f"- {escaped(line)}" for line in answer(context.tables, context.records, context.cells))


def _best(stores: Stores, options: Options) -> Iterator[str]:
    """Yield a table of each task's best PETL method, its gain over the frozen network, and the methods tied with it."""
    context = stores.context(options["store"])
    found = [one for one in task_summaries(headline(context.tables)) if _wanted(one.column.task, options)]
    if found:
        heads = ["task", "backbone", FROZEN, FULL, "best PETL method", "over frozen, 95 %", "tied with the best"]
        yield table(heads, [_summary(one) for one in found])


def _summary(one: TaskSummary) -> list[str]:
    references = [decibel(one.psnr(label)) for label in (FROZEN, FULL)]
    start = [escaped(one.column.title), one.table.group.backbone, *references]
    if one.best is None or one.value is None:
        return [*start, f"not ranked: {escaped(one.column.unranked)}", "", ""]
    gain = one.value.gain
    interval = f" ({signed(gain.low)} to {signed(gain.high)})" if gain else ""
    tied = escaped(joined(list(one.tied))) if one.tied else "none"
    provisional = ", provisional" if one.column.provisional else ""
    return [*start, f"**{escaped(one.best.label)}**{provisional}", f"{signed(one.value.frozen)}{interval}", tied]


def _table(stores: Stores, options: Options) -> Iterator[str]:
    """Yield a table for each group of records: every method's PSNR on each task, under the task's headline protocol."""
    for one in stores.context(options["store"]).tables:
        places = [
            place
            for task, found in one.headlines.items()
            for place in found
            if _wanted(task, options) and one.columns[place].set == options.get("set", PHOTOGRAPHS)
        ]
        if places:
            yield escaped(f"{one.title}. PSNR in dB, {_averaged(one, places)}; {' '.join(notes(one))}")
            heads = ["<br>".join(map(escaped, head(one.columns[place]))) for place in places]
            rows = [_row(row, places) for row in one.rows]
            yield table(["method", "trainable", *heads], rows)


def _averaged(one: Table, places: list[int]) -> str:
    """Describe columns: the numbers of images and seeds over which means are taken, and the training budgets."""
    columns = [one.columns[place] for place in places]
    images, seeds = (max(getattr(column, part) for column in columns) for part in ("images", "seeds"))
    budgets = sorted({column.budget for column in columns} - {""})
    most = f"the mean over at most {plural(images, 'image')} and {plural(seeds, 'seed')}"
    return "; ".join([most, *budgets])


def _row(row: ResultRow, places: list[int]) -> list[str]:
    cells = [_cell(row.values[place]) for place in places]
    return [escaped(row.label), count(row.costs.trainable) if row.costs else "", *cells]


def _cell(value: ResultValue) -> str:
    if value.state != "done":
        return SHORT.get(value.state, value.state)
    text = decibel(value.psnr) + (" \\*" if value.converged is False else "")
    return f"**{text}**" if value.mark else text


def _grid(stores: Stores, options: Options) -> Iterator[str]:
    """Yield the title, the values and the captions of each figure of a named grid on one image set."""
    page = stores.grid(options["store"], options["grid"])
    for figure in page.figures if page else ():
        if figure.place.set == options.get("set", PHOTOGRAPHS) and _wanted(figure.place.task, options):
            yield f"**{escaped(figure.title)}**"
            yield _curves(figure) if figure.drawing else _points(figure)
            yield "\n".join(f"- {escaped(sentence)}" for sentence in figure.sentences)
    if page and page.missing:
        yield f"No result for {len(page.missing)} of {plural(page.places, 'trained cell')}."


def _points(figure: Figure) -> str:
    """Return a table with a row for each point of a figure, sorted by decreasing mean PSNR."""
    heads = ["", "PSNR in dB", "seeds, lowest to highest", "over frozen", "trainable"]
    several = len({point.backbone for point in figure.points}) > 1
    rows = [
        [
            escaped(f"{point.backbone} · {point.label}" if several else point.label),
            decibel(point.mean),
            _spread(point),
            signed(point.over_frozen),
            count(point.trainable),
            decibel(figure.published.get(point.label)),
        ]
        for point in sorted(figure.points, key=lambda point: -point.mean)
    ]
    return table([*heads, escaped(figure.source)], rows) if figure.source else table(heads, [row[:-1] for row in rows])


def _spread(point: GridPoint) -> str:
    return f"{decibel(min(point.seeds))} to {decibel(max(point.seeds))}" if len(point.seeds) > 1 else ""


def _curves(figure: Figure) -> str:
    """Return a table of PSNR in dB, with a row for each series of points in a figure.

    Each PSNR is followed by its point's position on the horizontal axis, unless all series have the same positions.
    """
    series = along(figure.points)
    places = {tuple(point.x for point in some) for some in series.values()}
    shared = len(places) == 1
    heads = [_at(point) for point in next(iter(series.values()))] if shared else _numbered(max(map(len, places)))
    rows = [
        [escaped(name), *(decibel(point.mean) if shared else f"{decibel(point.mean)} ({_at(point)})" for point in some)]
        for name, some in series.items()
    ]
    flat = {name: some for name, some in by_series(figure.points).items() if name not in series}
    rows += [[escaped(name), decibel(sum(point.mean for point in some) / len(some))] for name, some in flat.items()]
    return table(["PSNR in dB", *heads], [[*row, *[""] * (len(heads) + 1 - len(row))] for row in rows])


def _numbered(most: int) -> list[str]:
    return [f"size {place}" for place in range(1, most + 1)]


def _at(point: GridPoint) -> str:
    """Format the position of a point on the horizontal axis; a parameter count gets three significant digits."""
    assert point.x is not None
    return count(point.x) if point.x == point.trainable else f"{point.x:g}"


def _wanted(task: str, options: Options) -> bool:
    return "tasks" not in options or task in options["tasks"].split(",")


Kind = tuple[Callable[[Stores, Options], Iterator[str]], tuple[str, ...], tuple[str, ...]]
KINDS: Mapping[str, Kind] = {
    "answer": (_answer, ("store",), ()),
    "best": (_best, ("store",), ("tasks",)),
    "table": (_table, ("store",), ("tasks", "set")),
    "grid": (_grid, ("store", "grid"), ("tasks", "set")),
}
"""The kinds of generated blocks, each with its writing function, its required options and its optional options."""


def main(root: Path) -> None:
    """Update the generated blocks in the documents below `root`, and print the paths of the documents that changed."""
    stores = Stores(root)
    for path in (path for pattern in DOCUMENTS for path in sorted(root.glob(pattern))):
        before = path.read_text(encoding="utf-8")
        after = refreshed(before, stores)
        if after != before:
            path.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{path} updated\n")


if __name__ == "__main__":
    try:
        main(Path())
    except PetlirError as error:
        sys.exit(str(error))
