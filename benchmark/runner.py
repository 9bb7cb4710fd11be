"""Runs a grid: tunes what is not tuned, works on what is missing, mirrors it, and says how it went."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import typer

from benchmark import experiment, tuning
from benchmark.bench import Bench, bench_of
from benchmark.devices import workers_on
from benchmark.errors import PetlirError, unknown
from benchmark.executors import Event, Executor, Job
from benchmark.executors.local import LocalExecutor, WorkerSpec
from benchmark.measuring import Further
from benchmark.payload import Payload
from benchmark.planning import Planned, Planner, Request, state, with_needs
from benchmark.progress import Progress
from benchmark.rates import Rates
from benchmark.records import RECORD, read_record
from benchmark.store import Store
from benchmark.tracking import Mirror, default_uri

GRIDS = Path(__file__).parent.parent / "results" / "grids"
WORK = "benchmark.work:work"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        states: cells of the grid by state.
        worked: how many cells this run worked on.
        failed: the cells without a result, with the reason.
    """

    states: Counter[str]
    worked: int
    failed: list[tuple[str, str]]

    def summary(self) -> str:
        """A line on the grid, then one for each cell without a result."""
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.states.items()))
        work = f"worked on {self.worked}" if self.worked else "nothing was left to do"
        return "\n".join([f"{self.states.total()} cells: {counts}; {work}", *(f"{c}: {why}" for c, why in self.failed)])


def request(
    grid: str,
    plugins: Sequence[Path],
    data: Path | None,
    deterministic: bool,
    precision: str,
    weights: Sequence[str] = (),
    *,
    allow_overlap: bool = False,
    **chosen: Any,
) -> Request:
    """What the user chose, the rest filled in from the named grid."""
    path = GRIDS / f"{grid}.json"
    if not path.is_file():
        raise unknown("grid", grid, [file.stem for file in GRIDS.glob("*.json")])
    if precision not in ("float32", "bfloat16", "float16"):
        raise unknown("precision", precision, ("float32", "bfloat16", "float16"))
    given = {name: value for name, value in chosen.items() if value is not None}
    asked = {**json.loads(path.read_text()), **given}
    tasks, bench = bench_of(plugins, data, weights, deterministic, precision).opening(asked["tasks"])
    return Request(**{**asked, "tasks": tasks}, bench=replace(bench, allow_overlap=allow_overlap))


def run(
    asked: Request,
    folder: Path,
    *,
    engine: str = "local",
    device: str = "auto",
    workers: int | None = None,
    mlflow_uri: str | None = None,
) -> Outcome:
    """Work on every cell of the request that has no result yet.

    Raises:
        PetlirError: a name, an option or a folder is wrong; nothing was run.
    """
    planner, further = Planner(asked), Further.of(asked.protocols, asked.metrics)
    for cell in planner.cells:
        planner.plan(cell)
    planner.refuse_overlap()
    for line in planner.missed:
        _warn(line)
    specs = workers_on(device, workers)
    bench = replace(asked.bench, exclusive=len(specs) == 1)
    runs_on = _executor(engine, specs)
    store = Store(folder).create()
    rates = Rates(planner, store)
    rates.choose(planner.cells, runs_on, partial(_settle_quietly, asked.bench, runs_on))
    planned = with_needs([rates.planned(cell) for cell in planner.cells])
    todo = [one for one in planned if state(one, store) != "done"]
    mirror = Mirror(mlflow_uri or default_uri(folder), _warn, folder)
    try:
        if todo:  # what a lost server missed; what is there is not repeated
            _mirror_done(planned, store, mirror)
        _settle(todo, bench, store, runs_on, mirror.put)
        lost = _measure(planned, further, bench, store, runs_on, mirror.put)
    finally:
        mirror.close()
    outcome = _outcome(planned, store, len(todo))
    return replace(outcome, failed=outcome.failed + lost)


def _executor(name: str, specs: Sequence[WorkerSpec]) -> Executor:
    if name != "local":
        raise unknown("executor", name, ("local",))
    return LocalExecutor(WORK, specs)


def _mirror_done(planned: Sequence[Planned], store: Store, mirror: Mirror) -> None:
    for folder in filter(None, (store.find(one.key) for one in planned)):
        mirror.put(read_record(folder / RECORD))


def _settle_quietly(bench: Bench, runs_on: Executor, planned: Sequence[Planned], store: Store) -> None:
    """Work on what trials require; it is neither mirrored nor reported."""
    todo = [one for one in with_needs(planned) if state(one, store) != "done"]
    _settle(todo, bench, store.create(), runs_on, lambda record: None)


def _settle(
    todo: Sequence[Planned], bench: Bench, store: Store, runs_on: Executor, put: Callable[[dict[str, Any]], None]
) -> None:
    """Leave a record of each cell: let the executor work on what can be worked on; `put` gets them as they come."""
    jobs = {one.key: _payload(one, bench, store) for one in todo}
    for one in todo:
        if one.obstacle is not None:
            put(experiment.leave(jobs.pop(one.key), "not-applicable", one.obstacle))
        elif one.fault is not None:
            put(experiment.leave(jobs.pop(one.key), "failed", one.fault))
    if jobs:
        _work({one.key: one for one in todo if one.key in jobs}, jobs, runs_on, put)


def _work(
    planned: Mapping[str, Planned],
    payloads: Mapping[str, Payload],
    runs_on: Executor,
    put: Callable[[dict[str, Any]], None],
) -> None:
    """Let the executor work; a dead worker's cell is recorded, and one whose required cell was not done."""
    with Progress(len(payloads)) as progress:

        def on_event(event: Event) -> None:
            one, job = planned[event.key], payloads[event.key]
            progress.update(event, str(one.cell))
            if event.kind == "died":
                put(experiment.leave(job, "failed", event.text))
            elif event.kind == "skipped":
                lost = next(need for need in one.needs if state(need, job.store) != "done")
                put(experiment.leave(job, "failed", f"it requires {lost.cell}, which has no result"))
            elif event.kind == "finished":
                folder = job.store.find(event.key)
                if folder is None:
                    raise PetlirError(str(event.result.get("reason")))
                put(read_record(folder / RECORD))

        runs_on.run([_job(planned[key], payload) for key, payload in payloads.items()], on_event)


def _measure(
    planned: Sequence[Planned],
    further: Further,
    bench: Bench,
    store: Store,
    runs_on: Executor,
    put: Callable[[dict[str, Any]], None],
) -> list[tuple[str, str]]:
    """Measure finished cells by what their records lack; returns the cells that cannot be, with the reason."""
    done = {one.key: one for one in planned if one.obstacle is None and state(one, store) == "done"} if further else {}
    records = {key: _record(one, store) for key, one in done.items()}
    wanted = {key: further.missing(record, done[key].ids) for key, record in records.items()}
    jobs = [
        Job(key, replace(_payload(done[key], bench, store), kind="measure", **asdict(lacks)).packed())
        for key, lacks in wanted.items()
        if lacks
    ]
    lost: list[tuple[str, str]] = []

    def on_event(event: Event) -> None:
        one = done[event.key]
        progress.update(event, f"{one.cell}, measured further")
        if event.done:
            put(_record(one, store))
        elif event.kind in ("finished", "died"):
            lost.append((str(one.cell), event.text or str(event.result.get("reason"))))

    if jobs:
        with Progress(len(jobs)) as progress:
            runs_on.run(jobs, on_event)
    return lost


def _record(one: Planned, store: Store) -> dict[str, Any]:
    folder = store.find(one.key)
    assert folder is not None
    return read_record(folder / RECORD)


def _job(one: Planned, payload: Payload) -> Job:
    return Job(one.key, payload.packed(), needs=tuple(need.key for need in one.needs), group=one.cell.task)


def _payload(one: Planned, bench: Bench, store: Store) -> Payload:
    needs = tuple(need.folder(store).relative_to(store.root) for need in one.needs)
    return Payload("cell", one.cell, bench, store, needs, one.parts)


def _outcome(planned: Sequence[Planned], store: Store, worked: int) -> Outcome:
    states: Counter[str] = Counter()
    failed = []
    for one in planned:
        folder = store.find(one.key)
        record = read_record(folder / RECORD) if folder else {"state": "missing", "reason": "was not worked on"}
        states[record["state"]] += 1
        if record["state"] not in ("done", "not-applicable"):
            failed.append((str(one.cell), str(record["reason"])))
    return Outcome(states, worked, failed)


def tune(
    asked: Request,
    folder: Path,
    *,
    device: str = "auto",
    workers: int | None = None,
    export: bool = False,
    again: bool = False,
) -> Iterator[str]:
    """Choose the learning rate of every cell of the request; yields a line for each choice."""
    planner = Planner(asked)
    planner.refuse_overlap()
    cells = [cell for cell in planner.cells if cell.regime == "tuned"]
    runs_on = _executor("local", workers_on(device, workers))
    rates = Rates(planner, Store(folder).create())
    rates.choose(cells, runs_on, partial(_settle_quietly, asked.bench, runs_on), again=again)
    found = [(cell, selection) for cell in cells if (selection := rates.selection(cell)) is not None]
    for cell, selection in found:
        psnr = selection.trials.get(selection.rate or 0.0)
        shown = "diverged everywhere" if psnr is None else f"{selection.rate:g} ({psnr:.2f} dB on validation)"
        yield f"{cell.backbone} · {cell.label} · {cell.task}: {shown}, of {len(selection.trials)} rates"
    if export:
        for backbone in {cell.backbone for cell in cells}:
            path = tuning.COMMITTED / asked.track / f"{backbone}.json"
            tuning.export([chosen for cell, chosen in found if cell.backbone == backbone], path)
            yield f"written: {path}"
    if rates.faults:
        raise PetlirError("; ".join(rates.faults.values()))


def survey(asked: Request, folder: Path) -> list[dict[str, str]]:
    """For each cell of the request its state and, where it is stale, what changed; runs nothing."""
    planner, store = Planner(asked), Store(folder)
    rates = Rates(planner, store)
    for line in planner.missed:
        _warn(line)
    return [
        {"cell": str(one.cell), "label": one.cell.label, "task": one.cell.task, **_standing(one, rates)}
        for one in map(rates.planned, planner.cells)
    ]


def _standing(one: Planned, rates: Rates) -> dict[str, str]:
    if one.obstacle is not None:
        return {"state": "not-applicable", "why": one.obstacle}
    if one.cell.regime == "tuned" and rates.selection(one.cell) is None:
        return {"state": "to be tuned", "why": f"{len(rates.planner.method(one.cell).rates)} trials first"}
    found = state(one, rates.store)
    return {"state": found, "why": rates.planner.changed(one, rates.store) if found == "stale" else one.fault or ""}


def _warn(line: str) -> None:
    typer.echo(f"petlir: {line}", err=True)
