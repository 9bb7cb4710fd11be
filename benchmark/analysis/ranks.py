"""Ranks of the low-rank updates in stored adapters, e.g. the ranks that CoLoRA derives from contributions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from petlir.benchmark.analysis.contribution import places_of
from petlir.benchmark.analysis.finished import Analysis, Finished, Row, by_label
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.records.files import ADAPTER

Ranks = Mapping[str, int]
"""Ranks by projection name, in order of computation; 0 for projections without an update."""


def of_ranks(analysis: Analysis, found: Sequence[Finished], network: Backbone) -> set[str]:
    """Add the ranks of all cells with low-rank updates to `analysis`, and return the labels that it now mentions.

    Args:
        analysis: receives rows whose `level` is `rank`, and sentences.
        found: the cells, all of one backbone.
        network: the frozen backbone of the cells.
    """
    where, told = placed(network), set()
    for label, cells in by_label(found):
        before = len(analysis.left_out)
        known = list(_stored(analysis, cells, where))
        for cell, ranks in known:
            analysis.rows.extend(_rows(cell, ranks, where))
        if known:
            analysis.sentences.extend(_said(label, known, where))
        if known or len(analysis.left_out) > before:
            told.add(label)
    return told


def placed(network: Backbone) -> dict[str, str]:
    """Return the place (see `places_of`) of each block's dense projections, by module path, in order of computation."""
    names, where = {module: name for name, module in network.named_modules()}, places_of(network)
    modules = [site.module for block in network.blocks() for site in block.projections()]
    dense = [names[module] for module in modules if isinstance(module, nn.Linear | nn.Conv2d)]
    return {name: where[f"{name}.weight"] for name in dense}


def _stored(
    analysis: Analysis, cells: Sequence[Finished], where: Mapping[str, str]
) -> Iterator[tuple[Finished, Ranks]]:
    for cell in cells:
        path = cell.folder / ADAPTER
        try:
            tensors = load_file(path) if path.is_file() else {}
        except (OSError, SafetensorError) as error:
            analysis.left_out.append(f"{cell.name}: its weights are missing or damaged: {error}")
            continue
        ranks = {name: len(tensors.get(f"{name}.down", ())) if f"{name}.up" in tensors else 0 for name in where}
        if any(ranks.values()):
            yield cell, ranks


def _rows(cell: Finished, ranks: Ranks, where: Mapping[str, str]) -> Iterator[Row]:
    for name, rank in ranks.items():
        yield {"label": cell.label, "task": cell.task, "level": "rank", "group": name, "place": where[name],
               "rank": rank}  # fmt: skip


def _said(label: str, known: Sequence[tuple[Finished, Ranks]], where: Mapping[str, str]) -> Iterator[str]:
    given = {rank for _, ranks in known for rank in ranks.values() if rank}
    if len(given) == 1 and all(ranks == known[0][1] for _, ranks in known):
        yield f"{label}: rank {given.pop()} in every updated projection, on every task."
        return
    for cell, ranks in known:
        highest = max(ranks, key=lambda name: ranks[name])
        means = {
            place: fmean(rank for name, rank in ranks.items() if where[name] == place)
            for place in dict.fromkeys(where.values())
        }
        order = " > ".join(f"{place} {means[place]:.1f}" for place in sorted(means, key=lambda place: -means[place]))
        yield (
            f"{cell.name}: ranks {min(ranks.values())} to {max(ranks.values())} over {len(ranks)} projections, on "
            f"average {order}; highest at {highest}."
        )
