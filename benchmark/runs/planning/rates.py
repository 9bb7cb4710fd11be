"""The learning rates of cells: rates that the project ships, rates chosen in the store, and trials to choose others.

Every chosen rate is tested for convergence by another trial with half of the steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from petlir.benchmark.cell import Cell
from petlir.benchmark.cells import learning_rate
from petlir.benchmark.cells.job import Job
from petlir.benchmark.cells.selection import TRIALS, RateSelection
from petlir.benchmark.errors import counted
from petlir.benchmark.executors import Event, Executor, QueuedJob
from petlir.benchmark.executors.progress import Progress
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.planned import Planned
from petlir.benchmark.store import Store
from petlir.benchmark.terminal import echo

Finish = Callable[[Sequence[Planned], Store], None]
"""A function that processes cells until each cell has a record in the store."""


@dataclass(frozen=True)
class PendingTrial:
    """A training run that is still needed to choose a learning rate.

    Attributes:
        chosen: the cell whose rate is selected.
        cell: the cell that is trained, with the selection seed.
        half: whether this is the half trial, i.e. a run at the chosen rate with half of the steps.
    """

    chosen: Cell
    cell: Cell
    half: bool = False

    @property
    def key(self) -> str:
        """The key of the trial's job."""
        return f"{self.chosen.selection} {self.cell.rate:g}{' half' if self.half else ''}"

    def __str__(self) -> str:
        steps = f" for {counted(self.cell.steps, 'step')}" if self.half else ""
        return f"{self.cell} at {self.cell.rate:g}{steps}"


@dataclass
class Rates:
    """The learning rates of a request's cells, with the trials for choosing them.

    Attributes:
        planner: planner of the request.
        store: store of the trials.
        again: whether to run trials even if the project ships the trials of a cell.
        faults: the reasons why no rate could be chosen, by `Cell.selection`.
    """

    planner: Planner
    store: Store
    again: bool = False
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def selection_cells(self) -> Store:
        """The store of the cells that trials require; these cells have the selection seed and are not in reports."""
        return self.store.within("selection")

    def selection(self, cell: Cell) -> RateSelection | None:
        """Return the chosen learning rate of a cell, with its trials; None if some trials are not finished."""
        found = self._tried(cell)
        return found if found.complete else None

    def left(self, cell: Cell) -> tuple[int, int]:
        """Return how many trials, and how many half trials (with half of the steps), a cell's selection still needs."""
        found = self._tried(cell)
        return max(0, TRIALS - len(found.trials)), int(not found.complete)

    def _tried(self, cell: Cell) -> RateSelection:
        """Return the finished trials for a cell: trials that the project ships and trials in the store."""
        selection_context = self.planner.selection_context(cell)
        shipped = None if self.again else learning_rate.committed(cell, selection_context)
        here = learning_rate.kept(self.store, cell, selection_context)
        found = shipped.joined(here) if shipped else here
        return found.counted(self.planner.method(cell).rates)

    def planned(self, cell: Cell) -> Planned:
        """Plan a cell and the cells that it requires at their chosen rates; a cell without a rate has a fault."""
        needs = tuple(self.planned(need) for need in self.planner.required(cell))
        one = self.planner.plan(cell, needs)
        if cell.regime != "tuned" or one.obstacle is not None or one.fault is not None:
            return one
        found = self.selection(cell)
        if found is None or cell.selection in self.faults:
            return replace(one, fault=self.faults.get(cell.selection, "its learning rate is not chosen yet"))
        if found.rate is None:
            return replace(one, fault=f"training diverged at every learning rate: {', '.join(map(str, found.trials))}")
        return replace(self.planner.plan(cell.at(found.rate), needs), convergence=found.convergence)

    def choose(self, cells: Sequence[Cell], runs_on: Executor, finish: Finish) -> None:
        """Try learning rates until one is chosen for every tuned cell, and test each chosen rate for convergence.

        The rates of required cells are chosen first. The cells that a trial requires are trained with the selection
        seed.
        """
        needed = [need for cell in cells for need in self.planner.required(cell)]
        if needed:
            self.choose(needed, runs_on, finish)
        tuned = [cell for cell in cells if cell.regime == "tuned" and self.planner.obstacle(cell) is None]
        distinct = {cell.selection: cell for cell in tuned}
        for selection, cell in distinct.items():
            if lack := self.planner.unavailable(cell):
                self.faults[selection] = lack
        while trials := [
            trial for selection, cell in distinct.items() if selection not in self.faults for trial in self._open(cell)
        ]:
            required = [self.planned(need) for trial in trials for need in self._required(trial.chosen)]
            if required:
                finish(required, self.selection_cells)
            steps = Counter(trial.cell.steps for trial in trials)
            told = ", ".join(
                f"{counted(count, 'trial')} of {counted(length, 'step')}" for length, count in sorted(steps.items())
            )
            echo(f"tuning on validation images with seed {learning_rate.SEED}: {told}")
            self._try({trial.key: trial for trial in trials}, runs_on)

    def _open(self, cell: Cell) -> list[PendingTrial]:
        """Return the next trials: those of the grid, then single rates, finally the trial with half of the steps."""
        found = self._tried(cell)
        if found.complete:
            return []
        if rates := found.open_rates(self.planner.method(cell).rates):
            return [PendingTrial(cell, learning_rate.trial_cell(cell, rate)) for rate in rates]
        assert found.rate is not None
        return [PendingTrial(cell, learning_rate.trial_cell(cell, found.rate, half=True), half=True)]

    def _required(self, cell: Cell) -> list[Cell]:
        return self.planner.required(replace(cell, seed=learning_rate.SEED))

    def _queued(self, trial: PendingTrial) -> QueuedJob:
        cell = trial.chosen
        folders = [self.planned(need).folder(self.selection_cells) for need in self._required(cell)]
        needs = tuple(folder.relative_to(self.store.root) for folder in folders)
        weights = self.planner.weights(cell.backbone)
        parts = {"selection_context": self.planner.selection_context(cell)} | (
            {learning_rate.WHOLE: str(cell.steps)} if trial.half else {}
        )
        job = Job("trial", trial.cell, self.planner.request.context, self.store, needs, parts, weights)
        return QueuedJob(trial.key, job.packed(), group=cell.task)

    def _try(self, trials: Mapping[str, PendingTrial], runs_on: Executor) -> None:
        with Progress(len(trials)) as progress:

            def on_event(event: Event) -> None:
                trial = trials[event.key]
                progress.update(event, str(trial))
                if event.kind == "died" or event.result.get("state") == "failed":
                    why = event.text or event.result.get("reason")
                    self.faults.setdefault(trial.chosen.selection, f"tuning failed: {trial}: {why}")

            runs_on.run([self._queued(trial) for trial in trials.values()], on_event)
