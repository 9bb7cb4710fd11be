"""Test SSF against its closed form, and merged into the weights."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from petlir.benchmark.backbones import build
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.training.adaptation import adapt, merge
from petlir.methods.ssf import SSF, ScaleShift
from tests.helpers.networks import ConvNet

BASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], bool]] = {
    "linear": (lambda: nn.Linear(6, 8), (2, 5, 6), False),
    "linear without bias": (lambda: nn.Linear(6, 8, bias=False), (2, 5, 6), False),
    "convolution": (lambda: nn.Conv2d(6, 8, 1, bias=False), (2, 6, 4, 5), True),
    "norm": (lambda: nn.LayerNorm(6), (2, 5, 6), False),
}


@pytest.mark.parametrize("name", BASES)
def test_output_is_scaled_and_shifted_and_folds(name):
    base, shape, maps = BASES[name]
    module, features = ScaleShift(base(), maps=maps), torch.randn(shape)
    axis = 1 if maps else -1
    plain = module.base(features).movedim(axis, -1)
    expected = (plain * module.scale + module.shift).movedim(-1, axis)
    torch.testing.assert_close(module(features), expected)
    folded = module.merged()
    assert type(folded) is type(module.base)
    torch.testing.assert_close(folded(features), expected)


def test_a_norm_of_another_kind_stays_wrapped():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6))

        def forward(self, features):
            return features * self.weight

    module = ScaleShift(Own(), maps=False)
    assert module.merged() is module


def test_a_network_with_such_norms_is_not_merged():
    adapted = adapt(ConvNet(), SSF(), "restore", seed=0)
    assert not merge(adapted.backbone)


def test_on_edt_the_norms_around_the_blocks_belong():
    """The paper counts 117K for 36 blocks of 2 norms (180 each), query, key, value, out, up (360) and down.

    The norms around the blocks add 360.
    """
    with torch.device("meta"):
        adapted = adapt(build("edt-b"), SSF(), "sr_x4", seed=0)
    own = 36 * 2 * (2 * 180 + 4 * 180 + 360 + 180)
    assert sum(p.numel() for p in adapted.trainable().values()) == own + 2 * 2 * 180


def test_the_whole_network_folds():
    adapted, images = adapt(tiny(), SSF(), "denoise_30", seed=3), torch.rand(2, 3, 12, 12)
    with torch.no_grad():
        before = adapted.backbone(images, "denoise_30")
        assert merge(adapted.backbone)
        after = adapted.backbone(images, "denoise_30")
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()
    assert not any(isinstance(module, ScaleShift) for module in adapted.backbone.modules())


def test_starts_near_the_identity_as_published():
    """The scale is drawn from N(1, 0.02) and the shift from N(0, 0.02)."""
    module = ScaleShift(nn.LayerNorm(200_000), maps=False)
    assert module.scale.mean().item() == pytest.approx(1, abs=1e-3)
    assert module.shift.mean().item() == pytest.approx(0, abs=1e-3)
    for vector in (module.scale, module.shift):
        assert vector.std().item() == pytest.approx(0.02, abs=1e-3)
