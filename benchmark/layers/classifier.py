"""A classifier of degradations that selects one of several experts, or none, for an image."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.layers.routing import Describe

if TYPE_CHECKING:
    from petlir.benchmark.backbone import Backbone

HIDDEN = 16
"""The width of a classifier's hidden layer."""
LARGEST = 1000
"""The maximum number of parameters of a classifier."""
STEPS, RATE, DECAY = 300, 0.02, 0.01
"""Number of full-batch AdamW steps, initial learning rate (cosine decay to 0) and weight decay."""
JITTER = 0.1
"""Standard deviation of the noise that is added to standardised descriptions in training."""
EXTREME = 4.0
"""The magnitude at which standardised descriptions are clipped."""
SURE = 0.5
"""The default minimum probability at which an expert is selected."""


class ExpertClassifier(nn.Module):
    """A hard decision between K experts and "none" for each image, by two linear layers that read its description.

    An expert is selected if it is the most probable class and its probability is at least its `threshold`.

    Args:
        describe: computes the description of an image.
        width: D, the length of the description.
        eligible: whether each of the K experts can be selected; the weight of an ineligible expert is always 0.

    Raises:
        PetlirError: the classifier would have more than 1,000 parameters.
    """

    def __init__(self, describe: Describe, width: int, eligible: Sequence[bool]) -> None:
        super().__init__()
        self.describe, self.eligible = describe, tuple(eligible)
        classes = sum(self.eligible) + 1
        count = (width + 1) * HIDDEN + (HIDDEN + 1) * classes
        if count > LARGEST:
            raise PetlirError(
                f"a router among {classes - 1} experts has {count} parameters, expected at most {LARGEST}"
            )
        self._shapes = ((width,), (width,), (HIDDEN, width), (HIDDEN,), (classes, HIDDEN), (classes,), (classes - 1,))
        first, second = (torch.empty(shape) for shape in (self._shapes[2], self._shapes[4]))
        for weight in (first, second):
            nn.init.kaiming_uniform_(weight, a=5**0.5)
        values = (torch.zeros(width), torch.ones(width), first, torch.zeros(HIDDEN), second, torch.zeros(classes))
        self.numbers = nn.Buffer(torch.cat([*(value.flatten() for value in values), torch.full((classes - 1,), SURE)]))

    @property
    def standard(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the training descriptions, D values each."""
        mean, deviation, *_ = self._parts
        return mean, deviation

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """The tensors that are trained: weights and biases of both layers."""
        return self._parts[2:6]

    @property
    def threshold(self) -> Tensor:
        """The minimum probability at which each eligible expert is selected."""
        return self._parts[6]

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        """The stored parameters, split into tensors that share memory with `numbers`."""
        parts = torch.split(self.numbers, [prod(shape) for shape in self._shapes])
        return tuple(part.view(shape) for part, shape in zip(parts, self._shapes, strict=True))

    def fit(self, described: Tensor, labels: Tensor, importance: Tensor) -> None:
        """Train on the CPU with the cross-entropy loss and PyTorch's global random generator.

        Args:
            described: M×D descriptions of images.
            labels: M class indices; the eligible experts come first, in order, and "none" comes last.
            importance: M non-negative weights of the examples.
        """
        mean, deviation = described.mean(0), described.std(0).clamp(min=1e-3)
        for part, found in zip(self.standard, (mean, deviation), strict=True):
            part.copy_(found)
        trained = [weight.detach().cpu().clone() for weight in self.weights]
        standard = _standardised(described, mean, deviation)
        importance = importance / importance.sum()
        optimizer = torch.optim.AdamW([weight.requires_grad_() for weight in trained], RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            optimizer.zero_grad()
            logits = _logits(standard + JITTER * torch.randn_like(standard), trained)
            losses = functional.cross_entropy(logits, labels, reduction="none")
            torch.autograd.backward((losses * importance).sum())
            optimizer.step()
            schedule.step()
        for weight, found in zip(self.weights, trained, strict=True):
            weight.copy_(found.detach())

    @torch.no_grad()
    def probabilities(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return the probabilities of the eligible experts and, last, of "none" for N×3×H×W images."""
        with torch.autocast(images.device.type, enabled=False):
            standard = _standardised(self.describe(backbone, images), *self.standard)
            return _logits(standard, self.weights).softmax(1)

    def forward(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return N×K weights of the experts for N×3×H×W images; each row is one-hot or, for "none", zero."""
        return self.decide(self.probabilities(backbone, images))

    def decide(self, probabilities: Tensor) -> Tensor:
        """Convert the probabilities of the eligible experts and "none" to N×K weights of all experts."""
        taken = functional.one_hot(probabilities.argmax(1), probabilities.shape[1])[:, :-1]
        return self._scattered(taken * (probabilities[:, :-1] >= self.threshold))

    def forced(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return N×K weights, each row one-hot for the most probable expert, however probable "none" is."""
        experts = self.probabilities(backbone, images)[:, :-1]
        if not experts.shape[1]:
            return self._scattered(experts)
        return self._scattered(functional.one_hot(experts.argmax(1), experts.shape[1]))

    def _scattered(self, taken: Tensor) -> Tensor:
        """Expand the weights of the eligible experts to N×K weights of all experts."""
        weights = self.numbers.new_zeros(len(taken), len(self.eligible))
        weights[:, [place for place, able in enumerate(self.eligible) if able]] = taken.to(weights)
        return weights


def _standardised(described: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    return ((described - mean) / deviation).clamp(-EXTREME, EXTREME)


def _logits(standard: Tensor, weights: Sequence[Tensor]) -> Tensor:
    hidden_weight, hidden_bias, class_weight, class_bias = weights
    return functional.linear(functional.linear(standard, hidden_weight, hidden_bias).tanh(), class_weight, class_bias)
