"""The contract of a backbone: a pre-trained restoration network, described as a sequence of MetaFormer blocks.

Every backbone, transformer or convolutional, is a chain of residual pairs: a *mixer* branch (attention, channel
attention, gated convolution) and an *mlp* branch, each preceded by a norm (Yu et al., MetaFormer, CVPR 2022). Methods
use only this interface, so each method is written once for all backbones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor, nn

from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.paper import Paper
from petlir.benchmark.task import Task


@dataclass(frozen=True)
class Site:
    """A location in the network that holds one module; a method may replace this module.

    Projections (such as `query`, `key`, `value`, `out`, `up`, `down`) are linear layers or 1×1 convolutions. Norms and
    whole layers are sites too.
    """

    name: str
    owner: nn.Module = field(repr=False)
    attribute: str

    @property
    def module(self) -> nn.Module:
        """The module currently installed."""
        return self.owner.get_submodule(self.attribute)

    def replace(self, module: nn.Module) -> None:
        """Install `module`, which usually wraps the current module."""
        self.owner.set_submodule(self.attribute, module)


class AdapterHooks(nn.Module):
    """Insertion points beside and after a branch; they add no weights, so official state-dict keys stay unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.beside = nn.ModuleList()
        self.beside_input = nn.ModuleList()
        self.behind = nn.ModuleList()

    def forward(self, branch: Callable[[Tensor], Tensor], norm: nn.Module, features: Tensor) -> Tensor:
        """Return the update to be added to `features`: branch(norm(features)), modified by the inserted modules."""
        normed: Tensor = norm(features)
        output = branch(normed)
        for module in self.beside:
            output = output + module(normed)
        for module in self.beside_input:
            output = output + module(features)
        for module in self.behind:
            output = module(output)
        return output


class PromptHooks(AdapterHooks):
    """Hooks of a branch that attends over tokens; inserted prompts extend the branch's keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.prompts = nn.ModuleList()

    def context(self, norm: nn.Module) -> Tensor | None:
        """Return the 1×K×C prompts, normalised by `norm` as the branch's tokens are; None if there are no prompts."""
        if not self.prompts:
            return None
        context: Tensor = norm(torch.cat([module() for module in self.prompts])[None])
        return context


@dataclass(frozen=True)
class Branch:
    """One residual branch of a block.

    Attributes:
        kind: `mixer`, `cross` (a decoder's attention to the encoder) or `mlp`.
        norm: the norm that precedes the branch.
        sites: the branch's projections, in order of computation.
    """

    kind: str
    hooks: AdapterHooks = field(repr=False)
    norm: Site
    sites: tuple[Site, ...]

    @classmethod
    def of(cls, layer: nn.Module, kind: str, norm: str, sites: Iterable[tuple[str, str]]) -> Branch:
        """Create a branch of `layer`; its hooks are the submodule named `kind`, and `sites` are pairs (name, path)."""
        hooks = cast("AdapterHooks", layer.get_submodule(kind))
        return cls(kind, hooks, Site("norm", layer, norm), tuple(Site(name, layer, where) for name, where in sites))

    def projections(self, *names: str) -> list[Site]:
        """Return the projections with the given names, or all projections if no name is given."""
        return [site for site in self.sites if not names or site.name in names]

    def parallel(self, module: nn.Module, *, reads: str = "normed") -> None:
        """Add the output of `module` to the branch's output.

        Args:
            module: the module to insert.
            reads: input of the module: `normed` (the features after the branch's norm) or `input` (before the norm).
        """
        (self.hooks.beside if reads == "normed" else self.hooks.beside_input).append(module)

    def after(self, module: nn.Module) -> None:
        """Apply `module` to the output of the branch, before the residual sum."""
        self.hooks.behind.append(module)

    def prompt(self, module: nn.Module) -> None:
        """Let the branch also attend to the K×C tokens returned by `module()`, normalised by the branch's norm.

        Raises:
            PetlirError: the branch does not attend over tokens; see `takes_prompts`.
        """
        if not isinstance(self.hooks, PromptHooks):
            raise PetlirError(f"branch {self.kind} takes no prompts, because it does not attend over tokens")
        self.hooks.prompts.append(module)

    @property
    def takes_prompts(self) -> bool:
        """True if the branch attends over tokens, so that prompts can be inserted."""
        return isinstance(self.hooks, PromptHooks)


class Layout(Protocol):
    """The conversion between a block's features and feature maps."""

    def to_map(self, features: Tensor) -> Tensor:
        """Convert features to an N×C×H×W map."""

    def from_map(self, image: Tensor) -> Tensor:
        """Convert an N×C×H×W map to the block's own layout."""


@dataclass(frozen=True)
class Block:
    """A block of a backbone: a mixer branch and an mlp branch, each with a residual connection.

    Attributes:
        name: the block's position in the network, e.g. `encoder.3`.
        width: number of channels of the block's features.
        branches: mixer first, then mlp; a decoder block has `cross` between them.
        layout: conversion of the block's features to maps and back.
        site: the whole block, for methods that wrap it.
        patch: side length in pixels of the image patch that one position of the features represents.
    """

    name: str
    width: int
    branches: tuple[Branch, ...]
    layout: Layout = field(repr=False)
    site: Site
    patch: int = 1

    def branch(self, kind: str) -> Branch:
        """Return the branch of the given kind."""
        for branch in self.branches:
            if branch.kind == kind:
                return branch
        raise unknown(f"branch of block {self.name}", kind, [branch.kind for branch in self.branches])

    @property
    def mixer(self) -> Branch:
        """The branch that mixes positions."""
        return self.branch("mixer")

    @property
    def mlp(self) -> Branch:
        """The branch that mixes channels."""
        return self.branch("mlp")

    @property
    def norms(self) -> list[Site]:
        """The norms of all branches."""
        return [branch.norm for branch in self.branches]

    def projections(self, *names: str) -> list[Site]:
        """Return the projections of all branches with the given names, or all projections if no name is given."""
        return [site for branch in self.branches for site in branch.projections(*names)]


class OnMap(nn.Module):
    """A wrapper that applies a module for N×C×H×W maps to features in a block's own layout."""

    def __init__(self, module: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.module = module
        self._layout = layout

    def forward(self, features: Tensor) -> Tensor:
        """Apply the module to features in the block's own layout."""
        return self._layout.from_map(self.module(self._layout.to_map(features)))


class Backbone(nn.Module, ABC):
    """A restoration network that maps N×3×H×W images in [0, 1] to restored images.

    Attributes:
        name: the backbone's name in grids.
        heads: maps the name of each head to its upscaling factor, in the network's own order.
        window: the only input side length that the network accepts; None if it accepts any.
    """

    name: str
    heads: Mapping[str, int]
    window: int | None
    paper: ClassVar[Paper | None] = None
    """The paper to cite."""
    task_heads: ClassVar[Mapping[str, str]] = {}
    """The preferred head by task name, for tasks that no head is named after."""
    sees_whole: ClassVar[bool] = False
    """True if the network has global operators (global pooling, attention between channels)."""
    official_tiling: ClassVar[str] = "whole"
    """The inference scheme of the official code: `whole`, `chop` (IPT) or `extra-window` (EDT)."""
    derived: ClassVar[tuple[str, ...]] = ()
    """Suffixes of official state-dict keys whose entries are derived tables, such as masks, rather than weights."""
    head_in_use: str | None = None
    """The head that is adapted; set by the engine."""
    tuned: frozenset[str] = frozenset()
    """Names of the network's own parameters that a method trains; set by the engine."""

    @classmethod
    def small(cls) -> Backbone:
        """Return a tiny network of this family that runs in milliseconds, for contract checks."""
        return cls()

    @abstractmethod
    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Restore `images` (N×3×H×W in [0, 1]) through `head`; None selects the only head."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order of computation."""

    @abstractmethod
    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters that affect the output of `head`; None stands for all heads."""

    def companions(self) -> Iterator[Site]:
        """Yield the sites of zero-initialised 1×1 convolutions that are trained and stored with every adapter."""
        yield from ()

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters that turn features into the output image of `head`; None stands for all heads."""
        yield from ()

    def outer_norms(self) -> Iterator[Site]:
        """Yield the norms before the first block and after the last one, in order of computation."""
        yield from ()

    def inner_norms(self) -> Iterator[nn.Module]:
        """Yield the norms inside branches, which can be trained but not replaced."""
        yield from ()

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict with the official keys; if keys are missing or unexpected, report them and load nothing."""
        load_strictly(self, state, f"weights for {self.name}")

    def official_state_dict(self) -> dict[str, Tensor]:
        """Return the weights as a state dict with the official keys."""
        return self.state_dict()

    def multiple(self, head: str | None) -> int:
        """Return m if the network pads input height and width to multiples of m; 1 if it does not pad."""
        return 1

    def input_note(self, head: str) -> str:
        """Return a note on the preprocessing of images for `head`, shown in column headers; empty if there is none."""
        return ""

    def patch(self, head: str | None, least: int) -> int:
        """Return the side length of degraded training crops in pixels.

        The side length is `window` or, if that is None, `least` rounded up to a multiple of `multiple(head)`.
        """
        multiple = self.multiple(head)
        return self.window or -(-least // multiple) * multiple

    def head_for(self, task: Task) -> str:
        """Return the head for `task`.

        A head with the task's name is preferred, then the head that `task_heads` lists for the task, then a head with
        the task's upscaling factor.

        Raises:
            PetlirError: no head fits the task.
        """
        for name in self._serving(task):
            return name
        raise PetlirError(str(self.applies(task)))

    def applies(self, task: Task) -> str | None:
        """Return the reason why no head fits `task`, or None if a head fits."""
        if self._serving(task):
            return None
        scales = ", ".join(f"×{scale}" for scale in sorted(set(self.heads.values())))
        return f"{self.name} has no head for task {task.name!r} (scale {task.scale}); it restores at {scales}"

    def _serving(self, task: Task) -> list[str]:
        """Return the heads that fit `task`, best first."""
        named = (task.name, self.task_heads.get(task.name, ""), f"sr_x{task.scale}")
        fitting = [name for name, scale in self.heads.items() if scale == task.scale]
        return [name for name in named if name in self.heads] + fitting[::-1]

    def head_index(self, head: str | None) -> int:
        """Return the index of `head` among the heads."""
        names = list(self.heads)
        if head is None and len(names) == 1:
            return 0
        if head not in names:
            raise unknown(f"head of {self.name}", str(head), names)
        return names.index(head)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict strictly; a one-line error reports missing and unexpected keys and wrong shapes."""
    own = module.state_dict()
    faults = [f"missing {key}" for key in own if key not in state]
    faults += [f"unexpected {key}" for key in state if key not in own]
    faults += [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if faults:
        more = f" and {len(faults) - 6} more" if len(faults) > 6 else ""
        raise PetlirError(f"{what}: {'; '.join(faults[:6])}{more}")
    with torch.no_grad():
        module.load_state_dict(dict(state))
