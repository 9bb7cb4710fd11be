"""The sources of plugins that are not part of the project, stored with the results of their cells.

Stored sources are for reading and for submissions; a stored file is run only if the user names it with `--plugin`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from petlir.benchmark.errors import PetlirError, told
from petlir.benchmark.plugins import Plugins
from petlir.benchmark.revisions import table
from petlir.benchmark.revisions.sources import built_on
from petlir.benchmark.store import Store
from petlir.benchmark.writing import write_bytes

FOLDER = "plugins"
LARGEST = 2**20
"""The maximum size of a source file in bytes; parsing takes several hundred times as much memory."""
OUTSIDE = "outside:"
"""The prefix of the key component of a source file that is not part of the project."""


def outside(components: str) -> list[str]:
    """Return the digests, in a key's component `plugin`, of source files from outside the project."""
    return [name.removeprefix(OUTSIDE) for name in components.split() if name.startswith(OUTSIDE)]


def sources(plugins: Plugins) -> dict[str, Path]:
    """Return the plugins' source files from outside the project, by their digests in keys."""
    files = {file for path in plugins.sources.values() if table.relative(path) is None for file in built_on(path)}
    return {digest: file for file in files for digest in outside(table.component(file))}


def keep(plugins: Plugins, components: Iterable[str], store: Store) -> None:
    """Write cells' source files from outside the project into a store, as `plugins/<digest>/<name>.py`.

    Args:
        plugins: the plugins.
        components: the components `plugin` of the cells' keys.
        store: the store of the cells.
    """
    wanted = {digest for each in components for digest in outside(each)}
    for digest, file in sources(plugins).items() if wanted else ():
        target = store.root / FOLDER / digest / file.name
        if digest in wanted and not target.exists():
            write_bytes(target, file.read_bytes())
            store.publish(target)


def check(root: Path) -> None:
    """Check that each stored source file has the digest that its path states.

    Raises:
        PetlirError: a file has another digest, is larger than `LARGEST` or cannot be parsed; the message names the
            first such file.
    """
    for path in _files(root):
        name, digest = path.relative_to(root).as_posix(), path.parent.name
        if path.stat().st_size > LARGEST:
            raise PetlirError(f"{name} has {path.stat().st_size:,} bytes; expected at most {LARGEST:,}")
        try:
            found = table.code_digest(path)[: table.SHORT]
        except (RecursionError, MemoryError, ValueError) as error:
            raise PetlirError(f"{name} cannot be parsed: {told(error)}") from error
        if found != digest:
            raise PetlirError(f"{name} has the digest {found}, but its path says {digest}")


def stored(root: Path) -> dict[str, Path]:
    """Return the source files in a store, by digest."""
    return {path.parent.name: path for path in _files(root)}


def _files(root: Path) -> list[Path]:
    return sorted(root.glob(f"{FOLDER}/*/*.py"))
