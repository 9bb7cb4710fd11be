"""Contract points on evaluation: images of any size and content, in any order, on any number of threads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.contract.toy_model import CLOSE, ROUNDING, ToyTrial, apart, outermost, restored
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method
from petlir.benchmark.training.adaptation import Adapted

SIZES = ((17, 13), (24, 40))
"""Image heights and widths that are tested in addition to the training size."""
CONSTANTS = (0.0, 0.5, 1.0)
"""Pixel values of the constant images on which a method is tested."""
LEVEL = 0.5
"""The value of the constant features on which a method is tested."""
THREADS = (2, 3)


def repeats(trial: ToyTrial) -> str | None:
    """Check that an image gives the same output each time, even after other images, and that no tensor is changed."""
    found = trial.evaluation
    if found.frozen:
        return None  # another point reports this fault
    if found.other:
        return f"evaluation changes {', '.join(found.other[:4])}"
    if found.drift:
        return (
            f"the output for an image differs by {found.drift:.1e} when the image is restored again after another image"
        )
    adapted = trial.retrained()
    if any(not tensor.equal(trial.trained[0].state()[name]) for name, tensor in adapted.state().items()):
        return None  # another point reports this fault
    with torch.no_grad():
        later, sooner = (adapted.backbone(trial.images[[index]], trial.head) for index in (1, 0))
    distance = apart(torch.cat([sooner, later]), found.outputs)
    return f"the output for an image differs by {distance:.1e} if the order of images changes" if distance else None


@torch.no_grad()
def images_apart(trial: ToyTrial) -> str | None:
    """Check that an image's result in evaluation does not depend on the other images in the batch."""
    network = trial.trained[0].backbone.eval()
    alone = torch.cat([network(image[None], trial.head) for image in trial.images])
    distance = apart(alone, trial.output(network))
    return None if distance <= CLOSE else f"the outputs for an image alone and in a batch differ by {distance:.1e}"


@torch.no_grad()
def image_sizes(trial: ToyTrial) -> str | None:
    """Check, for all heads and several image sizes, that outputs have the frozen network's output size and dtype."""
    reference = trial.network()
    prepared = type(trial.method).adapt_from is not Method.adapt_from  # prior results exist for a single head only
    for head in [trial.head] if prepared else reference.heads:
        network = trial.put_on(trial.network(), head=head).backbone.eval()
        for size in [(trial.side, trial.side), *(SIZES if reference.window is None else ())]:
            images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
            expected = _taken(reference, images, head)
            if expected is None:
                continue
            output = network(images, head)
            what = f"an image of {size[0]}×{size[1]} pixels through {head}"
            if output.shape != expected.shape:
                return f"{what} gives {tuple(output.shape)}, expected {tuple(expected.shape)}"
            if output.dtype != expected.dtype:
                return f"{what} gives {output.dtype}, expected {expected.dtype}"
            if not output.isfinite().all():
                return f"{what} gives numbers that are not finite"
    return None


def _taken(network: Backbone, images: Tensor, head: str) -> Tensor | None:
    """Return the frozen network's output, or None if the network rejects images of this size."""
    try:
        output: Tensor = network(images, head)
    except PetlirError:
        return None
    return output


def constant_images(trial: ToyTrial) -> str | None:
    """Check that constant images and constant features give finite outputs and gradients."""
    adapted = trial.trained[0]
    for value in CONSTANTS:
        with restored(adapted.backbone):
            if fault := _not_finite(trial, adapted, torch.full_like(trial.images, value)):
                return f"an image with the constant value {value:g} gives {fault}"
    hooks = [module.register_forward_pre_hook(_levelled) for _, module in outermost(adapted)]
    try:
        with restored(adapted.backbone):
            fault = _not_finite(trial, adapted, trial.images)
    finally:
        for hook in hooks:
            hook.remove()
    return f"constant features give {fault}" if fault else None


def _levelled(module: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...]:
    """Return a module's inputs with all values of each tensor replaced by `LEVEL`, so that their mean is exact."""
    return tuple(
        one - one.detach() + LEVEL if isinstance(one, Tensor) and one.is_floating_point() else one for one in inputs
    )


def _not_finite(trial: ToyTrial, adapted: Adapted, images: Tensor) -> str | None:
    with torch.no_grad():
        if not adapted.backbone(images, trial.head).isfinite().all():
            return "numbers that are not finite"
    gradients = _gradients(trial, adapted, images)
    lost = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
    return f"gradients that are not finite: {', '.join(lost[:4])}" if lost else None


def _gradients(trial: ToyTrial, adapted: Adapted, images: Tensor) -> dict[str, Tensor]:
    trainable = {name: parameter for name, parameter in adapted.trainable().items() if parameter.numel()}
    if not trainable:
        return {}
    adapted.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = (adapted.backbone(images, trial.head) - trial.clean).abs().mean()
        gradients = torch.autograd.grad(loss, list(trainable.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(trainable, gradients, strict=True) if gradient is not None}


def threads(trial: ToyTrial) -> str | None:
    """Check that the shapes of parameters, and the outputs up to rounding, do not depend on the number of threads."""
    before = torch.get_num_threads()
    try:
        known, outputs = _on_threads(trial, 1)
        for number in {*THREADS, before} - {1}:
            start, found = _on_threads(trial, number)
            if start != known:
                return f"the shapes of the method's parameters differ between one thread and {number} threads"
            for mode in outputs:
                distance = apart(found[mode], outputs[mode])
                if not distance <= ROUNDING:
                    return f"in {mode}, the outputs with {number} threads and with one differ by {distance:.1e}"
    finally:
        torch.set_num_threads(before)
    return None


def _on_threads(trial: ToyTrial, number: int) -> tuple[dict[str, tuple[int, ...]], dict[str, Tensor]]:
    """Return the shapes of the method's tensors, and the trained method's outputs in evaluation and training mode."""
    torch.set_num_threads(number)
    shapes = {name: tuple(tensor.shape) for name, tensor in trial.adapted().state().items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in trial.trained[0].state().items()}:
        return shapes, {}
    adapted = trial.trained[0]
    return shapes, {"evaluation": trial.output(adapted.backbone), "training": in_training(trial, adapted)[0]}


def modes_agree(trial: ToyTrial) -> str | None:
    """Check that training has an effect in evaluation, and that training and evaluation mode give the same output.

    Methods that draw random numbers or update statistics in training may give different outputs in the two modes.
    """
    adapted = trial.trained[0]
    evaluated = trial.output(adapted.backbone)
    if adapted.trainable() and evaluated.equal(trial.output(trial.adapted().backbone)):
        return "training has no effect in evaluation: the output is the same as before training"
    output, drawn = in_training(trial, adapted)
    if drawn or adapted.batch_statistics:
        return None
    distance = apart(output, evaluated)
    return None if distance <= CLOSE else f"the outputs in training and evaluation mode differ by {distance:.1e}"


@torch.enable_grad()  # as in training, since a module can tell the difference
def in_training(trial: ToyTrial, adapted: Adapted) -> tuple[Tensor, bool]:
    """Return the output in training mode, and whether this forward pass draws random numbers or changes a buffer."""
    with restored(adapted.backbone) as tensors, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        adapted.train()
        output: Tensor = adapted.backbone(trial.images, trial.head).detach()
        drawn = not torch.get_rng_state().equal(before)
        moved = any(not buffer.equal(tensors[name]) for name, buffer in adapted.backbone.named_buffers())
    return output, drawn or moved
