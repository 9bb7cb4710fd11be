"""The report written at the end of a run, and the reference leaderboard shown in this report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.terminal import echo

if TYPE_CHECKING:
    from petlir.benchmark.runs.runner import Outcome


def ending(outcome: Outcome, address: str | None, reference: bool | None, *, again: bool) -> Iterator[str]:
    """Yield lines with the location of the report and the number of runs that agree with shipped records.

    Args:
        outcome: the outcome of the run.
        address: the store's address, or None to write no report.
        reference: whether to show the reference leaderboard in the report, or None to show it if it is installed.
        again: whether to write the report even if it is up to date.
    """
    from petlir.reports.agreement import agreement_of_run

    if address is not None:
        yield f"report: {_report(address, reference, again=again)}"
    if agreed := agreement_of_run(outcome.store, outcome.keys, lambda line: echo(f"petlir: {line}", err=True)):
        yield agreed


def _report(address: str, reference: bool | None, *, again: bool) -> Path:
    """Write a store's report and return its path; unless `again` is set, keep a report newer than records and code."""
    from petlir import reports
    from petlir.benchmark.store.index import Index
    from petlir.benchmark.store.remote import store_at

    store = store_at(address)
    page = store.root / "report" / "index.html"
    shown = max(path.stat().st_mtime for path in Path(reports.__file__).parent.rglob("*.*"))
    if not again and page.exists() and page.stat().st_mtime > max(shown, Index.from_store(store).changed):
        return page
    from petlir.reports.site import write_report

    store.fetch_all()
    return write_report(store.root, page.parent, reference=reference_beside(store.root, reference))


def reference_beside(store: Path, wanted: bool | None) -> Path | None:
    """Return the shipped reference store, or None if it is not wanted, is `store` itself, or is not installed.

    Raises:
        PetlirError: the reference store is requested but not installed.
    """
    from petlir.reports.agreement import LEADERBOARD, shipped_reference

    found = shipped_reference() if wanted is not False else None
    if wanted and found is None:
        raise PetlirError(f"--reference: {LEADERBOARD / 'reference'} holds no records; expected a checkout of petlir")
    return None if found and found.resolve() == store.resolve() else found
