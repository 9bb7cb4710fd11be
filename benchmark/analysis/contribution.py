"""Contributions of individual parameters to a task: filter attribution between two networks, and two cheaper proxies.

FAIG (Xie et al., Finding Discriminative Filters for Specific Degradations in Blind Super-Resolution, NeurIPS 2021)
integrates the gradient of the squared error along the straight line from a target's weights to a baseline's weights,
and attributes the change of the error to the parameters. The proxies, squared gradient and saliency, use a single
network.

For each parameter tensor, every measure returns a tensor of the same shape with the contribution of each value to the
squared error, which is summed over an image in [0, 1] and averaged over images. Networks run in evaluation mode and are
left unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.layers.places import places

Weights = Mapping[str, Tensor]
"""Tensors by parameter name."""
Batches = Iterable[tuple[Tensor, Tensor]]
"""Pairs of degraded N×3×h×w and clean N×3×H×W images, both in [0, 1]."""


def faig(
    network: nn.Module,
    baseline: Weights,
    target: Weights,
    batches: Batches,
    head: str,
    steps: int = 10,
    *,
    signed: bool = False,
) -> dict[str, Tensor]:
    """Return the contribution of each parameter to the change in error from `target` to `baseline`.

    The integral is computed by the midpoint rule instead of the official code's left Riemann sum: ten midpoint steps
    are closer to the integral than a hundred steps of the left Riemann sum, and forty midpoint steps reproduce the
    change in error within 0.1 % along the whole path of full fine-tuning.

    Args:
        network: the network that the weights belong to; parameters of the network that are not in `target` keep their
            values.
        baseline: the weights at the end of the path, e.g. pre-trained; must include every parameter in `target`.
        target: the weights at the start of the path, e.g. fine-tuned.
        batches: the images.
        head: the head through which the images are restored.
        steps: number of steps along the path.
        signed: whether to return signed contributions instead of absolute values. Summed over all parameters, signed
            contributions equal the error of the baseline minus the error of the target.

    Raises:
        PetlirError: there are no images.
    """
    change = {name: baseline[name] - start for name, start in target.items()}

    def integral(degraded: Tensor, clean: Tensor) -> dict[str, Tensor]:
        slopes = {name: torch.zeros_like(start) for name, start in target.items()}
        for step in range(steps):
            share = (step + 0.5) / steps
            between = {name: start + share * change[name] for name, start in target.items()}
            for name, gradient in _gradients(network, between, degraded, clean, head).items():
                slopes[name] += gradient / steps
        found = {name: slope * change[name] for name, slope in slopes.items()}
        return found if signed else {name: values.abs() for name, values in found.items()}

    return _mean_over_images(network, integral, batches)


def gradient_squared(network: nn.Module, weights: Weights, batches: Batches, head: str) -> dict[str, Tensor]:
    """Return the squared gradient of the error at `weights`; see `faig` for the arguments."""

    def squared(degraded: Tensor, clean: Tensor) -> dict[str, Tensor]:
        found = _gradients(network, weights, degraded, clean, head)
        return {name: gradient.square() for name, gradient in found.items()}

    return _mean_over_images(network, squared, batches)


def saliency(network: nn.Module, weights: Weights, batches: Batches, head: str) -> dict[str, Tensor]:
    """Return |gradient · weight| at `weights`; see `faig` for the arguments.

    The criterion is Eq. 6 of SNIP (Lee et al., ICLR 2019) without its normalization.
    """

    def product(degraded: Tensor, clean: Tensor) -> dict[str, Tensor]:
        found = _gradients(network, weights, degraded, clean, head)
        return {name: (gradient * weights[name]).abs() for name, gradient in found.items()}

    return _mean_over_images(network, product, batches)


def per_layer(contributions: Weights) -> dict[str, float]:
    """Return the mean contribution within each tensor, by parameter name."""
    return per_group(contributions, {name: name for name in contributions})


def per_group(contributions: Weights, groups: Mapping[str, str]) -> dict[str, float]:
    """Return the mean contribution over all parameters of each group.

    Args:
        contributions: tensors by parameter name.
        groups: the group of each parameter name, e.g. from `kinds_of` or `places_of`.
    """
    sums: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for name, values in contributions.items():
        group = groups[name]
        sums[group] = sums.get(group, 0.0) + float(values.double().sum())
        sizes[group] = sizes.get(group, 0) + values.numel()
    return {group: total / sizes[group] for group, total in sums.items()}


def kinds_of(backbone: Backbone) -> dict[str, str]:
    """Return the kind of each parameter: `norm`, `bias`, `factor` (any other value per channel or head) or `weight`."""
    inner = (norm for block in backbone.blocks() for norm in block.norms)
    modules = (*(norm.module for norm in (*inner, *backbone.outer_norms())), *backbone.inner_norms())
    norms = {parameter for module in modules for parameter in module.parameters()}
    return {name: "norm" if p in norms else _kind(name, p) for name, p in backbone.named_parameters()}


def _kind(name: str, parameter: Tensor) -> str:
    if name.rpartition(".")[2] == "bias":
        return "bias"
    return "factor" if is_vector(parameter) else "weight"


def is_vector(parameter: Tensor) -> bool:
    """Return whether a parameter has one value per channel or head: a bias, a norm's gain, or NAFNet's β (1×C×1×1)."""
    return parameter.squeeze().ndim <= 1


def places_of(backbone: Backbone) -> dict[str, str]:
    """Return for each parameter the place of its block (see `places`), or `outside` for parameters outside blocks."""
    held = {
        parameter: place
        for place, blocks in places(backbone).items()
        for block in blocks
        for parameter in block.site.module.parameters()
    }
    return {name: held.get(parameter, "outside") for name, parameter in backbone.named_parameters()}


def _gradients(network: nn.Module, weights: Weights, degraded: Tensor, clean: Tensor, head: str) -> dict[str, Tensor]:
    """Return the gradients of the summed squared error by parameter; zeros for weights that the head does not use."""
    leaves = {name: tensor.detach().requires_grad_(True) for name, tensor in weights.items()}
    restored = torch.func.functional_call(network, leaves, (degraded, head))
    error = (restored - clean).square().sum()
    gradients = torch.autograd.grad(error, list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, gradients, strict=True))


def _mean_over_images(
    network: nn.Module, measure: Callable[[Tensor, Tensor], dict[str, Tensor]], batches: Batches
) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    images = 0
    with _evaluating(network):
        for degraded, clean in batches:
            for index in range(len(degraded)):
                found = measure(degraded[index : index + 1], clean[index : index + 1])
                sums = {name: sums[name] + values for name, values in found.items()} if images else found
                images += 1
    if not images:
        raise PetlirError("contributions are means over images, but no images were given")
    return {name: total / images for name, total in sums.items()}


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Set evaluation mode within the context, then restore the mode of each module."""
    before = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
