"""Controls of UIR-LoRA that use validation images: the best LoRA, a convex mixture, and the best sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.restoration.restore import restored
from petlir.methods.uir_composition import Composer

DESCENT = 40
"""The number of Adam steps on the oracle's weights; each step uses all validation images."""
RATE = 0.3
"""Adam's learning rate for the logits of the oracle's weights."""

Pair = tuple[Tensor, Tensor]
"""A degraded 1×3×h×w image and its clean 1×3×sh×sw image, in [0, 1]."""
MixingError = Callable[[Tensor, Pair], Tensor]
"""(K weights, a pair) → error of the degraded image restored with these weights."""
Pass = Callable[[int, Tensor], Tensor]
"""(the index of an expert, or K for the frozen network; a 1×3×h×w image) → the image after this pass."""


def chosen(error: MixingError, members: Tensor, pairs: Sequence[Pair], kind: str) -> Tensor:
    """Return the K weights with the lowest error over `pairs`.

    Args:
        error: function that returns the error of a pair with given weights.
        members: M×K weights, one row per member: one row for each expert alone, and zeros for the frozen network.
        pairs: validation images.
        kind: `best` (the best single member) or `oracle` (the best convex mixture of the members).
    """
    candidates = [*members] if kind == "best" else [*members, descend(error, members, pairs)]

    @torch.no_grad()
    def total(weights: Tensor) -> float:
        return sum(float(error(weights, pair)) for pair in pairs)

    chosen_weights: Tensor = min(candidates, key=total)
    return chosen_weights


def descend(error: MixingError, members: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Return the K weights of a convex mixture of members, found by gradient descent from the mean of all members."""
    logits = members.new_zeros(len(members)).requires_grad_()
    optimizer = torch.optim.Adam([logits], RATE)
    for _ in range(DESCENT):
        optimizer.zero_grad()
        for pair in pairs:  # a backward pass for each pair keeps only one graph in memory
            torch.autograd.backward(error(logits.softmax(0) @ members, pair) / len(pairs))
        optimizer.step()
    weights: Tensor = logits.detach().softmax(0) @ members
    return weights


def mixing_error(backbone: Backbone, head: str, composer: Composer, weights: Tensor, pair: Pair) -> Tensor:
    """Return the mean absolute error of one image restored with K weights, differentiable with respect to them."""
    degraded, clean = pair
    with composer.given(weights[None]):
        return functional.l1_loss(restored(backbone, degraded, head), clean)


@torch.no_grad()
def best_sequence(run: Pass, scales: Sequence[int], scale: int, pairs: Sequence[Pair]) -> tuple[int, ...]:
    """Return the sequence of experts with the lowest mean absolute error over `pairs`, among all possible sequences.

    A sequence contains each expert at most once. The frozen network alone is one of the sequences. In super-resolution,
    the frozen network can also be part of a sequence, to enlarge the image in place of an expert.

    Args:
        run: function that restores an image with one expert or with the frozen network.
        scales: the super-resolution scale of each expert's head.
        scale: the super-resolution scale of the whole sequence.
        pairs: validation images.
    """
    frozen = len(scales)
    errors: dict[tuple[int, ...], float] = {}

    def visit(order: tuple[int, ...], images: Sequence[Tensor], left: int) -> None:
        for place, factor in enumerate([*scales, scale]):
            if place in order or left % factor or (place == frozen and order and scale == 1):
                continue
            outputs = [run(place, image.clamp(0, 1) if order else image) for image in images]
            sequence = (*order, place)
            if left == factor:
                errors[sequence] = sum(
                    float(functional.l1_loss(output, clean)) for output, (_, clean) in zip(outputs, pairs, strict=True)
                )
            if sequence != (frozen,) or scale > 1:
                visit(sequence, outputs, left // factor)

    visit((), [degraded for degraded, _ in pairs], scale)
    return min(errors, key=lambda sequence: errors[sequence])
