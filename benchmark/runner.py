"""Runs a grid: tunes what is not tuned, works on what is missing, mirrors it, and says how it went."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import typer

from benchmark import experiment, tuning
from benchmark import weights as pretrained
from benchmark.bench import Bench
from benchmark.cell import Cell
from benchmark.devices import workers_on
from benchmark.errors import PetlirError, unknown
from benchmark.executors import Event, Executor, Job
from benchmark.executors.local import LocalExecutor, WorkerSpec
from benchmark.planning import Planned, Planner, Request, state
from benchmark.progress import Progress
from benchmark.records import RECORD, Store, read_record
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
    grid: str, plugins: Sequence[Path], data: Path | None, deterministic: bool, precision: str, **chosen: Any
) -> Request:
    """What the user chose, the rest filled in from the named grid."""
    path = GRIDS / f"{grid}.json"
    if not path.is_file():
        raise unknown("grid", grid, [file.stem for file in GRIDS.glob("*.json")])
    if precision not in ("float32", "bfloat16", "float16"):
        raise unknown("precision", precision, ("float32", "bfloat16", "float16"))
    given = {name: value for name, value in chosen.items() if value is not None}
    files = tuple(str(file.resolve()) for file in plugins)
    bench = Bench(files, str(data.resolve()) if data else None, deterministic, precision)
    return Request(**{**json.loads(path.read_text()), **given}, bench=bench)


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
    planner = Planner(asked)
    cells = planner.cells
    planned = [planner.plan(cell) for cell in cells]
    specs = workers_on(device, workers)
    bench = replace(asked.bench, exclusive=len(specs) == 1)
    runs_on = _executor(engine, specs)
    store = Store(folder).create()
    faults = _choose_rates([cell for cell in cells if cell.regime == "tuned"], planner, store, runs_on)
    planned = [_with_rate(one, planner, store, faults) for one in planned]
    todo = [one for one in planned if state(one, store) != "done"]
    mirror = Mirror(mlflow_uri or default_uri(folder), _warn)
    try:
        if todo:  # what a lost server missed; what is there is not repeated
            _mirror_done(planned, store, mirror)
        for one in todo:
            if one.obstacle is not None:
                mirror.put(experiment.leave(one.cell, one.parts, bench, store, "not-applicable", one.obstacle))
            elif one.fault is not None:
                mirror.put(experiment.leave(one.cell, one.parts, bench, store, "failed", one.fault))
        _work([one for one in todo if one.obstacle is None and one.fault is None], bench, store, runs_on, mirror)
    finally:
        mirror.close()
    return _outcome(planned, store, len(todo))


def _executor(name: str, specs: Sequence[WorkerSpec]) -> Executor:
    if name != "local":
        raise unknown("executor", name, ("local",))
    return LocalExecutor(WORK, specs)


def _with_rate(one: Planned, planner: Planner, store: Store, faults: Mapping[str, str] = {}) -> Planned:
    """The planned cell at its tuned rate; where tuning failed or every trial diverged, that is its fault."""
    if one.cell.regime != "tuned" or one.obstacle is not None:
        return one
    found = _selection(one.cell, store)
    if found is None or one.cell.selection in faults:
        return replace(one, fault=faults[one.cell.selection])
    if found.rate is None:
        return replace(one, fault=f"training diverged at every learning rate: {', '.join(map(str, found.trials))}")
    return planner.plan(one.cell.at(found.rate))


def _selection(cell: Cell, store: Store) -> tuning.Selection | None:
    weights = pretrained.card(cell.backbone).sha256
    return tuning.committed(cell, weights) or tuning.kept(store, cell, weights)


def _mirror_done(planned: Sequence[Planned], store: Store, mirror: Mirror) -> None:
    for folder in filter(None, (store.find(one.key) for one in planned)):
        mirror.put(read_record(folder / RECORD))


def _work(planned: Sequence[Planned], bench: Bench, store: Store, runs_on: Executor, mirror: Mirror) -> None:
    """Let the executor work; each record is mirrored as it comes, and a dead worker's cell is recorded."""
    if not planned:
        return
    by_key = {one.key: one for one in planned}
    jobs = [
        Job(one.key, _payload("cell", one.cell, bench, store, parts=one.parts), group=f"{one.cell.task}")
        for one in by_key.values()
    ]
    with Progress(len(jobs)) as progress:

        def on_event(event: Event) -> None:
            one = by_key[event.key]
            progress.update(event, str(one.cell))
            if event.kind in ("died", "skipped"):
                mirror.put(experiment.leave(one.cell, one.parts, bench, store, "failed", event.text))
            elif event.kind == "finished":
                folder = store.find(event.key)
                if folder is None:
                    raise PetlirError(str(event.result.get("reason")))
                mirror.put(read_record(folder / RECORD))

        runs_on.run(jobs, on_event)


def _payload(kind: str, cell: Cell, bench: Bench, store: Store, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "cell": cell.plain(), "bench": asdict(bench), "store": str(store.root), **more}


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
    cells = [cell for cell in planner.cells if cell.regime == "tuned"]
    runs_on = _executor("local", workers_on(device, workers))
    store = Store(folder).create()
    faults = _choose_rates(cells, planner, store, runs_on, again=again)
    found = [(cell, selection) for cell in cells if (selection := _selection(cell, store)) is not None]
    for cell, selection in found:
        psnr = selection.trials.get(selection.rate or 0.0)
        shown = "diverged everywhere" if psnr is None else f"{selection.rate:g} ({psnr:.2f} dB on validation)"
        yield f"{cell.backbone} · {cell.label} · {cell.task}: {shown}, of {len(selection.trials)} rates"
    if export:
        for backbone in {cell.backbone for cell in cells}:
            path = tuning.COMMITTED / asked.track / f"{backbone}.json"
            tuning.export([chosen for cell, chosen in found if cell.backbone == backbone], path)
            yield f"written: {path}"
    if faults:
        raise PetlirError("; ".join(faults.values()))


def _choose_rates(
    cells: Sequence[Cell], planner: Planner, store: Store, runs_on: Executor, *, again: bool = False
) -> dict[str, str]:
    """Try rates until every cell has a choice that does not lie at the edge of its grid; says where that failed."""
    distinct = {cell.selection: cell for cell in cells if planner.obstacle(cell) is None}
    faults: dict[str, str] = {}
    while True:
        sound = [cell for selection, cell in distinct.items() if selection not in faults]
        trials = [cell.at(rate) for cell in sound for rate in _open_rates(cell, planner, store, again)]
        if not trials:
            return faults
        typer.echo(f"tuning: {len(trials)} trials of {trials[0].steps} steps on validation images")
        jobs = [
            Job(
                f"{cell.selection} {cell.rate:g}",
                _payload("trial", cell, planner.request.bench, store, weights=pretrained.card(cell.backbone).sha256),
                group=cell.task,
            )
            for cell in trials
        ]
        names = {job.key: f"{cell} at {cell.rate:g}" for job, cell in zip(jobs, trials, strict=True)}
        faults |= _try(jobs, names, runs_on)


def _try(jobs: Sequence[Job], names: dict[str, str], runs_on: Executor) -> dict[str, str]:
    """Run trials; for each selection of which one failed, why."""
    faults: dict[str, str] = {}
    with Progress(len(jobs)) as progress:

        def on_event(event: Event) -> None:
            progress.update(event, names[event.key])
            if event.kind == "died" or event.result.get("state") == "failed":
                why = event.text or event.result.get("reason")
                faults.setdefault(event.key.split()[0], f"tuning failed: {names[event.key]}: {why}")

        runs_on.run(jobs, on_event)
    return faults


def _open_rates(cell: Cell, planner: Planner, store: Store, again: bool) -> list[float]:
    weights = pretrained.card(cell.backbone).sha256
    if not again and tuning.committed(cell, weights) is not None:
        return []
    return tuning.open_trials(tuning.kept(store, cell, weights), planner.method(cell).rates)


def survey(asked: Request, folder: Path) -> list[dict[str, str]]:
    """For each cell of the request its state and, where it is stale, what changed; runs nothing."""
    planner, store = Planner(asked), Store(folder)
    return [
        {"cell": str(one.cell), "label": one.cell.label, "task": one.cell.task, **_standing(one, planner, store)}
        for one in map(planner.plan, planner.cells)
    ]


def _standing(one: Planned, planner: Planner, store: Store) -> dict[str, str]:
    if one.cell.regime == "tuned" and one.obstacle is None:
        if _selection(one.cell, store) is None:
            return {"state": "to be tuned", "why": f"{len(planner.method(one.cell).rates)} trials first"}
        one = _with_rate(one, planner, store)
    if one.obstacle is not None:
        return {"state": "not-applicable", "why": one.obstacle}
    found = state(one, store)
    return {"state": found, "why": planner.changed(one, store) if found == "stale" else one.fault or ""}


def _warn(line: str) -> None:
    typer.echo(f"petlir: {line}", err=True)
