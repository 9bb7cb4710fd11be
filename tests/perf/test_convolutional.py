"""Compare NAFNet and Restormer with a plain forward pass of the same operations, on the same weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from time import process_time

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark import costs
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones import build
from petlir.benchmark.backbones.nafnet import NAFNet, WindowedMean
from petlir.benchmark.backbones.restormer import Restormer
from tests.perf.conftest import Ratio


def named(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


class Norm(nn.Module):
    """Layer norm over channels, written as its formula."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        return self.weight.view(1, -1, 1, 1) * (x - mean) / (variance + self.eps).sqrt() + self.bias.view(1, -1, 1, 1)


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, 1)
        product: Tensor = one * other
        return product


class PlainNAFBlock(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.gate = Norm(c, 1e-6), Norm(c, 1e-6), Gate()
        self.conv1, self.conv2 = nn.Conv2d(c, 2 * c, 1), nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.sca, self.conv3 = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1)), nn.Conv2d(c, c, 1)
        self.conv4, self.conv5 = nn.Conv2d(c, 2 * c, 1), nn.Conv2d(c, c, 1)
        self.beta, self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1)), nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.conv3(y * self.sca(y)) * self.beta
        summed: Tensor = x + self.conv5(self.gate(self.conv4(self.norm2(x)))) * self.gamma
        return summed


class PlainNAFNet(nn.Module):
    def __init__(self, net: NAFNet) -> None:
        super().__init__()
        config, levels = net.config, len(net.config.encoders)
        widths = [config.width * 2**level for level in range(levels + 1)]
        self.intro = nn.Conv2d(3, widths[0], 3, padding=1)
        self.ending = nn.Conv2d(widths[0], 3, 3, padding=1)
        stage = [nn.Sequential(*map(PlainNAFBlock, [c] * n)) for c, n in zip(widths, config.encoders, strict=False)]
        self.encoders, self.middle_blks = nn.ModuleList(stage), nn.Sequential()
        self.middle_blks.extend(PlainNAFBlock(widths[-1]) for _ in range(config.middle))
        deep = list(zip(reversed(widths[:-1]), config.decoders, strict=True))
        self.decoders = nn.ModuleList(nn.Sequential(*map(PlainNAFBlock, [c] * n)) for c, n in deep)
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, 2) for c in widths[:-1])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1, bias=False), nn.PixelShuffle(2)) for c, _ in deep
        )

    def forward(self, images: Tensor) -> Tensor:
        x, skips = self.intro(images), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(x))
            x = down(skips[-1])
        x = self.middle_blks(x)
        for decoder, up in zip(self.decoders, self.ups, strict=True):
            x = decoder(up(x) + skips.pop())
        restored: Tensor = self.ending(x) + images
        return restored


class PlainAttention(nn.Module):
    """Attention whose query, key and value come from one convolution, as in the official network."""

    def __init__(self, c: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(c, 3 * c, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * c, 3 * c, 3, padding=1, groups=3 * c, bias=False)
        self.project_out = nn.Conv2d(c, c, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = self.qkv_dwconv(self.qkv(x)).chunk(3, 1)
        q, k, v = (part.reshape(n, len(self.temperature), -1, h * w) for part in parts)
        q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
        attended: Tensor = self.project_out(((q @ k.mT * self.temperature).softmax(-1) @ v).reshape(n, c, h, w))
        return attended


class PlainGELUGate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, 1)
        return functional.gelu(one) * other


class PlainTransformerBlock(nn.Module):
    def __init__(self, c: int, heads: int) -> None:
        super().__init__()
        hidden = 2 * int(c * 2.66)
        self.norm1, self.norm2 = named(body=Norm(c, 1e-5)), named(body=Norm(c, 1e-5))
        self.attn = PlainAttention(c, heads)
        self.ffn = named(
            project_in=nn.Conv2d(c, hidden, 1, bias=False),
            dwconv=nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False),
            gate=PlainGELUGate(),
            project_out=nn.Conv2d(hidden // 2, c, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        summed: Tensor = x + self.ffn(self.norm2(x))
        return summed


def conv(inputs: int, outputs: int, shuffle: nn.Module) -> nn.Sequential:
    return named(body=nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), shuffle))


class PlainRestormer(nn.Module):
    def __init__(self, net: Restormer) -> None:
        super().__init__()
        c, (n1, n2, n3, n4), heads = net.config.dim, net.config.blocks, net.config.attention_heads

        def stage(width: int, level: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(PlainTransformerBlock(width, heads[level]) for _ in range(count)))

        self.patch_embed = named(proj=nn.Conv2d(3, c, 3, padding=1, bias=False))
        self.encoder_level1, self.encoder_level2 = stage(c, 0, n1), stage(2 * c, 1, n2)
        self.encoder_level3, self.latent = stage(4 * c, 2, n3), stage(8 * c, 3, n4)
        self.decoder_level3, self.decoder_level2 = stage(4 * c, 2, n3), stage(2 * c, 1, n2)
        self.decoder_level1, self.refinement = stage(2 * c, 0, n1), stage(2 * c, 0, net.config.refinement)
        down, up = nn.PixelUnshuffle(2), nn.PixelShuffle(2)
        self.down1_2, self.down2_3 = conv(c, c // 2, down), conv(2 * c, c, down)
        self.down3_4, self.up4_3 = conv(4 * c, 2 * c, down), conv(8 * c, 16 * c, up)
        self.up3_2, self.up2_1 = conv(4 * c, 8 * c, up), conv(2 * c, 4 * c, up)
        self.reduce_chan_level3 = nn.Conv2d(8 * c, 4 * c, 1, bias=False)
        self.reduce_chan_level2 = nn.Conv2d(4 * c, 2 * c, 1, bias=False)
        self.output = nn.Conv2d(2 * c, 3, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        one = self.encoder_level1(self.patch_embed(images))
        two = self.encoder_level2(self.down1_2(one))
        three = self.encoder_level3(self.down2_3(two))
        x = self.up4_3(self.latent(self.down3_4(three)))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([x, three], 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), two], 1)))
        x = self.refinement(self.decoder_level1(torch.cat([self.up2_1(x), one], 1)))
        restored: Tensor = self.output(x) + images
        return restored


def pair(name: str) -> tuple[Backbone, nn.Module]:
    """Return a network with random weights, and the plain network with the same weights."""
    torch.manual_seed(0)
    network = build(name).eval()
    for key, parameter in network.named_parameters():
        if key.endswith(("beta", "gamma")):
            nn.init.normal_(parameter)
    assert isinstance(network, NAFNet | Restormer)
    plain = PlainNAFNet(network) if isinstance(network, NAFNet) else PlainRestormer(network)
    plain.load_state_dict(network.official_state_dict())
    return network, plain.eval()


def floors(one: nn.Module, other: nn.Module, images: Tensor) -> tuple[float, float]:
    """Return the ratio of the FLOPs of a training step, and the ratio of the bytes saved for the backward pass."""
    work, kept = [], []
    for network in (one, other):
        held = [*network.parameters(), *network.buffers()]
        loss = partial(_mean, network, images)
        work.append(costs.flops_of_step(loss))
        kept.append(costs.saved_for_backward_bytes(loss, held))
    return work[0] / work[1], kept[0] / kept[1]


def _mean(network: nn.Module, images: Tensor) -> Tensor:
    found: Tensor = network(images).abs().mean()
    return found


def ratio(one: Callable[[], object], other: Callable[[], object], rounds: int) -> float:
    """Return the processor time of `one` divided by that of `other`.

    Both run alternately; the time of each is its minimum over `rounds` rounds after a warm-up round.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for work, taken in zip((one, other), times, strict=True):
            start = process_time()
            work()
            taken.append(process_time() - start)
    return min(times[0][1:]) / min(times[1][1:])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("nafnet-nano", (8, 3, 48, 48)),
        ("restormer-nano", (8, 3, 48, 48)),
        ("nafnet-32", (1, 3, 128, 128)),
        ("nafnet-32-gopro", (1, 3, 256, 256)),
        ("restormer", (1, 3, 64, 64)),
    ],
)
def test_a_forward_against_a_plain_one(benchmark, tell, name, shape):
    (network, plain), images = pair(name), torch.rand(shape)
    with torch.no_grad():
        torch.testing.assert_close(network(images), plain(images), rtol=1e-3, atol=1e-3)
        measured = ratio(lambda: network(images), lambda: plain(images), 5)
        benchmark.pedantic(lambda: network(images), rounds=3, warmup_rounds=1)
    tell(Ratio(f"{name}: inference at {shape[-1]}²", "plain transcription", measured, 1.0))


@pytest.mark.parametrize("name", ["nafnet-nano", "restormer-nano"])
def test_a_training_step_against_a_plain_one(benchmark, tell, name):
    (network, plain), images = pair(name), torch.rand(8, 3, 48, 48)

    def step(module: nn.Module) -> Callable[[], None]:
        def work() -> None:
            module.zero_grad()
            torch.autograd.backward((module(images) - images).abs().mean())

        return work

    measured = ratio(step(network), step(plain), 7)
    benchmark.pedantic(step(network), rounds=5, warmup_rounds=1)
    tell(Ratio(f"{name}: training step", "plain transcription", measured, 1.0, *floors(network, plain, images)))


def test_windowed_pooling_against_a_cumulative_sum_over_both_axes(benchmark, tell):
    features, side = torch.rand(1, 32, 480, 640), 384

    def plain() -> Tensor:
        s = functional.pad(features.cumsum(-1).cumsum(-2), (1, 0, 1, 0))
        means = (
            s[..., side:, side:] - s[..., side:, :-side] - s[..., :-side, side:] + s[..., :-side, :-side]
        ) / side**2
        down, right = features.shape[-2] - means.shape[-2], features.shape[-1] - means.shape[-1]
        return functional.pad(means, (right // 2, right - right // 2, down // 2, down - down // 2), mode="replicate")

    pool = WindowedMean(side)
    torch.testing.assert_close(pool(features), plain(), rtol=1e-4, atol=1e-4)
    benchmark.pedantic(lambda: pool(features), rounds=5, warmup_rounds=1)
    measured = ratio(lambda: pool(features), plain, 5)
    tell(Ratio("windowed mean", "cumulative sum over both axes", measured, 1.1))
