"""The command line: parse arguments, call commands, print errors."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, cast

import typer

from petlir.benchmark import terminal
from petlir.benchmark.commands import (
    analyse,
    authoring,
    exporting,
    grids,
    inventory,
    maintenance,
    pictures,
    publishing,
)
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.signals import terminated_as_exit

app = typer.Typer(
    name="petlir",
    help="A reproducible benchmark of parameter-efficient transfer learning in image restoration.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PANELS = {
    "Run grids": grids,
    "Images": pictures,
    "Export adapters and networks": exporting,
    "What is available": inventory,
    "Publish, verify, compare": publishing,
    "Explain": analyse,
    "Extend": authoring,
    "Maintain": maintenance,
}
"""The headings of `petlir --help`, each with the module that defines the commands under it."""
for heading, part in PANELS.items():
    for command in part.app.registered_commands:
        command.rich_help_panel = heading
    app.add_typer(part.app)

UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__base__)
"""The class of Typer's parsing errors, which Typer does not export."""


def main() -> None:
    """Run the command line; on a user error, print one line and exit with code 2."""
    terminal.prepare_streams()
    # Pillow warns of images with more than 89 million pixels; petlir checks the memory that an image needs
    warnings.filterwarnings("ignore", "Image size .* exceeds limit")
    try:
        with terminated_as_exit():
            code = app(standalone_mode=False)
    except PetlirError as error:
        _fail(str(error))
    except UsageError as error:
        _fail(error.format_message())
    except OSError as error:  # e.g. a path that is too long or not readable, or output to a full disk
        if error.filename is None:
            terminal.discard_output()
        _fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str) -> None:
    terminal.echo(f"petlir: {terminal.one_line(line)}", err=True)
    sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"petlir {version('petlir')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """A reproducible benchmark of parameter-efficient transfer learning in image restoration."""


if __name__ == "__main__":
    main()
