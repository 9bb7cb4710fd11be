"""Commands for publishing: submit, verify, merge, spread, compare, claims, cite, sync."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from petlir.benchmark.commands.options import (
    STORE,
    AnyStore,
    Cells,
    Data,
    Device,
    Json,
    Plugin,
    Store,
    Weights,
    show,
    show_rows,
)
from petlir.benchmark.errors import PetlirError, counted
from petlir.benchmark.terminal import echo, one_line

app = typer.Typer()


@app.command()
def submit(
    out: Annotated[Path, typer.Argument(help="the archive to write, e.g. results.zip")],
    by: Annotated[str, typer.Option("--by", help="name of the submitter")],
    store: Cells = STORE,
    tuning: Annotated[
        str | None, typer.Option("--tuning", help="how learning rates and options were chosen; default: as recorded")
    ] = None,
    used_test_data: Annotated[
        bool, typer.Option("--used-test-data/--no-test-data", help="declare whether test data influenced any choice")
    ] = False,
    plugin: Plugin = None,
) -> None:
    """Pack the finished cells of a store into an archive, with adapters, restored images and plugin sources."""
    from petlir.benchmark.plugins import find
    from petlir.benchmark.publishing import submit as packing

    plugins = find(plugin) if plugin else None
    echo(f"{counted(packing.submit(store, out, by, tuning, used_test_data, plugins), 'cell')} in {out}")


@app.command()
def verify(
    source: Annotated[Path, typer.Argument(help="an archive made by `petlir submit`, or a store")],
    images: Annotated[
        int, typer.Option("--images", min=1, help="number of images per cell that are restored again")
    ] = 3,
    retrain: Annotated[int, typer.Option("--retrain", min=0, help="number of cells to retrain")] = 0,
    into: Annotated[Path | None, typer.Option("--into", help="store to copy the verified cells to")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="seed for choosing images and cells; default: random")
    ] = None,
    data: Data = None,
    plugin: Plugin = None,
    weights: Weights = None,
    device: Device = "auto",
    as_json: Json = False,
) -> int:
    """Verify the results of an archive or a store by rerunning scoring, restoration and training."""
    import random
    from dataclasses import asdict
    from functools import partial

    from petlir.benchmark.cells.context import context_of
    from petlir.benchmark.publishing import levels
    from petlir.benchmark.publishing import verify as verifying

    check = verifying.Check(context_of(plugin or [], data, weights or []), device, images, retrain, random.Random(seed))
    with verifying.opened(source) as folder:
        verdicts = verifying.verify(folder, check)
        warn = partial(echo, err=True)
        taken = levels.adopt(folder, verdicts, into, warn) if into is not None else None
    if as_json:
        show([asdict(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            _, backbone, task, cell = verdict.folder.split("/")
            why = f"  {verdict.why}" if verdict.why else ""
            echo(f"{verdict.level or 'TAMPERED':<11}  {backbone:<12}  {task:<20}  {cell:<32}{why}")
    if taken is not None:
        echo(f"{counted(taken, 'cell')} copied to {into}", err=as_json)
    return 0 if all(verdict.level for verdict in verdicts) else 1


@app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(help="stores to read")],
    into: Annotated[Path, typer.Option("--into", help="store to merge into")],
    without_images: Annotated[
        bool,
        typer.Option("--without-images", help="omit images and adapters of reference methods, as in the leaderboard"),
    ] = False,
    crops: Annotated[
        int, typer.Option("--crops", min=0, help="keep image crops of this number of photographs per task")
    ] = 0,
) -> None:
    """Merge the cells of several stores into one store; cells that this store already contains are kept."""
    from petlir.benchmark.publishing.merging import merge as take

    for source in sources:
        echo(f"{source}: {counted(take(source, into, without_images=without_images), 'cell')} copied to {into}")
        if crops:
            from petlir.reports.frame import load
            from petlir.reports.gallery import keep_crops

            kept = keep_crops(load(source, lambda line: echo(line, err=True)), source, into, crops)
            echo(f"{source}: crops of {counted(kept, 'photograph')} kept in {into}")


@app.command()
def spread(
    out: Annotated[Path, typer.Argument(help="the table to write, e.g. results/leaderboard/tolerance.csv")],
    store: Cells = STORE,
    again: Annotated[int, typer.Option("--again", min=1, help="number of perturbed runs per cell")] = 2,
    data: Data = None,
    plugin: Plugin = None,
    weights: Weights = None,
    device: Device = "auto",
) -> None:
    """Measure how much scores vary when training is repeated with images perturbed by 1e-6.

    Rows that the table already contains are kept, so that an interrupted measurement can be continued.
    """
    from petlir.benchmark.cells.context import context_of
    from petlir.benchmark.devices import pick
    from petlir.benchmark.publishing import spread as spreads
    from petlir.benchmark.store import Store as Records

    chosen = spreads.representative(Records(Path(store)).records())
    if not chosen:
        raise PetlirError(f"store {store} holds no trained cell; run `petlir run --store {store}` first")
    chosen = spreads.left(chosen, out)
    rows = spreads.measure(chosen, context_of(plugin or [], data, weights or []), str(pick(device)), again)
    echo(f"{counted(spreads.write(rows, out), 'tolerance')} added to {out}")


@app.command()
def compare(first: Path, second: Path, as_json: Json = False) -> None:
    """Compare two stores: list the scores that changed, and the significance and the causes of each change."""
    from dataclasses import asdict

    from petlir.reports.compare import compare as moves

    show_rows([asdict(move) for move in moves(first, second)], as_json, _moved)


def _moved(row: dict[str, Any]) -> str:
    if row["delta"] is None:
        return f"{row['verdict']}: {row['name']}"
    interval = "" if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    why = "; ".join((*row["changed"], *row["environment"]))
    return f"{row['delta']:+.3f} dB{interval} {row['verdict']}: {row['name']}{f' ({why})' if why else ''}"


@app.command()
def claims(
    paper: Annotated[
        str | None, typer.Argument(help="short name of a paper, e.g. AdaptIR; default: all papers")
    ] = None,
    store: AnyStore = None,
    published: Annotated[
        Path | None,
        typer.Option("--published", help="folder of CSV files with results of papers; default: the files in petlir"),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the results that papers report and, if a store is given, whether each result was reproduced."""
    from petlir.benchmark import published as publishing
    from petlir.reports.claims import rows
    from petlir.reports.frame import load

    known = publishing.of_paper(paper, publishing.claims(published or publishing.FOLDER))
    records = load(store) if store is not None else None
    if records == []:
        raise PetlirError(f"store {store} holds no records; run `petlir run --store {store}` first")
    show_rows(list(rows(known, records)), as_json, _claimed)


def _claimed(row: dict[str, Any]) -> str:
    what = " · ".join(row[name] for name in ("backbone", "method", "task", "set", "protocol"))
    line = f"{row['paper']}, table {row['table']}: {what}: {row['psnr']:.2f} dB"
    if "verdict" not in row:
        return line
    interval = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
    here = "" if row["ours"] is None else f"; here {row['ours']:.2f}{interval}"
    return f"{line}{here}; {row['verdict']}{': ' if row['reasons'] else ''}{'; '.join(row['reasons'])}"


@app.command()
def cite(store: Store = STORE, plugin: Plugin = None) -> None:
    """Print BibTeX for the methods, image sets and backbones in a store."""
    from petlir.benchmark.plugins import find
    from petlir.reports.bibliography import bibliography

    echo(bibliography(store, find(plugin or [])), nl=False)


@app.command()
def sync(
    store: Cells = STORE,
    mlflow_uri: Annotated[str | None, typer.Option("--mlflow-uri", help="MLflow server to mirror records to")] = None,
) -> int:
    """Mirror the records that MLflow lacks; exit with 1 if a record is damaged or rejected."""
    from petlir.benchmark.store import Store as Records
    from petlir.benchmark.tracking.tracker import NotTaken, Tracker, default_uri

    missed: list[str] = []
    records = list(Records(store).records(missed.append))
    if not records and not missed:
        raise PetlirError(f"store {store} holds no records; there is nothing to mirror")
    tracker = Tracker(mlflow_uri or default_uri(store), store)
    mirrored = len(records)
    for record in records:
        try:
            tracker.mirror(record)
        except NotTaken as error:
            missed.append(str(error))
            mirrored -= 1
    for line in missed:
        echo(f"petlir: {one_line(line)}", err=True)
    echo(f"{counted(mirrored, 'record')} in {tracker.uri}")
    return 1 if missed else 0
