"""For those who add something: weights, methods, tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import Device, Steps
from benchmark.errors import unknown

app = typer.Typer()


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
