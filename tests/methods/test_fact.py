"""Test FacT against its equations, for each piece of a weight, and merged into the weights."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from petlir.benchmark.backbones import build
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.training.adaptation import Adapted, adapt, merge
from petlir.methods.fact import FacT, Factored, Factors, MixedCore, OwnCore, Projected, Tucker
from tests.helpers.networks import ConvNet

HEAD = "denoise_30"
WIDTH, RANK, SCALE = 6, 3, 0.7


def drawn(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return module.eval()


def shaken(method: FacT) -> Adapted:
    """Adapt the small network and replace the method's zeros by random weights."""
    adapted = adapt(tiny(), method, HEAD, seed=0)
    with torch.no_grad():
        for parameter in adapted.trainable().values():
            parameter.normal_(0, 0.2)
    return adapted


def base(rows: int, columns: int, *, maps: bool) -> nn.Linear | nn.Conv2d:
    sizes = rows * WIDTH, columns * WIDTH
    return nn.Conv2d(*sizes, 1) if maps else nn.Linear(*sizes)


def check(layer: Factored, sigma: dict[tuple[int, int], Tensor], *, maps: bool) -> None:
    """Check that the layer adds s · (U Σ V)ᵀ to each piece of its weight, and that merging keeps its output."""
    u, v = layer.factors.u, layer.factors.v
    weight, bias = layer.base.weight.detach().flatten(1).clone(), layer.base.get_parameter("bias")
    for (row, column), core in sigma.items():
        piece = weight[column * WIDTH : (column + 1) * WIDTH, row * WIDTH : (row + 1) * WIDTH]
        piece += SCALE * (u @ core @ v).T.detach()
    tokens = torch.randn(2, 5, 4, weight.shape[1])
    expected = tokens @ weight.T + bias
    features, expected = (tokens.movedim(-1, 1), expected.movedim(-1, 1)) if maps else (tokens, expected)
    torch.testing.assert_close(layer(features), expected)
    merged = layer.merged()
    assert type(merged) is type(layer.base)
    torch.testing.assert_close(merged(features), expected)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (4, 1), (2, 3)])
def test_tensor_train(rows, columns, maps):
    """Section 3.2: every d×d piece of a weight has its own r×r core between the shared factors."""
    own = OwnCore(rows * RANK, columns * RANK)
    layer = Factored(base(rows, columns, maps=maps), Factors(WIDTH, RANK), own, SCALE)
    drawn(layer)
    pieces = {
        (row, column): own.weight[row * RANK : (row + 1) * RANK, column * RANK : (column + 1) * RANK]
        for row, column in product(range(rows), range(columns))
    }
    check(layer, pieces, maps=maps)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (4, 1)])
def test_tucker(rows, columns, maps):
    """Section 3.2: the core of piece k is the sum of the slices of C, weighted by column k of P."""
    tucker, first = Tucker(RANK, 9), 2
    layer = Factored(
        base(rows, columns, maps=maps), Factors(WIDTH, RANK), MixedCore(tucker, first, rows, columns), SCALE
    )
    drawn(layer)
    pieces = {
        (row, column): sum(
            (tucker.p[j, first + row * columns + column] * tucker.c[:, :, j] for j in range(RANK)),
            torch.zeros(RANK, RANK),
        )
        for row, column in product(range(rows), range(columns))
    }
    check(layer, pieces, maps=maps)


@pytest.mark.parametrize("form", ["tt", "tk"])
def test_merging_leaves_the_network_as_it_was_in_size_and_output(form):
    adapted, images = shaken(FacT(form=form, rank=5)), torch.rand(2, 3, 12, 12)
    with torch.no_grad():
        before = adapted.backbone(images, HEAD)
        assert merge(adapted.backbone)
        after = adapted.backbone(images, HEAD)
    assert adapted.backbone.state_dict().keys() == tiny().state_dict().keys()
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()


@pytest.mark.parametrize(("out", "pieces"), [(False, 2 * 7), (True, 2 * 8)])
@pytest.mark.parametrize("form", ["tt", "tk"])
def test_factors_are_counted_once_for_all_projections(form, out, pieces):
    """Each of two blocks has query, key, value, optionally out, and an mlp of twice the width:

    3 or 4 + 2 + 2 pieces.
    """
    adapted = adapt(tiny(), FacT(form=form, rank=5, out=out), HEAD, seed=0)
    cores = {"tt": 5**2 * pieces, "tk": 5 * pieces + 5**3}[form]
    assert sum(p.numel() for p in adapted.trainable().values()) == 2 * 36 * 5 + cores
    assert sum(tensor.numel() for tensor in adapted.state().values()) == 2 * 36 * 5 + cores


def test_each_width_has_factors_of_its_own():
    network = build("nafnet", width=8, encoders=(1, 1), middle=1, decoders=(1, 1))
    adapted = adapt(network, FacT(rank=2), "restore", seed=0)
    shapes = sorted(tuple(p.shape) for name, p in adapted.trainable().items() if name.endswith("factors.u"))
    assert shapes == [(8, 2), (16, 2), (32, 2)]


def test_a_decoder_gets_updates_in_its_self_attention_and_its_mlp_alone():
    network = adapt(tiny(), FacT(), HEAD, seed=0).backbone
    names = {name.rpartition(".")[0] for name, _ in network.named_parameters() if ".core." in name}
    places = ("self_attn.query", "self_attn.key", "self_attn.value", "linear1", "linear2")
    assert names == {f"body.{stack}.layers.0.{place}.core" for stack in ("encoder", "decoder") for place in places}


def test_training_drops_a_share_of_what_the_core_puts_out():
    """With V the identity, dropped values show as zeros."""
    layer = Factored(nn.Linear(64, 64), Factors(64, 64), OwnCore(64, 64), SCALE, dropout=0.3)
    with torch.no_grad():
        layer.factors.v.copy_(torch.eye(64))
        tokens = torch.randn(100, 64)
        dropped = (layer.train()(tokens) - layer.base(tokens)).abs() <= 1e-6
        kept = (layer.eval()(tokens) - layer.base(tokens)).abs() <= 1e-6
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert kept.float().mean() < 1e-3


def test_an_unknown_form_is_one_clear_line():
    with pytest.raises(PetlirError, match="unknown form of fact 'tx'; did you mean"):
        FacT(form="tx")


def test_a_projection_that_cannot_be_cut_is_named():
    network = build("restormer", dim=8, blocks=(1, 1, 1, 2), refinement=1, attention_heads=(1, 2, 4, 8))
    assert "a projection 8 to 42 in a block of width 8" in str(FacT().supports(network))
    assert FacT().supports(ConvNet()) is None


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_finite_differences(rows, columns, dropout, bias):
    """Since the rank is not a multiple of the vector length of processors, the tensors are padded with zeros."""
    inputs, outputs = rows * WIDTH, columns * WIDTH
    shapes = ((4, inputs), (WIDTH, RANK), (rows * RANK, columns * RANK), (RANK, WIDTH))
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    frozen = torch.randn(outputs, inputs, dtype=torch.float64), torch.randn(outputs).double() if bias else None

    def projected(x: Tensor, u: Tensor, core: Tensor, v: Tensor) -> Tensor:
        torch.manual_seed(0)  # what is dropped must be the same each time
        output: Tensor = Projected.apply(x, frozen, u, core, v, dropout)
        return output

    assert torch.autograd.gradcheck(projected, tensors)
