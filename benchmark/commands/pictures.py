"""On anyone's own images: score, degrade, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import Device, Json, Plugin, Protocol, Weights, show

app = typer.Typer()


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
        show(scores)
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
    weights: Weights = None,
    tiling: Annotated[str, typer.Option(help="default, official (as its own code does) or whole")] = "default",
) -> None:
    """Restore an image or a folder of images with a finished cell."""
    from benchmark.application import restore_folder

    count = restore_folder(source, out, adapter, bicubic, device, plugin or [], weights or [], tiling)
    typer.echo(f"{count} images in {out}")
