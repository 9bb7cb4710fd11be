"""A plugin file for tests of the engine: a task on a few small images, and methods that fail."""

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
LARGER = replace(IMAGES, tests=("folder:small-test-x2",))
TINY_X2 = Task("tiny_x2", "Small images, enlarged", Bicubic(2), ("y-crop2",), {"demo": LARGER}, scale=2)
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
    """A module that returns its input in evaluation and NaN in training."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        """Return the features, or NaN in training."""
        return features * self.weight * (float("nan") if self.training else 1)


@dataclass(frozen=True)
class Diverging(Method):
    """A method whose loss is NaN."""

    name = "diverging"
    idea = "Nothing comes of it."

    def adapt(self, backbone: Backbone) -> None:
        """Insert the NaN module after the first MLP."""
        next(iter(backbone.blocks())).mlp.after(NotANumber())


@dataclass(frozen=True)
class Broken(Method):
    """A method with a bug."""

    name = "broken"
    idea = "It raises."

    def adapt(self, backbone: Backbone) -> None:
        """Raise an error with a message of two lines."""
        raise ValueError("no such width\nsecond line")


@dataclass(frozen=True)
class Elsewhere(Method):
    """A method that supports no backbone."""

    name = "elsewhere"
    idea = "It needs what no backbone has."

    def adapt(self, backbone: Backbone) -> None:
        """Raise an error; this is never called."""
        raise AssertionError

    def supports(self, backbone: Backbone) -> str | None:
        """Return a reason for every backbone."""
        return f"{backbone.name} has no tokens"


class Weighed(nn.Module):
    """A module that scales features by a trained number and keeps `seen` as a buffer."""

    def __init__(self, seen: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seen = nn.Buffer(seen)

    def forward(self, features: Tensor) -> Tensor:
        """Return the scaled features."""
        return features * self.weight


@dataclass(frozen=True)
class Follower(Method):
    """A method that requires a LoRA on a task and keeps a digest of its adapter."""

    name = "follower"
    idea = "It comes after another."

    rank: int = 2
    task: str = "tiny"

    def requires(self, cell: Cell) -> list[Cell]:
        """Return a cell with a LoRA of this rank."""
        return [cell.of(LoRA(rank=self.rank), self.task)]

    def adapt(self, backbone: Backbone) -> None:
        """Insert the module with an empty digest."""
        self._follow(backbone, torch.zeros(3))

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        """Insert the module with a digest of the required adapter and of a batch of its task."""
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
    """A method that requires a cell whose method always fails."""

    name = "lost"

    def requires(self, cell: Cell) -> list[Cell]:
        """Return a cell of the method with a bug."""
        return [cell.of(Broken())]


@dataclass(frozen=True)
class Nowhere(Follower):
    """A method that requires a cell whose method supports no backbone."""

    name = "nowhere"

    def requires(self, cell: Cell) -> list[Cell]:
        """Return a cell of a method that is never applicable."""
        return [cell.of(Elsewhere())]
