"""The command line: parses, calls, prints. What takes time to import is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.errors import PetlirError, unknown

app = typer.Typer(
    name="petlir",
    help="A reproducible benchmark of parameter-efficient transfer learning in image restoration.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Store = Annotated[Path, typer.Option("--store", help="folder of the records")]
Plugin = Annotated[list[Path] | None, typer.Option("--plugin", help="a plugin file; may be repeated")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Track = Annotated[str | None, typer.Option("--track", help="demo, open or paper")]
Backbones = Annotated[str | None, typer.Option("-b", "--backbone", "--backbones", help="names with commas, * for all")]
Methods = Annotated[str | None, typer.Option("-m", "--method", "--methods", help="e.g. 'lora[rank=4,8],adapter@20k'")]
Tasks = Annotated[str | None, typer.Option("-t", "--task", "--tasks", help="names with commas, * for all")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="e.g. 0,1,2")]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="optimiser steps; the track's own if left out")]
Regime = Annotated[str | None, typer.Option("--regime", help="tuned, or paper: AdamW at 1e-4 for all")]
Grid = Annotated[str, typer.Option("--grid", help="the named grid that fills in what is not given")]
Data = Annotated[Path | None, typer.Option("--data", envvar="PETLIR_DATA", help="folder of image sets")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="worker processes on a CPU")]
Protocol = Annotated[str, typer.Option("--protocol", help="e.g. y-crop4, y or rgb")]
Out = Annotated[Path | None, typer.Option("--out", help="folder to write to")]
STORE = Path("petlir-store")
UsageError: Any = typer.BadParameter.__base__
"""Typer does not name this class, which its own click raises for what it cannot parse."""


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except PetlirError as error:
        _fail(str(error))
    except UsageError as error:
        _fail(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str) -> None:
    typer.echo(f"petlir: {line}", err=True)
    sys.exit(2)


def _print(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"petlir {version('petlir')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """A reproducible benchmark of parameter-efficient transfer learning in image restoration."""


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="methods, tasks, backbones, tracks, protocols or images")],
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """List what a grid can name."""
    from benchmark.listing import LISTS

    if kind not in LISTS:
        raise unknown("list", kind, LISTS)
    rows = LISTS[kind](plugin or [])
    if as_json:
        _print(rows)
    else:
        for row in rows:
            typer.echo(f"{row['name']:<22} {row['about']}")


@app.command()
def images(data: Data = None, as_json: Json = False) -> None:
    """Show which image sets are there, which are missing, and where to get them."""
    from benchmark.listing import presence

    rows = presence(data)
    if as_json:
        _print(rows)
    else:
        for row in rows:
            typer.echo(f"{row['name']:<20} {row['state']:<8} {row['about']}")


@app.command()
def params(
    backbone: Annotated[str, typer.Option("-b", "--backbone")] = "ipt-nano",
    method: Methods = "*",
    published: Annotated[bool, typer.Option("--published", help="the papers' settings")] = False,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Count trainable and stored parameters."""
    from benchmark.listing import parameters

    rows = parameters(backbone, method or "*", published, plugin or [])
    if as_json:
        _print(rows)
    else:
        for row in rows:
            counted = (
                row["not_applicable"] or f"{row['trainable']:>12,} of {row['total']:,}  {row.get('published', '')}"
            )
            typer.echo(f"{row['label']:<40} {counted}")


@app.command()
def run(
    backbone: Backbones = None,
    method: Methods = None,
    task: Tasks = None,
    track: Track = None,
    seeds: Seeds = None,
    steps: Steps = None,
    regime: Regime = None,
    grid: Grid = "demo",
    store: Store = STORE,
    data: Data = None,
    plugin: Plugin = None,
    device: Device = "auto",
    workers: Workers = None,
    executor: Annotated[str, typer.Option("--executor", help="local")] = "local",
    precision: Annotated[str, typer.Option("--precision", help="float32; bfloat16 or float16 on a GPU")] = "float32",
    deterministic: Annotated[bool, typer.Option(help="only deterministic kernels")] = True,
    mlflow_uri: Annotated[str | None, typer.Option("--mlflow-uri", help="where to mirror records")] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="write no page at the end")] = False,
) -> int:
    """Run a grid: train and score what is missing, mirror it to MLflow, write the report."""
    from benchmark import runner

    request = runner.request(
        grid, plugin or [], data, deterministic, precision,
        backbones=backbone, methods=method, tasks=task, track=track, seeds=seeds, steps=steps, regime=regime,
    )  # fmt: skip
    outcome = runner.run(request, store, engine=executor, device=device, workers=workers, mlflow_uri=mlflow_uri)
    typer.echo(outcome.summary())
    if not no_report:
        from reports.html import write_report

        typer.echo(f"report: {write_report(store, store / 'report')}")
    return 1 if outcome.failed else 0


@app.command()
def tune(
    backbone: Backbones = None,
    method: Methods = None,
    task: Tasks = None,
    track: Track = None,
    steps: Steps = None,
    grid: Grid = "demo",
    store: Store = STORE,
    data: Data = None,
    plugin: Plugin = None,
    device: Device = "auto",
    workers: Workers = None,
    export: Annotated[bool, typer.Option("--export", help="write the choices into results/tuning")] = False,
    again: Annotated[bool, typer.Option("--again", help="also where the project ships a choice")] = False,
) -> None:
    """Choose each method's learning rate on validation images."""
    from benchmark import runner

    request = runner.request(
        grid, plugin or [], data, True, "float32",
        backbones=backbone, methods=method, tasks=task, track=track, steps=steps, regime="tuned",
    )  # fmt: skip
    for line in runner.tune(request, store, device=device, workers=workers, export=export, again=again):
        typer.echo(line)


@app.command()
def plan(
    backbone: Backbones = None,
    method: Methods = None,
    task: Tasks = None,
    track: Track = None,
    seeds: Seeds = None,
    steps: Steps = None,
    regime: Regime = None,
    grid: Grid = "demo",
    store: Store = STORE,
    data: Data = None,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Say for each cell of a grid whether it is done, failed, stale, missing or still to be tuned; runs nothing."""
    from benchmark import runner

    request = runner.request(
        grid, plugin or [], data, True, "float32",
        backbones=backbone, methods=method, tasks=task, track=track, seeds=seeds, steps=steps, regime=regime,
    )  # fmt: skip
    rows = runner.survey(request, store)
    if as_json:
        _print(rows)
    else:
        for row in rows:
            typer.echo(f"{row['state']:<15} {row['cell']}  {row['why']}")


@app.command()
def status(store: Store = STORE, as_json: Json = False) -> None:
    """Count the records of a store by state, and name what failed."""
    from benchmark.listing import states

    counts, failures = states(store)
    if as_json:
        _print({"counts": counts, "failures": failures})
    else:
        typer.echo("  ".join(f"{state}: {count}" for state, count in counts.items()) or "no records")
        for failure in failures:
            typer.echo(f"{failure['state']}: {failure['cell']}: {failure['reason']}")


@app.command()
def report(store: Store = STORE, out: Out = None) -> None:
    """Write the HTML report of a store."""
    from benchmark.records import Store as Records
    from reports.html import write_report

    if not Records(store).files():
        raise PetlirError(f"store {store} holds no records; run `petlir run --store {store}` first")
    typer.echo(write_report(store, out or store / "report"))


@app.command()
def export(
    store: Store = STORE,
    style: Annotated[str, typer.Option("--format", help="csv, markdown or latex")] = "csv",
) -> None:
    """Print the table of a store."""
    from reports.export import table

    typer.echo(table(store, style))


@app.command()
def score(
    restored: Path,
    reference: Path,
    protocol: Protocol = "rgb",
    bicubic: Annotated[bool, typer.Option("--bicubic", help="enlarge smaller images bicubically first")] = False,
    as_json: Json = False,
) -> None:
    """Score a folder of restored images against the clean ones, paired by file name."""
    from benchmark.protocol import protocol as named
    from benchmark.scoring import score_folders

    scores = score_folders(restored, reference, named(protocol), bicubic=bicubic)
    if as_json:
        _print(scores)
    else:
        mean = scores["mean"]
        psnr = mean["psnr"]
        shown = psnr if isinstance(psnr, str) else f"{psnr:.2f}"
        typer.echo(f"{shown} dB  SSIM {mean['ssim']:.4f}  {len(scores['images'])} images  {protocol}")


@app.command()
def degrade(
    task: str,
    clean: Path,
    out: Path,
    seed: Annotated[int, typer.Option(help="of noise, rain and whatever is drawn", min=0)] = 0,
    plugin: Plugin = None,
) -> None:
    """Degrade a folder of clean images as a task does."""
    from benchmark.application import degrade_folder

    typer.echo(f"{degrade_folder(task, clean, out, seed, plugin or [])} images in {out}")


@app.command()
def restore(
    source: Path,
    out: Path,
    adapter: Annotated[
        Path | None, typer.Option(help="a cell's folder, its record.json or adapter.safetensors")
    ] = None,
    bicubic: Annotated[int | None, typer.Option(help="enlarge bicubically by this factor instead", min=2)] = None,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Restore an image or a folder of images with a finished cell."""
    from benchmark.application import restore_folder

    typer.echo(f"{restore_folder(source, out, adapter, bicubic, device, plugin or [])} images in {out}")


@app.command()
def pretrain(
    backbone: Annotated[str, typer.Option("-b", "--backbone")] = "ipt-nano",
    out: Annotated[Path, typer.Option("--out", help="folder for the weights and their card")] = Path("petlir-weights"),
    steps: Steps = None,
    device: Device = "auto",
) -> None:
    """Pre-train a backbone on procedural images; continues where it was stopped."""
    from benchmark.pretraining.command import pretrain_backbone

    for line in pretrain_backbone(backbone, out, steps, device):
        typer.echo(line)


@app.command()
def contract(plugin: Annotated[str, typer.Argument(help="FILE.py:Class, or the name of a method")]) -> int:
    """Check a method against the contract that every method must keep."""
    from benchmark.listing import findings

    failed = 0
    for finding in findings(plugin):
        typer.echo(
            f"{'ok  ' if finding.passed else 'FAIL'} {finding.name}{': ' + finding.detail if finding.detail else ''}"
        )
        failed += not finding.passed
    return 1 if failed else 0


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="method or task")],
    name: str,
    folder: Annotated[Path, typer.Option("--folder", help="where to write it")] = Path(),
) -> None:
    """Write the start of a method or a task."""
    from benchmark import scaffold

    makers = {"method": scaffold.new_method, "task": scaffold.new_task}
    if kind not in makers:
        raise unknown("kind", kind, makers)
    typer.echo(makers[kind](name, folder))


if __name__ == "__main__":
    main()
