"""Test the peak memory of live tensors against arithmetic."""

from __future__ import annotations

import torch
from torch import nn

from petlir.benchmark.restoration.peak_memory import LiveBytes


def test_storages_count_from_their_making_to_their_end():
    before = torch.rand(1000)
    with LiveBytes() as live:
        first = before + 1
        second = first * 2
        del first
        kept = second.view(10, 100)
        del second
        kept = kept + 1
        before.view(10, 100).t()
    assert live.peak == 2 * 4000
    assert kept.shape == (10, 100)


@torch.no_grad()
def test_a_chain_holds_what_its_widest_layer_takes_and_gives():
    layers = ((3, 8), (8, 16), (16, 4))
    chain = nn.Sequential(*(nn.Conv2d(before, after, 3, padding=1) for before, after in layers))
    images = torch.rand(2, 3, 40, 30)
    with LiveBytes() as live:
        chain(images)
    assert live.peak == 2 * (8 + 16) * 40 * 30 * 4
