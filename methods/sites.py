"""Projections named by an option `sites`, and checks that a low-rank matrix can be added to them.

A fused projection `qkv` matches each of the names `query`, `key` and `value`.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from petlir.benchmark.backbone import Backbone, Site
from petlir.benchmark.backbones.packing import PROJECTIONS

FUSED = "qkv"
QUERY_VALUE = "query+value"
"""The projections that the LoRA paper adapts."""
ALL = "all"


def _names(sites: str) -> list[str]:
    """Return the names that `sites` joins by +, or an empty list for `all`."""
    return [] if sites == ALL else sites.split("+")


def _acting(name: str) -> set[str]:
    """Return the names under which a projection can occur: its own name, and `qkv` for query, key and value."""
    return {name, FUSED} if name in PROJECTIONS else {name}


def projections(backbone: Backbone, sites: str) -> list[Site]:
    """Return the projections named in `sites`, block by block."""
    names = set().union(*map(_acting, _names(sites)))
    return [site for block in backbone.blocks() for site in block.projections(*names)]


def lacking(backbone: Backbone, sites: str) -> str | None:
    """Return a message that names a missing projection, or None if `backbone` has all projections in `sites`."""
    present = dict.fromkeys(site.name for site in projections(backbone, ALL))
    absent = next((name for name in _names(sites) if _acting(name).isdisjoint(present)), None)
    if absent is None:
        return None
    return f"{backbone.name} has no {absent} projection; option sites takes {'+'.join(present)}, or all"


def not_dense(backbone: Backbone, found: Iterable[Site]) -> str | None:
    """Return a message about the first projection that is not a single matrix over channels, or None if all are."""
    for site in found:
        if not _is_dense(module := site.module):
            what = module if isinstance(module, nn.Conv2d) else type(module).__name__
            return f"{backbone.name}: {site.name} is {what}, expected a linear layer or a dense 1×1 convolution"
    return None


def _is_dense(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return (module.kernel_size, module.stride, module.padding, module.groups) == ((1, 1), (1, 1), (0, 0), 1)
    return isinstance(module, nn.Linear)


def beyond(found: list[Site], rank: int) -> str | None:
    """Return a message about the first projection that is narrower than the rank, or None if no projection is."""
    for site in found:
        outputs, inputs = site.module.get_parameter("weight").shape[:2]
        if rank > min(outputs, inputs):
            return f"rank {rank} is beyond a {site.name} projection of {inputs} to {outputs} channels"
    return None
