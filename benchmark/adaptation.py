"""What the engine does for every method: freeze, adapt, count, save, load, merge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from benchmark.backbone import Backbone
from benchmark.errors import PetlirError
from benchmark.method import Mergeable, Method


@dataclass(frozen=True)
class Adapted:
    """A backbone with a method on it.

    Attributes:
        backbone: the network, changed in place.
        head: the head that is trained.
        inserted: the modules that the method brought in.
        own: names of buffers that the method brought in (running statistics).
    """

    backbone: Backbone
    head: str
    inserted: frozenset[nn.Module] = field(repr=False)
    own: tuple[str, ...] = field(repr=False)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The trainable parameters by name."""
        return {name: p for name, p in self.backbone.named_parameters() if p.requires_grad}

    def state(self) -> dict[str, Tensor]:
        """What has to be stored for the task: trainable parameters, and buffers that the method brought in."""
        buffers = dict(self.backbone.named_buffers())
        tensors = {**self.trainable(), **{name: buffers[name] for name in self.own}}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` stored; every key and shape must fit."""
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
        """Training mode for what is trained; frozen modules stay in evaluation mode (no DropPath, fixed statistics)."""
        for module in self.backbone.modules():
            own = module.parameters(recurse=False)
            module.training = module in self.inserted or any(p.requires_grad for p in own)

    def eval(self) -> None:
        """Evaluation mode for all."""
        self.backbone.eval()


def adapt(backbone: Backbone, method: Method, head: str, seed: int) -> Adapted:
    """Freeze `backbone`, let `method` adapt it, and keep trainable only what `head` uses.

    Args:
        backbone: with its pre-trained weights; changed in place.
        method: what to put on it.
        head: the head in use.
        seed: of the initial weights of what is inserted.
    """
    backbone.eval().requires_grad_(False)
    modules, buffers = set(backbone.modules()), {name for name, _ in backbone.named_buffers()}
    original = set(backbone.parameters())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method.adapt(backbone)
    used = set(backbone.tunable(head))
    for parameter in original - used:
        parameter.requires_grad_(False)
    backbone.to(next(iter(original)).device).eval()
    inserted = frozenset(module for module in backbone.modules() if module not in modules)
    own = tuple(name for name, _ in _buffers(inserted, backbone) if name not in buffers)
    return Adapted(backbone, head, inserted, own)


def _buffers(inserted: frozenset[nn.Module], backbone: Backbone) -> Iterator[tuple[str, Tensor]]:
    """The buffers of inserted modules, also where wrapping has renamed a frozen one's."""
    for prefix, module in backbone.named_modules():
        if module in inserted:
            for name, buffer in module.named_buffers(recurse=False):
                yield f"{prefix}.{name}", buffer


def merge(backbone: Backbone) -> bool:
    """Fold every inserted module that can be folded, in place; whether nothing trainable was left unfolded."""
    trainable = any(parameter.requires_grad for parameter in backbone.parameters())
    for name, module in list(backbone.named_modules()):
        if isinstance(module, Mergeable):
            folded = module.merged().requires_grad_(False)
            backbone.set_submodule(name, folded)
    return trainable and not any(parameter.requires_grad for parameter in backbone.parameters())
