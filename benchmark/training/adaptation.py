"""Operations that the engine applies to every method: freeze, adapt, count, save, load, merge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Mergeable, Method, PriorResults


@dataclass(frozen=True)
class Adapted:
    """A backbone adapted by a method.

    Attributes:
        backbone: the network, changed in place.
        head: name of the network's head for the task.
        inserted: modules inserted by the method.
        own: names of persistent buffers inserted by the method (running statistics).
    """

    backbone: Backbone
    head: str
    inserted: frozenset[nn.Module] = field(repr=False)
    own: tuple[str, ...] = field(repr=False)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by name."""
        return {name: p for name, p in self.backbone.named_parameters() if p.requires_grad}

    def state(self) -> dict[str, Tensor]:
        """Return the tensors to store for the task: trainable parameters, and buffers inserted by the method."""
        buffers = dict(self.backbone.named_buffers())
        tensors = {**self.trainable(), **{name: buffers[name] for name in self.own}}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load tensors returned by `state`; all keys and shapes must match."""
        expected = self.state()
        faults = [f"missing {name}" for name in expected if name not in state]
        faults += [f"unexpected {name}" for name in state if name not in expected]
        faults += [
            f"{name} is {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in state and state[name].shape != tensor.shape
        ]
        if faults:
            raise PetlirError(f"adapter does not fit {self.backbone.name}: {'; '.join(faults[:4])}")
        targets = {**dict(self.backbone.named_parameters()), **dict(self.backbone.named_buffers())}
        with torch.no_grad():
            for name, tensor in state.items():
                targets[name].copy_(tensor)

    def train(self) -> None:
        """Set trained modules to training mode; frozen modules stay in evaluation mode, without DropPath.

        The backbone's own batch norms also stay in evaluation mode, even if their weights are trained, because their
        running statistics are not stored.
        """
        for module in self.backbone.modules():
            module.training = self._is_trained(module)

    @property
    def batch_statistics(self) -> bool:
        """True if, in training, the output for an image depends on the other images of the batch."""
        return any(isinstance(module, _BatchNorm) and self._is_trained(module) for module in self.backbone.modules())

    def _is_trained(self, module: nn.Module) -> bool:
        if module in self.inserted:
            return True
        return not isinstance(module, _BatchNorm) and any(p.requires_grad for p in module.parameters(recurse=False))

    def eval(self) -> None:
        """Set all modules to evaluation mode."""
        self.backbone.eval()


def adapt(backbone: Backbone, method: Method, head: str, seed: int, prior: PriorResults | None = None) -> Adapted:
    """Freeze `backbone`, let `method` adapt it, and freeze those of its parameters that `head` does not use.

    Args:
        backbone: backbone with pre-trained weights; changed in place.
        method: the method to apply.
        head: name of the network's head for the task.
        seed: seed of the initial weights of inserted modules.
        prior: results of the cells that the method requires; if it is None, the method adapts the backbone without
            prior results.
    """
    backbone.eval().requires_grad_(False)
    backbone.head_in_use = head
    modules, buffers = set(backbone.modules()), {name for name, _ in backbone.named_buffers()}
    original = set(backbone.parameters())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if prior is None:
            method.adapt(backbone)
        else:
            method.adapt_from(backbone, prior)
    if method.trains:
        for site in backbone.companions():
            site.module.requires_grad_(True)
    used = set(backbone.tunable(head))
    for parameter in original - used:
        parameter.requires_grad_(False)
    backbone.tuned = frozenset(name for name, p in backbone.named_parameters() if p in original and p.requires_grad)
    backbone.to(next(iter(original)).device).eval()
    inserted = frozenset(module for module in backbone.modules() if module not in modules)
    stored = backbone.state_dict().keys()
    own = tuple(name for name, _ in _buffers(inserted, backbone) if name not in buffers and name in stored)
    return Adapted(backbone, head, inserted, own)


def _buffers(inserted: frozenset[nn.Module], backbone: Backbone) -> Iterator[tuple[str, Tensor]]:
    """Yield the buffers of inserted modules, but not of frozen modules, whose names change when they are wrapped."""
    for prefix, module in backbone.named_modules():
        if module in inserted:
            for name, buffer in module.named_buffers(recurse=False):
                yield f"{prefix}.{name}", buffer


def merge(backbone: Backbone) -> bool:
    """Merge all mergeable inserted modules in place; return whether all trained modules were merged.

    If the backbone has no trainable parameters, return False. The backbone's own trained parameters need no merging.
    """
    trained = any(parameter.requires_grad for parameter in backbone.parameters())
    _fold(backbone)
    left = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad} - backbone.tuned
    return trained and not left


@contextmanager
def folded(backbone: Backbone) -> Iterator[bool]:
    """Inside the `with` block, merge all inserted modules into the weights; yield whether this was possible.

    After the block, the network has the same modules and parameters as before it, so that training continues
    unaffected.
    """
    children = [(owner, *child) for owner in backbone.modules() for child in owner.named_children()]
    gradients = [(parameter, parameter.requires_grad) for parameter in backbone.parameters()]

    def unfold() -> None:
        for owner, name, child in children:
            owner.set_submodule(name, child)
        for parameter, required in gradients:
            parameter.requires_grad_(required)

    try:
        whole = merge(backbone)
        if not whole:
            unfold()
        yield whole
    finally:
        unfold()


def _fold(module: nn.Module) -> None:
    """Merge all mergeable modules below `module`; modules inside a merged module are removed with it."""
    for name, child in list(module.named_children()):
        folded = child.merged() if isinstance(child, Mergeable) else child
        if folded is child:
            _fold(child)
        else:
            module.set_submodule(name, folded.requires_grad_(False))
