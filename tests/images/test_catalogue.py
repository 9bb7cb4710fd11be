"""Test the catalogue on the real sets: sizes, splits without a common scene, digests, errors."""

import hashlib
import re

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set, names
from petlir.benchmark.images.listed import CataloguedIndex
from petlir.benchmark.images.overlaps.cached import matches

SIZES = {"Set5": 5, "Set14": 14, "BSD100": 100, "BSDS302": 302, "BSDS30": 30, "Rain100L": 100, "Rain100H": 100}
NAMED = {
    *("DIV2K", "Flickr2K", "WED", "BSD400", "BSDS500-train", "BSDS500-val", "BSDS500-test"),
    *("Set5", "Set14", "BSD100", "Urban100", "Manga109", "CBSD68", "McMaster", "Kodak24"),
    *("RainTrainL", "RainTrainH", "Rain13K", "Rain100L", "Rain100H", "Rain12"),
    *("LOLv1-train", "LOLv1-test", "LOLv2-real-train", "LOLv2-real-test", "LOLv2-syn-train", "LOLv2-syn-test"),
    *("SIDD-train", "SIDD-validation", "PolyU-train", "PolyU-validation", "PolyU-test", "BSDS302", "BSDS30"),
    *("LIVE1", "GoPro-train", "GoPro-test"),
}
POLYU_TEST = {"ball", "bicycle", "bulletin", "circuit", "door", "flower", "printer", "stair"}


def test_the_sets_of_the_field_are_there():
    assert set(names()) >= NAMED
    assert len(names()) == len(set(names()))
    assert image_set("BSDS100") is image_set("B100") is image_set("BSD100")


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_set_says_what_it_is_and_how_its_images_are_joined(name):
    entry = image_set(name)
    assert entry.name == name
    assert all((entry.title, entry.licence, entry.citation, entry.source.startswith(("https://", "http://"))))
    assert re.fullmatch(r"@\w+\{\w+,.*\}", entry.bibtex, re.DOTALL)
    assert entry.bibtex.count("{") == entry.bibtex.count("}")
    assert isinstance(entry.find, CataloguedIndex)
    layouts = entry.find.layouts
    assert len(layouts) > 1 or name.startswith("BSDS")
    for layout in layouts:
        assert (layout.degraded is not None) == entry.paired
        joined = [pattern for pattern in (layout.clean, layout.degraded, layout.shrunk) if pattern]
        assert len({pattern.count("*") for pattern in joined}) == 1, (
            "clean and degraded are joined by what the stars are"
        )
        assert layout.clean.count("*") > 0 or layout.clean.endswith(".mat")
    assert entry.count and entry.count > 0
    if entry.find.names is not None:
        assert len(set(entry.find.names)) == entry.count


def test_unknown_names_its_neighbour():
    with pytest.raises(PetlirError, match="unknown image set 'Set4'; did you mean 'Set"):
        image_set("Set4")


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_sizes_of_the_real_sets(shared, name, size):
    entries = image_set(name).index(shared / "datasets")
    assert len(entries) == size
    assert all((entry.degraded is not None) == image_set(name).paired for entry in entries)
    sample = entries[0].read()
    assert sample.clean.ndim == 3 and sample.clean.shape[2] == 3
    assert sample.degraded is None or sample.degraded.shape == sample.clean.shape


def test_no_scene_of_polyu_is_in_two_parts(shared):
    parts = [image_set(f"PolyU-{part}").index(shared / "datasets") for part in ("train", "validation", "test")]
    units = [{entry.unit for entry in part} for part in parts]
    assert [len(part) for part in parts] == [53, 15, 32]
    assert not (units[0] & units[1] or units[0] & units[2] or units[1] & units[2])
    assert units[2] == POLYU_TEST
    scenes = {entry.name: entry.unit for part in parts for entry in part}
    assert scenes["Canon5D2_5_160_3200_chair_11"] == "chair"
    assert scenes["NikonD800_6-3_125_5000_plant__4"] == "plant"
    assert scenes["Sony_4-5_125_6400_waterhouse_10"] == "waterhouse"


def test_bsds_parts_share_no_image_and_are_all_there_is(shared):
    train, validation = (image_set(name).index(shared / "datasets") for name in ("BSDS302", "BSDS30"))
    found = {entry.name for entry in (*train, *validation)}
    assert len(found) == len(train) + len(validation)
    assert found == {path.stem for path in (shared / "datasets/BSDS333").iterdir()} - {"302003"}


def test_light_and_heavy_rain_share_their_scenes(shared):
    light, heavy = (image_set(name).index(shared / "datasets") for name in ("Rain100L", "Rain100H"))
    assert [entry.unit for entry in light] == [entry.unit for entry in heavy]
    assert (light[0].read().clean == heavy[0].read().clean).all()


def test_a_scene_that_is_there_twice_is_one_unit(shared):
    """Nine clean images of Rain100L are identical, pixel for pixel, to another image of the set; no others are."""
    entries = image_set("Rain100L").index(shared / "datasets")
    digests = [hashlib.sha256(entry.read().clean.tobytes()).hexdigest() for entry in entries]
    units = [entry.unit for entry in entries]
    assert [digests.index(digest) for digest in digests] == [units.index(unit) for unit in units]
    assert len(set(units)) == 91


def test_scenes_that_two_sets_share_are_those_that_a_search_finds(shared):
    few, more = (image_set(name).index(shared / "datasets") for name in ("Set5", "Set14"))
    found = {(few[match.image].name, more[match.found_in].name) for match in matches(few, more)}
    joined = {(one.name, other.name) for one in few for other in more if one.unit == other.unit}
    assert joined == found == {("head", "img_006"), ("butterfly", "img_011")}


@pytest.mark.parametrize("name", ["Set5", "BSDS30", "Rain100H", "PolyU-test"])
def test_missing_data_says_where_it_was_expected(tmp_path, name):
    with pytest.raises(PetlirError, match="PETLIR_DATA is not set; expected the folder that holds"):
        image_set(name).index(None)
    with pytest.raises(PetlirError, match="is missing; expected") as caught:
        image_set(name).index(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
