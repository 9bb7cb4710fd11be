"""Evaluation setup: protocols and environments, and checks that compared cells used the same images and weights."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.protocol import protocol
from petlir.benchmark.records.schema import Record


def described_protocols(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return the protocols used in scores, with descriptions."""
    names = {name for record in records for name in record.protocols}
    return [(name, _description(name)) for name in sorted(names)]


def _description(name: str) -> str:
    try:
        return protocol(name).describe()
    except PetlirError:
        return "A protocol unknown to this version of petlir."


def environments(records: Sequence[Record]) -> list[tuple[dict[str, object], int]]:
    """Return the distinct environments, each with the number of cells that ran in it, the most frequent first."""
    found = Counter(
        json.dumps(record.environment.model_dump(exclude_unset=True), sort_keys=True)
        for record in records
        if record.state == "done"
    )
    return [(json.loads(text), number) for text, number in found.most_common()]


def mixed(records: Sequence[Record]) -> list[str]:
    """Return a line for each comparison whose cells used different test images or weights."""
    images: dict[tuple[str, str], set[str]] = {}
    weights: dict[str, set[str]] = {}
    for record in records:
        if record.state == "done":
            cell, digests = record.cell, record.digests
            images.setdefault((cell.track, cell.task), set()).add(digests.data)
            weights.setdefault(cell.backbone, set()).add(digests.weights)
    return [
        f"{task} on the {track} track: runs were scored on {len(found)} different versions of the test images"
        for (track, task), found in images.items()
        if len(found) > 1
    ] + [
        f"{backbone}: runs started from {len(found)} different pre-trained weights"
        for backbone, found in weights.items()
        if len(found) > 1
    ]
