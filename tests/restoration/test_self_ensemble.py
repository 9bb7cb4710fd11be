"""Test the mean over eight flips and rotations."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from petlir.benchmark.restoration.self_ensemble import eightfold

RANDOM = torch.Generator().manual_seed(0)
KERNEL = torch.rand(3, 3, 3, 3, generator=RANDOM)
IMAGES = torch.rand(2, 3, 5, 7, generator=RANDOM)


def network(images: Tensor) -> Tensor:
    """Apply an asymmetric convolution and double the size."""
    return torch.nn.functional.conv2d(images, KERNEL, padding=1).repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize(("quarters", "mirrored"), [*product(range(4), (False, True))])
def test_the_ensemble_of_any_network_turns_with_its_input(quarters, mirrored):
    def turned(images: Tensor) -> Tensor:
        images = images.rot90(quarters, (-2, -1))
        return images.flip(-1) if mirrored else images

    torch.testing.assert_close(eightfold(network, turned(IMAGES)), turned(eightfold(network, IMAGES)))


def test_it_is_the_convolution_with_the_mean_of_the_eight_kernels():
    """For a convolution, averaging outputs equals averaging the transformed kernels; numpy transforms them."""
    views = [np.rot90(k, n, (-2, -1)) for k in (KERNEL.numpy(), KERNEL.numpy()[..., ::-1]) for n in range(4)]
    mean = torch.from_numpy(np.mean(views, 0))
    expected = torch.nn.functional.conv2d(IMAGES, mean, padding=1)
    torch.testing.assert_close(eightfold(network, IMAGES)[..., ::2, ::2], expected)


def test_a_network_that_turns_with_its_input_is_left_alone():
    torch.testing.assert_close(eightfold(torch.sqrt, IMAGES), torch.sqrt(IMAGES))
