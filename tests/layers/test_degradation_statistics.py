"""Statistics of degradations: against their closed forms on noise, and of images of any size."""

import pytest
import torch

from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.layers.degradation_statistics import DegradationStatistics, high_pass, noise_level

DESCRIBE = DegradationStatistics()


@pytest.mark.parametrize("sigma", [0.02, 0.2])
def test_the_noise_level_is_that_of_the_noise(sigma):
    noise = sigma * torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert noise_level(high_pass(noise)).sub(sigma).abs().max() < 0.03 * sigma


def test_the_high_pass_hides_edges_along_the_axes():
    ramp = torch.linspace(0, 1, 20).expand(1, 1, 20, 20)
    step = (ramp > 0.5).float()
    for image in (ramp, ramp.mT, step, step.mT):
        assert high_pass(image).abs().max() < 1e-6


@pytest.mark.parametrize("size", [(1, 1), (2, 70), (48, 48), (33, 100)])
@pytest.mark.parametrize("constant", [False, True])
def test_images_of_any_size_have_finite_statistics(size, constant):
    images = torch.zeros(2, 3, *size) if constant else torch.rand(2, 3, *size)
    described = DESCRIBE(tiny(), images)
    assert described.shape == (2, DESCRIBE.width(tiny()))
    assert described.isfinite().all()


def test_an_image_is_described_alone():
    images = torch.rand(3, 3, 40, 40)
    together = DESCRIBE(tiny(), images)
    torch.testing.assert_close(torch.cat([DESCRIBE(tiny(), image[None]) for image in images]), together)
