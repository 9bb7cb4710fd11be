"""Commands that list or check the available components: list, images, audit, params."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from petlir.benchmark.commands.options import Data, Json, Methods, Plugin, Tasks, Weights, show, show_rows
from petlir.benchmark.errors import unknown
from petlir.benchmark.terminal import echo

app = typer.Typer()


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="methods, tasks, backbones, tracks, protocols, images, weights or convergence")
    ],
    plugin: Plugin = None,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print a page of Markdown")] = False,
) -> None:
    """List methods, tasks, backbones, tracks, protocols, images, weights or convergence tests."""
    from petlir.benchmark.commands.lists import LIGHT, as_markdown

    lists = LIGHT
    if kind not in LIGHT:
        from petlir.benchmark.commands.listing import LISTS as lists  # noqa: N811 - all lists
    if kind not in lists:
        raise unknown("list", kind, lists)
    rows = lists[kind](plugin or [])
    if markdown:
        echo(as_markdown(kind, rows))
        return
    show_rows(rows, as_json, lambda row: f"{row['name']:<22} {row['about']}")


@app.command()
def images(data: Data = None, as_json: Json = False) -> None:
    """Show which image sets are complete, incomplete or missing, and where to get them."""
    from petlir.benchmark.commands.listing import presence

    show_rows(presence(data), as_json, lambda row: f"{row['name']:<20} {row['state']:<11} {row['about']}")


@app.command()
def audit(
    task: Tasks = None,
    track: Annotated[str, typer.Option("--track", help="demo, open or paper")] = "open",
    data: Data = None,
    weights: Weights = None,
    plugin: Plugin = None,
    as_json: Json = False,
) -> int:
    """Search training, validation and pre-training images for test images; exit with 1 if a test image is found."""
    from petlir.benchmark.cells.context import context_of
    from petlir.benchmark.commands import audit as command

    context = context_of(plugin or [], data, weights or [])
    lines = command.lines_of(context, task or "*", track)
    if as_json:
        show([line.to_dict() for line in lines])
    else:
        for text in (*command.described(lines), *command.unknown_pretraining(command.cards(context))):
            echo(text)
    return 1 if any(line.leaks for line in lines) else 0


@app.command()
def params(
    backbone: Annotated[str, typer.Option("-b", "--backbone")] = "ipt-nano",
    method: Methods = "*",
    published: Annotated[
        bool, typer.Option("--published", help="use the options for which papers report parameter counts")
    ] = False,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Count, for each method, the trainable parameters and all parameters of the adapted backbone."""
    from petlir.benchmark.commands.listing import parameters

    show_rows(parameters(backbone, method or "*", published, plugin or []), as_json, _counted)


def _counted(row: dict[str, Any]) -> str:
    if row["not_applicable"]:
        return f"{row['label']:<40} {row['not_applicable']}"
    paper = "  ".join(row[key] for key in ("published", "note") if key in row)
    return f"{row['label']:<40} {row['trainable']:>12,} of {row['total']:,}  {paper}"
