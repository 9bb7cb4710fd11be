"""Export of low-rank updates as a LoRA adapter for Hugging Face peft, whose keys name modules of the backbone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.training.adaptation import folded
from petlir.benchmark.writing import write_bytes, write_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
NEGLIGIBLE = 1e-9
"""Singular values count as rounding errors below this fraction of the largest; updates are computed in float64."""


@dataclass(frozen=True)
class LowRankUpdate:
    """An update of a projection's weight from W to W + up · down.

    Attributes:
        module: the projection's name in the network without an adapter.
        down: the factor of shape rank × inputs (× kernel).
        up: the factor of shape outputs × rank (× 1 × 1).
    """

    module: str
    down: Tensor
    up: Tensor

    @property
    def rank(self) -> int:
        """The rank of the update."""
        return len(self.down)


def low_rank_updates(adapted: Backbone, plain: Backbone) -> list[LowRankUpdate]:
    """Return the low-rank updates by which an adapted network differs from the same network without an adapter.

    Args:
        adapted: the network with its adapter, in evaluation mode.
        plain: the same network with its pre-trained weights; both networks are converted to float64.

    Returns:
        One update for each changed projection; an empty list if the adapter cannot be merged, changes other tensors, or
        makes a change that has no low-rank form.
    """
    before = plain.double().state_dict()
    with folded(adapted.double()) as whole:
        after = adapted.state_dict()
        layers = {name: module for name, module in adapted.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    if not whole or after.keys() != before.keys():
        return []
    updates = []
    for key in after:
        if not torch.equal(after[key], before[key]):
            name, _, kind = key.rpartition(".")
            update = (
                _factored(name, layers[name], after[key] - before[key]) if kind == "weight" and name in layers else None
            )
            if update is None:
                return []
            updates.append(update)
    return updates


def _factored(name: str, layer: nn.Linear | nn.Conv2d, change: Tensor) -> LowRankUpdate | None:
    """Return a change of weights as two factors, or None if two factors save no storage or the layer is grouped."""
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        return None
    left, values, right = torch.linalg.svd(change.flatten(1), full_matrices=False)
    rank = int((values > NEGLIGIBLE * values[0]).sum())
    if 2 * rank > len(values):
        return None
    root = values[:rank].sqrt()
    down, up = root[:, None] * right[:rank], left[:, :rank] * root
    ones = change.ndim - 2
    return LowRankUpdate(
        name, down.reshape(rank, *change.shape[1:]).float(), up.reshape(*up.shape, *[1] * ones).float()
    )


def write_peft(network: str, updates: Sequence[LowRankUpdate], out: Path) -> list[Path]:
    """Write updates as a peft adapter and return the paths of the written files.

    `peft.PeftModel.from_pretrained(petlir.load(network).module, out)` loads this adapter.
    """
    from safetensors.torch import save

    tensors = {}
    for update in updates:
        tensors[f"base_model.model.{update.module}.lora_A.weight"] = update.down.contiguous()
        tensors[f"base_model.model.{update.module}.lora_B.weight"] = update.up.contiguous()
    ranks = {update.module: update.rank for update in updates}
    largest = max(ranks.values())
    others = {re.escape(name): rank for name, rank in ranks.items() if rank != largest}
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": network,
        "inference_mode": True,
        "bias": "none",
        "lora_dropout": 0.0,
        "r": largest,
        "lora_alpha": largest,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": "|".join(map(re.escape, ranks)),
    }
    write_json(out / CONFIG, config)
    write_bytes(out / WEIGHTS, save(tensors))
    return [out / CONFIG, out / WEIGHTS]
