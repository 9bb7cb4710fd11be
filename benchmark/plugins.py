"""Discovery of plugins that are built in, declared by installed packages, or defined in files given with `--plugin`.

Importing a module registers nothing; modules are searched for the plugins that they define.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import torch

from petlir.benchmark import backbones, grid, plugin_modules
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones import Builder
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.method import Method
from petlir.benchmark.metric import Metric
from petlir.benchmark.plugin_modules import Loaded
from petlir.benchmark.plugin_modules import load_file as load_file
from petlir.benchmark.revisions import table
from petlir.benchmark.revisions.sources import built_on
from petlir.benchmark.scoring.metrics import Registered
from petlir.benchmark.task import Family, Task
from petlir.benchmark.weights.sources import network_of, untrained

T = TypeVar("T")
NOTHING = "no method, task, backbone or metric"
CLASSES: Mapping[str, type] = {"method": Method, "metric": Metric}
"""The kinds of plugins that are classes, and the base class of each kind."""
KINDS: tuple[str, ...] = (*CLASSES, "task", "family", "backbone", "backbone family")
TABLES = {"METHODS": "method", "BACKBONES": "backbone"}
"""Names of module-level dictionaries (name → plugin) that define several plugins, and the kind of these plugins."""


@dataclass(frozen=True)
class Plugins:
    """All methods, tasks, backbones and metrics that a grid can name."""

    methods: Mapping[str, type[Method]]
    tasks: Mapping[str, Task]
    backbones: Mapping[str, Builder]
    sources: Mapping[str, Path]
    """The file that defines each plugin, by `kind:name`."""
    families: Mapping[str, Family] = field(default_factory=dict)
    metrics: Mapping[str, type[Metric]] = field(default_factory=dict)
    backbone_families: Mapping[str, type[Backbone]] = field(default_factory=dict)
    """The classes of backbones, each of which can build a small network; see `Backbone.small`."""
    broken: Sequence[str] = ()
    """One line for each installed plugin that could not be imported or defines nothing."""

    def method(self, name: str) -> type[Method]:
        """Return the method with this name; the error for an unknown name suggests the nearest known name."""
        return self._named("method", name, self.methods)

    def task(self, name: str) -> Task:
        """Return a task by name, by label such as `derain_light[train=Rain13K]`, or by the name of a family's task."""
        family, _, own = name.partition(":")
        if own and family in self.families and name not in self.tasks:
            return self.families[family].recall(own)
        return grid.task(name, self.tasks)

    def build(self, name: str, **options: object) -> Backbone:
        """Build a backbone without its pre-trained weights; a backbone `NAME:none` is initialised with a fixed seed."""
        builder = self._named("backbone", network_of(name), self.backbones)
        with torch.random.fork_rng(devices=[], enabled=untrained(name)):
            if untrained(name):
                torch.manual_seed(0)
            network = backbones.construct(name, builder, options)
        if ":" in name:
            network.name = name
        return network

    def registered_metrics(self) -> dict[str, Registered]:
        """Return the class and the code revisions of each metric, by name, except the metrics of pyiqa."""
        return {
            name: Registered(metric, ", ".join(self.revisions(f"metric:{name}")))
            for name, metric in self.metrics.items()
        }

    def revisions(self, *names: str) -> tuple[str, ...]:
        """Return revisions of the files that define the plugins `kind:name`, and of all files on which they depend."""
        return table.components(path for name in names for path in built_on(self.sources[name]))

    def _named(self, kind: str, name: str, found: Mapping[str, T]) -> T:
        if name not in found:
            raise PetlirError("; ".join([str(unknown(kind, name, found)), *self.broken]))
        return found[name]


def find(files: Sequence[Path] = (), opened: Sequence[str] = ()) -> Plugins:
    """Find all plugins: built-in plugins, plugins of installed packages, and plugins defined in `files`.

    An installed plugin that cannot be imported is logged and left out.

    Args:
        files: the plugin files.
        opened: tasks that belong to a family, each `FAMILY:ARGUMENT`.

    Raises:
        PetlirError: a plugin file is missing, cannot be imported or defines no plugin; a plugin's name is taken; or a
            family rejects its argument.
    """
    found: dict[str, dict[str, object]] = {kind: {} for kind in KINDS}
    sources: dict[str, Path] = {}
    broken: list[str] = []
    for loaded in plugin_modules.built_in():
        _take(loaded, found, sources)
    empty = [one for one in plugin_modules.installed(broken) if not _take(one, found, sources)]
    broken += [f"{one.described} defines {NOTHING}" for one in empty]
    for path in files:
        _take(plugin_modules.from_file(path), found, sources)
        if path.absolute() not in sources.values():
            raise PetlirError(f"plugin file {path} defines {NOTHING}")
    for line in broken:
        plugin_modules.warn(line)
    for text in opened:
        family, _, argument = text.partition(":")
        task = cast("Family", found["family"][family]).open(argument)
        if task.name in found["task"]:
            raise PetlirError(f"two tasks are called {task.name}, one of them {text}; rename one of them")
        found["task"][task.name], sources[f"task:{task.name}"] = task, sources[f"family:{family}"]
    return Plugins(
        cast("dict[str, type[Method]]", found["method"]),
        cast("dict[str, Task]", found["task"]),
        cast("dict[str, Builder]", found["backbone"]),
        sources,
        cast("dict[str, Family]", found["family"]),
        cast("dict[str, type[Metric]]", found["metric"]),
        cast("dict[str, type[Backbone]]", found["backbone family"]),
        tuple(dict.fromkeys(broken)),
    )


def _take(loaded: Loaded, found: dict[str, dict[str, object]], sources: dict[str, Path]) -> bool:
    """Add the plugins that a module defines; return whether it defines any."""
    offered = list(_offered(loaded))
    for kind, name, value in offered:
        if found[kind].get(name) is value:
            continue  # imported from the module that defines it
        if before := sources.get(f"{kind}:{name}"):
            where = "twice" if before == loaded.file else f"which {before} also defines"
            raise PetlirError(f"{loaded.described} defines {kind} {name!r} {where}; rename one of them")
        found[kind][name], sources[f"{kind}:{name}"] = value, loaded.file
    return bool(offered)


def _offered(loaded: Loaded) -> Iterator[tuple[str, str, object]]:
    """Yield the plugins that a module defines, each with its kind and name."""
    for name, value in vars(loaded.module).items():
        if isinstance(value, Task | Family):
            yield "task" if isinstance(value, Task) else "family", value.name, value
        elif name in TABLES:
            yield from ((TABLES[name], key, each) for key, each in value.items())
        elif isinstance(value, type) and value.__module__ == loaded.module.__name__ and not inspect.isabstract(value):
            yield from _of_class(value, loaded)


def _of_class(plugin: type, loaded: Loaded) -> Iterator[tuple[str, str, object]]:
    """Yield the plugins that a concrete class defines, each with its kind and name."""
    name = getattr(plugin, "name", None)
    for kind, contract in CLASSES.items():
        if issubclass(plugin, contract):
            if not isinstance(name, str):
                raise PetlirError(f'{loaded.described}: {plugin.__name__} has no name; expected `name = "…"`')
            yield kind, name, plugin
    if issubclass(plugin, Backbone):
        if isinstance(name, str):
            yield "backbone", name, plugin
        if isinstance(name, str) or "small" in vars(plugin):
            yield "backbone family", name or plugin.__name__.lower(), plugin
