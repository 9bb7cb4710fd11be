"""FacT: the updates of all projections form one tensor, which is factorised with shared factors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from petlir.benchmark.backbone import Backbone, Site
from petlir.benchmark.errors import unknown
from petlir.benchmark.layers.pointwise import check_share
from petlir.benchmark.method import Method, Paper, Published
from petlir.methods.sites import not_dense

LANES = 8
"""The number of 32-bit values that a CPU multiplies at once; its multiples are also efficient ranks on GPUs."""
CHANCES = 2**16
"""The resolution of dropout probabilities, which are integer multiples of 1 / `CHANCES`."""

Frozen = tuple[Tensor, Tensor | None]
"""Weight and bias of a frozen projection."""


class Factors(nn.Module):
    """The factors shared by all projections of one width: a width×rank matrix U and a rank×width matrix V.

    V starts at zero.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.empty(width, rank).uniform_(-(width**-0.5), width**-0.5))
        self.v = nn.Parameter(torch.zeros(rank, width))


class OwnCore(nn.Module):
    """The core of one projection in the tensor-train form: a matrix that no other projection shares."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, columns).uniform_(-(rows**-0.5), rows**-0.5))

    def forward(self) -> Tensor:
        """Return the matrix."""
        return self.weight


class Tucker(nn.Module):
    """The shared tensors of the Tucker form: a rank×rank×rank tensor C, and rank×K weights P of K mixtures of C."""

    def __init__(self, rank: int, mixtures: int) -> None:
        super().__init__()
        self.c = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, rank, rank)))
        self.p = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, mixtures)))


class MixedCore(nn.Module):
    """A core of the Tucker form: `rows` × `columns` rank×rank mixtures, given by the columns of P from `first` on."""

    def __init__(self, shared: Tucker, first: int, rows: int, columns: int) -> None:
        super().__init__()
        self.shared, self.first, self.rows, self.columns = shared, first, rows, columns

    def forward(self) -> Tensor:
        """Return the (rows·rank)×(columns·rank) matrix."""
        weights = self.shared.p[:, self.first : self.first + self.rows * self.columns]
        mixtures: Tensor = torch.tensordot(weights.T, self.shared.c, dims=([1], [2]))
        return mixtures.view(self.rows, self.columns, *mixtures.shape[1:]).transpose(1, 2).flatten(2).flatten(0, 1)


class Projected(torch.autograd.Function):
    """A frozen projection with its update, x Wᵀ + b + x U core V, for feature vectors in the rows of x.

    Projection and update have a fused backward pass. Separate operations of autograd would need an additional pass over
    the projection's output, and another one over the gradient of the input; on a CPU, these take as long as the
    products with the thin matrices U, core and V. The thin matrices are zero-padded to a multiple of `LANES`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, frozen: Frozen, u: Tensor, core: Tensor, v: Tensor, dropout: float) -> Tensor:
        """Project an N×inputs matrix x to N×outputs; `dropout` is the dropout probability of the core's output."""
        chances = round((1 - dropout) * CHANCES)
        kept = chances / CHANCES
        wide_u, wide_core, wide_v = _widened(u, core, v / kept)
        output = functional.linear(x, *frozen)
        inside = (x.reshape(-1, len(u)) @ wide_u).view(len(x), -1)
        mixed = inside @ wide_core
        mask = _drawn(mixed, chances) if dropout else None
        mixed = _times(mixed, mask)
        output.view(-1, v.shape[1]).addmm_(mixed.view(-1, len(wide_v)), wide_v)
        ctx.save_for_backward(x, frozen[0], wide_u, wide_core, wide_v, inside, mask)
        ctx.rank, ctx.kept = len(v), kept
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, U, the core and V."""
        x, weight, u, core, v, inside, mask = ctx.saved_tensors
        (width, wide), rank, pieces = u.shape, ctx.rank, gradient.reshape(-1, v.shape[1])
        mixed = _times(inside @ core, mask)  # recomputed: the time that storing it saves is not worth the memory
        of_mixed = _times((pieces @ v.T).view(mixed.shape), mask)
        of_inside = (of_mixed @ core.T).view(-1, wide)
        of_core = (inside.T @ of_mixed).view(-1, wide, core.shape[1] // wide, wide)[:, :rank, :, :rank]
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = gradient.reshape(len(x), -1) @ weight
            of_x.view(-1, width).addmm_(of_inside, u.T)
        return (
            of_x,
            None,
            (x.reshape(-1, width).T @ of_inside)[:, :rank],
            of_core.flatten(2).flatten(0, 1),
            (mixed.view(-1, wide).T @ pieces)[:rank] / ctx.kept,
            None,
        )


def _widened(u: Tensor, core: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pad U, core and V with zeros to a rank that is a multiple of `LANES`."""
    rank = len(v)
    more = -rank % LANES
    if not more:
        return u, core, v
    cores = functional.pad(core.view(-1, rank, core.shape[1] // rank, rank), (0, more, 0, 0, 0, more))
    return functional.pad(u, (0, more)), cores.flatten(2).flatten(0, 1), functional.pad(v, (0, 0, 0, more))


def _drawn(values: Tensor, chances: int) -> Tensor:
    """Draw a mask of the shape of `values` that keeps each value with probability `chances` / `CHANCES`."""
    numbers = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device="cpu").random_(-(2**63), None)
    # drawing 16-bit integers takes a quarter of the time of Bernoulli draws, which would outlast all matrix products
    kept = numbers.view(torch.int16)[: values.numel()] < chances - CHANCES // 2
    return kept.view(values.shape).to(values.device)  # drawn on the CPU, so that it is the same on all devices


def _times(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values.mul_(mask)


class Factored(nn.Module):
    """A frozen projection, linear or a 1×1 convolution, with the parallel update scale · x U core V.

    A projection several times as wide as the factors is cut into width×width pieces: U is applied to each piece of the
    input, and V yields each piece of the output. `dropout` is the dropout probability of the core's output in training.
    """

    def __init__(
        self, base: nn.Linear | nn.Conv2d, factors: Factors, core: nn.Module, scale: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.base, self.factors, self.core, self.scale, self.dropout = base, factors, core, scale, dropout

    def forward(self, features: Tensor) -> Tensor:
        """Return the output in the projection's own layout."""
        maps = self.base.weight.ndim == 4
        rows = features.movedim(1, -1) if maps else features
        output = self._projected(rows.reshape(-1, rows.shape[-1])).view(*rows.shape[:-1], -1)
        return output.movedim(-1, 1) if maps else output

    def _projected(self, rows: Tensor) -> Tensor:
        """Project rows of features in the dtype that autocast would use."""
        kind = rows.device.type
        cast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if cast else rows.dtype
        bias = self.base.bias
        frozen = self.base.weight.flatten(1).to(dtype), None if bias is None else bias.to(dtype)
        factors = (self.factors.u, self.scale * self.core(), self.factors.v)
        share = self.dropout if self.training else 0.0
        output: Tensor = Projected.apply(rows.to(dtype), frozen, *(factor.to(dtype) for factor in factors), share)
        return output

    def merged(self) -> nn.Module:
        """Return the projection with the update added to its weight."""
        layer = deepcopy(self.base)
        with torch.no_grad():
            u, core, v = self.factors.u, self.core(), self.factors.v
            rank = len(v)
            pieces = core.view(-1, rank, core.shape[1] // rank, rank)
            update = torch.einsum("ia,cabr,ro->cibo", u, pieces, v).reshape(layer.weight.shape[1], -1)
            layer.weight += self.scale * update.T.reshape(layer.weight.shape)
        return layer


def own_cores(shapes: Sequence[tuple[int, int]], rank: int) -> list[nn.Module]:
    """Return the cores of the tensor train: a separate core for each projection of `rows` × `columns` pieces."""
    return [OwnCore(rows * rank, columns * rank) for rows, columns in shapes]


def mixed_cores(shapes: Sequence[tuple[int, int]], rank: int) -> list[nn.Module]:
    """Return the cores of the Tucker form: mixtures of one shared core, with one mixture for each piece."""
    sizes = [rows * columns for rows, columns in shapes]
    shared = Tucker(rank, sum(sizes))
    return [MixedCore(shared, sum(sizes[:index]), *shape) for index, shape in enumerate(shapes)]


def _dense(site: Site) -> nn.Linear | nn.Conv2d:
    base = site.module
    assert isinstance(base, nn.Linear | nn.Conv2d)
    return base


FORMS = {"tt": own_cores, "tk": mixed_cores}


@dataclass(frozen=True)
class FacT(Method):
    """Updates with shared factors for the projections of mixer and mlp; there is one set of factors for each width.

    On backbones whose blocks differ in width, blocks of the same width share factors. FacT is not applicable to
    projections whose input or output size is not a whole multiple of the block's width, such as those of Restormer's
    mlp. Cross-attention gets no update.

    The defaults follow the AdaptIR paper: query, key, value and the mlp get updates, and each projection has its own
    core (tensor train).

    Source: Jie and Deng, FacT: Factor-Tuning for Lightweight Adaptation on Vision Transformer, AAAI 2023, §3, with the
    initialisation and the dropout of the authors' code. The authors also update attention's output projection
    (`out=True`). In the Tucker form the mlp's cores are laid out as in the paper's equations: piece p of a weight has
    its own mixture p. The authors' code interleaves the four mixtures of a wide projection column by column (column b
    of mixture p at 4b + p) before it cuts the r×4r matrix into pieces, so that a piece gets columns of all four
    mixtures. The authors' code also transposes the matrix of the mlp's second projection. The two layouts of the cores
    have equal parameter counts, but compute different functions.

    Attributes:
        form: `tt`, tensor train, with a core for each projection, or `tk`, Tucker, whose cores are mixtures of a shared
            core.
        rank: rank of the factors.
        scale: factor of the update; the paper tunes it for each task.
        dropout: dropout probability of the cores' output in training.
        out: whether attention's output projection also has an update.
    """

    name = "fact"
    idea = "Low-rank updates of all blocks of one width share their outer factors and merge into the weights."
    paper = Paper.from_bib(__file__, "jie2023fact", licence="MIT")
    shared = True
    size = "rank"

    form: str = "tt"
    rank: int = 16
    scale: float = 1.0
    dropout: float = 0.1
    out: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in FORMS:
            raise unknown("form of fact", self.form, FORMS)
        check_share(f"{self.name}: dropout", self.dropout)

    def adapt(self, backbone: Backbone) -> None:
        """Insert an update parallel to each selected projection."""
        found = list(self._sites(backbone))
        for width in dict.fromkeys(width for width, _ in found):
            projections = [(site, _dense(site)) for own, site in found if own == width]
            shapes = [(base.weight.shape[1] // width, base.weight.shape[0] // width) for _, base in projections]
            factors = Factors(width, self.rank)
            for (site, base), core in zip(projections, FORMS[self.form](shapes, self.rank), strict=True):
                site.replace(Factored(base, factors, core, self.scale, self.dropout))

    def _sites(self, backbone: Backbone) -> Iterator[tuple[int, Site]]:
        """Yield each projection that gets an update, with the width of its block."""
        for block in backbone.blocks():
            for site in (*block.mixer.sites, *block.mlp.sites):
                if self.out or site.name != "out":
                    yield block.width, site

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if a projection is not dense, is narrower than the rank or cannot be cut into pieces."""
        found = list(self._sites(backbone))
        if not found:
            return f"{backbone.name} has no projections"
        fault = not_dense(backbone, [site for _, site in found])
        if fault:
            return fault
        for width, site in found:
            outputs, inputs = site.module.get_parameter("weight").shape[:2]
            if inputs % width or outputs % width:
                return f"{backbone.name} has a projection {inputs} to {outputs} in a block of width {width}"
        narrow = next(((width, site) for width, site in found if self.rank > width), None)
        return narrow and f"rank {self.rank} is beyond a {narrow[1].name} projection in a block of {narrow[0]} channels"

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """Return configurations with the AdaptIR paper's parameter counts; the paper states neither form nor rank."""
        settings = {
            "ipt": [Published(cls(rank=43), "537K", "derived, and weak: three other settings give it too")],
            "edt-b": [
                Published(cls(rank=24, out=True), "174K", "derived: tensor train; Tucker of rank 52 gives it too"),
                Published(cls(form="tk", rank=52, out=True), "174K", "derived: Tucker; rank 24 as a tensor train too"),
            ],
        }
        return settings.get(backbone, [])
