"""Test Adapter and AdaptFormer against their formulas: their positions, their inputs and their initial values."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from petlir.benchmark.backbone import Backbone, Block
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.layers.pointwise import Bottleneck
from petlir.benchmark.training.adaptation import adapt
from petlir.methods.adapter import Adapter
from petlir.methods.adaptformer import AdaptFormer


def randomised(module: Backbone) -> Backbone:
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.3)
    return module.eval()


def branches(block: Block, normed: Tensor) -> Tensor:
    """Compute the block's feed-forward without the inserted modules."""
    up, down = (site.module for site in block.mlp.sites)
    hidden: Tensor = down(functional.relu(up(normed)))
    return hidden


def run(network: Backbone, formula: Callable[[Bottleneck, Block, Tensor], Tensor]) -> None:
    """Check that the network computes the first block's mlp branch as the formula says."""
    block = next(network.blocks())
    inserted = next(module for module in block.mlp.hooks.modules() if isinstance(module, Bottleneck))
    features = torch.randn(2, 16, block.width)
    branch = block.mlp.hooks(lambda normed: branches(block, normed), block.mlp.norm.module, features)
    torch.testing.assert_close(branch, formula(inserted, block, features))


def test_adapter_is_a_residual_behind_the_branch():
    network = adapt(tiny(), Adapter(rank=3), "denoise_30", 0).backbone

    def formula(bottleneck: Bottleneck, block: Block, features: Tensor) -> Tensor:
        down, _, _, up = bottleneck
        output = branches(block, block.mlp.norm.module(features))
        change: Tensor = up(functional.gelu(down(output)))
        return output + change

    run(randomised(network), formula)


def test_adaptformer_reads_the_input_before_the_norm():
    network = adapt(tiny(), AdaptFormer(rank=3, scale=0.7), "denoise_30", 0).backbone

    def formula(bottleneck: Bottleneck, block: Block, features: Tensor) -> Tensor:
        down, _, _, up = bottleneck
        change: Tensor = up(functional.relu(down(features)))
        return branches(block, block.mlp.norm.module(features)) + 0.7 * change

    run(randomised(network), formula)


def test_a_decoder_block_gets_two_adapters_and_none_at_its_cross_attention():
    network = adapt(tiny(), Adapter(), "denoise_30", 0).backbone
    decoder = [block for block in network.blocks() if block.name.startswith("decoder")]
    for block in decoder:
        assert [len(branch.hooks.behind) for branch in block.branches] == [1, 0, 1]


def test_dropout_acts_in_training_only():
    adapted = adapt(tiny(), AdaptFormer(dropout=0.5), "denoise_30", 0)
    randomised(adapted.backbone)
    images = torch.rand(1, 3, 12, 12)
    assert torch.equal(adapted.backbone(images, "denoise_30"), adapted.backbone(images, "denoise_30"))
    adapted.train()
    assert not torch.equal(adapted.backbone(images, "denoise_30"), adapted.backbone(images, "denoise_30"))
