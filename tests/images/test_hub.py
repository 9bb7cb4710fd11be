"""Sets of the hub's two makes, from local folders; the network is not touched."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from benchmark.errors import PetlirError
from benchmark.images.hub import from_hub

pytest.importorskip("datasets")
Batch = NDArray[np.uint8]
COMMIT = "0" * 40
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3), np.uint8)


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def png(image: Batch) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def parquet(folder: Path, **columns: Batch) -> str:
    from datasets import Dataset

    folder.mkdir()
    cells = {name: [{"bytes": png(image), "path": None} for image in images] for name, images in columns.items()}
    Dataset.from_dict(cells).to_parquet(folder / "train-0.parquet")
    return str(folder)


def test_imagefolder(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        PIL.Image.fromarray(image).save(folder / f"photo-{number}.png")
    samples = from_hub(str(folder), COMMIT)
    assert [sample.name for sample in samples] == ["photo-0", "photo-1", "photo-2"]
    assert all((sample.clean == image).all() for sample, image in zip(samples, IMAGES, strict=True))
    assert all(sample.degraded is None for sample in samples)


def test_parquet_of_pairs(tmp_path):
    samples = from_hub(parquet(tmp_path / "set", clean=IMAGES, degraded=IMAGES[::-1]), COMMIT)
    assert (samples[0].clean == IMAGES[0]).all()
    assert samples[0].degraded is not None
    assert (samples[0].degraded == IMAGES[2]).all()


def test_pairs_of_two_sizes_are_refused(tmp_path):
    with pytest.raises(PetlirError, match="image 0 and its degraded one differ in size"):
        from_hub(parquet(tmp_path / "set", clean=IMAGES, degraded=IMAGES[:, :4]), COMMIT)


def test_columns_without_images_are_named(tmp_path):
    with pytest.raises(PetlirError, match="has the columns picture; expected one of clean, image"):
        from_hub(parquet(tmp_path / "set", picture=IMAGES), COMMIT)


@pytest.mark.parametrize("revision", ["main", "0123abc", ""])
def test_a_branch_is_no_pin(revision):
    with pytest.raises(PetlirError, match="not pinned"):
        from_hub("someone/set", revision)


def test_a_set_that_is_not_there_is_one_line():
    with pytest.raises(PetlirError, match="someone/set, split 'train', cannot be loaded") as caught:
        from_hub("someone/set", COMMIT)
    assert "\n" not in str(caught.value)
