"""Commands for the user's own images: score, degrade, adapt, restore."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from petlir.benchmark.commands.options import (
    STORE,
    Address,
    Backbones,
    Device,
    Json,
    Methods,
    Metrics,
    Overlap,
    Plugin,
    Protocol,
    Steps,
    Store,
    Weights,
    Workers,
    show,
)
from petlir.benchmark.errors import PetlirError, counted
from petlir.benchmark.terminal import echo, one_line

app = typer.Typer()

SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="skip images that already exist in OUT")]


def _warn(line: str) -> None:
    echo(f"petlir: {one_line(line)}", err=True)


@app.command()
def score(
    restored: Path,
    reference: Path,
    protocol: Protocol = "rgb",
    every: Annotated[bool, typer.Option("--all-protocols", help="score under every protocol that papers use")] = False,
    metrics: Metrics = None,
    bicubic: Annotated[bool, typer.Option("--bicubic", help="enlarge smaller images bicubically first")] = False,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Score restored images against clean images, which are matched by file name."""
    from petlir.benchmark.devices import pick
    from petlir.benchmark.plugins import find
    from petlir.benchmark.protocol import protocol as named
    from petlir.benchmark.scoring import folders
    from petlir.benchmark.scoring.metrics import choose

    rules = folders.all_protocols() if every else [named(protocol)]
    registered = find(plugin or []).registered_metrics() if metrics or plugin else {}
    names = choose(metrics or "", registered)
    found = folders.side_by_side(restored, reference, rules, bicubic=bicubic, warn=_warn)
    there = (restored, reference, names, pick(device), registered)
    more = folders.measure_folders(*there, bicubic=bicubic) if names else []
    if as_json:
        told = {"metrics": more} if names else {}
        show({"protocols": found, **told} if every else {**found[0], **told})
        return
    for line in (*map(_scored, found), *map(_measured, more)):
        echo(line)


def _scored(scores: Mapping[str, Any]) -> str:
    psnr = scores["mean"]["psnr"]
    shown = psnr if isinstance(psnr, str) else f"{psnr:.2f}"
    left_out = f", {scores['identical']} identical left out" if isinstance(psnr, float) and scores["identical"] else ""
    images = f"{counted(len(scores['images']), 'image')}{left_out}"
    peaks = sorted({image["peak"] for image in scores["images"]} - {255})
    peak = f", peak {peaks[0]} (16 bit)" if peaks else ""
    return f"{shown} dB  SSIM {scores['mean']['ssim']:.4f}  {images}  {scores['protocol']}{peak}"


def _measured(metric: Mapping[str, Any]) -> str:
    if metric["unavailable"] is not None:
        return f"{metric['metric']}  not available: {metric['unavailable']}"
    about = f"{metric['better']} is better; {metric['colour']}; {metric['library']}"
    return f"{metric['metric']}  {metric['mean']:.4f}  {counted(len(metric['images']), 'image')}  {about}"


@app.command()
def degrade(
    task: str,
    clean: Path,
    out: Path,
    seed: Annotated[int, typer.Option(help="seed of noise, rain and other random effects", min=0)] = 0,
    skip_existing: SkipExisting = False,
    plugin: Plugin = None,
) -> None:
    """Degrade a folder of clean images with the degradation of a task."""
    from petlir.benchmark.cells.own_images import degrade_folder

    count = degrade_folder(task, clean, out, seed, plugin or [], skip_existing=skip_existing, warn=_warn)
    echo(f"{counted(count, 'image')} in {out}")


@app.command()
def adapt(
    folder: Annotated[
        Path,
        typer.Argument(
            help="folder of image pairs, with sub-folders noisy/ and clean/, or with both in each of train/ and test/"
        ),
    ],
    minutes: Annotated[float, typer.Option("--minutes", help="time limit in minutes")] = 10.0,
    backbone: Backbones = None,
    method: Methods = None,
    steps: Steps = None,
    store: Address = STORE,
    out: Annotated[
        Path | None, typer.Option("--out", help="folder for the best adapter; default: inside the store")
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
    plugin: Plugin = None,
    weights: Weights = None,
    allow_overlap: Overlap = False,
    as_json: Json = False,
) -> int:
    """Adapt a network to a folder of image pairs: try several methods, train the best, export its adapter."""
    from petlir.benchmark.commands import adapt as adapting
    from petlir.reports import terminal

    adapting.check_minutes(minutes)
    asked = adapting.Asked(
        folder, backbone, method, minutes, steps, device, workers, plugin or [], weights or [],
        allow_overlap,
    )  # fmt: skip
    found = adapting.adapt(asked, store, out, lambda line: echo(line, err=as_json))
    if found.best is None:
        when = "before you stopped the run" if found.interrupted else f"within {minutes:g} min"
        echo(f"petlir: no adapter was finished {when}; run the same command again to continue", err=True)
        return 1
    sentences = list(terminal.answer(found.best, found.records))
    if as_json:
        show({"results": terminal.rows(found.records), "answer": sentences, "adapter": str(found.adapter)})
        return 0
    terminal.show(terminal.detailed(found.records))
    for line in sentences:
        echo(line)
    echo(f"adapter: {found.adapter}")
    echo(f"to use the adapter: petlir restore IN OUT --adapter {found.adapter}")
    return 0


@app.command()
def restore(
    source: Path,
    out: Path,
    adapter: Annotated[
        str | None, typer.Option(help="folder of a cell or of an exported adapter, or hub:OWNER/NAME")
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="use the best adapter in the store")] = False,
    store: Store = STORE,
    task: Annotated[
        str | None, typer.Option("-t", "--task", help="the task for --best, if the store has several tasks")
    ] = None,
    bicubic: Annotated[
        int | None, typer.Option(help="enlarge bicubically by this factor, without a network", min=2)
    ] = None,
    device: Device = "auto",
    plugin: Plugin = None,
    weights: Weights = None,
    tiling: Annotated[
        str, typer.Option(help="tiling of large images: default, official (as in the network's own code) or whole")
    ] = "default",
    skip_existing: SkipExisting = False,
) -> None:
    """Restore an image or a folder of images with a trained adapter."""
    from petlir.benchmark.cells.own_images import restore_folder
    from petlir.benchmark.store import Store as Records
    from petlir.benchmark.store.best import best_folder

    if best and adapter is not None:
        raise PetlirError("restore takes --adapter or --best, but not both")
    if task is not None and not best:
        raise PetlirError(f"--task {task} requires --best")
    chosen = str(best_folder(Records(store), task)) if best else adapter
    if best:
        echo(f"with {chosen}")
    there = (source, out, chosen, bicubic, device, plugin or [], weights or [], tiling)
    count = restore_folder(*there, skip_existing=skip_existing, warn=_warn)
    echo(f"{counted(count, 'image')} in {out}")
