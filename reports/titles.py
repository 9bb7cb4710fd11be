"""What the built-in tasks are called on a page, and which of them are hybrid."""

from __future__ import annotations

import importlib
import pkgutil

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.grid import task
from petlir.benchmark.task import Task


def built_in_tasks() -> dict[str, Task]:
    """The tasks of the `tasks` folder by name; a task from elsewhere goes by its name on the page."""
    package = importlib.import_module("petlir.tasks")
    modules = (
        importlib.import_module(f"{package.__name__}.{entry.name}") for entry in pkgutil.iter_modules(package.__path__)
    )
    return {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Task)}


def named(label: str, tasks: dict[str, Task]) -> Task | None:
    """The task of a record's label, its variant included; None where it is not among `tasks`."""
    try:
        return task(label, tasks)
    except PetlirError:
        return None


def title(label: str, tasks: dict[str, Task]) -> str:
    """What the task of a record's label is called on a page."""
    found = named(label, tasks)
    return found.title if found else label
