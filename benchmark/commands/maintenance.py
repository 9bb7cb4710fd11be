"""Commands for maintenance: check the installation, remove leftovers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from petlir.benchmark.commands.options import STORE, Address, Data, Json, show
from petlir.benchmark.errors import counted
from petlir.benchmark.terminal import echo

app = typer.Typer()


@app.command()
def clean(
    store: Address = STORE,
    abandoned: Annotated[bool, typer.Option("--abandoned", help="also remove checkpoints of abandoned cells")] = False,
    cache: Annotated[
        str | None,
        typer.Option(
            "--cache", help="shrink the user's cache to this size, e.g. 10G, and remove nothing else", metavar="SIZE"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list what would be removed")] = False,
    as_json: Json = False,
) -> None:
    """Remove leftovers of unfinished work; records, adapters and images are kept."""
    from petlir.benchmark.store.cleaning import clean as cleaned
    from petlir.benchmark.store.remote import store_at

    if cache is not None:
        _cap(cache, dry_run, as_json)
        return
    found = cleaned(store_at(store), abandoned=abandoned, keep=dry_run)
    if as_json:
        show([asdict(one) for one in found])
        return
    for one in found:
        echo(f"{one.bytes / 2**20:8.1f} MiB  work/{one.key[:12]}  {one.about}")
    would = "would be removed" if dry_run else "removed"
    echo(f"{sum(one.bytes for one in found) / 2**20:.1f} MiB of {counted(len(found), 'cell')} {would}")


def _cap(size: str, dry_run: bool, as_json: bool) -> None:
    from petlir.benchmark.images.cache_size import cap, in_units, parse_size, sizes

    found = cap(parse_size(size), keep=dry_run)
    freed, left = sum(file.bytes for file in found), sizes().total()
    if as_json:
        show({"removed": [str(file.path) for file in found], "bytes": freed, "left": left})
        return
    would = "would be removed" if dry_run else "removed"
    echo(f"{in_units(freed)} in {counted(len(found), 'file')} {would}; the cache holds {in_units(left)}")


@app.command()
def doctor(data: Data = None, as_json: Json = False) -> int:
    """Check the installation: torch, device, data, weights, plugins and cache; exit with 1 if a check fails."""
    from petlir.benchmark.commands.doctor import examine

    found = list(examine(data))
    if as_json:
        show([asdict(one) for one in found])
    else:
        for one in found:
            echo(one)
    return 0 if all(one.ok for one in found) else 1
