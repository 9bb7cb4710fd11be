"""Titles of the built-in tasks."""

from __future__ import annotations

import re

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.grid import task
from petlir.benchmark.plugin_modules import modules_of
from petlir.benchmark.task import Task


def built_in_tasks() -> dict[str, Task]:
    """Return the built-in tasks by name; tasks of plugins are left out, and reports show their names."""
    values = (value for module in modules_of("petlir.tasks") for value in vars(module).values())
    return {value.name: value for value in values if isinstance(value, Task)}


def named(label: str, tasks: dict[str, Task]) -> Task | None:
    """Return the task that a label in a record names, with its options; None if the task is not among `tasks`."""
    if re.split(r"[\[@]", label, maxsplit=1)[0] not in tasks:
        return None
    try:
        return task(label, tasks)
    except PetlirError:
        return None


def title(label: str, tasks: dict[str, Task]) -> str:
    """Return the title of the task that a label in a record names; the label itself if the task is unknown."""
    found = named(label, tasks)
    return found.title if found else label
