"""The reproducible benchmark of parameter-efficient transfer learning in image restoration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from petlir.benchmark.runner import Outcome


def run(store: str | Path, *, grid: str = "demo", data: str | Path | None = None, **chosen: Any) -> Outcome:
    """Run a grid from Python, as `petlir run` does.

    Args:
        store: folder of the records.
        grid: the named grid that fills in what is not chosen.
        data: folder of image sets.
        chosen: `backbones`, `methods`, `tasks`, `track`, `seeds`, `steps`, `regime` as on the command line.

    Raises:
        PetlirError: a name, an option or a folder is wrong; nothing was run.
    """
    from petlir.benchmark import runner

    request = runner.request(grid, [], Path(data) if data else None, True, "float32", **chosen)
    return runner.run(request, Path(store))
