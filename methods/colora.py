"""CoLoRA: low-rank updates whose ranks depend on each layer's contribution to the task."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from petlir.benchmark.analysis.contribution import faig, gradient_squared, is_vector, per_layer, saliency
from petlir.benchmark.backbone import Backbone, Site
from petlir.benchmark.cell import Cell
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.method import Method, PriorResults
from petlir.methods.full_ft import FullFineTuning
from petlir.methods.lora import LowRank
from petlir.methods.partial import PartialFineTuning
from petlir.methods.sites import not_dense

PUBLISHED_SHARE = 0.07
"""The fraction of the backbone's parameters that the paper reports as tuned."""
PROXIES = {"gradient": gradient_squared, "saliency": saliency}
CONTRIBUTIONS = ("faig", *PROXIES, "uniform")


@dataclass(frozen=True)
class Projection:
    """A dense projection of a block, either linear or a 1×1 convolution.

    Attributes:
        where: the projection's name in the backbone.
        site: the site that holds the projection.
        base: the projection.
    """

    where: str
    site: Site
    base: nn.Linear | nn.Conv2d

    @property
    def weight(self) -> str:
        """The name of the projection's weight."""
        return f"{self.where}.weight"

    @property
    def cost(self) -> int:
        """The number of parameters that each rank of an update adds: inputs plus outputs."""
        return sum(self.base.weight.shape[:2])

    @property
    def cap(self) -> int:
        """The highest rank at which an update has at most as many parameters as the projection itself."""
        return self.base.weight.numel() // self.cost


@dataclass(frozen=True)
class CoLoRA(Method):
    """Low-rank updates of every projection of every block; biases, norms and other per-channel vectors are trained too.

    Source: Park et al., Contribution-based Low-Rank Adaptation with Pre-training Model for Real Image Restoration, ECCV
    2024. Re-implemented from the description, as there is no official code and the equations were not accessible. Two
    points come from the paper: ranks follow the filter attribution (FAIG, filter attribution integrated gradients)
    between the pre-trained network and a network that was fine-tuned for the task, and about 7 % of the parameters are
    tuned. The mapping from contributions to ranks is petlir's own. A projection with n weights has the contribution c,
    averaged over its weights, and the importance w = beta + (1 - beta) · (c / mean of all c)^alpha. The rank of the
    update of a projection is κ · w · n / (inputs + outputs), rounded, and at most n / (inputs + outputs), the rank at
    which an update has as many parameters as the projection itself. κ is chosen to meet the budget. The paper's results
    were not accessible, so petlir's results are not compared with them.

    Attributes:
        budget: size of all updates together, in units of one rank of the projection that has the most parameters per
            rank. Biases and norms are always trained, but not counted in the budget. If the budget is None, 7 % of the
            backbone's parameters are tuned in total, biases and norms included, but the updates get at least one unit,
            and no projection exceeds its highest rank.
        contribution: `faig`, which requires a fully fine-tuned network; the proxies `gradient` (squared) and `saliency`
            (|gradient · weight|) of the pre-trained network; or the control `uniform`: the same rank everywhere (at
            least 1, and capped at each projection's maximum), as close to the budget as possible.
        alpha: exponent of the contributions; at 0 all projections have the same importance.
        beta: fraction of the budget that does not depend on the contributions, from 0 to 1.
        images: number of training crops over which contributions are averaged.
    """

    name = "colora"
    idea = "The ranks of low-rank updates follow each layer's contribution to the task; biases and norms are trained."
    paper = PartialFineTuning.paper
    unfreezes = True
    size = "budget"

    budget: int | None = None
    contribution: str = "faig"
    alpha: float = 1.0
    beta: float = 0.0
    images: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.contribution not in CONTRIBUTIONS:
            raise unknown("contribution of colora", self.contribution, CONTRIBUTIONS)
        if self.alpha < 0:
            raise PetlirError(f"colora: alpha is {self.alpha}, expected 0 or more")
        if not 0 <= self.beta <= 1:
            raise PetlirError(f"colora: beta is {self.beta}, expected a share from 0 to 1")
        if self.images < 1:
            raise PetlirError(f"colora: images is {self.images}, expected a positive whole number")

    def requires(self, cell: Cell) -> list[Cell]:
        """Return the cell that fully fine-tunes the network if `contribution` is `faig`, otherwise an empty list."""
        return [cell.of(FullFineTuning())] if self.contribution == "faig" else []

    def adapt(self, backbone: Backbone) -> None:
        """Insert updates with the ranks for equal contributions, so that parameters can be counted without data."""
        layers = projections(backbone)
        _insert(backbone, layers, self._ranks(backbone, layers, [1.0] * len(layers)))

    def adapt_from(self, backbone: Backbone, prior: PriorResults) -> None:
        """Insert updates with ranks that follow the contributions, or with the ranks of a stored adapter."""
        layers, stored = projections(backbone), prior.stored
        if stored is None:
            ranks = self._ranks(backbone, layers, self._weights(backbone, layers, prior))
        else:
            downs = [stored.get(f"{layer.where}.down") for layer in layers]
            ranks = [0 if down is None else len(down) for down in downs]
        _insert(backbone, layers, ranks)

    def _weights(self, backbone: Backbone, layers: Sequence[Projection], prior: PriorResults) -> list[float]:
        """Return the importance w of each projection, from its contribution relative to the mean contribution."""
        if self.contribution == "uniform":
            return [1.0] * len(layers)
        found = per_layer(self._contributions(backbone, layers, prior))
        mean = sum(found[layer.weight] for layer in layers) / len(layers)
        if not 0 < mean < math.inf:
            raise PetlirError(f"colora: projections contribute {mean} on average, which gives no ranks")
        return [self.beta + (1 - self.beta) * (found[layer.weight] / mean) ** self.alpha for layer in layers]

    def _contributions(
        self, backbone: Backbone, layers: Sequence[Projection], prior: PriorResults
    ) -> dict[str, Tensor]:
        own, crops = dict(backbone.named_parameters()), self._crops(prior)
        if self.contribution in PROXIES:
            weights = {layer.weight: own[layer.weight].detach() for layer in layers}
            return PROXIES[self.contribution](backbone, weights, crops, prior.head)
        (tuned,) = prior.adapters
        target = {name: tensor.to(own[name].device) for name, tensor in tuned.items()}
        return faig(backbone, {name: own[name].detach() for name in target}, target, crops, prior.head)

    def _crops(self, prior: PriorResults) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of the first `images` training crops, degraded and clean."""
        assert prior.batch is not None
        left, index = self.images, 0
        while left > 0:
            degraded, clean = prior.batch(prior.task, index)
            yield degraded[:left], clean[:left]
            left, index = left - len(degraded), index + 1

    def _ranks(self, backbone: Backbone, layers: Sequence[Projection], weights: Sequence[float]) -> list[int]:
        budget = self._budget(backbone, layers)
        if self.contribution == "uniform":
            highest = max(1, *_caps(layers))
            uniform = [[min(rank, layer.cap) for layer in layers] for rank in range(1, highest + 1)]
            return min(uniform, key=lambda ranks: abs(_spent(layers, ranks) - budget))
        shares = [
            weight * layer.base.weight.numel() / layer.cost for weight, layer in zip(weights, layers, strict=True)
        ]
        return apportioned(layers, shares, budget)

    def _budget(self, backbone: Backbone, layers: Sequence[Projection]) -> int:
        """Return the budget as the number of parameters of all updates together."""
        costliest = max(layer.cost for layer in layers)
        if self.budget is not None:
            return self.budget * costliest
        total = sum(parameter.numel() for parameter in backbone.parameters())
        unfrozen = sum(parameter.numel() for parameter in vectors(backbone))
        return min(max(round(PUBLISHED_SHARE * total) - unfrozen, costliest), _spent(layers, _caps(layers)))

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if a projection is not dense or the budget cannot be spent, otherwise None."""
        sites = [site for block in backbone.blocks() for site in block.projections()]
        if fault := not_dense(backbone, sites):
            return fault
        layers = projections(backbone)
        if not layers:
            return f"{backbone.name} has no projections"
        most, budget = _spent(layers, _caps(layers)), self._budget(backbone, layers)
        if most + max(layer.cost for layer in layers) / 2 < budget:
            return f"{backbone.name}: the budget is {budget:,} parameters, but the highest ranks take {most:,} only"
        return None

    def zero_grad_parameters(self) -> tuple[str, ...]:
        """Return the name of the bias of keys, which has no effect, as a softmax is invariant to an added constant."""
        return (".key.bias", ".key.base.bias")


def projections(backbone: Backbone) -> list[Projection]:
    """Return the dense projections of all blocks, in the order of computation."""
    names = {module: name for name, module in backbone.named_modules()}
    sites = [(site, site.module) for block in backbone.blocks() for site in block.projections()]
    return [Projection(names[base], site, base) for site, base in sites if isinstance(base, nn.Linear | nn.Conv2d)]


def vectors(backbone: Backbone) -> Iterator[nn.Parameter]:
    """Return the per-channel and per-attention-head vectors, e.g. biases, that affect the current output head."""
    return (parameter for parameter in backbone.tunable(backbone.head_in_use) if is_vector(parameter))


def apportioned(layers: Sequence[Projection], shares: Sequence[float], budget: int) -> list[int]:
    """Return ranks in proportion to `shares`; the parameters of the updates meet the budget to within one rank.

    As κ grows from 0, a layer gets its k-th rank at κ = (k - ½) / share. Each layer thus gets the rank κ · share,
    rounded (Webster's method). If several layers reach their next rank at the same κ, the first layer takes precedence.

    Args:
        layers: the projections.
        shares: the desired proportions of the ranks, in any unit; no layer gets more than its highest rank.
        budget: number of parameters of all updates.
    """
    ranks, spent = [0] * len(layers), 0
    turns = (_turns(index, share, layers[index].cap) for index, share in enumerate(shares) if share > 0)
    for _, index in heapq.merge(*turns):
        cost = layers[index].cost
        if spent + cost / 2 > budget:
            return ranks
        ranks[index] += 1
        spent += cost
    return ranks


def _caps(layers: Sequence[Projection]) -> list[int]:
    return [layer.cap for layer in layers]


def _spent(layers: Sequence[Projection], ranks: Sequence[int]) -> int:
    """Return the number of parameters of updates with these ranks."""
    return sum(rank * layer.cost for rank, layer in zip(ranks, layers, strict=True))


def _turns(index: int, share: float, cap: int) -> Iterator[tuple[float, int]]:
    """Yield the κ at which a layer gets each of its ranks, with the layer's index."""
    return (((rank - 0.5) / share, index) for rank in range(1, cap + 1))


def _insert(backbone: Backbone, layers: Sequence[Projection], ranks: Sequence[int]) -> None:
    for parameter in vectors(backbone):
        parameter.requires_grad_(True)
    for layer, rank in zip(layers, ranks, strict=True):
        if rank:
            layer.site.replace(LowRank(layer.base, rank, 1.0))
