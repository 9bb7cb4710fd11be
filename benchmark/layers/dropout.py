"""Dropout with a device-independent mask, drawn from the default CPU generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout that equals `torch.nn.Dropout` on a CPU bit for bit; other devices drop the same values as a CPU.

    Args:
        share: fraction of the values dropped in training, in [0, 1).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, features: Tensor) -> Tensor:
        """Return the features; in training, drop a fraction of the values and scale up the rest."""
        if not self.training or not self.share:
            return features
        kept = torch.empty_like(features, device="cpu").bernoulli_(1 - self.share).div_(1 - self.share)
        return features * kept.to(features.device)

    def extra_repr(self) -> str:
        """Return the dropout rate as text."""
        return str(self.share)
