"""FacT: the updates of all projections as one tensor, whose factors they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.backbone import Backbone, Site
from benchmark.errors import unknown
from benchmark.method import Method, Paper, Published
from benchmark.pointwise import check_share


class Factors(nn.Module):
    """What all projections of one width share: U, width×rank, and V, rank×width, which starts at zero."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.empty(width, rank).uniform_(-(width**-0.5), width**-0.5))
        self.v = nn.Parameter(torch.zeros(rank, width))


class OwnCore(nn.Module):
    """The core of a tensor train: a matrix of the projection's own."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, columns).uniform_(-(rows**-0.5), rows**-0.5))

    def forward(self) -> Tensor:
        """The matrix."""
        return self.weight


class Tucker(nn.Module):
    """What the cores of the Tucker form share: C, rank×rank×rank, and P, rank×K, which mixes its slices K times."""

    def __init__(self, rank: int, mixtures: int) -> None:
        super().__init__()
        self.c = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, rank, rank)))
        self.p = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, mixtures)))


class MixedCore(nn.Module):
    """A core of the Tucker form, of `rows` × `columns` mixtures rank×rank, from column `first` of P on."""

    def __init__(self, shared: Tucker, first: int, rows: int, columns: int) -> None:
        super().__init__()
        self.shared, self.first, self.rows, self.columns = shared, first, rows, columns

    def forward(self) -> Tensor:
        """The matrix (rows·rank)×(columns·rank)."""
        weights = self.shared.p[:, self.first : self.first + self.rows * self.columns]
        mixtures: Tensor = torch.tensordot(weights.T, self.shared.c, dims=([1], [2]))
        return mixtures.view(self.rows, self.columns, *mixtures.shape[1:]).transpose(1, 2).flatten(2).flatten(0, 1)


class Factored(nn.Module):
    """A frozen projection, linear or a 1×1 convolution, and beside it scale · x U core V.

    A projection that is several times as wide as the factors is cut into pieces width×width: U stands before each
    piece of its input, V behind each piece of its output. In training, `dropout` drops some of what the core puts out.
    """

    def __init__(
        self, base: nn.Linear | nn.Conv2d, factors: Factors, core: nn.Module, scale: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.base, self.factors, self.core, self.scale = base, factors, core, scale
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """What the projection puts out, in its own layout."""
        output: Tensor = self.base(features)
        maps = self.base.weight.ndim == 4
        if maps:
            features, output = features.movedim(1, -1), output.movedim(1, -1)
        inside, v = self.dropout(self._inside(features)), self.factors.v
        # product, scale and sum in one call: they would pass over the widest features three times
        changed = torch.addmm(output.reshape(-1, v.shape[1]), inside, v, alpha=self.scale).view(output.shape)
        return changed.movedim(-1, 1) if maps else changed

    def _inside(self, features: Tensor) -> Tensor:
        """What the core puts out where channels come last, a row of rank channels for each piece of the output."""
        u = self.factors.u
        core: Tensor = self.core()
        return ((features.reshape(-1, len(u)) @ u).view(-1, len(core)) @ core).view(-1, u.shape[1])

    def merged(self) -> nn.Module:
        """The projection with the update added to its weight."""
        layer = deepcopy(self.base)
        with torch.no_grad():
            weight = layer.weight.flatten(1)
            identity = torch.eye(weight.shape[1], device=weight.device)
            update = (self._inside(identity) @ self.factors.v).view(weight.T.shape)
            weight += self.scale * update.T
        return layer


def own_cores(shapes: Sequence[tuple[int, int]], rank: int) -> list[nn.Module]:
    """Tensor train: a core for each projection of so many pieces."""
    return [OwnCore(rows * rank, columns * rank) for rows, columns in shapes]


def mixed_cores(shapes: Sequence[tuple[int, int]], rank: int) -> list[nn.Module]:
    """Tucker: all cores from one, with a mixture for each piece."""
    sizes = [rows * columns for rows, columns in shapes]
    shared = Tucker(rank, sum(sizes))
    return [MixedCore(shared, sum(sizes[:index]), *shape) for index, shape in enumerate(shapes)]


FORMS = {"tt": own_cores, "tk": mixed_cores}


@dataclass(frozen=True)
class FacT(Method):
    """Updates of the projections of mixer and mlp that share their factors; one set of factors for each width.

    On backbones whose blocks differ in width, blocks of the same width share; a projection that is no whole multiple
    of its block's width (Restormer's mlp) cannot, and the method is not applicable. Cross-attention gets nothing.

    Source: Jie and Deng, FacT: Factor-Tuning for Lightweight Adaptation on Vision Transformer, AAAI 2023, §3, with
    the initialisation and the dropout of the authors' code.

    Attributes:
        form: `tt`, tensor train, with a core for each projection, or `tk`, Tucker, whose cores mix one.
        rank: of the factors.
        scale: of the update; the paper tunes it for each task.
        dropout: share of what the cores put out that training drops.
        out: whether attention's output projection has an update too.
    """

    name = "fact"
    idea = "Low-rank updates of all projections share their outer factors across the whole network, and fold away."
    paper = Paper(
        "FacT: Factor-Tuning for Lightweight Adaptation on Vision Transformer",
        "Jie and Deng",
        "AAAI 2023",
        "@inproceedings{jie2023fact, title={{FacT}: Factor-Tuning for Lightweight Adaptation on Vision Transformer}, "
        "author={Jie, Shibo and Deng, Zhi-Hong}, booktitle={AAAI}, year={2023}}",
        "MIT",
    )
    shared = True
    size = "rank"

    form: str = "tt"
    rank: int = 16
    scale: float = 1.0
    dropout: float = 0.1
    out: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in FORMS:
            raise unknown("form of fact", self.form, FORMS)
        check_share(f"{self.name}: dropout", self.dropout)

    def adapt(self, backbone: Backbone) -> None:
        """Put an update beside each projection."""
        found = list(self._projections(backbone))
        for width in dict.fromkeys(width for width, _, _ in found):
            projections = [(site, base) for own, site, base in found if own == width]
            shapes = [(base.weight.shape[1] // width, base.weight.shape[0] // width) for _, base in projections]
            factors = Factors(width, self.rank)
            for (site, base), core in zip(projections, FORMS[self.form](shapes, self.rank), strict=True):
                site.replace(Factored(base, factors, core, self.scale, self.dropout))

    def _projections(self, backbone: Backbone) -> Iterator[tuple[int, Site, nn.Linear | nn.Conv2d]]:
        """Width of the block, place, and what stands there."""
        for block in backbone.blocks():
            for site in (*block.mixer.sites, *block.mlp.sites):
                if self.out or site.name != "out":
                    base = site.module
                    assert isinstance(base, nn.Linear | nn.Conv2d)
                    yield block.width, site, base

    def supports(self, backbone: Backbone) -> str | None:
        """The factors are as wide as the block."""
        for width, _, base in self._projections(backbone):
            outputs, inputs = base.weight.shape[:2]
            if inputs % width or outputs % width:
                return f"{backbone.name} has a projection {inputs} to {outputs} in a block of width {width}"
        return None

    @classmethod
    def published(cls, backbone: str) -> list[Published]:
        """The AdaptIR paper's settings; it leaves form and rank open."""
        settings = {
            "ipt": [Published(cls(rank=43, out=False), "537K", "derived, and weak: three other settings give it too")],
            "edt-b": [
                Published(cls(rank=24), "174K", "derived: tensor train; the Tucker form of rank 52 gives it too"),
                Published(cls(form="tk", rank=52), "174K", "derived: Tucker; the tensor train of rank 24 gives it too"),
            ],
        }
        return settings.get(backbone, [])
