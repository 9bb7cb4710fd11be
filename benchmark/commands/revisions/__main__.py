"""`nox -s revisions`: check the table of revisions against the code, or change the table."""

from __future__ import annotations

from typing import Annotated

import typer

from petlir.benchmark.commands.revisions import check, same
from petlir.benchmark.errors import PetlirError


def revisions(
    same_: Annotated[
        list[str] | None,
        typer.Option("--same", metavar="FILE", help="a changed file that computes the same results, which is verified"),
    ] = None,
    raise_: Annotated[
        list[str] | None, typer.Option("--raise", metavar="FILE", help="a file whose results changed")
    ] = None,
    new: Annotated[list[str] | None, typer.Option("--new", metavar="FILE", help="a new file")] = None,
    name: Annotated[
        str, typer.Option("--name", help="with --new: the entry of the file from which the new file was split")
    ] = "",
    moved: Annotated[list[str] | None, typer.Option("--moved", metavar="FILE", help="a file that was moved")] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", metavar="FILE", help="a deleted file")] = None,
) -> None:
    """Check the table results/revisions.toml against the code; with an option, first change the table."""
    try:
        for file in new or ():
            typer.echo(check.add(file, name))
        for file in moved or ():
            typer.echo(check.move(file))
        for file in raise_ or ():
            typer.echo(check.raise_revision(file))
        for files, result in same.prove(same_ or ()):
            typer.echo(result)
            for file in files:
                typer.echo(check.keep_revision(file))
        for file in drop or ():
            typer.echo(check.drop(file))
        found = list(check.faults())
    except PetlirError as error:
        typer.echo(f"petlir: {error}", err=True)
        raise typer.Exit(2) from None
    for line in found:
        typer.echo(line)
    raise typer.Exit(1 if found else 0)


if __name__ == "__main__":
    typer.run(revisions)
