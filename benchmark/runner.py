"""Runs a grid: tunes what is not tuned, works on what is missing, mirrors it, and says how it went."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import typer

from petlir.benchmark import tuning, work
from petlir.benchmark.bench import Bench, bench_of
from petlir.benchmark.devices import workers_on
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.executors import Executor, Job
from petlir.benchmark.executors.local import LocalExecutor, WorkerSpec
from petlir.benchmark.executors.sharing import Sharing
from petlir.benchmark.measuring import Further
from petlir.benchmark.payload import unpack
from petlir.benchmark.planning import Planned, Planner, Request, with_needs
from petlir.benchmark.planning.prediction import Predictor
from petlir.benchmark.planning.rates import Rates
from petlir.benchmark.records import RECORD, read_record
from petlir.benchmark.settling import Settler, measure_further, open_cells
from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Index
from petlir.benchmark.store.remote import RemoteStore, store_at
from petlir.benchmark.tracking import Mirror, default_uri

GRIDS = Path(__file__).parent.parent / "results" / "grids"
WORK = "petlir.benchmark.work:work"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        states: cells of the grid by state.
        worked: how many cells this run worked on.
        failed: the cells without a result, with the reason.
        inapplicable: each backbone, method and task that has no meaning, with the reason; all its seeds at once.
    """

    states: Counter[str]
    worked: int
    failed: list[tuple[str, str]]
    inapplicable: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """A line on the grid, then one for each cell without a result and each that is not applicable."""
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.states.items()))
        work = f"worked on {self.worked}" if self.worked else "nothing was left to do"
        lines = [f"{cell}: {why}" for cell, why in self.failed]
        lines += [f"{cell}: not applicable: {why}" for cell, why in self.inapplicable.items()]
        return "\n".join([f"{self.states.total()} cells: {counts}; {work}", *lines])


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
    asked.pop("page", None)  # how the report shows it
    tasks, bench = bench_of(plugins, data, weights, deterministic, precision).opening(asked["tasks"])
    return Request(**{**asked, "tasks": tasks}, bench=replace(bench, allow_overlap=allow_overlap))


def run(
    asked: Request,
    folder: Path | str,
    *,
    engine: str = "local",
    slurm: str = "",
    ray_address: str = "",
    device: str = "auto",
    workers: int | None = None,
    mlflow_uri: str | None = None,
) -> Outcome:
    """Work on every cell of the request that has no result yet.

    Raises:
        PetlirError: a name, an option or a folder is wrong; nothing was run.
    """
    planner, further = Planner(asked), Further.of(asked.protocols, asked.metrics)
    planner.check()
    planner.refuse_overlap()
    for line in planner.missed:
        _warn(line)
    specs = workers_on(device, workers) if engine == "local" else []
    bench = replace(asked.bench, exclusive=len(specs) == 1)
    store = store_at(folder)
    if engine != "local" and not isinstance(store, RemoteStore):
        store = Store(store.root.resolve())  # workers may have another current folder
    runs_on = _shared(_executor(engine, specs, store, slurm, ray_address, device))
    store.create()
    rates = Rates(planner, store)
    rates.choose(planner.cells, runs_on, partial(_settle_quietly, asked.bench, runs_on))
    planned = with_needs([rates.planned(cell) for cell in planner.cells])
    index, worked = Index.of(store), 0
    settler = Settler(bench, store, runs_on, _memory(planner, planned, index, engine, device, specs))
    mirror = Mirror(mlflow_uri or default_uri(store.root), _warn, store.root)
    try:
        if open_cells(planned, index):
            _mirror_done(planned, index, mirror)
            worked = settler.settle(planned, mirror.put)
            store.refresh()
        lost = measure_further(settler, planned, further, mirror.put) if further else []
    finally:
        mirror.close()
    return _outcome(planned, Index.of(store), worked, lost)


def _executor(
    name: str, specs: Sequence[WorkerSpec], store: Store, slurm: str = "", ray_address: str = "", device: str = "auto"
) -> Executor:
    for option, value, owner in (("--slurm", slurm, "slurm"), ("--ray-address", ray_address, "ray")):
        if value and name != owner:
            raise PetlirError(f"{option} {value} needs --executor {owner}")
    if name == "slurm":
        from petlir.benchmark.executors import slurm as queue

        return queue.executor(WORK, store.root, slurm)
    if name == "ray":
        from petlir.benchmark.executors import ray as cluster

        return cluster.executor(WORK, None if isinstance(store, RemoteStore) else store.root, ray_address, device)
    if name != "local":
        raise unknown("executor", name, ("local", "ray", "slurm"))
    return LocalExecutor(WORK, specs)


def _memory(
    planner: Planner, planned: Sequence[Planned], index: Index, engine: str, device: str, specs: Sequence[WorkerSpec]
) -> Callable[[Planned], int]:
    """What each cell needs of a device; those that do not fit this machine's are named, where they run here."""
    here = engine == "local"
    scarce = specs[0].device != "cpu" if here else engine == "ray" and device != "cpu"  # else what is known already
    predictor = Predictor(planner, index, device if here else "cpu", counting=scarce)
    todo = open_cells(planned, index)
    needed = {one.key: predictor.of(one) for one in todo}
    predictor.close()
    for one in todo if here else ():
        if unfit := needed[one.key].obstacle(predictor.capacity, predictor.device):
            _warn(f"{one.cell}: {unfit}")
    return lambda one: (found.bytes or 0) if (found := needed.get(one.key)) else 0


def _shared(runs_on: Executor) -> Executor:
    """The executor, beside other runners of the store."""

    def free(job: Job) -> bool:
        payload = unpack(job.payload)
        return payload.store.claims.free(work.name(payload))

    return Sharing(runs_on, free, lambda job: work.settled(unpack(job.payload)))


def _mirror_done(planned: Sequence[Planned], index: Index, mirror: Mirror) -> None:
    """Mirror what a lost server missed; what is there is not repeated."""
    for head in filter(None, (index.find(one.key) for one in planned)):
        mirror.put(read_record(head.folder / RECORD))


def _settle_quietly(bench: Bench, runs_on: Executor, planned: Sequence[Planned], store: Store) -> None:
    """Work on what trials require; it is neither mirrored nor reported."""
    Settler(bench, store.create(), runs_on).settle(planned)


def _outcome(planned: Sequence[Planned], index: Index, worked: int, lost: list[tuple[str, str]]) -> Outcome:
    states: Counter[str] = Counter()
    failed, inapplicable = [], {}
    for one in planned:
        head = index.find(one.key)
        found, reason = (head.state, head.reason) if head else ("missing", "was not worked on")
        states[found] += 1
        if found == "not-applicable":
            inapplicable[f"{one.cell.backbone} · {one.cell.label} · {one.cell.task}"] = str(reason)
        elif found != "done":
            failed.append((str(one.cell), str(reason)))
    return Outcome(states, worked, failed + lost, inapplicable)


def tune(
    asked: Request,
    folder: Path | str,
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
    store = store_at(folder)
    runs_on = _shared(_executor("local", workers_on(device, workers), store))
    rates = Rates(planner, store.create())
    rates.choose(cells, runs_on, partial(_settle_quietly, asked.bench, runs_on), again=again)
    found = [(cell, selection) for cell in cells if (selection := rates.selection(cell)) is not None]
    for cell, selection in found:
        psnr = selection.trials.get(selection.rate or 0.0)
        shown = "diverged everywhere" if psnr is None else f"{selection.rate:g} ({psnr:.2f} dB on validation)"
        yield f"{cell.backbone} · {cell.label} · {cell.task}: {shown}, of {len(selection.trials)} rates"
    if export:
        for backbone in {cell.backbone for cell in cells}:
            path = tuning.shipped_at(backbone, asked.track)
            tuning.export([chosen for cell, chosen in found if cell.backbone == backbone], path)
            yield f"written: {path}"
    if rates.faults:
        raise PetlirError("; ".join(dict.fromkeys(rates.faults.values())))


def _warn(line: str) -> None:
    typer.echo(f"petlir: {line}", err=True)
