"""Test VPT against a naive reference that adds prompts to the tokens, runs the whole layer and removes the prompts."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from petlir.benchmark.backbone import PromptHooks
from petlir.benchmark.backbones.ipt import DecoderLayer, EncoderLayer, IPTConfig
from petlir.benchmark.backbones.windows import SwinBlock, WindowAttention
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.training.adaptation import adapt
from petlir.methods.vpt import VPT, Prompts
from tests.helpers.networks import ConvNet

CONFIG = IPTConfig(features=4, layers=1, attention_heads=3, expansion=2, window=12)
TOKENS, WIDTH, COUNT = CONFIG.tokens, CONFIG.width, 5


def drawn(module: nn.Module) -> nn.Module:
    """Convert the module to double precision and draw all its weights at random, norms and biases included."""
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.4)
    return module


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.double)


def prompted(layer: nn.Module, hooks: str) -> Tensor:
    """Insert prompts into the layer and return their tokens."""
    prompts = Prompts(COUNT, WIDTH, 1.0).double()
    hook = layer.get_submodule(hooks)
    assert isinstance(hook, PromptHooks)
    hook.prompts.append(prompts)
    return prompts.tokens


def same(ours: Callable[[], Tensor], naive: Callable[[], Tensor], leaves: list[Tensor]) -> None:
    """Check that both functions give the same output, and the same gradients of a random weighted sum of it."""
    output, expected = ours(), naive()
    torch.testing.assert_close(output, expected)
    weights = torch.randn_like(expected)
    gradients = torch.autograd.grad((output * weights).sum(), leaves)
    torch.testing.assert_close(gradients, torch.autograd.grad((expected * weights).sum(), leaves))


def test_an_encoder_layer_equals_the_naive_one():
    plain = drawn(EncoderLayer(CONFIG))
    layer = EncoderLayer(CONFIG).double()
    layer.load_state_dict(plain.state_dict())
    prompts, tokens = prompted(layer, "mixer"), numbers(2, TOKENS, WIDTH).requires_grad_()

    def naive() -> Tensor:
        output: Tensor = plain(torch.cat([prompts.expand(2, -1, -1), tokens], 1))
        return output[:, COUNT:]

    same(lambda: layer(tokens), naive, [prompts, tokens])


def test_a_decoder_layer_equals_the_naive_one():
    """Prompts join the decoder's own tokens, with query position zero; the encoder's output gets no prompts."""
    plain = drawn(DecoderLayer(CONFIG))
    layer = DecoderLayer(CONFIG).double()
    layer.load_state_dict(plain.state_dict())
    prompts, tokens = prompted(layer, "mixer"), numbers(2, TOKENS, WIDTH).requires_grad_()
    memory, query = numbers(2, TOKENS, WIDTH).requires_grad_(), numbers(1, TOKENS, WIDTH)

    def naive() -> Tensor:
        positions = torch.cat([torch.zeros(1, COUNT, WIDTH, dtype=torch.double), query], 1)
        output: Tensor = plain(torch.cat([prompts.expand(2, -1, -1), tokens], 1), memory, positions)
        return output[:, COUNT:]

    same(lambda: layer(tokens, memory, query), naive, [prompts, tokens, memory])


def naive_swin(block: SwinBlock, features: Tensor, prompts: Tensor, window: tuple[int, int], heads: int) -> Tensor:
    """Compute a Swin block window by window, with prompts before its tokens that are removed after the attention."""
    normed, half = block.norm1(features), features.shape[-1] // 2
    gathered = torch.zeros_like(features)
    for index, (h, w) in enumerate((window, window[::-1])):
        channels = slice(index * half, (index + 1) * half)
        attention = block.attns[index]
        assert isinstance(attention, WindowAttention)
        shift = (h // 2, w // 2) if attention.shifted else (0, 0)
        for top in range(0, features.shape[1], h):
            for left in range(0, features.shape[2], w):
                rows = torch.arange(top, top + h) + shift[0]
                columns = torch.arange(left, left + w) + shift[1]
                wraps = 2 * (rows >= features.shape[1]).int()[:, None] + (columns >= features.shape[2]).int()
                places = (slice(None), rows[:, None] % features.shape[1], columns[None] % features.shape[2])
                tokens = normed[places].flatten(1, 2)
                joined = torch.cat([block.norm1(prompts).expand(len(tokens), -1, -1), tokens], 1)
                q, k, v = (layer(joined)[..., channels] for layer in (block.query, block.key, block.value))
                apart = functional.pad(-100.0 * (wraps.view(-1, 1) != wraps.view(1, -1)), (COUNT, 0, COUNT, 0))
                mixed = [
                    ((a @ b.mT) / a.shape[-1] ** 0.5 + apart).softmax(-1) @ c
                    for a, b, c in zip(*(part.chunk(heads, -1) for part in (q, k, v)), strict=True)
                ]
                values = v[:, COUNT:].unflatten(1, (h, w)).permute(0, 3, 1, 2)
                lepe = attention.lepe(values).permute(0, 2, 3, 1)
                gathered[(*places, channels)] = torch.cat(mixed, -1)[:, COUNT:].unflatten(1, (h, w)) + lepe
    features = features + block.proj(gathered)
    output: Tensor = features + block.mlp(block.norm2(features))
    return output


@pytest.mark.parametrize("shifted", [False, True])
def test_a_swin_block_equals_the_naive_one(shifted):
    window, heads = (2, 4), 3
    block = drawn(SwinBlock(WIDTH, heads, window, WIDTH, shifted=shifted))
    assert isinstance(block, SwinBlock)
    prompts, features = prompted(block, "mixer_hooks"), numbers(2, 8, 12, WIDTH).requires_grad_()
    same(
        lambda: block(features),
        lambda: naive_swin(block, features, prompts, window, heads),
        [prompts, features],
    )


def test_prompts_start_uniform_as_published():
    """The bound is Xavier's, for a patch of three channels and the width."""
    adapted = adapt(tiny(), VPT(tokens=400), "denoise_30", seed=0)
    bound = (6 / (3 * 3**2 + 36)) ** 0.5
    for prompts in adapted.trainable().values():
        assert prompts.abs().max() <= bound
        assert prompts.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_a_decoder_gets_prompts_in_its_self_attention_alone():
    names = adapt(tiny(), VPT(), "denoise_30", seed=0).trainable()
    places = ("encoder.layers.0.mixer", "decoder.layers.0.mixer")
    assert list(names) == [f"body.{place}.prompts.0.tokens" for place in places]


def test_maps_have_no_tokens_to_join():
    assert "no tokens" in str(VPT().supports(ConvNet()))
    block = next(iter(ConvNet().blocks()))
    with pytest.raises(PetlirError, match="mixer takes no prompts"):
        block.mixer.prompt(Prompts(2, block.width, 1.0))


def test_the_door_has_no_keys_of_its_own():
    assert PromptHooks().state_dict() == {}
