"""Test the statistics that describe degradations: closed forms on noise, and images of any size."""

import numpy as np
import pytest
import torch
from torch import Tensor

from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.degradation import Degradation, Image
from petlir.benchmark.degradations.camera import CameraNoise
from petlir.benchmark.degradations.jpeg import Jpeg
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.rain import RainStreaks
from petlir.benchmark.images.procedural import leaves
from petlir.benchmark.layers.degradation_statistics import DegradationStatistics, high_pass, noise_level
from petlir.benchmark.restoration.restore import to_batch

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


def described(kind: Degradation, image: Image, top: int = 0) -> Tensor:
    """Return the statistics of a degraded image whose first `top` rows and columns are removed."""
    return DESCRIBE(tiny(), to_batch(kind.degrade(image, 3))[..., top:, top:])[0]


@pytest.mark.parametrize("top", [0, 1, 3])
def test_camera_noise_and_jpeg_leave_their_traces_wherever_the_crop_starts(top):
    kinds = (CameraNoise((0.01, 0.01)), Jpeg(10), RainStreaks("heavy"), GaussianNoise(50))
    traces = torch.stack([described(kind, leaves(5, 96), top) for kind in kinds])
    mosaic, blocks = traces[:, -9:-6].mean(1), traces[:, -6:-4].mean(1)
    for place, trace in enumerate((mosaic, blocks)):
        assert trace[place] - trace[torch.arange(4) != place].max() > 0.1, (place, trace)


def test_the_direction_of_streaks_is_that_of_rain():
    grey = np.full((96, 96, 3), 90, np.uint8)
    rain = to_batch(RainStreaks("heavy").degrade(grey, 3))
    falling, lying = (float(DESCRIBE(tiny(), image)[0, -1]) for image in (rain, rain.mT))
    assert falling > 0.5
    assert lying == pytest.approx(-falling, abs=1e-3)
