"""Find plugins: the built-in folders, entry points of installed packages, and files given with `--plugin`.

Importing a module does not register anything; its namespace is searched for the classes and objects it defines.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard, TypeVar

import torch

from petlir.benchmark import backbones, grid
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones import Builder
from petlir.benchmark.errors import FAULTS, PetlirError, unknown
from petlir.benchmark.method import Method
from petlir.benchmark.revisions import table
from petlir.benchmark.revisions.sources import built_on
from petlir.benchmark.task import Family, Task
from petlir.benchmark.weights.sources import network_of, untrained

T = TypeVar("T")
MOVED = ("benchmark", "methods", "tasks", "reports")
"""Top-level packages before petlir 0.2; now subpackages of `petlir`."""


@dataclass(frozen=True)
class Plugins:
    """All methods, tasks and backbones that a grid can name."""

    methods: Mapping[str, type[Method]]
    tasks: Mapping[str, Task]
    backbones: Mapping[str, Builder]
    sources: Mapping[str, Path]
    """The file that defines each `kind:name`."""
    families: Mapping[str, Family] = field(default_factory=dict)

    def method(self, name: str) -> type[Method]:
        """Return the method of this name; the error for an unknown one suggests the nearest."""
        return _named("method", name, self.methods)

    def task(self, name: str) -> Task:
        """Return a task by name, by label such as `derain_light[train=Rain13K]`, or by the name of a family's task."""
        family, _, own = name.partition(":")
        if own and family in self.families and name not in self.tasks:
            return self.families[family].recall(own)
        return grid.task(name, self.tasks)

    def build(self, name: str, **options: Any) -> Backbone:
        """Build a backbone without its pre-trained weights; the initial weights of `NAME:none` are always the same."""
        builder = _named("backbone", network_of(name), self.backbones)
        with torch.random.fork_rng(devices=[], enabled=untrained(name)):
            if untrained(name):
                torch.manual_seed(0)
            network = backbones.construct(name, builder, options)
        if ":" in name:
            network.name = name
        return network

    def revisions(self, *names: str) -> tuple[str, ...]:
        """Return revisions of the files that define these `kind:name`s, and of their dependencies."""
        return table.components(path for name in names for path in built_on(self.sources[name]))


def _named(kind: str, name: str, found: Mapping[str, T]) -> T:
    if name not in found:
        raise unknown(kind, name, found)
    return found[name]


def find(files: Sequence[Path] = (), opened: Sequence[str] = ()) -> Plugins:
    """Find all plugins: the built-in ones, those of installed packages, and those of `files`.

    Args:
        files: the plugin files.
        opened: tasks of families, each `FAMILY:ARGUMENT`.

    Raises:
        PetlirError: a plugin file is missing, cannot be imported, defines nothing or reuses a name; or a family does
            not find a task.
    """
    found: dict[str, dict[str, Any]] = {"method": {}, "task": {}, "backbone": {}, "family": {}}
    sources: dict[str, Path] = {}
    for module in [*_built_in(), *_installed(), *(load_file(path) for path in files)]:
        source = Path(str(module.__file__))
        for kind, name, value in _offered(module):
            if found[kind].get(name) is value:
                continue  # imported here, defined elsewhere
            if before := sources.get(f"{kind}:{name}"):
                where = "twice" if before == source else f"which {before} defines too"
                raise PetlirError(f"plugin file {source} defines {kind} {name!r} {where}; rename one of them")
            found[kind][name], sources[f"{kind}:{name}"] = value, source
    for path in files:
        if path.absolute() not in sources.values():
            raise PetlirError(f"plugin file {path} defines no method, task or backbone")
    for text in opened:
        family, _, argument = text.partition(":")
        task = found["family"][family].open(argument)
        if task.name in found["task"]:
            raise PetlirError(f"two tasks are called {task.name}, one of them {text}; rename one")
        found["task"][task.name], sources[f"task:{task.name}"] = task, sources[f"family:{family}"]
    return Plugins(found["method"], found["task"], found["backbone"], sources, found["family"])


def _offered(module: ModuleType) -> Iterator[tuple[str, str, object]]:
    """Yield the plugins of a module: kind, name and object."""
    for name, value in vars(module).items():
        if _is_method(value, module):
            yield "method", value.name, value
        elif isinstance(value, Task):
            yield "task", value.name, value
        elif isinstance(value, Family):
            yield "family", value.name, value
        elif name in ("METHODS", "BACKBONES"):
            yield from ((name.removesuffix("S").lower(), key, each) for key, each in value.items())


def _is_method(value: object, module: ModuleType) -> TypeGuard[type[Method]]:
    """Return whether `value` is a concrete method defined in `module` itself."""
    return (
        isinstance(value, type)
        and issubclass(value, Method)
        and not inspect.isabstract(value)
        and value.__module__ == module.__name__
    )


def _built_in() -> Iterator[ModuleType]:
    for package_name in ("petlir.methods", "petlir.tasks"):
        package = importlib.import_module(package_name)
        for entry in pkgutil.iter_modules(package.__path__):
            yield importlib.import_module(f"{package_name}.{entry.name}")
    yield from backbones.modules()


def _installed() -> Iterator[ModuleType]:
    for group in ("petlir.methods", "petlir.tasks", "petlir.backbones"):
        for entry in entry_points(group=group):
            with _told(f"plugin {entry.module}"):
                module = importlib.import_module(entry.module)
            yield module


def load_file(path: Path) -> ModuleType:
    """Import a plugin file by its path."""
    if not path.is_file():
        raise PetlirError(f"plugin file {path} does not exist")
    name = f"petlir_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PetlirError(f"plugin file {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    with _told(f"plugin file {path}"):
        _refuse_old_imports(path)
        spec.loader.exec_module(module)
    return module


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Convert errors from importing a plugin into a one-line error that names it."""
    try:
        yield
    except PetlirError as error:
        raise PetlirError(f"{what} {error}") from error
    except (*FAULTS, ImportError, SyntaxError, NameError, OSError) as error:
        raise PetlirError(f"{what} cannot be imported: {type(error).__name__}: {error}") from error


def _refuse_old_imports(path: Path) -> None:
    """Reject a file written for petlir 0.1, whose subpackages were top-level packages.

    Users may have packages with these names; only imports that are missing or resolve to petlir's folders are rejected.
    """
    ours = Path(__file__).resolve().parents[1]
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            root = name.partition(".")[0]
            if root in MOVED and _origin(root) in (None, ours / root):
                raise PetlirError(f"imports `{name}`; since petlir 0.2 that is `petlir.{name}`")


def _origin(package: str) -> Path | None:
    """Return the folder of a top-level package, or the file of a top-level module; None if neither exists."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    folders = [*(spec.submodule_search_locations or ()), *filter(None, [spec.origin])]
    return Path(folders[0]).resolve()
