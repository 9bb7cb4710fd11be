"""Commands for adding weights, methods, backbones and tasks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from petlir.benchmark.commands.options import Data, Device, Json, Plugin, Steps, show_rows
from petlir.benchmark.terminal import echo

app = typer.Typer()


@app.command()
def pretrain(
    recipe: Annotated[str | None, typer.Argument(help="multitask, prod or self-supervised")] = None,
    backbone: Annotated[str | None, typer.Option("-b", "--backbone", help="default: the recipe's own backbone")] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="folder of photographs; default: procedural images")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="folder for the weights and their card")] = Path("petlir-weights"),
    without: Annotated[
        str, typer.Option("--without", help="kinds of degradation to leave out, e.g. 'jpeg,motion blur'")
    ] = "",
    only: Annotated[str, typer.Option("--only", help="keep only these degradations, e.g. 'noise,gaussian blur'")] = "",
    steps: Steps = None,
    data: Data = None,
    plugin: Plugin = None,
    device: Device = "auto",
) -> None:
    """Pre-train a backbone on clean images that are degraded on the fly; an interrupted run resumes when repeated."""
    from petlir.benchmark.plugins import find
    from petlir.benchmark.pretraining.command import pretrain_backbone

    plugins = find(plugin or [])
    lines = pretrain_backbone(
        plugins, recipe, backbone, out, images=images, steps=steps, data=data, device=device, without=without, only=only
    )
    for line in lines:
        echo(line)


@app.command()
def contract(
    target: Annotated[str, typer.Argument(help="FILE.py:Class, a method as written in a grid, or a backbone family")],
    backbone: Annotated[
        str,
        typer.Option(
            "-b", "--backbone", help="for a method: backbone families, or backbones at full size; * for all families"
        ),
    ] = "*",
    plugin: Plugin = None,
    as_json: Json = False,
) -> int:
    """Check a method (on a small network of each family) or a backbone (at a small size) against its contract.

    For a backbone family that a method does not support, the method must give a reason; without -b, the method must
    support at least one family.
    """
    from petlir.benchmark.contract import findings, trials
    from petlir.benchmark.plugins import find

    rows = [
        {"backbone": name, **asdict(finding)}
        for name, trial in trials(target, backbone, find(plugin or [])).items()
        for finding in findings(trial)
    ]
    show_rows(rows, as_json, _verdict)
    applicable = [row for row in rows if row["applicable"]]
    unfit = backbone == "*" and not applicable
    return 1 if unfit or not all(row["passed"] for row in applicable) else 0


def _verdict(row: dict[str, Any]) -> str:
    mark = ("ok" if row["passed"] else "FAIL") if row["applicable"] else "n/a"
    return f"{mark:<4} {row['backbone']}: {row['name']}{': ' + row['detail'] if row['detail'] else ''}"


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="method, backbone or task")],
    name: str,
    folder: Annotated[Path, typer.Option("--folder", help="folder for the new file")] = Path(),
) -> None:
    """Write a working template of a method, a backbone or a task."""
    from petlir.benchmark.commands import scaffold

    path = scaffold.new(kind, name, folder)
    echo(path)
    echo(f"next: {scaffold.next_command(kind, name, path)}")
