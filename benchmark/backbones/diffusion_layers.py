"""Components of one-step latent diffusion: transformer layers with hooks, and a linear autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import AdapterHooks
from petlir.benchmark.errors import PetlirError

if TYPE_CHECKING:
    from types import ModuleType

EXTRA = "petlir[diffusion]"


def library() -> ModuleType:
    """Return the module `diffusers`.

    Raises:
        PetlirError: diffusers is not installed.
    """
    try:
        import diffusers
    except ImportError as error:
        raise PetlirError(f"diffusion backbones need diffusers; install {EXTRA}") from error
    return cast("ModuleType", diffusers)


@dataclass(frozen=True)
class SquareTokens:
    """The layout of N×side²×C tokens in raster order.

    Attributes:
        side: side length of the map.
    """

    side: int

    def to_map(self, features: Tensor) -> Tensor:
        """Return tokens as an N×C×side×side map."""
        return features.mT.reshape(len(features), -1, self.side, self.side)

    def from_map(self, image: Tensor) -> Tensor:
        """Return an N×C×side×side map as tokens."""
        return image.flatten(2).mT


class TransformerLayer(nn.Module):
    """A transformer layer of diffusers with hooks around its branches; the keys of its state dict are unchanged.

    Args:
        layer: diffusers' `BasicTransformerBlock`, whose modules are used.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        for name in ("norm1", "attn1", "norm2", "attn2", "norm3", "ff"):
            self.add_module(name, layer.get_submodule(name))
        self.mixer, self.cross, self.mlp = AdapterHooks(), AdapterHooks(), AdapterHooks()

    def forward(self, hidden_states: Tensor, *_: object, encoder_hidden_states: Tensor, **__: object) -> Tensor:
        """Return the output for N×L×C tokens; `encoder_hidden_states` is the N×K×D prompt."""
        read = partial(self.get_submodule("attn2"), encoder_hidden_states=encoder_hidden_states)
        features = hidden_states + self.mixer(self.get_submodule("attn1"), self.get_submodule("norm1"), hidden_states)
        features = features + self.cross(read, self.get_submodule("norm2"), features)
        return cast("Tensor", features + self.mlp(self.get_submodule("ff"), self.get_submodule("norm3"), features))


class LinearCode(nn.Module):
    """A linear autoencoder that maps each f×f patch to L values; after fitting, these are principal components.

    Args:
        latent: L, the number of values per patch.
        factor: f, the side length of a patch.
    """

    def __init__(self, latent: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.encoder, self.decoder = nn.Conv2d(3 * factor**2, latent, 1), nn.Conv2d(latent, 3 * factor**2, 1)

    def encode(self, images: Tensor) -> Tensor:
        """Return N×L×(H/f)×(W/f) latents for N×3×H×W images."""
        return cast("Tensor", self.encoder(functional.pixel_unshuffle(images, self.factor)))

    def decode(self, latents: Tensor) -> Tensor:
        """Return N×3×H×W images for latents."""
        return functional.pixel_shuffle(self.decoder(latents), self.factor)

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Fit the autoencoder to patches of N×3×H×W images, and scale the latents to a mean variance of 1."""
        patches = functional.pixel_unshuffle(images, self.factor).movedim(1, -1).flatten(0, 2).double()
        mean, latent = patches.mean(0), self.encoder.out_channels
        variances, components = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        basis = components.T.flip(0)[:latent]
        scale = variances.flip(0)[:latent].mean().sqrt()
        for layer, weight, bias in (
            (self.encoder, basis / scale, -(basis @ mean) / scale),
            (self.decoder, basis.T * scale, mean),
        ):
            layer.weight.copy_(weight[..., None, None])
            assert layer.bias is not None
            layer.bias.copy_(bias)
