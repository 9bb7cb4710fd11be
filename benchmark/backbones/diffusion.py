"""One-step latent diffusion: an autoencoder and a U-Net at one fixed time step, built with diffusers.

An image is encoded into a latent, the U-Net predicts the noise in the latent once, and the latent without this noise is
decoded. The prompt of the U-Net is a fixed embedding of the empty text.

Source: Sauer et al., Adversarial diffusion distillation, ECCV 2024, for sd-turbo; Wu et al., One-step effective
diffusion network for real-world image super-resolution (OSEDiff), NeurIPS 2024, for restoration in one step; Parmar et
al., One-step image translation with text-to-image models, arXiv 2403.12036, 2024, for the skips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone, Block, Branch, Site, load_strictly
from petlir.benchmark.backbones.diffusion_layers import LinearCode, SquareTokens, TransformerLayer, library
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.paper import Paper

OUTPUTS = ("direct", "residual", "reconstruction")
STEPS, FIRST, LAST = 1000, 0.00085, 0.012
"""Stable Diffusion's number of time steps, and its noise variances at the first and the last step.

The square roots of the variances rise linearly from the first to the last step.
"""
ATTENTION = (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("out", "to_out.0"))


@dataclass(frozen=True)
class DiffusionConfig:
    """The size of a latent diffusion network; the defaults are the size of Stable Diffusion 2.1 and of sd-turbo.

    Attributes:
        channels: number of channels of each level of the U-Net, from the resolution of the latent down; the last level
            has no attention.
        attention_heads: number of attention heads at each level.
        layers: number of residual blocks per level, both in the U-Net and in the autoencoder.
        prompt: number of tokens and of channels of the prompt's embedding.
        latent: number of channels of a latent.
        autoencoder: number of channels of each level of the autoencoder; each level has half the resolution of the
            previous level.
        middle_attention: whether the autoencoder has an attention layer at its lowest resolution.
        groups: number of groups of the group norms.
        scaling: factor by which the autoencoder's latents are multiplied for the U-Net.
        linear: whether the latents and images of a linear autoencoder are added to those of the convolutional
            autoencoder.
        window: side length of the input in pixels.
        time_step: the time step that the U-Net is given for each latent.
        output: `direct` decodes the denoised latent. `residual` adds to the input the difference between the images
            decoded with and without denoising, which preserves fine detail. `reconstruction` decodes the latent without
            applying the U-Net, which shows how much detail `direct` can preserve at best.
    """

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    attention_heads: tuple[int, ...] = (5, 10, 20, 20)
    layers: int = 2
    prompt: tuple[int, int] = (77, 1024)
    latent: int = 4
    autoencoder: tuple[int, ...] = (128, 256, 512, 512)
    middle_attention: bool = True
    groups: int = 32
    scaling: float = 0.18215
    linear: bool = False
    window: int = 512
    time_step: int = 199
    output: str = "direct"

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise unknown("output of a diffusion network", self.output, OUTPUTS)
        if not 0 <= self.time_step < STEPS:
            raise PetlirError(f"the time step of a diffusion network must be 0 to {STEPS - 1}, not {self.time_step}")
        least = self.factor << (len(self.channels) - 1)
        if self.window < least or self.window % least:
            raise PetlirError(f"the window of this diffusion network must be a multiple of {least}, not {self.window}")

    @property
    def factor(self) -> int:
        """The ratio of an image's side length to the side length of its latent."""
        return 1 << (len(self.autoencoder) - 1)

    @property
    def signal(self) -> float:
        """The fraction of a latent's variance at the time step that is signal; the rest is noise."""
        variances = np.linspace(FIRST**0.5, LAST**0.5, STEPS) ** 2
        return float(np.cumprod(1 - variances)[self.time_step])


class LatentDiffusion(Backbone):
    """A latent diffusion network that restores images of a fixed size in one step.

    Skips from the autoencoder's encoder to its decoder are 1×1 convolutions that start at zero, are trained along with
    each adapter and are stored with it. The blocks are the transformer layers of the U-Net.

    Args:
        name: name of the network in grids.
        config: size of the network.

    Raises:
        PetlirError: diffusers is not installed.
    """

    paper = Paper.from_bib(__file__, "sauer2024adversarial", licence="Stability AI Community (weights)")
    sees_whole = True

    def __init__(self, name: str, config: DiffusionConfig) -> None:
        super().__init__()
        self.name, self.config, self.window, self.heads = name, config, config.window, {"restore": 1}
        self.unet, self.autoencoder = _unet(config), _autoencoder(config)
        self.prompt = nn.Buffer(torch.randn(1, *config.prompt))
        self.linear = LinearCode(config.latent, config.factor) if config.linear else None
        widths = config.autoencoder
        pairs = zip((widths[0], *widths[:-1])[::-1], (widths[-1], *widths[:0:-1]), strict=True)
        self.skips = nn.ModuleList(nn.Conv2d(inputs, outputs, 1, bias=False) for inputs, outputs in pairs)
        for skip in self.skips:
            nn.init.zeros_(skip.get_parameter("weight"))

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Restore N×3×s×s images in [0, 1], where s is the side length of the window."""
        self.head_index(head)
        if images.shape[-2:] != (self.config.window, self.config.window):
            size = "×".join(map(str, images.shape[:1:-1]))
            raise PetlirError(f"{self.name} takes {self.config.window}×{self.config.window} only, got {size}")
        scaled = 2 * images - 1
        latents, features = self.encode(scaled)
        if self.config.output == "reconstruction":
            return (self.decode(latents, None) + 1) / 2
        decoded = self.decode(self.denoised(latents), features)
        if self.config.output == "residual":
            decoded = scaled + decoded - self.decode(latents, None)
        return (decoded + 1) / 2

    def encode(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the latents of images in [-1, 1], and the features before each level of the encoder."""
        encoder, features = self.autoencoder.get_submodule("encoder"), []
        hidden = encoder.get_submodule("conv_in")(images)
        for level in cast("nn.ModuleList", encoder.get_submodule("down_blocks")):
            features.append(hidden)
            hidden = level(hidden)
        hidden = encoder.get_submodule("conv_norm_out")(encoder.get_submodule("mid_block")(hidden))
        moments = self.autoencoder.get_submodule("quant_conv")(_projected(encoder, hidden))
        latents = moments[:, : self.config.latent] * self.config.scaling
        return (latents if self.linear is None else latents + self.linear.encode(images)), features

    def denoised(self, latents: Tensor) -> Tensor:
        """Return the latents denoised in one step: without the noise that the U-Net predicts at the fixed time step."""
        prompt = self.prompt.to(latents).expand(len(latents), -1, -1)
        time = torch.full((len(latents),), self.config.time_step, device=latents.device)
        (noise,) = self.unet(latents, time, encoder_hidden_states=prompt, return_dict=False)
        signal = self.config.signal
        return cast("Tensor", (latents - (1 - signal) ** 0.5 * noise) / signal**0.5)

    def decode(self, latents: Tensor, features: list[Tensor] | None) -> Tensor:
        """Return images in [-1, 1] for latents; if the encoder's features are given, they pass through the skips."""
        decoder = self.autoencoder.get_submodule("decoder")
        hidden = self.autoencoder.get_submodule("post_quant_conv")(latents / self.config.scaling)
        hidden = decoder.get_submodule("mid_block")(decoder.get_submodule("conv_in")(hidden))
        for place, level in enumerate(cast("nn.ModuleList", decoder.get_submodule("up_blocks"))):
            hidden = level(hidden if features is None else hidden + self.skips[place](features[-1 - place]))
        images = _projected(decoder, decoder.get_submodule("conv_norm_out")(hidden))
        return images if self.linear is None else images + self.linear.decode(latents)

    @torch.no_grad()
    def start_linear(self, images: Tensor) -> None:
        """Fit the linear autoencoder to N×3×H×W images in [0, 1], and make the convolutional one output zero.

        Raises:
            PetlirError: the network does not have a linear autoencoder.
        """
        if self.linear is None:
            raise PetlirError(f"{self.name} does not have a linear autoencoder")
        self.linear.fit(2 * images - 1)
        for name in ("quant_conv", "decoder.conv_out"):
            for parameter in self.autoencoder.get_submodule(name).parameters():
                parameter.zero_()

    def blocks(self) -> Iterator[Block]:
        """Yield the transformer layers of the U-Net's levels."""
        levels, top = len(self.config.channels), self.config.window // self.config.factor
        for level in range(levels - 1):
            yield from self._views(f"down_blocks.{level}", top >> level, self.config.channels[level])
        yield from self._views("mid_block", top >> (levels - 1), self.config.channels[-1])
        for place in range(1, levels):
            level = levels - 1 - place
            yield from self._views(f"up_blocks.{place}", top >> level, self.config.channels[level])

    def _views(self, where: str, side: int, width: int) -> Iterator[Block]:
        for index, transformer in enumerate(self.unet.get_submodule(f"{where}.attentions").children()):
            residual = self.unet.get_submodule(f"{where}.resnets.{index}")
            shortcut = residual if getattr(residual, "conv_shortcut", None) is not None else None
            before = [Site("shortcut", shortcut, "conv_shortcut")] if shortcut else []
            site = Site("block", transformer, "transformer_blocks.0")
            layer = site.module
            mixer = Branch.of(layer, "mixer", "norm1", [(name, f"attn1.{path}") for name, path in ATTENTION])
            mixer = replace(mixer, sites=(*before, Site("in", transformer, "proj_in"), *mixer.sites))
            cross = Branch.of(layer, "cross", "norm2", [(name, f"attn2.{path}") for name, path in ATTENTION])
            mlp = Branch.of(layer, "mlp", "norm3", [("up", "ff.net.0.proj"), ("down", "ff.net.2")])
            mlp = replace(mlp, sites=(*mlp.sites, Site("project", transformer, "proj_out")))
            name, patch = f"{where}.{index}", self.config.window // side
            yield Block(name, width, (mixer, cross, mlp), SquareTokens(side), site, patch)

    def tunable(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield all parameters."""
        yield from self.parameters()

    def companions(self) -> Iterator[Site]:
        """Yield the encoder-decoder skip connections."""
        yield from (Site("skip", self.skips, str(place)) for place in range(len(self.skips)))

    def tail_of(self, head: str | None) -> Iterator[nn.Parameter]:
        """Yield the parameters of the last convolution."""
        yield from self.autoencoder.get_submodule("decoder.conv_out").parameters()

    def load_official(self, state: Mapping[str, Tensor]) -> None:
        """Load U-Net, autoencoder and prompt, whose keys and shapes must all match; the skips are kept."""
        skips = {key: tensor for key, tensor in self.state_dict().items() if key.startswith("skips.")}
        load_strictly(self, {**skips, **state}, f"weights for {self.name}")

    def official_state_dict(self) -> dict[str, Tensor]:
        """Return the state dict without the weights of the skips."""
        return {key: tensor for key, tensor in self.state_dict().items() if not key.startswith("skips.")}


def _projected(network: nn.Module, normed: Tensor) -> Tensor:
    """Return the output of the last convolution of an encoder or a decoder."""
    return cast("Tensor", network.get_submodule("conv_out")(network.get_submodule("conv_act")(normed)))


def _unet(config: DiffusionConfig) -> nn.Module:
    count = len(config.channels) - 1
    unet: nn.Module = library().UNet2DConditionModel(
        in_channels=config.latent,
        out_channels=config.latent,
        down_block_types=("CrossAttnDownBlock2D",) * count + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * count,
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        cross_attention_dim=config.prompt[1],
        attention_head_dim=config.attention_heads,  # diffusers takes the number of heads under this name
        use_linear_projection=True,
        norm_num_groups=config.groups,
    )
    for name in [name for name, _ in unet.named_modules() if name.endswith("transformer_blocks.0")]:
        unet.set_submodule(name, TransformerLayer(unet.get_submodule(name)))
    return unet


def _autoencoder(config: DiffusionConfig) -> nn.Module:
    levels = len(config.autoencoder)
    autoencoder: nn.Module = library().AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.autoencoder,
        layers_per_block=config.layers,
        latent_channels=config.latent,
        norm_num_groups=config.groups,
        mid_block_add_attention=config.middle_attention,
    )
    return autoencoder


NANO = DiffusionConfig(
    channels=(64, 128),
    attention_heads=(4, 8),
    layers=1,
    prompt=(4, 32),
    latent=16,
    autoencoder=(16, 32, 64),
    middle_attention=False,
    groups=8,
    scaling=1.0,
    linear=True,
    window=64,
)
"""The network size for training and benchmarking in minutes on a CPU; a latent has 16 values per 4×4 pixel block."""
SMALL = replace(
    NANO, channels=(8, 16), attention_heads=(2, 2), prompt=(3, 8), latent=4, autoencoder=(4, 8), groups=4, window=16
)
"""The network size for contract checks."""


def build(
    name: str,
    config: DiffusionConfig,
    output: str = DiffusionConfig.output,
    time_step: int = DiffusionConfig.time_step,
) -> LatentDiffusion:
    """Return a latent diffusion network of the size `config`; see `DiffusionConfig` for the options."""
    return LatentDiffusion(name, replace(config, output=output, time_step=time_step))


BACKBONES = {
    "sd-turbo": partial(build, "sd-turbo", DiffusionConfig()),
    "diffusion-nano": partial(build, "diffusion-nano", NANO),
}
"""The functions that build the backbones, keyed by the backbones' names in grids."""
