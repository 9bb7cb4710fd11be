"""A page for each paper: its numbers beside what came out here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from benchmark.published import claims, orderings
from reports import links
from reports.claims import Verdict, verdicts
from reports.material import Material
from reports.orderings import findings
from reports.pages.page import Page


def pages(material: Material) -> Iterator[Page]:
    """A page for each paper, and the list of them with the orderings that are tested."""
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts(material.records, claims()):
        found.setdefault(verdict.claim.paper, []).append(verdict)
    titles = {task: material.title(task) for task in {one.claim.task for some in found.values() for one in some}}
    for paper, some in sorted(found.items()):
        yield Page(links.page("claims", paper), "paper.html.j2", {"paper": paper, "verdicts": some, "titles": titles})
    rows = [(paper, Counter(one.verdict for one in some)) for paper, some in sorted(found.items())]
    values = {"rows": rows, "orderings": findings(material.records, orderings())}
    yield Page("claims/index.html", "claims.html.j2", values)
