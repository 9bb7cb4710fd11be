"""Test spectra against maps of known spectrum, and the maps that a method adds against its inserted module's output."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark.analysis.spectrum import (
    added_maps,
    curves_of,
    heterogeneity,
    interval,
    own_maps,
    relative_log_amplitude,
    resampled,
)
from petlir.benchmark.contract.toy_model import SMALL, tiny
from petlir.benchmark.training.adaptation import adapt
from petlir.methods.adaptformer import AdaptFormer
from petlir.methods.frozen import Frozen

HEAD = "denoise_30"


def map_of(amplitude: torch.Tensor, seed: int) -> torch.Tensor:
    """Return a real m×m map whose Fourier transform has this amplitude, even in both frequencies, and random phases."""
    noise = torch.rand(amplitude.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    transform = torch.fft.fft2(noise)
    image: torch.Tensor = torch.fft.ifft2(amplitude * transform / transform.abs()).real
    return image


@pytest.mark.parametrize("side", [16, 17])
def test_a_map_of_known_spectrum(side):
    k = torch.fft.fftfreq(side, dtype=torch.float64).abs() * side
    falling = [torch.exp(-rate * (k[:, None] + 2 * k)) for rate in (0.05, 0.2)]
    maps = torch.stack([map_of(one, seed) for seed, one in enumerate(falling)])[None]
    expected = torch.stack([one.log().diagonal()[: side // 2] for one in falling]).mean(0)
    torch.testing.assert_close(relative_log_amplitude(maps)[0], expected - expected[0], rtol=0, atol=1e-6)


@given(st.integers(0, 99), st.floats(0.01, 100))
def test_it_is_relative(seed, factor):
    maps = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(seed)).double()
    torch.testing.assert_close(relative_log_amplitude(factor * maps), relative_log_amplitude(maps))


def test_of_a_map_that_is_no_square_the_middle_counts():
    maps = torch.rand(1, 2, 10, 16)
    assert torch.equal(relative_log_amplitude(maps), relative_log_amplitude(maps[..., 3:13]))


def test_an_image_without_features_has_no_curve():
    maps = torch.stack([torch.rand(2, 8, 8), torch.zeros(2, 8, 8)])
    curves = relative_log_amplitude(maps)
    assert curves[0].isfinite().all()
    assert curves[1].isnan().all()


def test_resampling_keeps_straight_lines():
    line = torch.linspace(0, 7, 8, dtype=torch.float64)[None]
    assert resampled(line, 4).tolist() == [[0, 2, 4, 6]]


def test_the_distance_of_tasks_is_that_of_their_means():
    flat = {"a": np.zeros((3, 4)), "b": np.full((3, 4), 2.0), "c": np.full((3, 4), 3.0)}
    assert heterogeneity(flat) == pytest.approx((2 + 3 + 1) / 3)
    assert interval(flat, draws=20) == pytest.approx((2, 2))


def test_the_interval_covers_as_often_as_it_says():
    """The curves of two tasks differ by a known amount; each is estimated from 30 images."""
    numbers, covered = np.random.default_rng(0), 0
    for _ in range(200):
        curves = {"a": numbers.normal(0, 0.5, (30, 1)), "b": numbers.normal(1, 0.5, (30, 1))}
        low, high = interval(curves, draws=200)
        covered += low <= 1 <= high
    assert 0.89 <= covered / 200 <= 0.99


def filled(build):
    """Return a network with an AdaptFormer of nonzero output, and the frozen network."""
    adapted = adapt(build(), AdaptFormer(rank=2), HEAD, 0).backbone.eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad and "up" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    return adapted, build().eval()


@torch.no_grad()
def test_what_is_added_is_what_the_inserted_module_puts_out():
    adapted, frozen = filled(tiny)
    images, outputs = torch.rand(2, 3, 12, 12), []
    modules = [block.mlp.hooks.beside_input[0] for block in adapted.blocks()]
    for module, block in zip(modules, adapted.blocks(), strict=True):
        module.register_forward_hook(lambda m, i, output, layout=block.layout: outputs.append(layout.to_map(output)))
    added = added_maps(adapted, frozen, images, HEAD)
    assert len(added) == len(outputs) > 0
    for one, other in zip(added, outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    before = len(added)
    adapted(images, HEAD)
    assert len(added) == before, "nothing is watched any more"


@pytest.mark.parametrize("family", SMALL)
def test_every_family_has_curves(family):
    network = SMALL[family]().eval()
    head, side = min(network.heads), network.window or 32
    images = torch.rand(2, 3, side, side)
    assert np.isfinite(curves_of(own_maps(network, images, head))).all()
    still = adapt(SMALL[family](), Frozen(), head, 0).backbone.eval()
    assert np.isnan(curves_of(added_maps(still, network, images, head))).all()
