"""The text of the page: what the templates are given, and how they say it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmark.task import Task
from reports import curves, formats, pareto
from reports.analyses import studies
from reports.answer import answer
from reports.cells import listed
from reports.conditions import described_protocols, environments, mixed
from reports.costs import PARTS
from reports.frame import Record
from reports.gallery import gallery
from reports.groups import groups
from reports.metrics import further
from reports.rates import rates
from reports.results import Table
from reports.tables import kind_of

HERE = Path(__file__).parent
HUES = 6
"""Colours of the plots; further methods get them again, dashed otherwise."""
DASHES = 4


def render(
    store: Path,
    records: Sequence[Record],
    results: Sequence[Table],
    tasks: dict[str, Task],
    problems: list[str],
    images: Path,
) -> str:
    """The page as text; copies its pictures into `images`.

    Args:
        store: the folder that holds the records.
        records: what it holds, at least one.
        results: the tables of these records.
        tasks: the tasks that have a title.
        problems: one line on each file that could not be read.
        images: the folder `images` beside the page.
    """
    cells, colours = listed(records), classes(records)
    rate_rows = rates(records, store, problems.append)
    analyses = studies(store, problems.append)
    domain = min((table.domain for table in results), key=lambda name: name != "photographs")
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            answer=answer(results, records, cells),
            tables=results,
            domains=sorted({table.domain for table in results}),
            domain=domain,
            plots=[(table, pareto.plots(table, colours)) for table in results if table.domain == domain],
            gallery=gallery(records, store, images, tasks),
            curves=[(group, curves.curves(group.select(records), colours)) for group in groups(records)],
            colours=colours,
            cells=cells,
            rates=rate_rows,
            further=further(records),
            studies=analyses,
            protocols=described_protocols(records),
            environments=environments(records),
            problems=[*problems, *mixed(records)],
            titles={name: task.title for name, task in tasks.items()},
        )
    )


def classes(records: Sequence[Record]) -> dict[str, str]:
    """The style classes of each trained label, the same in every plot: a hue by method, a dash by size."""
    kinds = {record["cell"]["label"]: kind_of(record) for record in records}
    methods = {record["cell"]["label"]: record["cell"]["method"] for record in records}
    petl = sorted(label for label, kind in kinds.items() if kind == "petl")
    order = sorted({methods[label] for label in petl})
    found = {label: "hue-full" for label, kind in kinds.items() if kind == "full"}
    for index, method in enumerate(order):
        for dash, label in enumerate((label for label in petl if methods[label] == method), start=index // HUES):
            found[label] = f"hue-{index % HUES} dash-{dash % DASHES}"
    return found


def templates() -> Environment:
    """Jinja with everything escaped and an undefined name an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    named: tuple[Any, ...] = (
        formats.decibel, formats.signed, formats.count, formats.size,
        formats.flops, formats.seconds, formats.percent, formats.plural, formats.joined,
    )  # fmt: skip
    made.filters |= {function.__name__: function for function in named}
    made.globals |= {"static": static, "pareto": pareto, "chart": curves, "memory_parts": PARTS}
    return made


def static(name: str) -> Markup:
    """A file of the `static` folder, to stand inline; its source map is not part of the page."""
    lines = (HERE / "static" / name).read_text(encoding="utf-8").splitlines()
    return Markup("\n".join(line for line in lines if not line.startswith("//# sourceMappingURL")))
