"""The command `analyse`, which explains the results of finished cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from petlir.benchmark.commands.options import STORE, Data, Device, Json, Out, Plugin, Store, Weights, show
from petlir.benchmark.errors import counted, unknown
from petlir.benchmark.terminal import echo

if TYPE_CHECKING:
    from petlir.benchmark.records.schema import RecordedCell

app = typer.Typer()


@app.command()
def analyse(
    name: Annotated[str, typer.Argument(help="fourier, contribution, response or transfer")],
    method: Annotated[
        str | None, typer.Option("-m", "--method", help="method labels, separated by commas; default: all")
    ] = None,
    task: Annotated[
        str | None, typer.Option("-t", "--task", help="task names, separated by commas; default: all")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option("-b", "--backbone", help="default: the pair of backbone and track with the most cells")
    ] = None,
    track: Annotated[
        str | None, typer.Option("--track", help="default: the pair of backbone and track with the most cells")
    ] = None,
    store: Store = STORE,
    out: Out = None,
    data: Data = None,
    plugin: Plugin = None,
    weights: Weights = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Analyse the frequencies, contributions, branches or transfer of finished cells; write CSV and print findings."""
    from petlir.benchmark.analysis.finished import cells, comparable
    from petlir.benchmark.analysis.studies import STUDIES, keep
    from petlir.benchmark.cells.context import context_of
    from petlir.benchmark.devices import pick
    from petlir.benchmark.grid import split
    from petlir.benchmark.store import Store as Records

    if name not in STUDIES:
        raise unknown("analysis", name, STUDIES)
    asked = {"label": method, "task": task, "backbone": backbone, "track": track}
    chosen = {word: split(text) for word, text in asked.items() if text}

    def wanted(cell: RecordedCell) -> bool:
        return all(getattr(cell, word) in names for word, names in chosen.items())

    context = context_of(plugin or [], data, weights or [])
    looked_at, others = comparable(cells(Records(store), wanted))
    found = STUDIES[name](looked_at, context, pick(device))
    found.left_out[:0] = others
    path = (out or store / "analyses") / f"{name}.csv"
    keep(found, path)
    if as_json:
        show({"rows": found.rows, "sentences": found.sentences, "left_out": found.left_out})
        return
    for line in (*found.sentences, *(f"not applicable: {reason}" for reason in found.left_out)):
        echo(line)
    echo(f"{counted(len(found.rows), 'row')}: {path}")
