"""A plugin file for the engine's tests: a task on a few small images, and methods that go wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cell import Cell
from petlir.benchmark.degradation import KEPT
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.degradations.resize import Bicubic
from petlir.benchmark.method import Method, PriorResults
from petlir.benchmark.task import Data, Task, mixture
from petlir.methods.lora import LoRA

IMAGES = Data("folder:small-train", "folder:small-validation", ("folder:small-test",))

TINY = Task(
    "tiny",
    "Noise on small images",
    GaussianNoise(30),
    ("rgb",),
    {"demo": IMAGES},
    variants={"noise": {kept: {"degradation": GaussianNoise(30, kept)} for kept in KEPT}},
)
TINY_X2 = Task("tiny_x2", "Small images, enlarged", Bicubic(2), ("y-crop2",), {"demo": IMAGES}, scale=2)
TINY_Y = replace(TINY, name="tiny_y", protocols=("y",))
TINY_MIX = mixture("tiny_mix", "Both in one", (TINY, TINY_Y))
ASIDE = replace(TINY, name="aside", test_only=True)
LEAKY = Task(
    "leaky",
    "Trained on a test image",
    GaussianNoise(30),
    ("rgb",),
    {"demo": Data("folder:small-test", "folder:small-validation", ("folder:small-test",))},
)


class NotANumber(nn.Module):
    """Leaves features alone in evaluation, and ruins them in training."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        """Features in and out."""
        return features * self.weight * (float("nan") if self.training else 1)


@dataclass(frozen=True)
class Diverging(Method):
    """Its loss is never a number."""

    name = "diverging"
    idea = "Nothing comes of it."

    def adapt(self, backbone: Backbone) -> None:
        """Put the ruin behind the first mlp."""
        next(iter(backbone.blocks())).mlp.after(NotANumber())


@dataclass(frozen=True)
class Broken(Method):
    """Its code has a bug."""

    name = "broken"
    idea = "It raises."

    def adapt(self, backbone: Backbone) -> None:
        """Raise, in two lines."""
        raise ValueError("no such width\nsecond line")


@dataclass(frozen=True)
class Elsewhere(Method):
    """It fits no backbone."""

    name = "elsewhere"
    idea = "It needs what no backbone has."

    def adapt(self, backbone: Backbone) -> None:
        """Never called."""
        raise AssertionError

    def supports(self, backbone: Backbone) -> str | None:
        """Never."""
        return f"{backbone.name} has no tokens"


class Weighed(nn.Module):
    """Scales features by a trained number; its length of memory is a buffer."""

    def __init__(self, seen: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seen = nn.Buffer(seen)

    def forward(self, features: Tensor) -> Tensor:
        """Features in and out."""
        return features * self.weight


@dataclass(frozen=True)
class Follower(Method):
    """It requires a LoRA on a task, and remembers what that has trained."""

    name = "follower"
    idea = "It comes after another."

    rank: int = 2
    task: str = "tiny"

    def requires(self, cell: Cell) -> list[Cell]:
        """A LoRA of this rank."""
        return [cell.of(LoRA(rank=self.rank), self.task)]

    def adapt(self, backbone: Backbone) -> None:
        """As if nothing had been seen."""
        self._follow(backbone, torch.zeros(3))

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        """Keep a digest of the required adapter and of a batch of its task."""
        if prior.stored is not None:
            self.adapt(backbone)
            return
        (adapter,) = prior.adapters
        assert prior.batch is not None
        size = float(sum(tensor.numel() for tensor in adapter.values()))
        total = float(sum(tensor.double().abs().sum() for tensor in adapter.values()))
        self._follow(backbone, torch.tensor([size, total, float(prior.batch(self.task, 0)[0].mean())]))

    def _follow(self, backbone: Backbone, seen: Tensor) -> None:
        next(iter(backbone.blocks())).mlp.after(Weighed(seen))


@dataclass(frozen=True)
class Lost(Follower):
    """It requires what always fails."""

    name = "lost"

    def requires(self, cell: Cell) -> list[Cell]:
        """A method with a bug."""
        return [cell.of(Broken())]


@dataclass(frozen=True)
class Nowhere(Follower):
    """It requires what fits no backbone."""

    name = "nowhere"

    def requires(self, cell: Cell) -> list[Cell]:
        """A method that is never applicable."""
        return [cell.of(Elsewhere())]
