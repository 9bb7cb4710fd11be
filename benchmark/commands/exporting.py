"""Commands that export adapters and networks for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from petlir.benchmark.commands.options import Plugin, Weights
from petlir.benchmark.terminal import echo

app = typer.Typer()
CellFolder = Annotated[Path, typer.Argument(help="the folder of a trained cell in a store, or a file in it")]


@app.command(name="export-adapter")
def export_adapter(
    cell: CellFolder,
    out: Annotated[Path, typer.Argument(help="the folder to write")],
    plugin: Plugin = None,
    weights: Weights = None,
) -> None:
    """Export an adapter with its card, options and digests; low-rank adapters are also written in peft's format."""
    from petlir.benchmark.publishing import adapter_folder

    for path in adapter_folder.export_adapter(cell, out, plugin or [], weights or []):
        echo(str(path))


@app.command()
def push(
    cell: CellFolder,
    target: Annotated[str, typer.Argument(help="hub:OWNER/NAME")],
    plugin: Plugin = None,
    weights: Weights = None,
) -> None:
    """Export an adapter and push it to the Hugging Face hub."""
    from tempfile import TemporaryDirectory

    from petlir.benchmark import hub
    from petlir.benchmark.publishing import adapter_folder

    hub.repository(target)
    with TemporaryDirectory() as folder:
        adapter_folder.export_adapter(cell, Path(folder), plugin or [], weights or [])
        commit = hub.upload_folder(Path(folder), target, "Adapter trained with petlir")
    echo(f"to use the adapter: petlir restore IN OUT --adapter {target}@{commit}")


@app.command(name="export-network")
def export_network(
    cell: CellFolder,
    out: Annotated[Path, typer.Argument(help="a new folder")],
    form: Annotated[str, typer.Option("--format", help="onnx (needs petlir[onnx]) or torch (torch.export)")] = "onnx",
    tile: Annotated[int | None, typer.Option("--tile", help="side of a tile in pixels", min=1)] = None,
    plugin: Plugin = None,
    weights: Weights = None,
) -> None:
    """Export an adapted network to ONNX or torch.export, with a small program that restores images of any size."""
    from petlir.benchmark.publishing import network_export

    difference = network_export.export_network(cell, out, form, tile, plugin or [], weights or [])
    echo(f"largest difference from the original network, on a tile of noise: {difference:.1e}")
    echo(f"to use the network: python {out / network_export.RUNNER} IN OUT")
