"""Test restoring images of any size: whole, in windows, in tiles, and with the official tilings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones import build
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.restoration.peak_memory import LiveBytes
from petlir.benchmark.restoration.restore import (
    PROBE,
    restore,
    restore_each,
    restore_image,
    restored,
    to_batch,
    to_image,
)
from petlir.benchmark.restoration.tiling import TILES_AT_ONCE, evenly, flipped, pad_to
from tests.helpers.engine import draw
from tests.helpers.networks import ConvNet, Pointwise

SIZES = st.integers(2, 90)
HEADS = st.sampled_from(["same", "double", "triple"])
CHOPPED = {(48, 48): 6, (57, 86): 15, (128, 128): 78, (256, 192): 297, (321, 481): 972, (768, 1024): 5289}
"""Image size → the published number of windows that the official IPT code uses."""


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def whole(network: Backbone, images: Tensor, head: str | None = None) -> Tensor:
    with torch.no_grad():
        restored: Tensor = network(images, head)
    return restored


class Chopped(Pointwise):
    official_tiling = "chop"


class Extra(Pointwise):
    official_tiling = "extra-window"

    def __init__(self) -> None:
        super().__init__(window=None)

    def multiple(self, head: str | None) -> int:
        return 24


class Uneven(Chopped):
    """A network in which a pixel's value depends on its position in the window and on all other pixels there."""

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        restored = super().forward(images, head)
        places = torch.arange(restored.shape[-1]) / restored.shape[-1]
        return restored * images.mean((1, 2, 3), keepdim=True) + places[:, None] * places.flip(0) ** 2


# windows


@settings(deadline=None)
@given(SIZES, SIZES, st.integers(1, 3), HEADS)
def test_windows_give_what_the_whole_image_gives(height, width, count, head):
    network = Pointwise()
    images = noise(count, 3, height, width)
    restored = restore(network, images, head=head)
    assert {shape[-2:] for shape in network.seen} == {(20, 20)}
    assert all(shape[0] <= TILES_AT_ONCE for shape in network.seen)
    assert torch.allclose(restored, whole(network, images, head), atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(SIZES, SIZES)
def test_an_image_does_not_depend_on_the_others_of_its_batch(height, width):
    images = noise(2, 3, height, width)
    both = restore(Uneven(), images, head="same")
    each = torch.cat([restore(Uneven(), image[None], head="same") for image in images])
    assert torch.allclose(both, each, atol=1e-6)


def test_a_photograph_needs_few_windows():
    """At 481×321, an overlap of a quarter needs 14 × 9 windows; the official code uses 972."""
    network = Pointwise(48)
    restore(network, noise(1, 3, 321, 481), "same")
    assert sum(shape[0] for shape in network.seen) == 14 * 9


@pytest.mark.parametrize("size", [(12, 12), (5, 7), (13, 31), (40, 24)])
def test_a_transformer_takes_every_size(size):
    network = tiny().eval()
    assert restore(network, torch.rand(1, 3, *size), head="sr_x2").shape == (1, 3, 2 * size[0], 2 * size[1])


@pytest.mark.parametrize("head", ["denoise_30", "sr_x2"])
@pytest.mark.parametrize("size", [(7, 9), (12, 12), (15, 20)])
def test_gradients_of_windows_are_those_of_finite_differences(size, head):
    network = tiny().double()
    images, direction = (noise(1, 3, *size).double() + shift for shift in (0, -0.5))
    images.requires_grad_(True)
    output = restored(network, images, head)
    assert torch.equal(output, restore(network, images, head))
    (gradient,) = torch.autograd.grad(output.square().sum(), images)
    ahead, back = (restore(network, images + step * direction, head).square().sum() for step in (1e-5, -1e-5))
    assert float((gradient * direction).sum()) == pytest.approx(float((ahead - back) / 2e-5), rel=1e-5)


@pytest.mark.parametrize("tiling", ["default", "official", "whole"])
def test_an_image_of_one_window_is_that_window(tiling):
    network = tiny().eval()
    images = torch.rand(2, 3, 12, 12)
    assert torch.allclose(restore(network, images, "denoise_30", tiling), whole(network, images, "denoise_30"))


@given(
    st.integers(1, 200), st.integers(2, 60), st.integers(0, 59), st.integers(1, 4), st.sampled_from([0, 1 / 3, 0.49])
)
def test_tiles_cover_an_image_and_count_as_one(length, side, overlap, scale, left):
    axis = evenly(length, side, min(overlap, side - 1), scale, left)
    weights, total = axis.weights(), torch.zeros(length * scale)
    for start, own in zip(axis.starts, weights, strict=True):
        total[start * scale : (start + axis.side) * scale] += own
    assert (weights >= 0).all()
    assert torch.allclose(total, torch.ones(length * scale), atol=1e-6)
    shared = [first + axis.side - second for first, second in zip(axis.starts, axis.starts[1:], strict=False)]
    assert all(pixels >= min(overlap, side - 1) for pixels in shared)


def test_weights_fall_in_a_straight_line():
    """Over an overlap of 3 the weights are 1/4, 2/4, 3/4; if its outer third belongs to the neighbour, 0, 1/2, 1."""
    assert evenly(9, 6, 3, 1, 0).weights().tolist() == [[1, 1, 1, 0.75, 0.5, 0.25], [0.25, 0.5, 0.75, 1, 1, 1]]
    assert evenly(9, 6, 3, 1, 1 / 3).weights().tolist() == [[1, 1, 1, 1, 0.5, 0], [0, 0.5, 1, 1, 1, 1]]


# the official code


@pytest.mark.parametrize(("size", "windows"), CHOPPED.items())
def test_the_official_tiling_of_ipt_runs_as_many_windows(size, windows):
    network = Chopped(48)
    images = noise(1, 3, *size)
    restored = restore(network, images, "same", "official")
    assert sum(shape[0] for shape in network.seen) == windows
    assert torch.allclose(restored, whole(network, images, "same"), atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(12, 50), st.integers(12, 50), HEADS)
def test_the_official_tiling_changes_no_pointwise_network(height, width, head):
    network, images = Chopped(12), noise(2, 3, height, width)
    assert torch.allclose(restore(network, images, head, "official"), whole(network, images, head), atol=1e-6)


def chopped_by_pixel(network: Backbone, image: Tensor, head: str, window: int) -> Tensor:
    """Compute the official tiling pixel by pixel, from the windows that contribute to each pixel.

    A window contributes to the pixels in its inner half, and to those at the border of the image.
    """
    scale, side, quarter = network.heads[head], window, window // 4
    height, width = image.shape[-2:]
    result = torch.zeros(1, 3, height * scale, width * scale)

    def voters(pixel: int, length: int, *, last: bool) -> list[int]:
        if last:
            return [length - side]
        places = range(0, length - side + 1, quarter)
        inside = [start for start in places if quarter * scale <= pixel - start * scale < (side - quarter) * scale]
        return inside or [0 if pixel < quarter * scale else places[-1]]

    def joint(length: int) -> int:
        left_over = (length - side) % quarter
        return (length - left_over) * scale - (side - left_over) * scale // 2

    for y, x in np.ndindex(height * scale, width * scale):
        low, right = y >= joint(height), x >= joint(width)
        rows, columns = voters(y, height, last=low), voters(x, width, last=right)
        if y < quarter * scale and x < side * scale and not right:
            columns = [0]  # here the left strip stands over the top one
        votes = [
            whole(network, image[..., top : top + side, left : left + side], head)[
                0, :, y - top * scale, x - left * scale
            ]
            for top in rows
            for left in columns
        ]
        result[0, :, y, x] = torch.stack(votes).mean(0)
    return result


@pytest.mark.parametrize(("size", "head"), [((12, 17), "same"), ((23, 26), "same"), ((17, 19), "triple")])
def test_the_official_tiling_of_ipt_is_its_definition(size, head):
    network, image = Uneven(12), noise(1, 3, *size)
    expected = chopped_by_pixel(network, image, head, 12)
    assert torch.allclose(restore(network, image, head, "official"), expected, atol=1e-6)


def test_the_official_tiling_of_ipt_takes_batches_and_no_small_image():
    images = noise(3, 3, 15, 20)
    both = restore(Uneven(12), images, "double", "official")
    each = torch.cat([restore(Uneven(12), image[None], "double", "official") for image in images])
    assert torch.allclose(both, each, atol=1e-6)
    with pytest.raises(PetlirError, match=r"^the official tiling of pointwise takes 48×48 at least, got 60×47$"):
        restore(Chopped(48), noise(1, 3, 47, 60), "same", "official")


@pytest.mark.parametrize(("size", "padded"), [((48, 48), (72, 72)), ((50, 23), (72, 24)), ((5, 96), (24, 120))])
def test_the_official_tiling_of_edt_adds_a_window(size, padded):
    network, images = Extra(), noise(1, 3, *size)
    restored = restore(network, images, "double", "official")
    assert network.seen == [(1, 3, *padded)]
    assert torch.allclose(restored, whole(network, images, "double"), atol=1e-6)


@torch.no_grad()
def test_edt_sees_its_image_flipped():
    network = build("edt-t").eval()
    images = noise(1, 3, 24, 20)
    doubled = torch.from_numpy(np.pad(images.numpy(), [(0, 0), (0, 0), (0, 24), (0, 4)], "symmetric"))
    expected = network(doubled, "sr_x4")[..., :96, :80]
    assert torch.equal(restore(network, images, "sr_x4", "official"), expected)


@given(st.integers(1, 60), st.integers(1, 60))
def test_padding_mirrors_and_keeps_the_image(height, width):
    images = torch.rand(1, 3, height, width)
    room = [(0, 0), (0, 0), (0, max(0, 48 - height)), (0, max(0, 48 - width))]
    assert np.array_equal(pad_to(images, 48).numpy(), np.pad(images.numpy(), room, "reflect"))
    room = [(0, 0), (0, 0), (0, 140 - height), (0, 61 - width)]
    assert np.array_equal(flipped(images, 140, 61).numpy(), np.pad(images.numpy(), room, "symmetric"))


# memory


@settings(deadline=None, max_examples=15)
@given(st.integers(20, 140), st.integers(20, 140), st.integers(17, 64))
def test_tiles_of_a_local_network_give_what_the_whole_image_gives(height, width, tile):
    """The network's receptive field reaches 4 pixels; of an overlap of 12 to 16, the outer 4 or 5 are discarded."""
    network, images = ConvNet(4).eval(), noise(2, 3, height, width)
    restored = restore(network, images, tile=tile, overlap=12 + tile % 5)
    assert torch.allclose(restored, whole(network, images), atol=1e-6)


def test_an_image_goes_whole_where_memory_allows():
    network, images = Pointwise(None), noise(1, 3, 70, 90)
    restore(network, images, "same")
    assert network.seen == [(1, 3, 70, 90)]


@pytest.mark.parametrize("budget", [2**19, 2**21, 2**23])
def test_a_forward_pass_stays_within_memory(budget):
    network, images = ConvNet(8).eval(), noise(2, 3, 150, 210)
    sizes, inner = [], network.forward

    def watched(images: Tensor, head: str | None = None) -> Tensor:
        with LiveBytes() as live:
            restored = inner(images, head)
        sizes.append((images.shape[-2] * images.shape[-1], live.peak))
        return restored

    network.forward = watched  # type: ignore[method-assign]
    restored = restore(network, images, memory_bytes=budget, overlap=15)
    assert max(peak for _, peak in sizes) <= budget
    assert torch.allclose(restored, whole(network, images), atol=1e-5)
    if budget == 2**19:
        assert len(sizes) > 2
    else:
        assert max(peak for _, peak in sizes) > budget / 4


def test_too_little_memory_is_said():
    needed = rf"^memory_bytes 5000 is too little for conv-tiny; a tile of {PROBE}×{PROBE} takes \d+$"
    with pytest.raises(PetlirError, match=needed):
        restore(ConvNet(8), noise(1, 3, 60, 60), memory_bytes=5000)


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (5, 3)])
@pytest.mark.parametrize("tiling", ["default", "official", "whole"])
def test_a_network_of_any_size_is_given_the_whole_image(size, tiling):
    network = build("nafnet", width=8, encoders=(1, 1), middle=1, decoders=(1, 1)).eval()
    torch.nn.init.normal_(network.get_parameter("ending.bias"))
    images = noise(2, 3, *size)
    assert torch.equal(restore(network, images, "restore", tiling), whole(network, images, "restore"))


# what is refused


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (Pointwise(), {"tile": 24}, "tile 24 does not fit pointwise; it takes 20×20 only"),
        (Extra(), {"tile": 32}, "tile 32 does not fit pointwise; expected a multiple of 24"),
        (Extra(), {"tile": 0}, "tile 0 does not fit pointwise; expected a multiple of 24"),
        (Extra(), {"tile": 24, "overlap": 24}, "overlap 24 does not fit tiles of 24; expected 0 to 23"),
        (Pointwise(), {"overlap": -1}, "overlap -1 does not fit tiles of 20; expected 0 to 19"),
        (Extra(), {"tile": 24, "tiling": "whole"}, "tiling 'whole' defines its own tiles; tile and overlap are"),
        (Pointwise(), {"tiling": "whole"}, "pointwise takes 20×20 only, got 60×50; tiling 'default' takes any size"),
        (Pointwise(), {"tiling": "hole"}, r"unknown tiling 'hole'; did you mean 'whole'\?"),
        (Pointwise(), {"head": "dubble"}, r"unknown head of pointwise 'dubble'; did you mean 'double'\?"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(network, options, message):
    with pytest.raises(PetlirError, match=f"^{message}"):
        restore(network, noise(1, 3, 50, 60), **{"head": "same", **options})


def test_a_line_of_pixels_is_refused():
    with pytest.raises(PetlirError, match="an image of 1×9 is too small to restore; 2×2 at least"):
        restore(Pointwise(), torch.rand(1, 3, 9, 1), head="same")


# images


def test_images_and_batches_are_the_same():
    image = draw([1], 30, 40)
    assert np.array_equal(to_image(to_batch(image)), image)
    beyond = torch.tensor([-0.2, 0.5, 1.7]).view(1, 3, 1, 1)
    assert to_image(beyond).tolist() == [[[0, 128, 255]]]


def test_heads_act_one_after_the_other_in_float():
    image = draw([2], 24, 33)
    once = to_batch(image).square() * 0.7 + 0.1
    twice = (once.square() * 0.7 + 0.1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    found = restore_image(Pointwise(), image, ("same", "double"))
    assert np.array_equal(found, to_image(twice))


def test_neighbours_of_one_size_share_forward_passes_and_keep_their_places():
    """Three images have four windows each, the next has six, and the last has four again, all with side 20."""
    network = Pointwise()
    images = [draw([seed], *size) for seed, size in enumerate([(35, 35)] * 3 + [(35, 50)] + [(35, 35)])]
    found = [to_image(output) for output in restore_each(network, images, ("double",))]
    assert [shape[0] for shape in network.seen] == [12, 6, 4]
    assert all(
        np.array_equal(output, restore_image(network, image, ("double",)))
        for output, image in zip(found, images, strict=True)
    )


def test_large_tiles_come_few_at_once_on_a_cpu():
    """Eight windows of side 48, or as many pixels in larger windows, fill the caches of a CPU."""
    network = Pointwise(48)
    restore(network, noise(3, 3, 84, 84), "same")
    assert [shape[0] for shape in network.seen] == [8, 4]
