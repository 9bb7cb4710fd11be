"""A card of what a cell has trained, in Markdown: what it is, how it scored, how to use it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import fmean

from petlir.benchmark.records.files import differing
from petlir.benchmark.records.schema import Done, Record, RecordedCell, RecordedCosts, Score
from petlir.benchmark.weights import cards


def card(record: Record) -> str:
    """The card of a record."""
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
        yield "A smoke run: too short to rank anything by."
    yield ""
    yield "| set | protocol | images | PSNR (dB) | SSIM | input PSNR (dB) |"
    yield "|---|---|---:|---:|---:|---:|"
    yield from _scores(record.scores)
    yield ""
    yield f"Made for the weights of {cell.backbone} with sha256 {_weights(record)}…{_provenance(record)}; to use it:"
    yield ""
    yield "    petlir restore IN OUT --adapter CELL_FOLDER"


def _training(cell: RecordedCell, costs: RecordedCosts) -> str:
    if cell.regime == "none":
        return "Nothing was trained."
    return (
        f"{costs.trainable:,} of {costs.total:,} parameters trained, {cell.steps} steps of "
        f"{cell.batch_size} crops of {cell.patch}×{cell.patch}, AdamW at {cell.learning_rate:g} "
        f"({cell.regime}), seed {cell.seed}; {cell.task} is {cell.transfer} in pre-training."
    )


def _scores(rows: list[Score]) -> Iterator[str]:
    """A line for each set and protocol; images identical to the clean ones are left out of every mean."""
    found: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for row in rows:
        found[row.set, row.protocol].append(row)
    for (name, protocol), group in found.items():
        kept = differing(group)
        images = f"{len(group)}, {len(group) - len(kept)} identical" if len(kept) < len(group) else len(group)
        psnr, ssim, before = (
            f"{fmean(float(getattr(row, part)) for row in kept):.{digits}f}" if kept else "identical"
            for part, digits in (("psnr", 2), ("ssim", 4), ("input_psnr", 2))
        )
        yield f"| {name} | {protocol} | {images} | {psnr} | {ssim} | {before} |"


def _provenance(record: Done) -> str:
    """The licence, paper and source of the pre-trained weights, as far as a card tells them."""
    known = cards.described(record.cell.backbone, record.digests.weights)
    if known is None:
        return ""
    told = (f"licence {known.licence}", known.paper, known.origin, known.source and f"`{known.source}`")
    return f" ({'; '.join(filter(None, told))})"


def _weights(record: Done) -> str:
    return record.digests.weights[:12]
