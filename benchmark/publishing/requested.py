"""Checks of a record's request (its cell, method and key) against the registered plugins.

Only backbone, weights, method with options, task, track, seed, budget and rate are part of a request. All other parts
of the cell and of its key are derived from the request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import product
from pathlib import Path

from petlir.benchmark import cell as cells
from petlir.benchmark import grid
from petlir.benchmark.cell import Cell
from petlir.benchmark.cells import learning_rate
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.selection import RateSelection
from petlir.benchmark.errors import FAULTS, PetlirError, told
from petlir.benchmark.method import Method
from petlir.benchmark.publishing.adapters import check_options
from petlir.benchmark.publishing.tampering import Tampered, check_same
from petlir.benchmark.records.schema import Done
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.planned import Planned
from petlir.benchmark.runs.planning.rates import Rates
from petlir.benchmark.runs.planning.request import Request
from petlir.benchmark.store import Store

ELSEWHERE = ("engine", "plugin", "weights", "data")
"""Key components that differ if another version of the code, other weights or other images are installed."""

MOST = 1000
"""The maximum number of combinations of required cells that are compared with the digest in a key."""


def method_of(record: Done, context: Context) -> Method:
    """Return the method that a record names, with the recorded options.

    Raises:
        PetlirError: the backbone, the method or the task is not installed.
        Tampered: the options do not fit the method.
    """
    cell, plugins = record.cell, context.plugins
    try:
        found = plugins.method(cell.method)
        plugins.task(cell.task)
        if cell.backbone not in context.backbones:
            raise PetlirError(f"unknown backbone {cell.backbone!r}")
    except PetlirError as error:
        raise PetlirError(f"{error}; if it comes from a plugin, name its file with --plugin") from error
    try:
        method = grid.restored(found, cell.options)
    except (PetlirError, *FAULTS) as error:
        raise Tampered(str(error) if isinstance(error, PetlirError) else told(error)) from error
    check_same({"options": cell.options}, {"options": method.options()})
    return method


class Requests:
    """The cells of the records in a folder, planned again from their requests alone.

    Args:
        folder: a store or an unpacked archive.
        records: the records of the finished cells in `folder`, by cell folder.
        context: plugins, images and weights.
    """

    def __init__(self, folder: Path, records: Mapping[Path, Done], context: Context) -> None:
        self._folder, self._records, self._context = folder, records, context
        self._planners: dict[tuple[object, ...], Planner] = {}
        self._planned: dict[Path, tuple[Planned, tuple[Path, ...]]] = {}

    def planner(self, record: Done) -> Planner:
        """Return the planner for a record's track and budget."""
        cell = record.cell
        regime = None if cell.regime == "none" else cell.regime
        asked = (cell.track, cell.steps or None, regime)
        if asked not in self._planners:
            request = Request(
                cell.backbone, cell.method, cell.task, cell.track, steps=cell.steps or None, regime=regime,
                context=self._context, device="cpu",
            )  # fmt: skip
            self._planners[asked] = Planner(request)
        return self._planners[asked]

    def needs(self, place: Path) -> tuple[Path, ...]:
        """Return the folders of the cells that a cell requires, in the order of `Method.requires`."""
        return self._plan(place)[1]

    def check(self, place: Path) -> None:
        """Compare the record's cell and key with the cell and key derived from its request.

        Raises:
            Tampered: the record contains a cell that no request produces, or the key of another cell.
            PetlirError: the key cannot be computed here, since code, weights or images differ or are missing.
        """
        record = self._records[place]
        said, expected = record.key_components, self._plan(place)[0]
        if cells.key(said) != record.key:
            raise Tampered("the cell's key is not the digest of its key components")
        if wrong := [name for name in said.keys() | expected.parts if said.get(name) != expected.parts.get(name)]:
            if certain := sorted(set(wrong) - {*ELSEWHERE}):
                raise Tampered(f"key components do not match the cell: {', '.join(certain)}")
            raise PetlirError(f"key components do not match this installation: {', '.join(sorted(wrong))}")
        check_same({"weights": record.digests.weights}, {"weights": expected.parts["weights"]})
        if expected.obstacle is not None:
            raise Tampered(f"the method is not applicable: {expected.obstacle}")
        if place != (named := Store(self._folder).cell_folder(record.cell, record.key)):
            raise Tampered(f"the cell's folder is called {place.name}; expected {named.name} for its key")

    def selection(self, place: Path) -> RateSelection | None:
        """Return a tuned cell's learning-rate trials, which are shipped with the project or stored in the folder."""
        record = self._records[place]
        return Rates(self.planner(record), Store(self._folder)).selection(record.cell.request())

    def shipped(self, place: Path) -> bool:
        """Return whether the project ships the trials of a cell's learning rate, including the doubling test."""
        record = self._records[place]
        if record.cell.regime != "tuned":
            return False
        cell, planner = record.cell.request(), self.planner(record)
        found = learning_rate.committed(cell, planner.selection_context(cell))
        return found is not None and found.counted(planner.method(cell).rates).complete

    def _plan(self, place: Path) -> tuple[Planned, tuple[Path, ...]]:
        """Return the cell as planned from its request, and the folders of the cells that it requires."""
        if place not in self._planned:
            record = self._records[place]
            method = method_of(record, self._context)
            check_options(place, method)
            _check_cell(record, method, self.planner(record))
            needs = self._required(place, method.requires(record.cell.request()))
            planned = self.planner(record).plan(record.cell.request(), tuple(self._plan(need)[0] for need in needs))
            if "device" in planned.parts:
                kind = "cpu" if record.device == "cpu" else "cuda"
                planned = replace(planned, parts=planned.parts | {"device": kind})
            self._planned[place] = planned, needs
        return self._planned[place]

    def _required(self, place: Path, needs: list[Cell]) -> tuple[Path, ...]:
        """Return the folders of the required cells; if several cells match, the key in the record identifies them."""
        candidates = [self._candidates(need) for need in needs]
        for need, fitting in zip(needs, candidates, strict=True):
            if not fitting:
                raise PetlirError(f"the cell requires {need}, which was not submitted")
        if math.prod(map(len, candidates)) > MOST:
            raise Tampered(f"the submission has more than {MOST} combinations of required cells")
        named = self._records[place].key_components.get("needs", "")
        for chosen in product(*candidates):
            if not needs or cells.digest([self._plan(one)[0].key for one in chosen]) == named:
                return chosen
        raise Tampered("the cell's key was not computed from the required cells that were submitted")

    def _candidates(self, need: Cell) -> list[Path]:
        wanted = (need.backbone, need.label, need.task, need.track, need.seed)
        return [
            place
            for place, record in self._records.items()
            if (cell := record.cell) and (cell.backbone, cell.label, cell.task, cell.track, cell.seed) == wanted
        ]


def _check_cell(record: Done, method: Method, planner: Planner) -> None:
    """Raise Tampered if the cell differs from the cell that its request implies."""
    said = record.cell.request()
    task = planner.plugins.task(said.task).label
    derived = planner.cell_of(said.backbone, method, task, said.seed, said.steps or None)
    names = [field.name for field in fields(Cell) if field.name not in ("rate", "options")]
    check_same(vars(said), {name: getattr(derived, name) for name in names})
    if (said.rate is None) != (not method.trains) or (derived.rate is not None and said.rate != derived.rate):
        raise Tampered(f"the record says learning_rate {said.rate}, but the regime {said.regime} uses {derived.rate}")
    if not method.trains and not method.requires(said) and said.seed != 0:
        raise Tampered(f"the record says seed {said.seed}; expected 0, since it trains nothing and requires no cells")
    check_same({"reference": record.cell.reference_or(method.reference)}, {"reference": method.reference})
