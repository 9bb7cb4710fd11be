"""The named grids that have pages: their files, and their records in a store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from petlir.benchmark import grid
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.json_files import read_json
from petlir.benchmark.records.schema import Done, Record

if TYPE_CHECKING:
    from petlir.benchmark.plugins import Plugins

FOLDER = Path(__file__).parents[2] / "results" / "grids"
SIZED = "@"
"""The suffix of a method whose size the grid sets; the method's label is unknown until its parameters are counted."""


@dataclass(frozen=True)
class NamedGrid:
    """A grid in `results/grids` that has a page in the report.

    Attributes:
        name: the name of the grid's file, without the extension.
        title: the heading of the page.
        asked: the request in the grid's file, i.e. the options of `petlir run`.
        paper: short name of the paper whose claims the grid tests.
        tables: the tables of the paper whose values are shown next to the grid's rows.
        along: the horizontal axis of curves: `parameters`, `images` or an option of the method; empty for a table.
        mean: whether the paper plots the mean over tasks.
        about: further notes for the reader.
    """

    name: str
    title: str
    asked: Mapping[str, object]
    paper: str = ""
    tables: tuple[str, ...] = ()
    along: str = ""
    mean: bool = False
    about: str = ""


class GridPosition(NamedTuple):
    """A cell of a grid, without its seed."""

    backbone: str
    task: str
    name: str


@dataclass(frozen=True)
class GridRecords:
    """The records of a grid.

    Attributes:
        grid: the grid.
        records: the finished records of the grid's cells.
        missing: a line for each trained position without a finished record, with the reason if a record gives it.
        places: number of trained positions of the grid.
    """

    grid: NamedGrid
    records: tuple[Done, ...]
    missing: tuple[str, ...]
    places: int


def named_grids(folder: Path = FOLDER) -> list[NamedGrid]:
    """Read the grid files of a folder, and return the grids with an entry `page`.

    Raises:
        PetlirError: a grid file is damaged.
    """
    return [one for path in sorted(folder.glob("*.json")) if (one := _read(path)) is not None]


def _read(path: Path) -> NamedGrid | None:
    try:
        asked = read_json(path)
        page = asked.pop("page", None)
        if page is None:
            return None
        return NamedGrid(path.stem, asked=asked, **{**page, "tables": tuple(page.get("tables", ()))})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise PetlirError(f"grid {path} is damaged: {error}; expected options of `petlir run` and a page") from error


class GridPart(NamedTuple):
    """A group of cells with the same track, backbone and task; `task` is the name of the task without its options."""

    track: str
    backbone: str
    task: str


def finished_parts(records: Iterable[Record]) -> set[GridPart]:
    """Return the combinations of track, backbone and task that have a finished cell."""
    cells = (record.cell for record in records if record.state == "done")
    return {GridPart(cell.track, cell.backbone, _stem(cell.task)) for cell in cells}


def begun(one: NamedGrid, finished: Collection[GridPart]) -> bool:
    """Return whether a part of the grid has a finished cell; if not, `find` finds no finished record."""
    return any(
        part.track == asked["track"]
        and part.backbone in grid.split(str(asked["backbones"]))
        and any(fnmatchcase(part.task, _stem(item)) for item in grid.split(str(asked["tasks"])))
        for asked in _requests(one)
        for part in finished
    )


def _stem(task: str) -> str:
    """Return the name of a task without its options; `task` is a label or an item of a grid's list of tasks."""
    return task.partition("[")[0]


def find(one: NamedGrid, records: Iterable[Record], plugins: Plugins) -> GridRecords:
    """Return the records of a grid's cells, with any seed and any training budget."""
    wanted = dict(_places(one, plugins))
    mine: dict[GridPosition, list[Record]] = {place: [] for place in wanted}
    for record in records:
        if record.cell.track == one.asked["track"] and (place := _place(record, wanted)) is not None:
            mine[place].append(record)
    done = {place: [record for record in some if record.state == "done"] for place, some in mine.items()}
    trained = [place for place, trains in wanted.items() if trains]
    missing = tuple(_missing(place, mine[place]) for place in trained if not done[place])
    return GridRecords(one, tuple(record for some in done.values() for record in some), missing, len(trained))


def _places(one: NamedGrid, plugins: Plugins) -> Iterator[tuple[GridPosition, bool]]:
    """Yield every position of the grid, and whether the method at this position is trained."""
    for asked in _requests(one):
        yield from _selected(asked, plugins)


def _requests(one: NamedGrid) -> Iterator[Mapping[str, object]]:
    for also in [{}, *cast("list[dict[str, object]]", one.asked.get("also", []))]:
        yield {**one.asked, **also}


def _selected(asked: Mapping[str, object], plugins: Plugins) -> Iterator[tuple[GridPosition, bool]]:
    tasks = grid.tasks(str(asked["tasks"]), plugins.tasks, str(asked["track"]))
    for item in grid.split(str(asked["methods"])):
        sized = SIZED in item.rpartition("]")[2]
        for method in grid.methods(item, plugins.methods):
            name = f"{method.name}{SIZED}" if sized else method.label
            for backbone in grid.split(str(asked["backbones"])):
                yield from ((GridPosition(backbone, task.label, name), method.trains) for task in tasks)


def _place(record: Record, wanted: Mapping[GridPosition, bool]) -> GridPosition | None:
    cell = record.cell
    named = (GridPosition(cell.backbone, cell.task, name) for name in (cell.label, f"{cell.method}{SIZED}"))
    return next((place for place in named if place in wanted), None)


def _missing(place: GridPosition, records: Sequence[Record]) -> str:
    reasons = sorted({f"{record.state}: {record.reason}" for record in records})
    return f"{place.backbone} · {place.name} · {place.task}: {'; '.join(reasons) or 'no record'}"
