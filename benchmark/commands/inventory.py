"""What there is: plugins, image sets, parameter counts."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.commands.options import Data, Json, Methods, Plugin, show
from benchmark.errors import unknown

app = typer.Typer()


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
        show(rows)
    else:
        for row in rows:
            typer.echo(f"{row['name']:<22} {row['about']}")


@app.command()
def images(data: Data = None, as_json: Json = False) -> None:
    """Show which image sets are there, which are missing, and where to get them."""
    from benchmark.listing import presence

    rows = presence(data)
    if as_json:
        show(rows)
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
        show(rows)
    else:
        for row in rows:
            counted = (
                row["not_applicable"] or f"{row['trainable']:>12,} of {row['total']:,}  {row.get('published', '')}"
            )
            typer.echo(f"{row['label']:<40} {counted}")
