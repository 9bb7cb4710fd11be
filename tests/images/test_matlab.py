"""Test SIDD's validation blocks in both formats of .mat files, and files that are truncated or have other contents."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set

NOISY, CLEAN = "ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"
Blocks = NDArray[np.uint8]


def blocks(seed: int, *shape: int) -> Blocks:
    return np.random.default_rng(seed).integers(0, 256, shape or (40, 32, 5, 4, 3), np.uint8)


def version_5(path: Path, name: str, array: Blocks) -> None:
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {name: array}, do_compression=True)


def version_73(path: Path, name: str, array: Blocks) -> None:
    """Write a file as MATLAB does: a header of 512 bytes, and reversed axes, since its arrays are column-major."""
    h5py = pytest.importorskip("h5py")
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset(name, data=array.transpose(), compression="gzip").attrs["MATLAB_class"] = np.bytes_("uint8")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM")


@pytest.mark.parametrize("write", [version_5, version_73])
@pytest.mark.parametrize("folder", ["SIDD", "RealDN/SIDD", "."])
def test_blocks_are_pairs_of_forty_images_and_eight_scenes(tmp_path, write, folder):
    noisy, clean = blocks(0), blocks(1)
    write(tmp_path / folder / f"{NOISY}.mat", NOISY, noisy)
    write(tmp_path / folder / f"{CLEAN}.mat", CLEAN, clean)
    entries = image_set("SIDD-validation").index(tmp_path)
    assert len(entries) == 1280
    for number, block in ((0, 0), (17, 31), (39, 5)):
        sample = entries[number * 32 + block].read()
        assert sample.degraded is not None
        assert (sample.clean == clean[number, block]).all()
        assert (sample.degraded == noisy[number, block]).all()
    assert entries[0].name == "0009_001_S6_00800_00350_3200_L-01"
    units = [entry.unit for entry in entries]
    assert sorted(set(units)) == [f"SIDD-{scene:03d}" for scene in range(1, 9)]
    assert {units.count(unit) for unit in units} == {5 * 32}


def test_one_file_of_two_is_missed(tmp_path):
    version_5(tmp_path / "SIDD" / f"{CLEAN}.mat", CLEAN, blocks(1))
    with pytest.raises(PetlirError, match=f"incomplete: 1 of 2 files is missing: .*SIDD/{NOISY}.mat; source: https"):
        image_set("SIDD-validation").index(tmp_path)


def refusal(root: Path) -> str:
    with pytest.raises(PetlirError) as caught:
        image_set("SIDD-validation").samples(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("write", [version_5, version_73])
def test_a_file_of_another_set_is_named(tmp_path, write):
    write(tmp_path / f"{CLEAN}.mat", CLEAN, blocks(1))
    write(tmp_path / f"{NOISY}.mat", "BenchmarkNoisyBlocksSrgb", blocks(0))
    assert refusal(tmp_path) == f"{tmp_path / NOISY}.mat holds BenchmarkNoisyBlocksSrgb; expected the array {NOISY}"


@pytest.mark.parametrize("write", [version_5, version_73])
@pytest.mark.parametrize("array", [blocks(0, 40, 32, 5, 4), blocks(0, 2, 3, 5, 4, 3), blocks(0).astype(np.float32)])
def test_an_array_of_another_kind_says_what_was_expected(tmp_path, write, array):
    write(tmp_path / f"{CLEAN}.mat", CLEAN, array)
    write(tmp_path / f"{NOISY}.mat", NOISY, array)
    assert "; expected 40 × blocks × height × width × 3 of uint8" in refusal(tmp_path)


@pytest.mark.parametrize("write", [version_5, version_73])
@pytest.mark.parametrize("kept", [0.5, 0.01])
def test_a_file_that_is_cut_off_is_named(tmp_path, write, kept):
    for name, seed in ((CLEAN, 1), (NOISY, 0)):
        write(tmp_path / f"{name}.mat", name, blocks(seed))
    path = tmp_path / f"{NOISY}.mat"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert refusal(tmp_path).startswith(f"{path} is not a readable .mat file: ")


def test_fewer_blocks_are_not_the_set(tmp_path):
    for name, seed in ((CLEAN, 1), (NOISY, 0)):
        version_5(tmp_path / f"{name}.mat", name, blocks(seed, 40, 2, 5, 4, 3))
    assert "has 80 images, expected 1280" in refusal(tmp_path)
