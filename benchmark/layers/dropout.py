"""Dropout whose mask does not depend on the device: it is drawn on the CPU, from the default generator there."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """As `torch.nn.Dropout`, and on a CPU the same bits; on any other device what a CPU would drop.

    Args:
        share: of the values that training drops, in [0, 1).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, features: Tensor) -> Tensor:
        """Return the features, in training with a share of the values dropped and the others scaled up."""
        if not self.training or not self.share:
            return features
        kept = torch.empty_like(features, device="cpu").bernoulli_(1 - self.share).div_(1 - self.share)
        return features * kept.to(features.device)

    def extra_repr(self) -> str:
        """Return the share."""
        return str(self.share)
