"""Test IPT against the official network: keys, shapes, outputs."""

import numpy as np
import pytest
import torch

from petlir.benchmark.backbones.ipt import IPT
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from tests.helpers import official


def test_golden_outputs_of_the_official_network(shared):
    """The weights are a function of the official keys.

    Values are in 0..255, and errors at most 1e-5 of the largest value.
    """
    network = IPT().eval()
    constants = {key: value for key, value in network.state_dict().items() if key.startswith(("sub_", "add_"))}
    official.fill(network, shared, official.shapes(shared, "ipt"), constants)
    with np.load(shared / "goldens" / "ipt_6task.npz") as golden:
        images = torch.from_numpy(golden["x"]) / 255
        for head, name in (("sr_x4", "y_task2"), ("derain", "y_task3")):
            with torch.no_grad():
                restored = network(images, head) * 255
            expected = torch.from_numpy(golden[name])
            assert (restored - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_official_keys_and_shapes(shared):
    with torch.device("meta"):
        network = IPT()
    published = official.shapes(shared, "ipt")
    expected = {key: shape for key, shape in published.items() if not key.endswith("position_ids")}
    assert official.own_shapes(network) == expected


def test_official_weights_go_round():
    one, other = tiny(), tiny()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_official(one.official_state_dict())
    for name, tensor in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_missing_and_unexpected_official_keys_are_named():
    state = tiny().official_state_dict()
    state["body.strange"] = state.pop("body.linear_encoding.bias")
    with pytest.raises(PetlirError, match=r"missing body\.linear_encoding\.bias; unexpected body\.strange"):
        tiny().load_official(state)


def test_parameter_counts_of_the_official_network():
    with torch.device("meta"):
        network = IPT()
    assert sum(parameter.numel() for parameter in network.parameters()) == 118_892_394
    with torch.device("meta"):
        single = {name: IPT(heads={name: scale}) for name, scale in (("sr_x2", 2), ("sr_x3", 3), ("derain", 1))}
    counts = {name: sum(p.numel() for p in net.parameters()) for name, net in single.items()}
    assert counts == {"sr_x2": 115_460_443, "sr_x3": 115_645_083, "derain": 115_312_731}


def test_blocks_are_encoder_then_decoder_with_all_their_sites():
    with torch.device("meta"):
        blocks = list(IPT().blocks())
    assert [block.name for block in blocks[::12]] == ["encoder.0", "decoder.0"]
    assert [len(block.branches) for block in blocks] == [2] * 12 + [3] * 12
    assert sum(len(block.projections("query")) for block in blocks) == 36
    assert [len(block.projections()) for block in blocks[::12]] == [6, 10]


def test_a_window_of_another_size_is_refused():
    with pytest.raises(PetlirError, match="12×12, got 16×12"):
        tiny()(torch.rand(1, 3, 16, 12), "denoise_30")


@pytest.mark.parametrize(("head", "scale"), [("sr_x2", 2), ("denoise_30", 1)])
def test_output_size(head, scale):
    assert tiny()(torch.rand(2, 3, 12, 12), head).shape == (2, 3, 12 * scale, 12 * scale)
