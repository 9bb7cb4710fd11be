"""UIR-LoRA on a restoration backbone: trained LoRAs, one per degradation, mixed for each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cell import Cell
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.layers.routing import BlockStatistics, ClipEmbedding, Describe, Router
from petlir.benchmark.method import Method, Paper, PriorResults
from petlir.benchmark.restoration.restore import restored
from petlir.methods.lora import LoRA, LowRank, low_rank
from petlir.methods.sites import QUERY_VALUE

WEIGHTS = ("router", "uniform", "best", "oracle")
ROUTERS = ("features", "clip")
BATCHES = 4
"""Training batches of each degradation that are averaged into its prototype."""
DESCENT = 20
"""Adam steps for the oracle's weights, each over all validation images."""
RATE = 0.3
"""Adam's learning rate for the logits of the oracle's weights."""

Pair = tuple[Tensor, Tensor]
"""A degraded image 1×3×h×w and its clean image 1×3×sh×sw, in [0, 1]."""
MixingError = Callable[[Tensor, Pair], Tensor]
"""(weights K, a pair) → error of the degraded image restored with these weights."""


@dataclass
class Mixture:
    """LoRA weights of the images in the current pass, N×K, or 1×K for all; None leaves the network frozen."""

    weights: Tensor | None = None


class Mixed(nn.Module):
    """A frozen projection W with K low-rank updates: W + scale · Σ wₖ · upₖ · downₖ, with weights w for each image.

    Args:
        lora: the projection with a single update, whose shapes and scale the K updates share.
        count: K.
        mixture: holder of the weights of the images in the current pass.
    """

    def __init__(self, lora: LowRank, count: int, mixture: Mixture) -> None:
        super().__init__()
        self.base, self.scale, self.mixture = lora.base, lora.scale, mixture
        self.down = nn.Buffer(lora.base.weight.new_zeros(count, *lora.down.shape))
        self.up = nn.Buffer(lora.base.weight.new_zeros(count, *lora.up.shape))

    def forward(self, features: Tensor) -> Tensor:
        """Return the output in the projection's own layout; the windows of an image must be adjacent in the batch."""
        output: Tensor = self.base(features)
        weights = self.mixture.weights
        if weights is None:
            return output
        rows = weights.to(output).repeat_interleave(len(features) // len(weights), 0)
        update = torch.zeros_like(output)
        for weight, down, up in zip(rows.T, self.down, self.up, strict=True):
            update = update + weight.view(-1, *[1] * (output.ndim - 1)) * low_rank(features, down, up)
        return torch.add(output, update, alpha=self.scale)


class Fixed(nn.Module):
    """The same weights for every image.

    Args:
        weights: K non-negative values that sum to 1.
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Buffer(weights)

    def forward(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Return the weights, 1×K."""
        return self.weights[None]


class Composer(nn.Module):
    """A module that sets the LoRAs' weights for the images that enter the backbone, and discards them afterwards.

    Args:
        weigh: (backbone, images) → weights N×K or 1×K; during this call the network is frozen.
        mixture: holder of the weights.
    """

    def __init__(self, weigh: Router | Fixed, mixture: Mixture) -> None:
        super().__init__()
        self.weigh, self.mixture = weigh, mixture

    def watch(self, backbone: Backbone) -> None:
        """Act on every forward pass from now on. Bound methods give a copied backbone its own composer."""
        backbone.register_forward_pre_hook(self._enter)
        backbone.register_forward_hook(self._leave, always_call=True)

    def _enter(self, backbone: Any, inputs: tuple[Any, ...]) -> None:
        self.mixture.weights = self.weigh(backbone, inputs[0])

    def _leave(self, *_: object) -> None:
        self.mixture.weights = None


@dataclass(frozen=True)
class UIRLoRA(Method):
    """UIR-LoRA (restoration backbone): the LoRAs of finished cells, one per degradation, in a weighted sum.

    Source: Zhang et al., UIR-LoRA, arXiv 2409.20197, 2024, from its description, as the authors' repository does not
    contain code. The paper composes LoRAs of a generative model; here they adapt the restoration backbone. Ours are the
    sites (LoRA's), the similarity (see `layers.routing.Router`) and its temperature. Nothing is trained, so on a
    mixture of degradations the method is zero-shot. The router reads training images only. `best` and `oracle` read the
    validation images of the task; these and `uniform` are controls. The router reads the frozen network through the
    head of the first ×1 degradation: a denoising head hides noise from it, a deraining head neither rain nor noise, so
    deraining comes first. The output head is the task's own.

    Attributes:
        degradations: the tasks whose LoRAs are mixed, joined by +.
        rank: rank of the LoRAs.
        weights: `router` for each image, `uniform`, `best` (one LoRA) or `oracle` (a convex mixture) by validation.
        router: basis of the similarity, `features` of the frozen backbone or `clip`.
        top: number of LoRAs mixed for an image.
        temperature: temperature of the softmax over cosine similarities.
        sites: the projections with LoRAs, as in LoRA's own option.
    """

    name = "uir-lora"
    idea = "UIR-LoRA (restoration backbone): LoRAs of single degradations, mixed for each image by what it resembles."
    paper = Paper(
        "UIR-LoRA: Achieving Universal Image Restoration through Multiple Low-Rank Adaptation",
        "Zhang et al.",
        "arXiv 2024",
        "@article{zhang2024uirlora, title={{UIR-LoRA}: Achieving Universal Image Restoration through Multiple "
        "Low-Rank Adaptation}, author={Zhang, Cheng and Gong, Dong and He, Jiumei and Zhu, Yu and Sun, Jinqiu and "
        "Zhang, Yanning}, journal={arXiv preprint arXiv:2409.20197}, year={2024}}",
    )
    identity = False
    trains = False

    degradations: str = "sr_x4+derain_heavy+denoise_50+low_light"
    rank: int = 4
    weights: str = "router"
    router: str = "features"
    top: int = 2
    temperature: float = 0.1
    sites: str = QUERY_VALUE

    def __post_init__(self) -> None:
        """Validate the options."""
        super().__post_init__()
        if not all(self.tasks) or len(set(self.tasks)) < len(self.tasks):
            raise PetlirError(f"uir-lora: degradations is {self.degradations!r}, expected different tasks joined by +")
        for option, valid in (("weights", WEIGHTS), ("router", ROUTERS)):
            if (value := getattr(self, option)) not in valid:
                raise unknown(f"{option} of uir-lora", value, valid)
        for option in ("rank", "top"):
            if (value := getattr(self, option)) < 1:
                raise PetlirError(f"uir-lora: {option} is {value}, expected a whole number from 1 on")
        if self.temperature <= 0:
            raise PetlirError(f"uir-lora: temperature is {self.temperature}, expected a number above 0")

    @property
    def tasks(self) -> tuple[str, ...]:
        """The single degradations."""
        return tuple(self.degradations.split("+"))

    @property
    def lora(self) -> LoRA:
        """The method that adapts to each degradation."""
        return LoRA(rank=self.rank, sites=self.sites)

    def requires(self, cell: Cell) -> list[Cell]:
        """Return the cells of each degradation's LoRA."""
        return [cell.of(self.lora, task) for task in self.tasks]

    def supports(self, backbone: Backbone) -> str | None:
        """Return the reason why LoRA is not applicable, or None if it is."""
        return self.lora.supports(backbone)

    def adapt(self, backbone: Backbone) -> None:
        """Insert LoRAs and weights of the right shapes; the LoRAs are zero and have no effect."""
        self._insert(backbone).watch(backbone)

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        """Insert the trained LoRAs and compute their weights; if this cell is loaded again, only insert empty ones."""
        composer = self._insert(backbone)
        if prior.stored is None:
            fill(backbone, prior.adapters)
            self._study(backbone, composer, prior)
        composer.watch(backbone)

    def _insert(self, backbone: Backbone) -> Composer:
        mixture, count = Mixture(), len(self.tasks)
        self.lora.adapt(backbone)
        for name, module in list(backbone.named_modules()):
            if isinstance(module, LowRank):
                backbone.set_submodule(name, Mixed(module, count, mixture))
        numbers = next(backbone.parameters())
        if self.weights == "router":
            describe = self._describe(backbone)
            prototypes = numbers.new_zeros(count, describe.width(backbone))
            composer = Composer(Router(describe, prototypes, self.top, self.temperature), mixture)
        else:
            composer = Composer(Fixed(numbers.new_full((count,), 1 / count)), mixture)
        backbone.add_module("composer", composer)
        return composer

    def _describe(self, backbone: Backbone) -> Describe:
        return BlockStatistics(self.reads(backbone)) if self.router == "features" else ClipEmbedding()

    def reads(self, backbone: Backbone) -> str:
        """Return the head through which the router reads images: that of the first ×1 degradation, else the last."""
        same_size = [head for head, scale in backbone.heads.items() if scale == 1]
        named = (name for task in self.tasks for name in (task, backbone.task_heads.get(task)))
        return next((name for name in named if name in same_size), (same_size or list(backbone.heads))[-1])

    def _study(self, backbone: Backbone, composer: Composer, prior: PriorResults) -> None:
        if isinstance(composer.weigh, Router):
            batch = prior.batch
            assert batch is not None
            known = ((batch(task, index)[0] for index in range(BATCHES)) for task in self.tasks)
            composer.weigh.study(backbone, known)
        elif self.weights != "uniform":
            assert prior.validation is not None
            error = partial(mixing_error, backbone, prior.head, composer.mixture)
            composer.weigh.weights.copy_(chosen(error, composer.weigh.weights, prior.validation(), self.weights))


def fill(backbone: Backbone, adapters: Sequence[Mapping[str, Tensor]]) -> None:
    """Copy each LoRA's trained parameters, by name, into the mixed updates."""
    for name, module in backbone.named_modules():
        if isinstance(module, Mixed):
            for index, adapter in enumerate(adapters):
                module.down[index].copy_(adapter[f"{name}.down"])
                module.up[index].copy_(adapter[f"{name}.up"])


def chosen(error: MixingError, start: Tensor, pairs: Sequence[Pair], kind: str) -> Tensor:
    """Return the K weights with the lowest error over `pairs`: of a single LoRA (`best`) or of any convex mixture."""
    singles: list[Tensor] = list(torch.eye(len(start)).to(start))
    candidates = singles if kind == "best" else [*singles, descend(error, start, pairs)]

    @torch.no_grad()
    def total(weights: Tensor) -> float:
        return sum(float(error(weights, pair)) for pair in pairs)

    return min(candidates, key=total)


def descend(error: MixingError, start: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Return convex weights after gradient steps on their logits, starting from the mixture `start` (all above 0)."""
    logits = start.log().requires_grad_()
    optimizer = torch.optim.Adam([logits], RATE)
    for _ in range(DESCENT):
        optimizer.zero_grad()
        for pair in pairs:  # one graph at a time
            torch.autograd.backward(error(logits.softmax(0), pair) / len(pairs))
        optimizer.step()
    return logits.detach().softmax(0)


def mixing_error(backbone: Backbone, head: str, mixture: Mixture, weights: Tensor, pair: Pair) -> Tensor:
    """Return the mean absolute error of one image restored with K weights, differentiable with respect to them."""
    degraded, clean = pair
    mixture.weights = weights[None]
    try:
        return functional.l1_loss(restored(backbone, degraded, head), clean)
    finally:
        mixture.weights = None
