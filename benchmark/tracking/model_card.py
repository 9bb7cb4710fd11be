"""The Markdown card of a cell's adapter: description, scores and usage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from petlir.benchmark.records.recorded_costs import RecordedCosts
from petlir.benchmark.records.schema import Done, Record, RecordedCell
from petlir.benchmark.records.scores import ScoreTable
from petlir.benchmark.scoring.registry import LEADING, METRICS
from petlir.benchmark.weights.cards import described


def card(record: Record) -> str:
    """Return the model card of a record."""
    return "\n".join(_lines(record)) + "\n"


def _lines(record: Record) -> Iterator[str]:
    cell = record.cell
    yield f"# {cell.label} on {cell.backbone} for {cell.task}"
    yield ""
    if record.state != "done":
        yield f"{record.state}: {record.reason}"
        return
    yield _training(cell, record.costs)
    if cell.simulated:
        yield f"Simulated: {cell.simulated}."
    if record.smoke:
        yield "A smoke run, too short to rank methods."
    yield ""
    yield from _scores(record.tables)
    yield ""
    yield f"Pre-trained weights of {cell.backbone}: sha256 {_weights(record)}…{_provenance(record)}."
    if cell.regime != "none":
        yield from ("", "Usage:", "", "    petlir restore IN OUT --adapter CELL_FOLDER")


def _training(cell: RecordedCell, costs: RecordedCosts) -> str:
    if cell.regime == "none":
        return "Nothing was trained."
    return (
        f"{costs.trainable:,} of {costs.total:,} parameters trained, {cell.steps} steps of "
        f"{cell.batch_size} crops of {cell.patch}×{cell.patch}, AdamW at {cell.learning_rate:g} "
        f"({cell.regime}), seed {cell.seed}; {cell.task} in pre-training: {cell.transfer}."
    )


def _scores(tables: Iterable[ScoreTable]) -> Iterator[str]:
    """Yield the lines of a table of mean scores; images that equal their clean images are left out of every mean."""
    leading = METRICS[LEADING]
    headings = [*(metric.heading for metric in METRICS.values()), f"input {leading.heading}"]
    yield f"| set | protocol | images | {' | '.join(headings)} |"
    yield f"|---|---|---:|{'---:|' * len(headings)}"
    for table in tables:
        kept, count = table.differing(), len(table.images)
        left_out = count - len(kept.images)
        images = f"{count}, {left_out} identical" if left_out else f"{count}"
        means = [
            *((metric, kept.mean(name)) for name, metric in METRICS.items()),
            (leading, kept.mean(LEADING, "inputs")),
        ]
        shown = ["identical" if mean is None else metric.text(mean) for metric, mean in means]
        yield f"| {table.set} | {table.protocol} | {images} | {' | '.join(shown)} |"


def _provenance(record: Done) -> str:
    """Return the licence, paper and source of the pre-trained weights, if their card states them."""
    known = described(record.cell.backbone, record.digests.weights)
    if known is None:
        return ""
    told = (f"licence {known.licence}", known.paper, known.origin, known.source and f"`{known.source}`")
    return f" ({'; '.join(filter(None, told))})"


def _weights(record: Done) -> str:
    return record.digests.weights[:12]
