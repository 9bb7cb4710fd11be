"""Test the classifier of degradations: what it learns, the class "none", its threshold, and its size."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.layers.classifier import ExpertClassifier


@dataclass(frozen=True)
class Means:
    """A description of images by the mean of each channel."""

    def width(self, backbone: Backbone) -> int:
        return 3

    def __call__(self, backbone: Backbone, images: Tensor) -> Tensor:
        return images.mean((2, 3))


COLOURS = torch.eye(3)


def coloured(noise: float = 0.0, seed: int = 0) -> Tensor:
    """Return a 3×3×1×1 batch with one image of each colour."""
    numbers = torch.Generator().manual_seed(seed)
    return (COLOURS + noise * torch.randn(3, 3, generator=numbers))[..., None, None]


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    found = ExpertClassifier(Means(), 3, (True, False, True))
    images = torch.cat([coloured(0.1, seed) for seed in range(20)])
    found.fit(images.mean((2, 3)), torch.tensor([0, 2, 1] * 20), torch.ones(60))
    return found


def test_it_tells_apart_what_it_learnt_and_leaves_out_what_is_not_eligible(classifier):
    """Red belongs to the first expert, green to none, blue to the third; the second expert is not eligible."""
    weights = classifier(tiny(), coloured(0.05, 99))
    assert weights.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_forced_it_takes_an_expert_for_every_image(classifier):
    assert classifier.forced(tiny(), coloured(0.05, 99)).sum(1).tolist() == [1, 1, 1]


def test_an_unlikely_expert_is_not_taken(classifier):
    images = coloured()
    certainty = classifier.probabilities(tiny(), images)[0, 0]
    before = classifier.threshold.clone()
    classifier.threshold.fill_(float(certainty) + 1e-3)
    assert classifier(tiny(), images)[0].tolist() == [0, 0, 0]
    classifier.threshold.copy_(before)
    assert classifier(tiny(), images)[0].tolist() == [1, 0, 0]


def test_without_an_eligible_expert_there_is_none():
    found = ExpertClassifier(Means(), 3, (False, False))
    assert found(tiny(), coloured()).tolist() == found.forced(tiny(), coloured()).tolist() == [[0, 0]] * 3


def test_it_has_at_most_a_thousand_parameters(classifier):
    assert sum(weight.numel() for weight in classifier.weights) == 4 * 16 + 17 * 3
    with pytest.raises(PetlirError, match=r"a router among 21 experts has \d+ parameters, expected at most 1000"):
        ExpertClassifier(Means(), 39, (True,) * 21)
