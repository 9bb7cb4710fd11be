"""Lists that need neither torch nor pandas: tracks, protocols, image sets, tasks, the states of a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petlir.benchmark.protocol import KNOWN, protocol
from petlir.benchmark.task import Family, Task
from petlir.benchmark.track import TRACKS

if TYPE_CHECKING:
    from petlir.benchmark.store import Store
    from petlir.benchmark.store.index import Index

Row = dict[str, Any]


def tasks(files: Sequence[Path]) -> list[Row]:
    """Return the tasks and families of tasks."""
    found, families = _all_tasks(files)
    single = [
        {
            "name": name,
            "about": f"{task.title}{_options(task)}",
            "protocols": list(task.protocols),
            "tracks": sorted(task.data),
            "options": {option: list(values) for option, values in task.variants.items()},
        }
        for name, task in sorted(found.items())
    ]
    return single + [{"name": f"{one.name}:{one.argument}", "about": one.title} for one in families]


def _options(task: Task) -> str:
    return "".join(f"; {option}={'|'.join(values)}" for option, values in task.variants.items())


def _all_tasks(files: Sequence[Path]) -> tuple[Mapping[str, Task], Sequence[Family]]:
    """Return tasks by name, and families; other plugins are imported only where there may be tasks in them."""
    from petlir.benchmark.plugin_modules import any_installed, modules_of

    if files or any_installed():
        from petlir.benchmark.plugins import find

        plugins = find(files)
        return plugins.tasks, list(plugins.families.values())
    own = [value for module in modules_of("petlir.tasks") for value in vars(module).values()]
    families = {value.name: value for value in own if isinstance(value, Family)}
    return {value.name: value for value in own if isinstance(value, Task)}, list(families.values())


def tracks(_: Sequence[Path] = ()) -> list[Row]:
    """Return the tracks."""
    return [
        {"name": t.name, "about": f"{t.title}; needs {t.needs}; {t.steps} steps", "steps": t.steps}
        for t in TRACKS.values()
    ]


def protocols(_: Sequence[Path] = ()) -> list[Row]:
    """Return the protocols of the literature."""
    return [
        {"name": name, "about": f"{protocol(name).describe()} Used: {used}.", "used": used}
        for name, used in KNOWN.items()
    ]


def images(_: Sequence[Path] = ()) -> list[Row]:
    """Return the image sets of the catalogue."""
    from petlir.benchmark.images import catalogue

    sets = map(catalogue.image_set, catalogue.names())
    return [{"name": s.name, "about": f"{s.title}; {s.licence}", "source": s.source} for s in sets]


LIGHT: Mapping[str, Callable[[Sequence[Path]], list[Row]]] = {
    "tracks": tracks,
    "protocols": protocols,
    "images": images,
    "tasks": tasks,
}
"""The lists of this module; a row has a name, a line about it, and what JSON readers may want."""
TESTED = {
    "backbone": "backbone", "method": "method", "task": "task", "track": "track", "rate": "rate", "trials": "trials",
    "steps": "T", "psnr": "dB at T", "half_psnr": "dB at T/2", "change": "change in dB", "verdict": "doubling test",
}  # fmt: skip
"""The columns of the table of doubling tests."""


def as_markdown(kind: str, rows: Sequence[Row]) -> str:
    """A list as a page: a table of names, and of what each is; of doubling tests, with a column for each number."""
    columns = TESTED if kind == "convergence" else {"name": kind, "about": "what it is"}
    lines = [[_in_markdown(row.get(name), code=name == "name") for name in columns] for row in rows]
    made = f"Made by `petlir list {kind} --markdown`."
    table = ["| " + " | ".join(cells) + " |" for cells in (list(columns.values()), ["---"] * len(columns), *lines)]
    return "\n".join([f"# {kind.capitalize()}", "", made, "", *table])


def _in_markdown(value: object, *, code: bool) -> str:
    text = ("–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)).replace("|", "&#124;")
    return f"`{text}`" if code else text


def states(index: Index) -> tuple[dict[str, int], list[Row]]:
    """The records of a store by state, and those without a result."""
    counts = Counter(str(head.state) for head in index.heads)
    failures = [{"state": h.state, "cell": h.title, "reason": h.reason} for h in index.heads if h.retried]
    return dict(counts), failures


def working(store: Store) -> list[Row]:
    """What is being worked on: by whom, how far it is, and whether that process still lives."""
    return [
        {
            "state": "running" if one.alive else "dead",
            "cell": one.title,
            "by": f"{one.process.host}:{one.process.pid}",
            "since": one.since,
            "share": one.share,
            "about": one.text,
        }
        for one in store.leases.standing()
    ]
