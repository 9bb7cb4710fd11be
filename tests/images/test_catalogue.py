"""The catalogue on the real sets: sizes, splits without a shared scene, digests, errors."""

import pytest

from benchmark.errors import PetlirError
from benchmark.images.catalogue import POLYU_SCENES, image_set, names, scene

SIZES = {"Set5": 5, "Set14": 14, "BSD100": 100, "BSDS303": 303, "BSDS30": 30, "Rain100L": 100, "Rain100H": 100}


def test_names_are_unique_and_found():
    assert len(names()) == len(set(names()))
    for name in names():
        entry = image_set(name)
        assert entry.name == name
        assert all((entry.title, entry.licence, entry.citation, entry.source))
        assert entry.domain in ("procedural", "photographs")


def test_unknown_names_its_neighbour():
    with pytest.raises(PetlirError, match="unknown image set 'Set4'; did you mean 'Set"):
        image_set("Set4")


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_sizes_of_the_real_sets(shared, name, size):
    samples = image_set(name).samples(shared / "datasets")
    assert len(samples) == size
    assert all(sample.clean.ndim == 3 and sample.clean.shape[2] == 3 for sample in samples)
    assert all((sample.degraded is not None) == image_set(name).paired for sample in samples)


def test_no_scene_of_polyu_is_in_two_parts(shared):
    parts = [image_set(f"PolyU-{part}").samples(shared / "datasets") for part in ("train", "validation", "test")]
    units = [{sample.unit for sample in part} for part in parts]
    assert [len(part) for part in parts] == [53, 15, 32]
    assert not (units[0] & units[1] or units[0] & units[2] or units[1] & units[2])
    assert units[2] == POLYU_SCENES["test"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Canon5D2_5_160_3200_chair_11", "chair"),
        ("NikonD800_6-3_125_5000_plant__4", "plant"),
        ("Sony_4-5_125_6400_waterhouse_10", "waterhouse"),
        ("unlike", "unlike"),
    ],
)
def test_scene_words(name, expected):
    assert scene(name) == expected


def test_bsds_parts_share_no_image(shared):
    train, validation = (image_set(name).samples(shared / "datasets") for name in ("BSDS303", "BSDS30"))
    assert not {sample.name for sample in train} & {sample.name for sample in validation}


def test_light_and_heavy_rain_share_their_scenes(shared):
    light, heavy = (image_set(name).samples(shared / "datasets") for name in ("Rain100L", "Rain100H"))
    assert [sample.unit for sample in light] == [sample.unit for sample in heavy]
    assert (light[0].clean == heavy[0].clean).all()


def test_digest_is_repeatable_and_its_own(shared):
    root = shared / "datasets"
    assert image_set("Set5").digest(root) == image_set("Set5").digest(root)
    assert image_set("Set5").digest(root) != image_set("Set14").digest(root)


@pytest.mark.parametrize("name", ["Set5", "BSDS30", "Rain100H", "PolyU-test", "pairs-train"])
def test_missing_data_says_where_it_was_expected(tmp_path, name):
    with pytest.raises(PetlirError, match="PETLIR_DATA is not set; expected the folder that holds"):
        image_set(name).samples(None)
    with pytest.raises(PetlirError, match="is missing; expected") as caught:
        image_set(name).samples(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
