"""The page of each method: description, published settings, results, and a command to reproduce each result."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from petlir.benchmark.records.files import headlines
from petlir.benchmark.records.groups import ANY
from petlir.benchmark.records.recorded_costs import RecordedCosts
from petlir.benchmark.records.schema import Done, Record, RecordedCell
from petlir.benchmark.scoring.registry import LEADING
from petlir.reports import links
from petlir.reports.claims import by_reason, verdicts
from petlir.reports.context import ReportContext
from petlir.reports.pages.page import Page

TRACKED = ("backbone", "label", "task", "track", "regime", "steps")


@dataclass(frozen=True)
class MethodResult:
    """The result of a label on a task, from cells that differ only in the seed.

    Attributes:
        state: the state of the cells, or, if states differ, the number of finished cells.
        psnr: mean PSNR in dB over seeds and photographs, or over other images if there are no photographs; None if no
            cell is finished.
        command: the shell command that reproduces the cells.
    """

    cell: RecordedCell
    seeds: tuple[int, ...]
    state: str
    reason: str
    domain: str
    psnr: float | None
    trainable: float | None
    command: str


def pages(context: ReportContext) -> Iterator[Page]:
    """Yield a page for each method with a record, and a page that lists the methods."""
    names = context.names("method")
    for name in names:
        yield Page(links.page("methods", name), "method.html.j2", _values(context, name))
    rows = [(name, context.method_cards.get(name), len(context.records_of("method", name))) for name in names]
    yield Page("methods/index.html", "methods.html.j2", {"rows": rows}, "Methods")


def _values(context: ReportContext, name: str) -> dict[str, object]:
    records = context.records_of("method", name)
    claimed = [one for one in context.claims if one.method.partition("[")[0] == name]
    return {
        "name": name,
        "method": context.method_cards.get(name),
        "lines": lines(records),
        "groups": by_reason(verdicts(records, claimed)) if claimed else [],
        "titles": {task: context.title(task) for task in context.names("task")},
    }


def lines(records: Sequence[Record]) -> list[MethodResult]:
    """Return the results on a method's page, sorted by backbone, label and task."""
    by_cell: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        by_cell.setdefault(tuple(getattr(record.cell, part) for part in TRACKED), []).append(record)
    return [_line(found) for _, found in sorted(by_cell.items(), key=lambda pair: str(pair[0]))]


def _line(found: Sequence[Record]) -> MethodResult:
    done = [record for record in found if record.state == "done"]
    first = (done or found)[0]
    domain, psnr = _psnr(done)
    states = sorted({record.state for record in found})
    return MethodResult(
        first.cell,
        tuple(sorted(record.cell.seed for record in found)),
        states[0] if len(states) == 1 else f"{len(done)} of {len(found)} done",
        "; ".join(sorted({record.reason for record in found if record.reason})),
        domain,
        psnr,
        first.costs.trainable if isinstance(first.costs, RecordedCosts) else None,
        command(found),
    )


def _psnr(done: Sequence[Done]) -> tuple[str, float | None]:
    """Return the first test set, preferably of photographs, with its headline protocol, and the mean PSNR on it."""
    scores = [table for record in done for table in record.tables]
    if not scores:
        return "", None
    first = min(scores, key=lambda table: table.domain != "photographs").set
    quoted = headlines(done[0])[first]
    own = [table for table in scores if (table.set, table.protocol) == (first, quoted)]
    values = [value for table in own for value in table.differing().value(LEADING)]
    return f"{first}, {quoted}", fmean(values) if values else None


def command(found: Sequence[Record]) -> str:
    """Return the shell command that runs the cells of the records."""
    cell = found[0].cell
    seeds = ",".join(str(seed) for seed in sorted({record.cell.seed for record in found}))
    words = ["petlir", "run", "-b", cell.backbone, "-m", cell.label, "-t", cell.task, "--track", cell.track]
    words += ["--seeds", seeds]
    if cell.regime != ANY:
        words += ["--regime", cell.regime, "--steps", str(cell.steps)]
    return shlex.join(words)
