"""`petlir analyse transfer`: each task's adapter on every other task of its scale, against the frozen network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import torch

from benchmark.analysis.finished import Analysis, Finished, Looked, Row, by_label, frozen, looked_at
from benchmark.backbone import Backbone
from benchmark.bench import Bench
from benchmark.metrics import psnr
from benchmark.protocol import Protocol, protocol
from benchmark.restoration import restore, to_image


def transfer(found: Sequence[Finished], bench: Bench, device: str) -> Analysis:
    """For each label the matrix trained on × tested on: PSNR of the middle of each test image, in dB.

    What was trained behind one head is tested through the head of the other task, with the body that it changed.
    """
    analysis = Analysis()
    network = frozen(bench, str(found[0].record["cell"]["backbone"]), device)
    images = looked_at(found, network, bench, device)
    before = {cell.task: quality(network, cell, images) for cell in {cell.task: cell for cell in found}.values()}
    for label, cells in by_label(found):
        networks = {cell.task: cell.subject(bench, device) for cell in cells}
        if len(cells) < 2:
            analysis.left_out.append(f"{label}: it has cells of one task, and a matrix needs two")
        elif not any(one.adapted.state() for one in networks.values()):
            analysis.left_out.append(f"{label}: nothing of it was trained")
        else:
            for cell in cells:
                after = {trained: quality(one.network, cell, images) for trained, one in networks.items()}
                analysis.rows.extend(_rows(cell, before[cell.task], after))
            analysis.sentences.append(_sentence(analysis, label))
    return analysis


def _rows(cell: Finished, before: float, after: Mapping[str, float]) -> Iterator[Row]:
    for trained, found in after.items():
        yield {"label": cell.label, "trained": trained, "tested": cell.task, "psnr": found,
               "over_frozen": found - before}  # fmt: skip


@torch.no_grad()
def quality(network: Backbone, cell: Finished, images: Looked) -> float:
    """Mean PSNR over the middles of the test images of a cell's task, through the task's last head."""
    degraded, clean = images[cell.task]
    rule = _rule(cell)
    pairs = zip(restore(network, degraded, head=cell.head), clean, strict=True)
    return fmean(psnr(to_image(output[None]), to_image(whole[None]), rule) for output, whole in pairs)


def _rule(cell: Finished) -> Protocol:
    return protocol(str(cell.record["cell"]["protocols"][0]))


def _sentence(analysis: Analysis, label: str) -> str:
    rows = [row for row in analysis.rows if row["label"] == label]
    own = fmean(row["over_frozen"] for row in rows if row["trained"] == row["tested"])
    others = [row["over_frozen"] for row in rows if row["trained"] != row["tested"]]
    harmed = sum(gain < 0 for gain in others)
    return (
        f"{label}: on its own task {own:+.2f} dB over the frozen network on average, "
        f"on another {fmean(others):+.2f} dB; {harmed} of {len(others)} such pairs do harm."
    )
