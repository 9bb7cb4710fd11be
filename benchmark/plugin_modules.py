"""Import of the modules that define plugins: built-in folders, entry points of installed packages, and files."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import logging
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from petlir.benchmark.containment import contained
from petlir.benchmark.errors import FAULTS, PetlirError

GROUPS = ("petlir.methods", "petlir.tasks", "petlir.backbones", "petlir.metrics")
"""The entry-point groups; a module declared in any of them may define plugins of all types."""
MOVED = ("benchmark", "methods", "tasks", "reports")
"""The top-level packages of petlir 0.1 that became subpackages of `petlir` in 0.2."""
PREFIX = "petlir_plugin_"
"""The prefix of the module name under which a plugin file is imported; the rest is the file's name without suffix."""


@dataclass(frozen=True)
class Loaded:
    """A module that may define plugins.

    Attributes:
        module: the imported module.
        file: the module's source file.
        described: the module's description in error messages, such as `plugin file fog.py`.
    """

    module: ModuleType
    file: Path
    described: str


def built_in() -> Iterator[Loaded]:
    """Import the modules that define petlir's built-in plugins."""
    from petlir.benchmark import backbones  # deferred, so that tasks can be listed without torch
    from petlir.benchmark.scoring import psnr_ssim

    for package in ("petlir.methods", "petlir.tasks"):
        yield from map(_loaded, modules_of(package))
    yield from map(_loaded, backbones.modules())
    yield _loaded(psnr_ssim)


def modules_of(package: str) -> Iterator[ModuleType]:
    """Import the modules of the package with this name."""
    for entry in pkgutil.iter_modules(importlib.import_module(package).__path__):
        yield importlib.import_module(f"{package}.{entry.name}")


def any_installed() -> bool:
    """Return whether an installed package declares plugins."""
    return any(entry_points(group=group) for group in GROUPS)


def installed(broken: list[str]) -> Iterator[Loaded]:
    """Import the modules that installed packages declare as plugins.

    For each module that cannot be imported, a line is appended to `broken`.
    """
    for group in GROUPS:
        for entry in entry_points(group=group):
            described = f"plugin {entry.value}" + (f" of {entry.dist.name} {entry.dist.version}" if entry.dist else "")
            try:
                with _told(described):
                    loaded = _loaded(_module_of(entry), described)
            except PetlirError as error:
                broken.append(str(error))
            else:
                yield loaded


def from_file(path: Path) -> Loaded:
    """Import a plugin file."""
    return _loaded(load_file(path))


@cache
def warn(line: str) -> None:
    """Log a line about a broken plugin, once per process."""
    logging.getLogger("petlir").warning(line)


def _loaded(module: ModuleType, described: str = "") -> Loaded:
    if module.__file__ is None:
        raise PetlirError("has no file of its own; expected a module")
    return Loaded(module, Path(module.__file__), described or f"plugin file {module.__file__}")


def _module_of(entry: EntryPoint) -> ModuleType:
    """Import the module of an entry point; if it names a class, return the module that defines the class."""
    value = entry.load()
    return importlib.import_module(value.__module__ if isinstance(value, type) else entry.module)


def load_file(path: Path) -> ModuleType:
    """Import a plugin file by its path."""
    if not path.is_file():
        raise PetlirError(f"plugin file {path} does not exist")
    name = f"{PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PetlirError(f"plugin file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    with _told(f"plugin file {path}"):
        _refuse_old_imports(path)
        spec.loader.exec_module(module)
    return module


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Convert any exception raised while importing a plugin into a one-line error that names the plugin."""
    try:
        with contained():
            yield
    except PetlirError as error:
        raise PetlirError(f"{what} {error}") from error
    except (*FAULTS, GeneratorExit) as error:
        raise PetlirError(f"{what} cannot be imported: {type(error).__name__}: {error}") from error


def _refuse_old_imports(path: Path) -> None:
    """Reject a plugin file that imports the top-level packages of petlir 0.1.

    A user's own package may be called `benchmark` or `tasks`, so an import is rejected only if the package does not
    exist or is part of petlir itself.
    """
    ours = Path(__file__).resolve().parents[1]
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            root = name.partition(".")[0]
            if root in MOVED and _origin(root) in (None, ours / root):
                raise PetlirError(f"imports `{name}`, which petlir 0.2 renamed to `petlir.{name}`")


def _origin(package: str) -> Path | None:
    """Return the folder of a top-level package, or the file of a top-level module; None if neither exists."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    folders = [*(spec.submodule_search_locations or ()), *filter(None, [spec.origin])]
    return Path(folders[0]).resolve()
