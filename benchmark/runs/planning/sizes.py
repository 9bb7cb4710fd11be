"""FLOPs and bytes of a cell's training step, counted from tensor shapes alone and cached."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from petlir.benchmark.backbones.meta_device import Kwargs, without_memory
from petlir.benchmark.containment import contained
from petlir.benchmark.costs import count, flops_of_step
from petlir.benchmark.errors import FAULTS
from petlir.benchmark.images.cache import cache_folder, store_text, stored_text
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import Plugins
from petlir.benchmark.training.adaptation import Adapted, adapt


@dataclass(frozen=True)
class Sizes:
    """The costs of a training step.

    Attributes:
        flops: FLOPs of the step's forward and backward pass; 0 if nothing is trained.
        saved: bytes saved for the backward pass.
        weights: bytes of parameters and buffers.
        trained: bytes of the trained parameters.
    """

    flops: int
    saved: int
    weights: int
    trained: int

    def bytes(self, share: float = 1.0) -> int:
        """Return the bytes of training, with gradients and AdamW's moments, if a pass reads a `share` of the batch."""
        return self.weights + 3 * self.trained + int(share * self.saved)


def sizes_of(plugins: Plugins, backbone: str, method: Method, head: str, batch: int, patch: int) -> Sizes | None:
    """Return the costs of a method's training step on a backbone, or None if shapes alone do not suffice to count them.

    Args:
        plugins: all plugins, including the backbone's.
        backbone: name of the backbone.
        method: the method applied to the backbone.
        head: the head that is trained.
        batch: crops per step.
        patch: side of a degraded training crop in pixels.
    """
    try:
        with without_memory(), contained():
            network = plugins.build(backbone)
            adapted = adapt(network, method, head, 0)
            flops, saved = counted(adapted, batch, patch) if method.trains else (0, 0)
    except FAULTS:
        return None
    size = count(network)
    return Sizes(flops, saved, size.total_bytes + sum(b.nbytes for b in network.buffers()), size.trainable_bytes)


def counted(adapted: Adapted, batch: int, patch: int) -> tuple[int, int]:
    """Count the FLOPs of a training step and the bytes saved for its backward pass; shapes without values suffice."""
    network, scale = adapted.backbone, adapted.backbone.heads[adapted.head]
    degraded, clean = torch.empty(batch, 3, patch, patch), torch.empty(batch, 3, patch * scale, patch * scale)
    adapted.train()
    with _saved(network) as saved, _Fused():
        flops = flops_of_step(lambda: functional.l1_loss(network(degraded, adapted.head), clean))
    return flops, sum(storage.nbytes() for storage in saved.values())


class _Fused(TorchFunctionMode):
    """A mode that runs attention as one fused kernel, as real devices do; on meta tensors, torch would not fuse it."""

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (), kwargs: Kwargs = None
    ) -> object:
        given = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return cast("Callable[..., Tensor]", _attention)(*args, **given)
        return func(*args, **given)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    output: Tensor = fused(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]
    return output


@contextmanager
def _saved(network: nn.Module) -> Iterator[dict[int, torch.UntypedStorage]]:
    """Collect the storages saved for the backward pass; tensors without values have no memory addresses to compare.

    For tensors with values, see `costs.saved_for_backward_bytes`.
    """
    held = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in held:
            saved[storage._cdata] = storage
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved


@dataclass
class Kept:
    """A cache file with previously counted costs of training steps."""

    path: Path = field(default_factory=lambda: cache_folder() / "step-sizes.json")

    def __post_init__(self) -> None:
        self._found: dict[str, Sizes | None] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):  # a cache: unreadable entries are recounted
            rows = json.loads(stored_text(self.path))
            self._found = {key: None if row is None else Sizes(*map(int, row)) for key, row in rows.items()}
        self._new = False

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Sizes | None:
        return self._found[key]

    def add(self, key: str, sizes: Sizes | None) -> None:
        """Add the counted costs of a training step; None if they cannot be counted."""
        self._found[key], self._new = sizes, True

    def write(self) -> None:
        """Write the cache file if costs were added and the file is writable."""
        if self._new:
            as_rows = {key: None if sizes is None else astuple(sizes) for key, sizes in self._found.items()}
            with suppress(OSError):
                store_text(self.path, json.dumps(as_rows))
