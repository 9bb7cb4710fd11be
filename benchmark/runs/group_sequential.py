"""Group-sequential runs: tied methods get more seeds, at interim analyses that are stated in advance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from petlir.benchmark import grid
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.files import headline_tables, newest
from petlir.benchmark.records.schema import Record
from petlir.benchmark.runs.interim_analyses import state
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.request import Request
from petlir.benchmark.runs.runner import Outcome
from petlir.benchmark.scoring.registry import LEADING
from petlir.benchmark.statistics import FEWEST_SEEDS, Comparison, compare, planned, printable
from petlir.benchmark.statistics.columns import rankable
from petlir.benchmark.statistics.convergence import converged
from petlir.benchmark.statistics.spending import SpendingPlan
from petlir.benchmark.store import Store


def plans(asked: Request, confidence: float, most: int) -> list[SpendingPlan]:
    """Return the planned interim analyses of a request, one plan for each backbone and task.

    Raises:
        PetlirError: `confidence` is out of range, or `most` is below the number of seeds of the first analysis.
    """
    if not 0.5 <= confidence < 1.0:
        raise PetlirError(f"--until-separable {confidence:g}: expected a confidence from 0.5 to below 1, e.g. 0.95")
    first = max(FEWEST_SEEDS, len(grid.seeds(asked.seeds)))
    if most < first:
        raise PetlirError(f"--max-seeds {most}: expected at least {first}, the number of seeds in the first analysis")
    cells = [cell for cell in Planner(asked).cells if cell.regime != "none"]
    where = dict.fromkeys((cell.backbone, cell.task, cell.track, cell.steps) for cell in cells)
    return [SpendingPlan(*place, planned(first, most), round(1 - confidence, 12)) for place in where]


def run(
    asked: Request,
    store: Store,
    work: Callable[[Request], Outcome],
    say: Callable[[str], None],
    *,
    confidence: float,
    most: int,
) -> Iterator[Outcome]:
    """Run a request, then run tied methods with more seeds until no methods are tied or all seeds are used.

    Args:
        asked: the request; the first analysis uses its seeds, and further seeds if these are fewer than three.
        store: the store of the records.
        work: the function that runs a request.
        say: called with a line before each additional run and, at the end, with a line for each column, i.e. for each
            image set and protocol.
        confidence: probability, over all analyses together, that no pair of methods in a column is falsely separated.
        most: number of seeds at the last analysis.

    Yields:
        The outcome of each run.
    """
    stating = plans(asked, confidence, most)
    state(store.create(), stating)
    given = grid.seeds(asked.seeds)
    seeds = [*given, *range(max(given) + 1, max(given) + 1 + most - len(given))]
    first, *later = stating[0].seeds if stating else (len(seeds),)
    yield work(replace(asked, seeds=_listed(seeds[:first])))
    for count in later:
        for plan in stating:
            if methods := tied(asked, store, plan, count):
                say(f"tied on {plan.backbone} · {plan.task}: {', '.join(methods)}; running {count} seeds")
                chosen = replace(asked, backbones=plan.backbone, tasks=plan.task, methods=",".join(methods))
                yield work(replace(chosen, seeds=_listed(seeds[:count])))
    for plan in stating:
        for where, found in columns(asked, store, plan).items():
            say(f"{plan.backbone} · {plan.task} · {where}: {_told(found, plan.seeds[-1])}")


def _told(found: Comparison, most: int) -> str:
    apart = sum(pair.apart for pair in found.pairs)
    if not printable(found.units, most):
        return f"too few scenes to tell methods apart: {found.units}"
    return f"pairs separated at analysis {found.analyses}: {apart} of {len(found.pairs)}"


def tied(asked: Request, store: Store, plan: SpendingPlan, seeds: int) -> list[str]:
    """Return the methods that are tied on an image set with enough scenes for a comparison with `seeds` seeds."""
    found = [one for one in columns(asked, store, plan).values() if printable(one.units, seeds)]
    pairs = [pair for comparison in found for pair in comparison.pairs if not pair.apart]
    return sorted({name for pair in pairs for name in (pair.better, pair.worse)})


def columns(asked: Request, store: Store, plan: SpendingPlan) -> dict[str, Comparison]:
    """Return the comparison of methods on each image set, under the headline protocols.

    Image sets on which too few methods can be ranked are left out.
    """
    import pandas as pd

    methods = asked.context.plugins.methods
    rows = pd.DataFrame(_rows(newest(record for record in store.records() if plan.covers(record.cell))))
    if rows.empty:
        return {}
    reference = rows.method.map(lambda name: name in methods and methods[name].reference)
    sets = rows.assign(column=rows.set + ", " + rows.protocol, reference=reference).groupby("column")
    found = {str(name): rankable(column[~column.reference], plan.seeds[0], column)[0] for name, column in sets}
    return {name: compare(scores, plan.alpha, plan.analyses) for name, scores in found.items() if scores}


def _rows(records: Iterable[Record]) -> Iterator[dict[str, object]]:
    for record in records:
        cell = record.cell
        if record.state == "done" and cell.regime != "none" and not record.smoke:
            named = {"label": cell.label, "method": cell.method, "seed": cell.seed}
            tested = converged(record.convergence)
            for table in headline_tables(record):
                for score in table.rows(LEADING):
                    yield {**named, **score._asdict(), LEADING: score.value, "converged": tested}


def _listed(seeds: Iterable[int]) -> str:
    return ",".join(map(str, seeds))
