"""The run of a grid: tune learning rates, process missing cells, mirror the records and report the outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from petlir.benchmark.cells import learning_rate, worker
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.extra_metrics import ExtraMetrics
from petlir.benchmark.cells.job import unpack
from petlir.benchmark.devices import WorkerSpec, workers_on
from petlir.benchmark.errors import PetlirError, counted, unknown
from petlir.benchmark.executors import Executor, QueuedJob
from petlir.benchmark.executors.local import LocalExecutor
from petlir.benchmark.executors.sharing import Sharing
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.runs import plugin_sources
from petlir.benchmark.runs.dispatch import Dispatcher, measure_extra, open_cells
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.planned import Planned, with_needs
from petlir.benchmark.runs.planning.prediction import Predictor
from petlir.benchmark.runs.planning.rates import Rates
from petlir.benchmark.runs.planning.request import Request
from petlir.benchmark.statistics.convergence import NOT_CONVERGED, RULE, Convergence
from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Index
from petlir.benchmark.store.remote import RemoteStore, store_at
from petlir.benchmark.terminal import echo, one_line
from petlir.benchmark.tracking.mirror import Mirror
from petlir.benchmark.tracking.tracker import default_uri

WORK = "petlir.benchmark.cells.worker:work"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        states: number of cells in each state, including the cells that the grid's cells require.
        worked: number of cells that this run processed.
        failed: the cells without a result, and those whose additional metrics failed, with the reasons.
        inapplicable: each combination of backbone, method and task that is not applicable, with the reason.
        store: the folder of the records.
        keys: keys of the grid's cells and of the cells that these require.
        tested: a line for each backbone and task, with the number of PETL methods that converged and the doubling tests
            of those that did not and of reference methods.
    """

    states: Counter[str]
    worked: int
    failed: list[tuple[str, str]]
    inapplicable: Mapping[str, str] = field(default_factory=dict)
    store: Path = Path()
    keys: tuple[str, ...] = ()
    tested: Sequence[str] = ()

    def summary(self) -> str:
        """Return a line about the grid, then a line for each cell without a result and each inapplicable combination.

        If learning rates were tuned, the outcome of the doubling tests and the criterion of convergence follow.
        """
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.states.items()))
        work = f"processed {self.worked}" if self.worked else "nothing left to process"
        lines = [f"{cell}: {why}" for cell, why in self.failed]
        lines += [f"{cell}: not applicable: {why}" for cell, why in self.inapplicable.items()]
        rule = [*self.tested, RULE] if self.tested else []
        return "\n".join([f"{counted(self.states.total(), 'cell')}: {counts}; {work}", *lines, *rule])


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
    cell_timeout: float | None = None,
) -> Outcome:
    """Process every cell of the request that has no result yet.

    Args:
        asked: the request.
        folder: folder or URL of the store.
        engine: `local`, `ray` or `slurm`.
        slurm: options of SLURM jobs.
        ray_address: address of a Ray cluster.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        workers: number of workers on the CPU, or on each GPU.
        mlflow_uri: address of the records' MLflow mirror; None for a database in the store, `none` for no mirror.
        cell_timeout: seconds after which the local executor stops a cell or trial; None for no limit.

    Raises:
        PetlirError: a name, an option or a folder is invalid; nothing was run.
    """
    planner = Planner(replace(asked, device=device))
    extra_metrics = ExtraMetrics.from_names(asked.protocols, asked.metrics, asked.context.plugins)
    planner.check()
    planner.refuse_overlap()
    for line in (*planner.missed, *asked.context.notes):
        _warn(line)
    specs = workers_on(device, workers) if engine == "local" else []
    context = replace(asked.context, exclusive=len(specs) == 1)
    store = store_at(folder)
    if engine != "local" and not isinstance(store, RemoteStore):
        store = Store(store.root.resolve())  # workers may have another working directory
    runs_on = _shared(_executor(engine, specs, store, slurm, ray_address, device, cell_timeout))
    store.create()
    rates = Rates(planner, store)
    rates.choose(planner.cells, runs_on, partial(_finish_quietly, asked.context, runs_on))
    planned = with_needs([rates.planned(cell) for cell in planner.cells])
    plugin_sources.keep(planner.plugins, (one.parts["plugin"] for one in planned), store)
    index, worked = Index.from_store(store), 0
    dispatcher = Dispatcher(context, store, runs_on, _memory(planner, planned, index, engine, device, specs))
    with mirrored(store, mlflow_uri) as mirror:
        if open_cells(planned, index):
            _mirror_done(planned, index, mirror)
            worked = dispatcher.finish(planned, mirror.put)
            store.refresh()
        lost = measure_extra(dispatcher, planned, extra_metrics, mirror.put) if extra_metrics else []
    return replace(_outcome(planned, Index.from_store(store), worked, lost), tested=_tested(planned, asked.context))


def _executor(
    name: str,
    specs: Sequence[WorkerSpec],
    store: Store,
    slurm: str = "",
    ray_address: str = "",
    device: str = "auto",
    cell_timeout: float | None = None,
) -> Executor:
    if cell_timeout is not None and name != "local":
        raise PetlirError(f"--cell-timeout needs --executor local, not {name}; for SLURM use --slurm time=MINUTES")
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
    return LocalExecutor(WORK, specs, cell_timeout)


def local_executor(
    store: Store, device: str, workers: int | None, cell_timeout: float | None = None
) -> tuple[Executor, int]:
    """Return a local executor that shares the store with other runs, and the number of its workers."""
    specs = workers_on(device, workers)
    return _shared(_executor("local", specs, store, cell_timeout=cell_timeout)), len(specs)


@contextmanager
def mirrored(store: Store, uri: str | None = None) -> Iterator[Mirror]:
    """Mirror records to MLflow inside a `with` block, by default to the store's own database."""
    mirror = Mirror(uri or default_uri(store.root), _warn, store.root)
    try:
        yield mirror
    finally:
        mirror.close()


def _memory(
    planner: Planner, planned: Sequence[Planned], index: Index, engine: str, device: str, specs: Sequence[WorkerSpec]
) -> Callable[[Planned], int]:
    """Return a function that predicts a cell's memory; in a local run, warn of cells that do not fit the device."""
    here = engine == "local"
    scarce = specs[0].device != "cpu" if here else engine == "ray" and device != "cpu"  # else use only cached counts
    predictor = Predictor(planner, index, device if here else "cpu", counting=scarce)
    todo = open_cells(planned, index)
    needed = {one.key: predictor.memory(one) for one in todo}
    predictor.close()
    for one in todo if here else ():
        if unfit := needed[one.key].obstacle(predictor.capacity, predictor.device):
            _warn(f"{one.cell}: {unfit}")
    return lambda one: (found.bytes or 0) if (found := needed.get(one.key)) else 0


def _shared(runs_on: Executor) -> Executor:
    """Wrap the executor to share the store with other runners."""

    def free(queued: QueuedJob) -> bool:
        job = unpack(queued.packed)
        return job.store.leases.free(worker.name(job))

    return Sharing(runs_on, free, lambda queued: worker.finished_elsewhere(unpack(queued.packed)))


def _mirror_done(planned: Sequence[Planned], index: Index, mirror: Mirror) -> None:
    """Mirror the records that the MLflow server missed while it was unavailable; existing entries are not repeated."""
    for head in filter(None, (index.find(one.key) for one in planned)):
        mirror.put(read_record(head.folder / RECORD))


def _finish_quietly(context: Context, runs_on: Executor, planned: Sequence[Planned], store: Store) -> None:
    """Process the cells that trials require, without mirroring or reporting them."""
    Dispatcher(context, store.create(), runs_on).finish(planned)


def _outcome(planned: Sequence[Planned], index: Index, worked: int, lost: list[tuple[str, str]]) -> Outcome:
    states: Counter[str] = Counter()
    failed, inapplicable = [], {}
    for one in planned:
        head = index.find(one.key)
        found, reason = (head.state, head.reason) if head else ("missing", "was not run")
        states[found] += 1
        if found == "not-applicable":
            inapplicable[f"{one.cell.backbone} · {one.cell.label} · {one.cell.task}"] = str(reason)
        elif found != "done":
            failed.append((str(one.cell), str(reason)))
    keys = tuple(one.key for one in planned)
    return Outcome(states, worked, failed + lost, inapplicable, index.store.root, keys)


def _tested(planned: Sequence[Planned], context: Context) -> list[str]:
    """Return the outcome of the doubling tests at the chosen learning rates, a line for each backbone and task."""
    places: dict[str, dict[str, tuple[Convergence, bool]]] = {}
    for one in planned:
        if one.convergence is not None:
            found = places.setdefault(f"{one.cell.backbone} · {one.cell.task}", {})
            found[one.cell.label] = one.convergence, context.plugins.method(one.cell.method).reference
    lines = []
    for place, found in places.items():
        petl = {label: test for label, (test, reference) in found.items() if not reference}
        below = [f"{label} ({test})" for label, test in petl.items() if not test.converged]
        references = [f"{label} ({test})" for label, (test, reference) in found.items() if reference]
        line = f"{place}: {len(petl) - len(below)} of {counted(len(petl), 'PETL method')} converged"
        line += f"; {NOT_CONVERGED}: {', '.join(below)}" if below else ""
        lines.append(line + (f"; references: {', '.join(references)}" if references else ""))
    return lines


def tune(
    asked: Request,
    folder: Path | str,
    *,
    device: str = "auto",
    workers: int | None = None,
    export: bool = False,
    again: bool = False,
    cell_timeout: float | None = None,
) -> Iterator[str]:
    """Choose the learning rate of every cell of the request, and yield a line for each choice."""
    planner = Planner(replace(asked, device=device))
    planner.refuse_overlap()
    cells = [cell for cell in planner.cells if cell.regime == "tuned"]
    store = store_at(folder)
    runs_on, _ = local_executor(store, device, workers, cell_timeout)
    rates = Rates(planner, store.create(), again)
    rates.choose(cells, runs_on, partial(_finish_quietly, asked.context, runs_on))
    found = [(cell, selection) for cell in cells if (selection := rates.selection(cell)) is not None]
    for cell, selection in found:
        yield f"{cell.backbone} · {cell.label} · {cell.task}: {selection}"
    if export:
        for backbone in {cell.backbone for cell in cells}:
            path = learning_rate.shipped_at(backbone, asked.track)
            learning_rate.export([chosen for cell, chosen in found if cell.backbone == backbone], path)
            yield f"written: {path}"
    if rates.faults:
        raise PetlirError("; ".join(dict.fromkeys(rates.faults.values())))


def _warn(line: str) -> None:
    echo(f"petlir: {one_line(line)}", err=True)
