"""What the built-in tasks are called on a page, and which of them are hybrid."""

from __future__ import annotations

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.grid import task
from petlir.benchmark.plugin_modules import modules_of
from petlir.benchmark.task import Task


def built_in_tasks() -> dict[str, Task]:
    """The tasks of the `tasks` folder by name; a task from elsewhere goes by its name on the page."""
    values = (value for module in modules_of("petlir.tasks") for value in vars(module).values())
    return {value.name: value for value in values if isinstance(value, Task)}


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
