"""The learning rates of a grid: those that the project ships, those that a store has, and trials for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import typer

from petlir.benchmark import tuning
from petlir.benchmark.cell import Cell
from petlir.benchmark.executors import Event, Executor, Job
from petlir.benchmark.payload import Payload
from petlir.benchmark.planning import Planned, Planner
from petlir.benchmark.progress import Progress
from petlir.benchmark.store import Store

Settle = Callable[[Sequence[Planned], Store], None]
"""Works on cells until they have a record in the store."""


@dataclass
class Rates:
    """Plans cells at their tuned rates.

    Attributes:
        planner: of the request.
        store: where trials are kept.
        faults: why no rate could be chosen, by `Cell.selection`.
    """

    planner: Planner
    store: Store
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def selection_cells(self) -> Store:
        """Where the cells lie that trials require: they are of the selection seed and stand in no report."""
        return self.store.within("selection")

    def selection(self, cell: Cell) -> tuning.Selection | None:
        """The choice that was made for a cell, if any."""
        ground = self.planner.ground(cell)
        return tuning.committed(cell, ground) or tuning.kept(self.store, cell, ground)

    def planned(self, cell: Cell) -> Planned:
        """The cell and all that it requires, each at its rate; where there is none, that is its fault."""
        needs = tuple(self.planned(need) for need in self.planner.required(cell))
        one = self.planner.plan(cell, needs)
        if cell.regime != "tuned" or one.obstacle is not None or one.fault is not None:
            return one
        found = self.selection(cell)
        if found is None or cell.selection in self.faults:
            return replace(one, fault=self.faults.get(cell.selection, "its learning rate is not chosen yet"))
        if found.rate is None:
            return replace(one, fault=f"training diverged at every learning rate: {', '.join(map(str, found.trials))}")
        return self.planner.plan(cell.at(found.rate), needs)

    def choose(self, cells: Sequence[Cell], runs_on: Executor, settle: Settle, *, again: bool = False) -> None:
        """Try rates until every tuned cell has a choice that does not lie at the edge of its grid.

        What a cell requires is chosen before it, and trained with the selection seed where trials look at it.
        """
        needed = [need for cell in cells for need in self.planner.required(cell)]
        if needed:
            self.choose(needed, runs_on, settle)
        tuned = [cell for cell in cells if cell.regime == "tuned" and self.planner.obstacle(cell) is None]
        distinct = {cell.selection: cell for cell in tuned}
        for selection, cell in distinct.items():
            if lack := self.planner.unavailable(cell):
                self.faults[selection] = lack
        while trials := [
            cell.at(rate)
            for selection, cell in distinct.items()
            if selection not in self.faults
            for rate in self._open(cell, again)
        ]:
            required = [self.planned(need) for cell in trials for need in self._required(cell)]
            if required:
                settle(required, self.selection_cells)
            typer.echo(f"tuning: {len(trials)} trials of {trials[0].steps} steps on validation images")
            self._try([self._job(cell) for cell in trials], trials, runs_on)

    def _required(self, cell: Cell) -> list[Cell]:
        return self.planner.required(replace(cell, seed=tuning.SEED))

    def _job(self, cell: Cell) -> Job:
        folders = [self.planned(need).folder(self.selection_cells) for need in self._required(cell)]
        needs = tuple(folder.relative_to(self.store.root) for folder in folders)
        weights = self.planner.weights(cell.backbone)
        parts = {"ground": self.planner.ground(cell)}
        work = Payload("trial", cell, self.planner.request.bench, self.store, needs, parts, weights)
        return Job(f"{cell.selection} {cell.rate:g}", work.packed(), group=cell.task)

    def _try(self, jobs: Sequence[Job], trials: Sequence[Cell], runs_on: Executor) -> None:
        names = {job.key: f"{cell} at {cell.rate:g}" for job, cell in zip(jobs, trials, strict=True)}
        with Progress(len(jobs)) as progress:

            def on_event(event: Event) -> None:
                progress.update(event, names[event.key])
                if event.kind == "died" or event.result.get("state") == "failed":
                    why = event.text or event.result.get("reason")
                    self.faults.setdefault(event.key.split()[0], f"tuning failed: {names[event.key]}: {why}")

            runs_on.run(jobs, on_event)

    def _open(self, cell: Cell, again: bool) -> list[float]:
        ground = self.planner.ground(cell)
        if not again and tuning.committed(cell, ground) is not None:
            return []
        return tuning.open_trials(tuning.kept(self.store, cell, ground), self.planner.method(cell).rates)
