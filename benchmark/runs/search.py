"""Search for the best adapter for a task within a time limit, by short trials and then by training for ever more steps.

Networks, methods and learning rates are compared only on validation images. The search trains ordinary cells, whose
records, adapters and images stay in the store, so that a repeated search continues where the previous one stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic, perf_counter

import torch

from petlir.benchmark.cell import Cell
from petlir.benchmark.cells import learning_rate
from petlir.benchmark.cells.job import Job
from petlir.benchmark.devices import one_thread, pick
from petlir.benchmark.errors import PetlirError, counted
from petlir.benchmark.executors import Event, Executor, QueuedJob
from petlir.benchmark.executors.progress import Progress
from petlir.benchmark.records.schema import Done
from petlir.benchmark.restoration.restore import restore
from petlir.benchmark.runs.dispatch import Dispatcher, Put
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.planned import Planned
from petlir.benchmark.signals import TimeUp, time_limit
from petlir.benchmark.store import Store
from petlir.benchmark.store.best import validation_psnr

NETWORKS = ("nafnet-nano", "restormer-nano", "ipt-nano", "edt-nano", "dat-light")
METHODS = "frozen,adapter,convpass,adaptir,lora[sites=all]"
PLACES = (2, 3, 1)
"""Positions in a method's grid of learning rates, in the order in which they are tried."""
TRIALS, SCORING = 0.4, 0.1
"""Fractions of the time limit: for all trials, and for restoring the test images of one cell."""
FIRST_CELLS, TRAINING = (4, 2, 1), 0.6
"""The candidate ratios of the first cells' steps to the steps of a trial, largest first; and the fraction of the
remaining time that these cells may take, which determines the ratio.
"""
GAIN = 0.05
"""The gain on validation images, in dB, below which longer training is not worthwhile."""
WORTHWHILE = 1.3
"""The minimum factor by which steps must increase for another round of training; otherwise the search ends."""
SHORTEST = 0.001
"""The time limit, in seconds, if no time is left when the search begins."""
SIDE, ROUNDS = 64, 3
"""The side in pixels of the image used for timing networks, and the number of timings, of which the shortest counts."""


def networks(scale: int) -> str:
    """Return the names of the networks to try for an upscaling factor, separated by commas.

    DAT-light has a separate network for each upscaling factor.
    """
    own = f"-x{scale}" if scale in (2, 3) else ""
    return ",".join(f"{name}{own}" if name == "dat-light" else name for name in NETWORKS)


def first_cells(count: int, trials: float) -> tuple[int, int]:
    """Return the number of cells to train first, and the ratio of their steps to the steps of a trial.

    Args:
        count: the desired number of cells; if the time is too short for all, one cell is trained.
        trials: the number of trials that fit into the available time.
    """
    factors = [factor for factor in FIRST_CELLS if factor * count <= trials]
    return (count, factors[0]) if factors else (1, FIRST_CELLS[-1])


@dataclass(frozen=True)
class TimeLimit:
    """A time limit; the seconds count from the creation of this object."""

    seconds: float
    started: float = field(default_factory=monotonic)

    @property
    def left(self) -> float:
        """The remaining seconds; negative after the limit."""
        return self.seconds - self.spent

    @property
    def spent(self) -> float:
        """The seconds since the start."""
        return monotonic() - self.started


@dataclass
class Search:
    """A search for the best adapter.

    Attributes:
        planner: planner of the networks and methods to compare, on one task.
        store: store of the records.
        executor: runs the jobs.
        limit: the time limit.
        put: called with each new record.
        say: called with a line for each decision.
        workers: number of jobs that run simultaneously.
        cells: the cells that were started, by key.
        pace: duration in seconds of the latest batch of trials, divided by their number; None before the first batch
            ends.
    """

    planner: Planner
    store: Store
    executor: Executor
    limit: TimeLimit
    put: Put
    say: Callable[[str], None]
    workers: int = 1
    cells: dict[str, Planned] = field(default_factory=dict)
    pace: float | None = None

    def run(self) -> None:
        """Search until the time is up or longer training no longer helps."""
        try:
            with time_limit(max(self.limit.left, SHORTEST)):
                self._run()
        except TimeUp:
            self.say("the time is up")

    def _run(self) -> None:
        network = self._network()
        cells = [cell for cell in self._trained if cell.backbone == network]
        rates = self._rates(cells)
        ranked = sorted(rates, key=lambda cell: self._trials(cell)[cell.rate or 0.0] or -inf, reverse=True)
        if not ranked:
            reasons = {str(self.planner.obstacle(cell) or "training failed or diverged") for cell in cells}
            raise PetlirError(f"no method can be trained on {network}: {'; '.join(sorted(reasons))}")
        self.say(f"best of {counted(len(ranked), 'method')} after {ranked[0].steps} steps: {ranked[0].label}")
        frozen = [cell for cell in self.planner.cells if cell.regime == "none" and cell.backbone == network]
        trials = inf if self.pace is None else TRAINING * self.limit.left / self.pace
        count, factor = first_cells(min(len(ranked), max(2, self.workers)), trials)
        self._lengthen(ranked[:count], frozen, factor * ranked[0].steps)

    @property
    def records(self) -> list[Done]:
        """The records of the finished cells of this search."""
        found = (record for record in self.store.records() if record.key in self.cells)
        return [record for record in found if isinstance(record, Done)]

    @property
    def _trained(self) -> list[Cell]:
        return [cell for cell in self.planner.cells if cell.regime != "none"]

    def _network(self) -> str:
        """Return the network that performs best after a short trial of one method; slow networks are left out."""
        networks = self._fast_enough()
        if len(networks) == 1:
            return networks[0]
        first = {cell.backbone: cell for cell in reversed(self._trained) if self.planner.obstacle(cell) is None}
        trials = [self._at(first[name], PLACES[0]) for name in networks if name in first]
        self._try(trials)
        tried = ((cell.backbone, self._trials(cell).get(cell.rate or 0.0)) for cell in trials)
        scores = {name: psnr for name, psnr in tried if psnr is not None}
        if not scores:
            raise PetlirError(f"training diverged on every network: {', '.join(networks)}")
        best = max(scores, key=lambda name: scores[name])
        others = ", ".join(f"{name} {psnr:.2f} dB" for name, psnr in scores.items())
        self.say(f"network: {best} (validation after {trials[0].steps} steps: {others})")
        return best

    def _fast_enough(self) -> list[str]:
        """Return the networks that restore the test images in a fraction of the time limit; if none, the fastest."""
        reasons, seconds = {}, {}
        for cell in {cell.backbone: cell for cell in self._trained}.values():
            network, task = self.planner.network(cell.backbone), self.planner.plugins.task(cell.task)
            if why := network.applies(task) or self.planner.unavailable(cell):
                reasons[cell.backbone] = why
            else:
                seconds[cell.backbone] = 0.0
        for name, why in reasons.items():
            self.say(f"{name} is left out: {why}")
        if not seconds:
            raise PetlirError(f"no network can be adapted: {'; '.join(reasons.values())}")
        if len(seconds) == 1:
            return list(seconds)
        for name in seconds:
            seconds[name] = self._scoring_seconds(name)
        fast = [name for name, needed in seconds.items() if needed <= SCORING * self.limit.seconds]
        chosen = fast or [min(seconds, key=lambda name: seconds[name])]
        for name in seconds:
            if name not in chosen:
                self.say(f"{name} is left out: it needs about {seconds[name]:.0f} s for the test images")
        if not fast:
            self.say(f"{chosen[0]} is the fastest network: about {seconds[chosen[0]]:.0f} s for the test images")
        return chosen

    def _scoring_seconds(self, backbone: str) -> float:
        """Return the predicted time, in seconds, of restoring all test images with a backbone."""
        cell, context = self._trained[0], self.planner.request.context
        task = self.planner.plugins.task(cell.task)
        pixels: int = sum(pair.clean.shape[0] * pair.clean.shape[1] for pair in context.tests(cell.task, cell.track))
        device = pick(self.planner.request.device)
        network = self.planner.plugins.build(backbone).eval().to(device)
        image = torch.full((1, 3, SIDE, SIDE), 0.5, device=device)
        times: list[float] = []
        with torch.no_grad(), one_thread():
            for _ in range(ROUNDS):
                started = perf_counter()
                restored = restore(network, image, head=network.head_for(task)).cpu()  # `cpu` waits for a GPU
                times.append(perf_counter() - started)
        return min(times) * pixels / restored[0, 0].numel()

    def _rates(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return each method's cell with its best learning rate; rates are tried in turn as long as there is time."""
        possible = [cell for cell in cells if self.planner.obstacle(cell) is None]
        for number, place in enumerate(PLACES):
            if self.limit.spent > TRIALS * self.limit.seconds and any(map(self._validated, possible)):
                self.say(f"learning rates tried for every method: {number} of {len(PLACES)}")
                break
            self._try([self._at(cell, place) for cell in possible])
        tried = ((cell, self._validated(cell)) for cell in possible)
        return [cell.at(max(scores, key=lambda rate: scores[rate])) for cell, scores in tried if scores]

    def _lengthen(self, ranked: Sequence[Cell], frozen: Sequence[Cell], steps: int) -> None:
        """Train the cells with ever more steps, beginning with `steps`, until no cell improves or the time is up."""
        wall, left = 0.0, list(ranked)
        before: dict[str, float] = {}
        while left:
            factor = 2.0 if wall else 1.0
            if wall and 2 * wall > self.limit.left:
                factor = 0.9 * self.limit.left / wall
                if factor < WORTHWHILE:
                    self.say("the time does not allow longer training")
                    return
            steps, started = round(factor * steps), monotonic()
            scores = self._finish([*([] if wall else frozen), *(replace(cell, steps=steps) for cell in left)])
            wall = monotonic() - started
            shown = ", ".join(f"{cell.label} {scores[cell.label]:.2f} dB" for cell in left if cell.label in scores)
            self.say(f"validation after {steps} steps: {shown}")
            improved = {name for name, psnr in scores.items() if psnr >= before.get(name, -inf) + GAIN}
            left, before = [cell for cell in left if cell.label in improved], scores
        self.say("longer training no longer helps")

    def _finish(self, cells: Sequence[Cell]) -> dict[str, float]:
        """Train and score the cells; return their validation PSNR by label."""
        planned = [self.planner.plan(cell) for cell in cells]
        self.cells |= {one.key: one for one in planned}
        context = replace(self.planner.request.context, exclusive=len(planned) == 1)
        Dispatcher(context, self.store, self.executor).finish(planned, self.put)
        self.store.refresh()
        keys = {one.key for one in planned}
        found = ((record, validation_psnr(record)) for record in self.records if record.key in keys)
        return {record.cell.label: psnr for record, psnr in found if psnr is not None}

    def _at(self, cell: Cell, place: int) -> Cell:
        """Return the cell of a trial with the learning rate at a position in the method's grid."""
        rates = sorted(self.planner.method(cell).rates)
        return learning_rate.trial_cell(cell, rates[min(place, len(rates) - 1)])

    def _trials(self, cell: Cell) -> dict[float, float | None]:
        return dict(learning_rate.kept(self.store, cell, self.planner.selection_context(cell)).trials)

    def _validated(self, cell: Cell) -> dict[float, float]:
        """Return the validation PSNR by learning rate of the trials that did not diverge."""
        return {rate: psnr for rate, psnr in self._trials(cell).items() if psnr is not None}

    def _try(self, trials: Sequence[Cell]) -> None:
        """Run trials that are not in the store; failed trials are reported and left out."""
        open_trials = [cell for cell in trials if cell.rate not in self._trials(cell)]
        jobs = {f"{cell.selection} {cell.rate:g}": cell for cell in open_trials}

        queued = [QueuedJob(key, self._job(cell).packed(), group=cell.task) for key, cell in jobs.items()]
        if queued:
            started = monotonic()
            with Progress(len(queued)) as progress:

                def on_event(event: Event) -> None:
                    progress.update(event, f"{jobs[event.key]} at {jobs[event.key].rate:g}")

                self.executor.run(queued, on_event)
            self.pace = (monotonic() - started) / len(queued)

    def _job(self, cell: Cell) -> Job:
        parts = {"selection_context": self.planner.selection_context(cell)}
        context, weights = self.planner.request.context, self.planner.weights(cell.backbone)
        return Job("trial", cell, context, self.store, (), parts, weights)
