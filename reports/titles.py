"""Titles of the built-in tasks."""

from __future__ import annotations

import re

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.grid import task
from petlir.benchmark.plugin_modules import modules_of
from petlir.benchmark.task import Task


def built_in_tasks() -> dict[str, Task]:
    """Return the tasks of the `tasks` folder by name; other tasks are shown by their names."""
    values = (value for module in modules_of("petlir.tasks") for value in vars(module).values())
    return {value.name: value for value in values if isinstance(value, Task)}


def named(label: str, tasks: dict[str, Task]) -> Task | None:
    """Return the task of a record's label, including its variant; None if it is not among `tasks`."""
    if re.split(r"[\[@]", label, maxsplit=1)[0] not in tasks:
        return None
    try:
        return task(label, tasks)
    except PetlirError:
        return None


def title(label: str, tasks: dict[str, Task]) -> str:
    """Return the title of the task of a record's label; the label itself for unknown tasks."""
    found = named(label, tasks)
    return found.title if found else label
