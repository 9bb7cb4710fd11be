"""The contract of a backbone: a pre-trained restoration network, seen as a row of MetaFormer blocks.

Every backbone, transformer or convolutional, is a chain of residual pairs: a *mixer* branch (attention, channel
attention, gated convolution) and an *mlp* branch, each behind a norm (Yu et al., MetaFormer, CVPR 2022). A method sees
nothing else, so it is written once for all of them.
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
    """A place that holds one module, which a method may replace.

    Projections (`query`, `key`, `value`, `out`, `up`, `down`) are linear layers or 1×1 convolutions; norms and whole
    layers are sites too.
    """

    name: str
    owner: nn.Module = field(repr=False)
    attribute: str

    @property
    def module(self) -> nn.Module:
        """The module that stands here now."""
        return self.owner.get_submodule(self.attribute)

    def replace(self, module: nn.Module) -> None:
        """Put `module` here; it usually wraps the one that stood here."""
        self.owner.set_submodule(self.attribute, module)


class AdapterHooks(nn.Module):
    """Where modules act beside or behind a branch. It has no weights of its own, so official keys stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.beside = nn.ModuleList()
        self.beside_input = nn.ModuleList()
        self.behind = nn.ModuleList()

    def forward(self, branch: Callable[[Tensor], Tensor], norm: nn.Module, features: Tensor) -> Tensor:
        """What the branch adds to `features`: branch(norm(features)), plus and through what was inserted."""
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
    """Hooks of an attention over tokens, whose keys and values prompts may join."""

    def __init__(self) -> None:
        super().__init__()
        self.prompts = nn.ModuleList()

    def context(self, norm: nn.Module) -> Tensor | None:
        """The prompts 1×K×C, behind the branch's `norm` as its tokens are; None where there are none."""
        if not self.prompts:
            return None
        context: Tensor = norm(torch.cat([module() for module in self.prompts])[None])
        return context


@dataclass(frozen=True)
class Branch:
    """One residual branch of a block.

    Attributes:
        kind: `mixer`, `cross` (a decoder's attention to the encoder) or `mlp`.
        norm: the norm before it.
        sites: its projections, in the order of computation.
    """

    kind: str
    hooks: AdapterHooks = field(repr=False)
    norm: Site
    sites: tuple[Site, ...]

    @classmethod
    def of(cls, layer: nn.Module, kind: str, norm: str, sites: Iterable[tuple[str, str]]) -> Branch:
        """The branch of `layer` whose hooks are named after its kind; sites are pairs (name, where in the layer)."""
        hooks = cast("AdapterHooks", layer.get_submodule(kind))
        return cls(kind, hooks, Site("norm", layer, norm), tuple(Site(name, layer, where) for name, where in sites))

    def projections(self, *names: str) -> list[Site]:
        """Its projections of these names, all of them where none is named."""
        return [site for site in self.sites if not names or site.name in names]

    def parallel(self, module: nn.Module, *, reads: str = "normed") -> None:
        """Add the output of `module` to the branch's; it reads the `normed` features, or the block's raw `input`."""
        (self.hooks.beside if reads == "normed" else self.hooks.beside_input).append(module)

    def after(self, module: nn.Module) -> None:
        """Let `module` transform what the branch puts out, before the residual sum."""
        self.hooks.behind.append(module)

    def prompt(self, module: nn.Module) -> None:
        """Let the branch's tokens also attend to those that `module()` returns, K×C in the scale of its input.

        Raises:
            PetlirError: the branch is no attention over tokens; see `takes_prompts`.
        """
        if not isinstance(self.hooks, PromptHooks):
            raise PetlirError(f"branch {self.kind} takes no prompts: it is no attention over tokens")
        self.hooks.prompts.append(module)

    @property
    def takes_prompts(self) -> bool:
        """Whether it is an attention over tokens, which `prompt` can add to."""
        return isinstance(self.hooks, PromptHooks)


class Layout(Protocol):
    """How a block's features are seen as a map."""

    def to_map(self, features: Tensor) -> Tensor:
        """The features as N×C×H×W."""

    def from_map(self, image: Tensor) -> Tensor:
        """A map N×C×H×W as the block's own features."""


@dataclass(frozen=True)
class Block:
    """A residual pair of a backbone.

    Attributes:
        name: where it stands, e.g. `encoder.3`.
        width: channels of its features.
        branches: mixer first, then mlp; a decoder block has `cross` between them.
        layout: how its features are seen as a map.
        site: the whole block, for methods that wrap it.
        patch: side of the image patch that one position of its features stands for.
    """

    name: str
    width: int
    branches: tuple[Branch, ...]
    layout: Layout = field(repr=False)
    site: Site
    patch: int = 1

    def branch(self, kind: str) -> Branch:
        """The branch of this kind."""
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
        """The norm before each branch."""
        return [branch.norm for branch in self.branches]

    def projections(self, *names: str) -> list[Site]:
        """The projections of all branches of these names, all of them where none is named."""
        return [site for branch in self.branches for site in branch.projections(*names)]


class OnMap(nn.Module):
    """A module for maps N×C×H×W, used on a block's own features."""

    def __init__(self, module: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.module = module
        self._layout = layout

    def forward(self, features: Tensor) -> Tensor:
        """Features in, features out, both in the block's own layout."""
        return self._layout.from_map(self.module(self._layout.to_map(features)))


class Backbone(nn.Module, ABC):
    """A restoration network, images N×3×H×W in [0, 1] in and out.

    Attributes:
        name: its name in the grid.
        heads: what each head restores, with its scale; the order is the network's own.
        window: the one input size that the network takes, or None for any.
        pretrained_on: the tasks that its weights have seen, and the ones related to them.
    """

    name: str
    heads: Mapping[str, int]
    window: int | None
    paper: ClassVar[Paper | None] = None
    """The work to cite."""
    task_heads: ClassVar[Mapping[str, str]] = {}
    """Tasks that no head of their name serves, and the head that serves them."""
    sees_whole: ClassVar[bool] = False
    """Whether it has operators over the whole of what it sees (global pooling, attention between channels)."""
    official_tiling: ClassVar[str] = "whole"
    """How the official code puts an image through: `whole`, `chop` (IPT) or `extra-window` (EDT)."""
    derived: ClassVar[tuple[str, ...]] = ()
    """Endings of official keys that hold no weights but tables which the network makes itself, such as masks."""
    head_in_use: str | None = None
    """The head that is adapted; the engine sets it."""
    tuned: frozenset[str] = frozenset()
    """Names of its own parameters that a method trains; the engine sets it."""

    @classmethod
    def small(cls) -> Backbone:
        """Return a network of this family that takes milliseconds, on which contracts are checked."""
        return cls()

    @abstractmethod
    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Restore `images` (N×3×H×W in [0, 1]) through `head`; without a name, through the only one."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """The blocks, in the order of computation."""

    @abstractmethod
    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        """The parameters that decide the output of `head`; without a name, of any head."""

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        """The parameters that turn features into the image of `head`; without a name, of any head."""
        yield from ()

    def outer_norms(self) -> Iterator[Site]:
        """The norms before and behind the blocks, in the order of computation."""
        yield from ()

    def inner_norms(self) -> Iterator[nn.Module]:
        """Yield the norms inside branches, which can be trained but not replaced."""
        yield from ()

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Take a state dict with the official keys; missing and unexpected ones are named, and nothing is taken."""
        load_strictly(self, state, f"weights for {self.name}")

    def official_state_dict(self) -> dict[str, Tensor]:
        """The weights under the official keys."""
        return self.state_dict()

    def multiple(self, head: str | None) -> int:
        """What the sides of an input are padded to a multiple of, inside the network; 1 where nothing is padded."""
        return 1

    def input_note(self, head: str) -> str:
        """What is done to an image before `head` reads it, for the column; empty where nothing is."""
        return ""

    def patch(self, head: str | None, least: int) -> int:
        """The side of a training crop on the degraded side: the one window, else `least`, more where that is padded."""
        multiple = self.multiple(head)
        return self.window or -(-least // multiple) * multiple

    def head_for(self, task: Task) -> str:
        """Return the head that serves `task`: its own, the tabled one, else the one of the task's scale.

        Raises:
            PetlirError: there is none.
        """
        for name in self._serving(task):
            return name
        raise PetlirError(str(self.applies(task)))

    def applies(self, task: Task) -> str | None:
        """Return the reason why no head serves `task`, or None where one does."""
        if self._serving(task):
            return None
        scales = ", ".join(f"×{scale}" for scale in sorted(set(self.heads.values())))
        return f"{self.name} has no head for task {task.name!r} (scale {task.scale}); it restores at {scales}"

    def _serving(self, task: Task) -> list[str]:
        """Return the heads that serve `task`, the best one first."""
        named = (task.name, self.task_heads.get(task.name, ""), f"sr_x{task.scale}")
        fitting = [name for name, scale in self.heads.items() if scale == task.scale]
        return [name for name in named if name in self.heads] + fitting[::-1]

    def head_index(self, head: str | None) -> int:
        """Where `head` stands among the heads."""
        names = list(self.heads)
        if head is None and len(names) == 1:
            return 0
        if head not in names:
            raise unknown(f"head of {self.name}", str(head), names)
        return names.index(head)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict and name every missing, unexpected and misshapen key in one line."""
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
