"""Pages of the named grids: figures with captions, CSV and published results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.published import Claim
from petlir.benchmark.records.schema import Record
from petlir.benchmark.task import IMAGES
from petlir.reports.claims import is_method
from petlir.reports.formats import csv_text
from petlir.reports.grids.captions import against, of_curves, of_rows, told_apart
from petlir.reports.grids.curves import FigureCurves, drawing
from petlir.reports.grids.means import over_tasks
from petlir.reports.grids.named import FOLDER, GridRecords, NamedGrid, begun, find, finished_parts, named_grids
from petlir.reports.grids.points import PARAMETERS, FigureKey, GridPoint, points

AXES = {PARAMETERS: "trainable parameters (log)", IMAGES: "training images (log)"}
"""Titles of horizontal axes; an axis that shows an option of a method has the option's name as its title."""


@dataclass(frozen=True)
class Figure:
    """The points of one budget, regime and device on one task and image set.

    Attributes:
        place: the conditions that all points share.
        points: the points, in the order of the grid.
        drawing: the curves; None if the figure is a table.
        published: for each label, the paper's mean PSNR in dB over its image sets; empty without published results.
        source: the source of the published results, e.g. `AdaptIR, tables 6 and 1: Set5, Set14, Urban100`.
        sentences: the captions below the figure.
    """

    place: FigureKey
    points: tuple[GridPoint, ...]
    drawing: FigureCurves | None
    published: dict[str, float]
    source: str
    sentences: tuple[str, ...]

    @property
    def title(self) -> str:
        """The caption of the figure."""
        place = self.place
        return f"{place.task}: {place.set}, {place.protocol}; {place.budget}, {place.device}, {place.regime}"


@dataclass(frozen=True)
class GridPage:
    """The contents of a named grid's page.

    Attributes:
        grid: the grid.
        figures: the figures made from the grid's records.
        missing: a line for each trained cell without a result.
        places: number of trained cells of the grid, where cells that differ only in their seeds are counted once.
    """

    grid: NamedGrid
    figures: tuple[Figure, ...]
    missing: tuple[str, ...]
    places: int

    @property
    def axis(self) -> str:
        """The title of the curves' horizontal axis."""
        return AXES.get(self.grid.along, self.grid.along)

    @property
    def csv(self) -> str:
        """The data of all figures as CSV, with a row for each point."""
        rows = [_row(self.grid, figure, point) for figure in self.figures for point in figure.points]
        return csv_text(pd.DataFrame(rows))


def studies(
    records: Sequence[Record],
    published: Sequence[Claim],
    warn: Callable[[str], None] = lambda line: None,
    folder: Path = FOLDER,
) -> list[GridPage]:
    """Return a page for each named grid with results for at least half of its trained cells.

    Plugins are imported only if at least one grid has a result.

    Args:
        records: the records of a store.
        published: the claims of papers.
        warn: receives a line for each grid with an error; if a grid file is damaged, all grids are left out.
        folder: the folder of the grids.
    """
    finished = finished_parts(records)
    known = [one for one in _known(folder, warn) if begun(one, finished)]
    if not known:
        return []
    from petlir.benchmark import plugins  # imports torch

    found, available = [], plugins.find()
    for one in known:
        try:
            mine = find(one, records, available)
        except PetlirError as error:
            warn(f"grid {one.name}: {error}")
            continue
        if 2 * (mine.places - len(mine.missing)) >= mine.places > 0:
            found.append(GridPage(one, tuple(_figures(mine, published)), mine.missing, mine.places))
    return found


def _known(folder: Path, warn: Callable[[str], None]) -> list[NamedGrid]:
    try:
        return named_grids(folder)
    except PetlirError as error:
        warn(str(error))
        return []


def _figures(found: GridRecords, published: Sequence[Claim]) -> Iterator[Figure]:
    one = found.grid
    made = list(points(found.records, one.along))
    if one.mean:
        yield from _means(one, [(place, some) for place, some, _ in made])
    for place, some, rows in made:
        curves = drawing(some, log=one.along in AXES) if one.along else None
        theirs, sets = _published(one, place.task, some, published)
        sentences = [
            *(of_curves(some, one.along) if curves else (*of_rows(some), told_apart(some, rows))),
            against(one.paper, theirs, some),
        ]
        kind = "table" if len(one.tables) == 1 else "tables"
        source = f"{one.paper}, {kind} {' and '.join(one.tables)}: {', '.join(sets)}" if theirs else ""
        yield Figure(place, tuple(some), curves, theirs, source, tuple(filter(None, sentences)))


def _means(one: NamedGrid, made: Sequence[tuple[FigureKey, Sequence[GridPoint]]]) -> Iterator[Figure]:
    for place, some in over_tasks(made):
        if curves := drawing(some, log=one.along in AXES):
            yield Figure(place, tuple(some), curves, {}, "", tuple(of_curves(some, one.along)))


def _published(
    one: NamedGrid, task: str, some: Sequence[GridPoint], known: Sequence[Claim]
) -> tuple[dict[str, float], list[str]]:
    """Return each label's published mean PSNR over the image sets of the grid's first table, and the names of the sets.

    The values of labels that the first table lacks are taken from later tables.
    """
    tables = [[c for c in known if (c.paper, c.table, c.task) == (one.paper, t, task)] for t in one.tables]
    sets = list(dict.fromkeys(claim.set for claim in tables[0])) if tables else []
    found: dict[str, float] = {}
    for point in some:
        for table in tables:
            own = {c.set: c.psnr for c in table if c.set in sets and is_method(c.method, point.label)}
            if sets and own.keys() == set(sets):
                found.setdefault(point.label, fmean(own.values()))
    return found, sets


def _row(one: NamedGrid, figure: Figure, point: GridPoint) -> dict[str, object]:
    return {
        "grid": one.name,
        **figure.place._asdict(),
        "backbone": point.backbone,
        "label": point.label,
        "series": point.series,
        one.along or "x": point.x,
        "seeds": len(point.seeds),
        "psnr": round(point.mean, 4),
        "lowest_seed": round(min(point.seeds), 4),
        "highest_seed": round(max(point.seeds), 4),
        "over_frozen": None if point.over_frozen is None else round(point.over_frozen, 4),
        "trainable": point.trainable,
        "converged": point.converged,
        "smoke": point.smoke,
        "paper": figure.published.get(point.label),
    }
