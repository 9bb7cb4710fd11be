"""Commands for grids and their results: run, tune, plan, status, why, report, export."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petlir.benchmark.commands.options import (
    STORE,
    Address,
    Backbones,
    Cells,
    CellTimeout,
    Config,
    Data,
    Device,
    ExtraProtocols,
    Grid,
    Json,
    Methods,
    Metrics,
    Out,
    Overlap,
    Plugin,
    Reference,
    Regime,
    Seeds,
    Steps,
    Store,
    Tasks,
    Track,
    Weights,
    Workers,
    chosen_grid,
    show,
    show_rows,
)
from petlir.benchmark.commands.reporting import ending, reference_beside
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.terminal import echo

if TYPE_CHECKING:
    from petlir.benchmark.runs.planning.request import Request
    from petlir.benchmark.runs.runner import Outcome

app = typer.Typer()


@app.command()
def run(
    backbone: Backbones = None,
    method: Methods = None,
    task: Tasks = None,
    track: Track = None,
    seeds: Seeds = None,
    steps: Steps = None,
    regime: Regime = None,
    grid: Grid = None,
    config: Config = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="write the grid to a TOML file that --config reads")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="run every method on every task, like --grid all")] = False,
    store: Address = STORE,
    data: Data = None,
    plugin: Plugin = None,
    weights: Weights = None,
    device: Device = "auto",
    workers: Workers = None,
    cell_timeout: CellTimeout = None,
    executor: Annotated[str, typer.Option("--executor", help="local, ray or slurm")] = "local",
    slurm: Annotated[
        str, typer.Option("--slurm", help="SLURM options, e.g. time=60,partition=gpu,gpus=1; time in minutes")
    ] = "",
    ray_address: Annotated[
        str, typer.Option("--ray-address", help="HOST:PORT of a Ray cluster; default: the cluster on this machine")
    ] = "",
    precision: Annotated[str, typer.Option("--precision", help="float32, or bfloat16 or float16 on a GPU")] = "float32",
    deterministic: Annotated[bool, typer.Option(help="use only deterministic kernels")] = True,
    locked: Annotated[bool, typer.Option("--locked", help="require the versions in requirements.lock")] = False,
    mlflow_uri: Annotated[
        str | None, typer.Option("--mlflow-uri", help="MLflow server to mirror records to; none for no mirroring")
    ] = None,
    allow_overlap: Overlap = False,
    protocols: Annotated[str | None, typer.Option("--protocols", help="additional protocols, e.g. y,rgb+x8")] = None,
    metrics: Metrics = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="do not write a report at the end")] = False,
    reference: Reference = None,
    until_separable: Annotated[
        float | None,
        typer.Option(
            "--until-separable", help="add seeds until tied methods can be ranked at this confidence, e.g. 0.95"
        ),
    ] = None,
    max_seeds: Annotated[int, typer.Option("--max-seeds", help="maximum number of seeds with --until-separable")] = 10,
) -> int:
    """Run a grid: train and score missing cells, mirror their records to MLflow and write the report."""
    from petlir.benchmark.records import lock
    from petlir.benchmark.runs import runner
    from petlir.benchmark.runs.planning.request import request_from_grid

    if locked:
        lock.refuse_drift()
    if reference:
        reference_beside(Path(), reference)  # raises before anything is trained
    request = request_from_grid(
        chosen_grid("all" if everything else grid, config), plugin or [], data, deterministic, precision, weights or [],
        backbones=backbone, methods=method, tasks=task, track=track, seeds=seeds, steps=steps, regime=regime,
        allow_overlap=allow_overlap, protocols=protocols, metrics=metrics, save=save,
    )  # fmt: skip
    place: dict[str, Any] = {"engine": executor, "slurm": slurm, "ray_address": ray_address}
    place |= {"device": device, "workers": workers, "cell_timeout": cell_timeout}
    work = partial(runner.run, folder=store, mlflow_uri=mlflow_uri, **place)
    failed, worked = False, until_separable is not None
    for outcome in _outcomes(request, store, work, until_separable, max_seeds):
        _show(outcome)
        echo(outcome.summary())
        failed, worked = failed or bool(outcome.failed), worked or bool(outcome.worked)
    for line in ending(outcome, None if no_report else store, reference, again=worked):
        echo(line)
    return 1 if failed else 0


def _show(outcome: Outcome) -> None:
    """Print a short table of a run's results, and warn if restored images score worse than the degraded images."""
    from petlir.benchmark.records.files import RECORD, read_record
    from petlir.benchmark.store import Store as Records
    from petlir.benchmark.store.index import Index
    from petlir.reports import terminal

    index = Index.from_store(Records(outcome.store))
    records = [read_record(head.folder / RECORD) for key in outcome.keys if (head := index.find(key))]
    if any(record.scores for record in records):
        terminal.show(terminal.short(records))
    for line in terminal.warnings(records):
        echo(f"petlir: warning: {line}", err=True)


def _outcomes(
    request: Request, address: str, work: Callable[[Request], Outcome], confidence: float | None, most: int
) -> Iterable[Outcome]:
    """Return the outcome of a single run, or of successive runs that add seeds until all methods can be ranked."""
    if confidence is None:
        return [work(request)]
    from petlir.benchmark.runs import group_sequential
    from petlir.benchmark.store.remote import RemoteStore, store_at

    store = store_at(address)
    if isinstance(store, RemoteStore):
        raise PetlirError(f"--until-separable needs a store in a local folder, not {address}")
    return group_sequential.run(request, store, work, echo, confidence=confidence, most=most)


@app.command()
def tune(
    backbone: Backbones = None,
    method: Methods = None,
    task: Tasks = None,
    track: Track = None,
    steps: Steps = None,
    grid: Grid = None,
    config: Config = None,
    store: Address = STORE,
    data: Data = None,
    plugin: Plugin = None,
    weights: Weights = None,
    device: Device = "auto",
    workers: Workers = None,
    cell_timeout: CellTimeout = None,
    export: Annotated[bool, typer.Option("--export", help="write the chosen learning rates to results/tuning")] = False,
    allow_overlap: Overlap = False,
    again: Annotated[bool, typer.Option("--again", help="tune again even if petlir ships a learning rate")] = False,
) -> None:
    """Choose each method's learning rate on validation images."""
    from petlir.benchmark.runs import runner
    from petlir.benchmark.runs.planning.request import request_from_grid

    request = request_from_grid(
        chosen_grid(grid, config), plugin or [], data, True, "float32", weights or [],
        backbones=backbone, methods=method, tasks=task, track=track, steps=steps, regime="tuned",
        allow_overlap=allow_overlap,
    )  # fmt: skip
    place: dict[str, Any] = {"device": device, "workers": workers, "cell_timeout": cell_timeout}
    for line in runner.tune(request, store, export=export, again=again, **place):
        echo(line)


@app.command()
def plan(
    backbone: Backbones = None,
    method: Methods = None,
    task: Tasks = None,
    track: Track = None,
    seeds: Seeds = None,
    steps: Steps = None,
    regime: Regime = None,
    grid: Grid = None,
    config: Config = None,
    store: Address = STORE,
    data: Data = None,
    plugin: Plugin = None,
    weights: Weights = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """List a grid's cells with their states and, for cells yet to run, the predicted time and memory; run nothing."""
    from petlir.benchmark.runs.planning.request import request_from_grid
    from petlir.benchmark.runs.planning.survey import as_rows, survey, totals

    request = request_from_grid(
        chosen_grid(grid, config), plugin or [], data, True, "float32", weights or [],
        backbones=backbone, methods=method, tasks=task, track=track, seeds=seeds, steps=steps, regime=regime,
    )  # fmt: skip
    rows = survey(request, store, device, lambda line: echo(f"petlir: {line}", err=True))
    show_rows(as_rows(rows) if as_json else rows, as_json, str)
    if not as_json:
        echo(totals(rows))


@app.command()
def status(store: Address = STORE, as_json: Json = False) -> None:
    """Count the cells of a store by state, and list the failed, running and abandoned cells."""
    from petlir.benchmark.commands.lists import states, working
    from petlir.benchmark.store.index import Index
    from petlir.benchmark.store.remote import store_at

    found = store_at(store)
    found.refresh()
    index = Index.from_store(found)
    counts, failures = states(index)
    at_work = working(index.store)
    if as_json:
        show({"counts": counts, "failures": failures, "working": at_work, "damaged": index.problems})
        return
    echo("  ".join(f"{state}: {count}" for state, count in counts.items()) or "no records")
    for row in at_work:
        far = f"{row['share']:.0%} {row['about']}".strip()
        echo(f"{row['state']}: {row['cell']}: {far}, by {row['by']} since {row['since']}")
    for row in failures:
        echo(f"{row['state']}: {row['cell']}: {row['reason']}")
    for line in index.problems:
        echo(f"damaged: {line}")


@app.command()
def why(
    cell: Annotated[Path, typer.Argument(help="the folder of a cell in a store")],
    data: Data = None,
    plugin: Plugin = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Explain why a finished cell is stale: list what has changed since it was trained."""
    from dataclasses import asdict

    from petlir.benchmark.cells.context import context_of
    from petlir.benchmark.runs.planning.why import changes

    found = changes(cell, context_of(plugin or [], data, weights or []))
    show_rows([asdict(one) for one in found] if as_json else found or ["nothing has changed"], as_json, str)


def _require_records(store: Path) -> None:
    from petlir.benchmark.store import Store as Records

    if not Records(store).holds_records():
        raise PetlirError(f"store {store} holds no records; run `petlir run --store {store}` first")


@app.command()
def report(
    store: Cells = STORE, out: Out = None, extra_protocols: ExtraProtocols = None, reference: Reference = None
) -> None:
    """Write the HTML report of a store."""
    from petlir.benchmark.protocol import protocols
    from petlir.benchmark.store.reading import without_collection
    from petlir.reports.site import write_report

    _require_records(store)
    beside = reference_beside(store, reference)
    with without_collection():
        page = write_report(store, out or store / "report", protocols(extra_protocols or ""), reference=beside)
    echo(page)


@app.command()
def export(
    store: Store = STORE,
    style: Annotated[str, typer.Option("--format", help="csv, markdown, latex or parquet")] = "csv",
    out: Annotated[Path | None, typer.Option("--out", help="the file to write; default: standard output")] = None,
    extra_protocols: ExtraProtocols = None,
) -> None:
    """Print the results of a store as a table, or write them to a file."""
    from petlir.benchmark.protocol import protocols
    from petlir.benchmark.store.reading import without_collection
    from petlir.reports.export import table, write

    _require_records(store)

    def warn(line: str) -> None:
        echo(f"petlir: {line}", err=True)

    with without_collection():
        if out is None:
            echo(table(store, style, protocols(extra_protocols or ""), warn))
        else:
            write(store, out, style, protocols(extra_protocols or ""), warn)
