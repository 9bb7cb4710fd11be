"""A correct method that the broken methods modify, and a method that requires another cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Block
from petlir.benchmark.cell import Cell
from petlir.benchmark.layers.pointwise import on_maps, pointwise
from petlir.benchmark.method import Method, Paper, PriorResults

PAPER = Paper("A title", "Someone", "2024", "@misc{someone}")


class Beside(nn.Module):
    """A linear layer over channels, initialised with zeros.

    Each subclass has an attribute `method`, a method that inserts the module and that other processes can import by its
    qualified name.
    """

    method: ClassVar[type[Sound]]

    def __init_subclass__(cls) -> None:
        body: dict[str, object] = {
            "module": cls,
            "__annotations__": {},
            "__doc__": cls.__doc__,
            "__module__": cls.__module__,
            "__qualname__": f"{cls.__qualname__}.method",
        }
        cls.method = dataclass(frozen=True)(type("method", (Sound,), body))

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.layer = pointwise(block.width, block.width, maps=on_maps(block))
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.get_parameter("bias"))

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.layer(features)
        return output


@dataclass(frozen=True)
class Sound(Method):
    """A method that satisfies every point of the contract."""

    name = "sound"
    idea = "A sentence."
    paper: ClassVar[Paper | None] = PAPER
    module: ClassVar[type[Beside]] = Beside

    def adapt(self, backbone: Backbone) -> None:
        for block in backbone.blocks():
            block.mlp.parallel(self.module(block))


def first(backbone: Backbone) -> Beside:
    """Return the module that was inserted first."""
    module: Beside = next(backbone.blocks()).mlp.hooks.get_submodule("beside.0")  # type: ignore[assignment]
    return module


def method_of(kind: type[Sound] | type[Beside]) -> Method:
    """Return an instance of the method, or of the method that inserts the module."""
    return kind.method() if issubclass(kind, Beside) else kind()


class Beginning(Beside):
    """An inserted module with a fixed matrix, which is stored."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.start = nn.Buffer(torch.zeros(block.width, block.width))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + features @ self.start


@dataclass(frozen=True)
class Follows(Sound):
    """A method that requires a cell on another task and starts from that cell's weights, multiplied by `share`."""

    identity = False
    module: ClassVar[type[Beside]] = Beginning

    share: float = 0.5

    def requires(self, cell: Cell) -> list[Cell]:
        return [cell.of(Sound(), "another")]

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        self.adapt(backbone)
        if prior.stored is None:
            self.start(backbone, prior)

    def start(self, backbone: Backbone, prior: PriorResults) -> None:
        (trained,) = prior.adapters
        weights = [tensor for name, tensor in trained.items() if name.endswith("weight")]
        for block, tensor in zip(backbone.blocks(), weights, strict=True):
            block.mlp.hooks.beside[0].get_buffer("start").copy_(self.share * tensor)
