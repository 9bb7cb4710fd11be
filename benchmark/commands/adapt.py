"""`petlir adapt`: search for the best adapter for a folder of image pairs within a time limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from petlir.benchmark.cells.context import PAIRS, canonical, context_of
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.adapter_folder import check_replaceable, export_adapter
from petlir.benchmark.records.schema import Done
from petlir.benchmark.runs import runner, search
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.request import Request
from petlir.benchmark.store.best import best
from petlir.benchmark.store.remote import store_at


@dataclass(frozen=True)
class Found:
    """The outcome of a search for the best adapter.

    Attributes:
        records: the records of the finished cells.
        best: the best trained cell, or None if no trained cell was finished.
        adapter: the folder of the exported adapter, or None if no trained cell was finished.
        interrupted: whether the user stopped the search.
    """

    records: Sequence[Done]
    best: Done | None
    adapter: Path | None
    interrupted: bool


@dataclass(frozen=True)
class Asked:
    """The settings of a search for the best adapter: the folder of image pairs, the networks and the methods.

    Attributes:
        folder: the folder of image pairs.
        backbones: names of networks, separated by commas, or None for the networks of `search.networks`.
        methods: methods with options, separated by commas, or None for `search.METHODS`.
        minutes: the time limit in minutes.
        steps: number of optimiser steps of a trial, or None for the track's default.
        device: the value of the option `--device`.
        workers: number of worker processes, or None for one process per CPU core or GPU.
        plugins: plugin files.
        weights: the user's own pre-trained weights.
        allow_overlap: whether to continue if training and test images overlap.
    """

    folder: Path
    backbones: str | None
    methods: str | None
    minutes: float
    steps: int | None
    device: str
    workers: int | None
    plugins: Sequence[Path]
    weights: Sequence[str]
    allow_overlap: bool

    def request(self) -> Request:
        """Return the request for the cells of the search, on the task that the folder of image pairs defines."""
        context = context_of(self.plugins, weights=self.weights)
        family = context.plugins.families[PAIRS]
        folder = canonical(family, str(self.folder))
        task = family.open(folder)
        context = replace(context, opened=(f"{PAIRS}:{folder}",), allow_overlap=self.allow_overlap)
        return Request(
            self.backbones or search.networks(task.scale), self.methods or search.METHODS, task.name, "demo",
            steps=self.steps, regime="tuned", context=context, device=self.device,
        )  # fmt: skip


def adapt(asked: Asked, store_address: str, out: Path | None, say: Callable[[str], None]) -> Found:
    """Search for the best adapter for a folder of image pairs, and export it, even if Ctrl-C ends the search early.

    Args:
        asked: the settings of the search.
        store_address: folder or URL of the store.
        out: the folder for the exported adapter, or None for a folder inside the store that is named after the task.
        say: called with a line of text for each decision of the search.

    Raises:
        PetlirError: a name or a folder is invalid, or none of the methods has parameters to train.
    """
    limit = search.TimeLimit(60 * asked.minutes)
    planner = Planner(asked.request())
    store = store_at(store_address)
    out = out or store.root / "adapters" / planner.request.tasks.replace(":", "-")
    check_replaceable(out)
    planner.check()
    if all(cell.regime == "none" for cell in planner.cells):
        raise PetlirError(
            f"nothing to train in -m {planner.request.methods}; expected a method such as lora or adaptir"
        )
    planner.refuse_overlap()
    for line in planner.request.context.notes:
        say(line)
    executor, workers = runner.local_executor(store.create(), asked.device, asked.workers)
    interrupted = False
    with runner.mirrored(store) as mirror:
        found = search.Search(planner, store, executor, limit, mirror.put, say, workers)
        try:
            found.run()
        except KeyboardInterrupt:
            interrupted = True
    winner = best(found.records)
    if winner is not None:
        export_adapter(store.cell_folder(winner.cell, winner.key), out, asked.plugins, asked.weights)
    return Found(found.records, winner, out if winner else None, interrupted)


def check_minutes(minutes: float) -> None:
    """Raise PetlirError if a time limit is not a positive, finite number."""
    if not 0 < minutes < float("inf"):
        raise PetlirError(f"--minutes {minutes:g}: expected a finite number of minutes above 0")
