"""What the built-in tasks are called on a page, and which of them are hybrid."""

from __future__ import annotations

import importlib
import pkgutil

from benchmark.task import Task


def built_in_tasks() -> dict[str, Task]:
    """The tasks of the `tasks` folder by name; a task from elsewhere goes by its name on the page."""
    package = importlib.import_module("tasks")
    modules = (importlib.import_module(f"tasks.{entry.name}") for entry in pkgutil.iter_modules(package.__path__))
    return {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Task)}
