"""The projections that an option `sites` names.

Where a network has queries, keys and values in one projection, `qkv`, it stands for each of them.
"""

from __future__ import annotations

from petlir.benchmark.backbone import Backbone, Site
from petlir.benchmark.backbones.packing import PROJECTIONS

FUSED = "qkv"
QUERY_VALUE = "query+value"
"""The sites of the LoRA paper."""
ALL = "all"


def _names(sites: str) -> list[str]:
    """Return the names joined by +; none where all are meant."""
    return [] if sites == ALL else sites.split("+")


def _acting(name: str) -> set[str]:
    """Return the names of the projections that act as this one."""
    return {name, FUSED} if name in PROJECTIONS else {name}


def projections(backbone: Backbone, sites: str) -> list[Site]:
    """The projections of these names, block by block."""
    names = set().union(*map(_acting, _names(sites)))
    return [site for block in backbone.blocks() for site in block.projections(*names)]


def lacking(backbone: Backbone, sites: str) -> str | None:
    """Which of the named projections `backbone` does not have, and which it has; None where it has all."""
    present = dict.fromkeys(site.name for site in projections(backbone, ALL))
    absent = next((name for name in _names(sites) if _acting(name).isdisjoint(present)), None)
    if absent is None:
        return None
    return f"{backbone.name} has no {absent} projection; option sites takes {'+'.join(present)}, or all"


def beyond(found: list[Site], rank: int) -> str | None:
    """Which projection a matrix of this rank has no room in; None where all have room."""
    for site in found:
        outputs, inputs = site.module.get_parameter("weight").shape[:2]
        if rank > min(outputs, inputs):
            return f"rank {rank} is beyond a {site.name} projection of {inputs} to {outputs} channels"
    return None
