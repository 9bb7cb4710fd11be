"""Grouping of the blocks of a backbone: encoder, middle and decoder."""

from __future__ import annotations

from collections.abc import Mapping

from petlir.benchmark.backbone import Backbone, Block

PLACES = ("encoder", "middle", "decoder")


def places(backbone: Backbone) -> Mapping[str, list[Block]]:
    """Group the blocks by the first part of their names; a network with a single group is split into thirds."""
    blocks = list(backbone.blocks())
    names = [block.name.partition(".")[0] for block in blocks]
    if len(set(names)) == 1:
        names = [PLACES[index * len(PLACES) // len(blocks)] for index in range(len(blocks))]
    return {place: [block for block, name in zip(blocks, names, strict=True) if name == place] for place in names}
