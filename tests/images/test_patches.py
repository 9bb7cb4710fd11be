"""Test training batches: a pure function of seed and step, aligned, in all eight orientations."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from petlir.benchmark.degradation import Degradation
from petlir.benchmark.degradations.noise import GaussianNoise
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import crops, patches
from petlir.benchmark.images.crops import Resident
from petlir.benchmark.images.patches import Pair, PatchSampler


def enlarged_pairs(scale: int) -> list[Pair]:
    rng = np.random.default_rng(0)
    degraded = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((20, 31), (17, 16))]
    return [(image, image.repeat(scale, 0).repeat(scale, 1)) for image in degraded]


def sampler(
    pairs: Sequence[Pair],
    scale: int = 1,
    patch: int = 8,
    batch_size: int = 3,
    perturb: Degradation | None = None,
    seed: int = 0,
) -> PatchSampler:
    return PatchSampler(pairs, scale=scale, patch=patch, batch_size=batch_size, perturb=perturb, seed=seed)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**50), st.integers(0, 10**6), st.sampled_from([1, 2, 3, 4]))
def test_pure_in_seed_and_step_and_aligned(seed, step, scale):
    pairs = enlarged_pairs(scale)
    degraded, clean = sampler(pairs, scale, seed=seed).batch(step)
    assert degraded.shape == (3, 3, 8, 8)
    assert clean.shape == (3, 3, 8 * scale, 8 * scale)
    assert degraded.dtype == clean.dtype == torch.float32
    assert torch.equal(clean, degraded.repeat_interleave(scale, 2).repeat_interleave(scale, 3))
    again = sampler(pairs, scale, seed=seed)
    again.batch(step + 1)
    assert torch.equal(again.batch(step)[0], degraded)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**50), st.sampled_from([1, 2, 3, 4]))
def test_crops_gathered_on_a_device_are_those_cut_on_the_host(seed, scale):
    pairs = enlarged_pairs(scale)
    expected = sampler(pairs, scale, seed=seed, batch_size=9).batch(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patches, "cut_from", Resident)
        found = sampler(pairs, scale, seed=seed, batch_size=9).batch(1)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_gpu_holds_what_fits_and_nothing_else(monkeypatch):
    images = [np.zeros((10, 10, 3), np.uint8)] * 4
    monkeypatch.setattr(crops, "Resident", lambda *given: "resident")
    monkeypatch.setattr(crops, "Hosted", lambda *given: "hosted")
    for free, expected in ((4800, "resident"), (4796, "hosted")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**6))
        assert str(crops.cut_from(images, torch.device("cuda"))) == expected
    assert str(crops.cut_from(images, torch.device("cpu"))) == "hosted"


def test_noise_kept_as_floats_is_not_clipped():
    pairs = [(np.full((8, 8, 3), 250, np.uint8),) * 2]
    assert sampler(pairs, perturb=GaussianNoise(30, "float")).batch(0)[0].max() > 1


def test_noise_is_fresh_repeatable_and_clamped():
    pairs = [(np.full((8, 8, 3), 250, np.uint8),) * 2]
    noisy = sampler(pairs, perturb=GaussianNoise(30))
    first, second = noisy.batch(0)[0], noisy.batch(1)[0]
    assert not torch.equal(first, second)
    assert torch.equal(first, noisy.batch(0)[0])
    assert first.max() <= 1
    assert first.min() >= 0
    assert torch.equal(noisy.batch(0)[1], torch.full((3, 3, 8, 8), 250 / 255))


def test_all_eight_orientations_come():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    crops = sampler([(image, image)], batch_size=200).batch(0)[0]
    seen = {tuple((crop * 255).round().int().flatten().tolist()) for crop in crops}
    turned = [np.rot90(flipped, turn) for flipped in (image, image[:, ::-1]) for turn in range(4)]
    assert seen == {tuple(view.transpose(2, 0, 1).ravel().tolist()) for view in turned}


def test_every_place_and_image_is_drawn():
    index = np.arange(12, dtype=np.uint8)
    images = [np.broadcast_to((index + offset)[None, :, None], (12, 12, 3)) for offset in (0, 100)]
    corners = (sampler([(i, i) for i in images], batch_size=500).batch(0)[0] * 255).round().amin((1, 2, 3))
    assert set(corners.int().tolist()) == {*range(5), *range(100, 105)}


def test_small_images_are_one_clear_error():
    with pytest.raises(PetlirError, match="crops are 18×18, but the training set has an image of 17×16"):
        sampler(enlarged_pairs(1), patch=18)
    with pytest.raises(PetlirError, match="training set is empty"):
        sampler([])


def test_noise_is_drawn_on_the_cpu_wherever_batches_are_made(monkeypatch):
    """A key must determine the noise, so noise on crops is drawn by a CPU generator on every device."""
    drawn_on = []

    class Watched(GaussianNoise):
        def perturb(self, batch, generator):
            drawn_on.append(generator.device.type)
            return batch

    made = PatchSampler(
        enlarged_pairs(1), scale=1, patch=8, batch_size=2, perturb=Watched(30), seed=0, device=torch.device("meta")
    )
    monkeypatch.setattr(made, "_clean", lambda crops, side: torch.zeros(len(crops), 3, side, side, dtype=torch.uint8))
    monkeypatch.setattr(made, "_degraded", made._clean)
    made.batch(0)
    assert drawn_on == ["cpu"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gets_the_batches_of_a_cpu():
    pairs = enlarged_pairs(2)
    both = [
        PatchSampler(pairs, scale=2, patch=8, batch_size=4, perturb=GaussianNoise(30), seed=3, device=device)
        for device in ("cpu", "cuda")
    ]
    for step in range(20):
        for ours, theirs in zip(*(sampler.batch(step) for sampler in both), strict=True):
            assert torch.allclose(ours, theirs.cpu(), rtol=0, atol=1e-6)
