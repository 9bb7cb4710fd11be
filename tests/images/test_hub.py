"""Test sets on the Hugging Face hub in each of their formats, on local stand-ins for downloads, without a network."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.imageset import ImageEntry
from petlir.benchmark.images.layouts import FolderLayout
from petlir.benchmark.images.listed import CataloguedIndex

datasets = pytest.importorskip("datasets")
Batch = NDArray[np.uint8]
COMMIT = "0123456789" * 4
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3), np.uint8)
DARK = IMAGES // 4
CLEAN, PAIRS = (
    [FolderLayout("toy/*")],
    [FolderLayout("toy/target/*", "toy/input/*"), FolderLayout("toy/norain-*", "toy/rain-*")],
)


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Make commit COMMIT of the hub's dataset `someone/set` load from `tmp_path/hub`, and return this folder."""
    real = datasets.load_dataset

    def load(repo: str, *configuration: str, revision: str, split: str) -> object:
        assert (repo, revision) == ("someone/set", COMMIT)
        return real(str(tmp_path / "hub"), *configuration, split=split)

    def download(repo: str, file: str, revision: str, repo_type: str) -> str:
        assert (repo, revision, repo_type) == ("someone/set", COMMIT, "dataset")
        return str(tmp_path / "hub" / file)

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    (tmp_path / "hub").mkdir()
    return tmp_path / "hub"


def png(image: Batch) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def point(root: Path, name: str, rest: str = "") -> Path:
    (root / f"{name}.hub").write_text(f"hub:someone/set@{COMMIT}{rest}\n")
    return root


def index(root: Path, layouts: list[FolderLayout], rest: str = "", **changes: object) -> list[ImageEntry]:
    return CataloguedIndex("toy", "somewhere", layouts, **changes)(point(root, "toy", rest))  # type: ignore[arg-type]


def check(entries: list[ImageEntry], names: list[str], clean: Batch, degraded: Batch | None = None) -> None:
    """Check that the entries are these images in this order."""
    samples = [entry.read() for entry in entries]
    assert [sample.name for sample in samples] == names
    for number, sample in enumerate(samples):
        assert (sample.clean == clean[number]).all()
        if degraded is None:
            assert sample.degraded is None
        else:
            assert sample.degraded is not None
            assert (sample.degraded == degraded[number]).all()
    assert len({entry.clean.stamp for entry in entries}) == len(entries)


def folder(root: Path, side: str, images: Batch, names: list[str]) -> None:
    (root / side).mkdir(parents=True)
    for name, image in zip(names, images, strict=True):
        (root / side / f"{name}.png").write_bytes(png(image))


def test_imagefolder_of_clean_images(stand_in, tmp_path):
    folder(stand_in, "train", IMAGES, ["c", "a", "b"])
    check(index(tmp_path, CLEAN), ["a", "b", "c"], IMAGES[[1, 2, 0]])


@pytest.mark.parametrize(("lower", "upper"), [("low", "high"), ("input", "target"), ("noisy", "GT")])
def test_pairs_of_an_imagefolder_are_joined_by_name_and_not_by_order(stand_in, tmp_path, lower, upper):
    folder(stand_in / "test", lower, DARK, ["3", "1", "2"])
    folder(stand_in / "test", upper, IMAGES[::-1], ["2", "1", "3"])
    check(index(tmp_path, PAIRS, "/test"), ["1", "2", "3"], IMAGES[[1, 2, 0]], DARK[[1, 2, 0]])


def parquet(root: Path, split: str = "train", **columns: Batch) -> None:
    cells = {name: [{"bytes": png(image), "path": None} for image in images] for name, images in columns.items()}
    datasets.Dataset.from_dict(cells).to_parquet(root / f"{split}-0.parquet")


@pytest.mark.parametrize("columns", [("lr", "hr"), ("input", "target"), ("degraded", "image"), ("image", "clean")])
def test_parquet_of_pairs(stand_in, tmp_path, columns):
    parquet(stand_in, **dict(zip(columns, (DARK, IMAGES), strict=True)))
    check(index(tmp_path, PAIRS), ["000000", "000001", "000002"], IMAGES, DARK)


def test_of_a_set_of_clean_images_the_degraded_column_is_left_out(stand_in, tmp_path):
    parquet(stand_in, "validation", lr=DARK, hr=IMAGES)
    check(index(tmp_path, CLEAN, "/default/validation"), ["000000", "000001", "000002"], IMAGES)


def tar(path: Path, files: dict[str, Batch], mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, image in files.items():
            content = png(image)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_webdataset_of_pairs(stand_in, tmp_path):
    files: dict[str, Batch] = {}
    for number in range(3):
        files |= {f"scene{number}.input.png": DARK[number], f"scene{number}.gt.png": IMAGES[number]}
    tar(stand_in / "train-0.tar", files)
    check(index(tmp_path, PAIRS), ["scene0", "scene1", "scene2"], IMAGES, DARK)


def test_webdataset_of_clean_images(stand_in, tmp_path):
    tar(stand_in / "train-0.tar", {f"{number}.png": IMAGES[number] for number in range(3)})
    check(index(tmp_path, CLEAN), ["0", "1", "2"], IMAGES)


FIVE = dict(zip(["baby", "bird", "butterfly", "head", "woman"], np.concatenate([IMAGES, DARK])[:5], strict=True))


def test_the_tar_file_of_a_repository_whose_script_is_dead(stand_in, tmp_path):
    tar(stand_in / "data/Set5_HR.tar.gz", {f"Set5_HR/{name}.png": image for name, image in FIVE.items()}, "w:gz")
    entries = image_set("Set5").index(point(tmp_path, "Set5", "/data/Set5_HR.tar.gz"))
    check(entries, list(FIVE), np.stack(list(FIVE.values())))
    kept = list((tmp_path / "cache").rglob("*.arrow"))
    assert len(kept) == 1, "cached as Arrow"
    stamp = kept[0].stat().st_mtime_ns
    assert len(image_set("Set5").index(tmp_path)) == 5
    assert kept[0].stat().st_mtime_ns == stamp, "made once"


def test_an_archive_with_both_parts_in_the_layout_of_the_wild(stand_in, tmp_path):
    numbers = ["1", "22", "23", "55", "79", "111", "146", "179", "493", "547", "665", "669", "748", "778", "780"]
    with zipfile.ZipFile(stand_in / "lol.zip", "w") as archive:
        for number in numbers:
            archive.writestr(f"lol_dataset/eval15/low/{number}.png", png(DARK[0]))
            archive.writestr(f"lol_dataset/eval15/high/{number}.png", png(IMAGES[0]))
            archive.writestr(f"lol_dataset/our485/high/{number}.png", png(IMAGES[1]))
        archive.writestr("lol_dataset/eval15/high/.DS_Store", b"")
    entries = image_set("LOLv1-test").index(point(tmp_path, "LOLv1-test", "/lol.zip"))
    check(entries, sorted(numbers), np.stack([IMAGES[0]] * 15), np.stack([DARK[0]] * 15))


def test_an_archive_in_no_known_layout_goes_by_what_folders_and_names_say(stand_in, tmp_path):
    files = {f"stuff/Train/{side}-{number}.png": DARK[2] for side in ("rain", "norain") for number in range(9)}
    for number in range(3):
        files |= {f"stuff/Test/rain-{number}.png": DARK[number], f"stuff/Test/norain-{number}.png": IMAGES[number]}
    tar(stand_in / "all.tar", files)
    listed = CataloguedIndex("toy-test", "somewhere", [FolderLayout("x/*", "y/*")], called="norain-{}")
    check(listed(point(tmp_path, "toy-test", "/all.tar")), ["norain-0", "norain-1", "norain-2"], IMAGES, DARK)


def refusal(root: Path, layouts: list[FolderLayout], rest: str = "", **changes: object) -> str:
    with pytest.raises(PetlirError) as caught:
        [entry.read() for entry in index(root, layouts, rest, **changes)]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_half_present_set_names_what_is_missing(stand_in, tmp_path):
    tar(stand_in / "a.tar", {f"toy/target/{name}.png": IMAGES[0] for name in "abc"} | {"toy/input/a.png": DARK[0]})
    line = refusal(tmp_path, PAIRS, "/a.tar")
    assert line.startswith(
        "toy is incomplete: 2 of 6 files are missing: hub:someone/set@012345678901/a.tar/toy/input/b"
    )
    tar(stand_in / "b.tar", {"x/gt/a.png": IMAGES[0], "x/gt/b.png": IMAGES[0], "x/lq/a.png": DARK[0]})
    assert "x/gt/b (image) has no partner" in refusal(tmp_path, PAIRS, "/b.tar")
    tar(stand_in / "c.tar", {"x/a.png": IMAGES[0], "y/a.png": IMAGES[0]})
    assert "have the same name" in refusal(tmp_path, CLEAN, "/c.tar")
    tar(stand_in / "d.tar", {"x/a.png": IMAGES[0]})
    assert "has 1 image, expected 5" in refusal(tmp_path, CLEAN, "/d.tar", count=5)


def test_images_that_cannot_be_used_are_named(stand_in, tmp_path):
    parquet(stand_in, clean=IMAGES, degraded=IMAGES[:, :4])
    assert "000000 (degraded) is 6×4 pixels and its clean image" in refusal(tmp_path, PAIRS)


def test_a_table_without_images_names_its_columns(stand_in, tmp_path):
    datasets.Dataset.from_dict({"text": ["a"]}).to_parquet(stand_in / "train-0.parquet")
    assert refusal(tmp_path, CLEAN).endswith("has the columns text; expected a column of images")


@pytest.mark.parametrize("revision", ["main", "0123abc", ""])
def test_a_branch_is_no_pin(tmp_path, revision):
    (tmp_path / "toy.hub").write_text(f"hub:someone/set@{revision}")
    with pytest.raises(
        PetlirError, match=rf"revision '{revision}' of someone/set is not pinned; expected a commit of 40"
    ):
        CataloguedIndex("toy", "somewhere", CLEAN)(tmp_path)


@pytest.mark.parametrize("text", ["someone/set", "hub:set", "", "hub:a/b@main and more"])
def test_a_pointer_that_is_not_understood(tmp_path, text):
    (tmp_path / "toy.hub").write_text(text)
    with pytest.raises(
        PetlirError, match=r"toy.hub contains .*; expected hub:OWNER/REPO@REVISION, optionally followed"
    ):
        CataloguedIndex("toy", "somewhere", CLEAN)(tmp_path)


@pytest.mark.parametrize("rest", ["", "/data/a.tar.gz"])
def test_without_a_network_there_is_one_line(tmp_path, rest, capfd):
    assert "someone/set" in refusal(tmp_path, CLEAN, rest)
    assert capfd.readouterr().err == ""


def test_a_repository_with_a_script_says_what_to_name_instead(tmp_path, monkeypatch):
    def load(*_: object, **__: object) -> None:
        raise RuntimeError("Dataset scripts are no longer supported, but found Set5.py")

    monkeypatch.setattr(datasets, "load_dataset", load)
    line = refusal(tmp_path, CLEAN)
    assert line.endswith(
        f"name one of the repository's archives instead, e.g. hub:someone/set@{COMMIT}/data/NAME.tar.gz"
    )


def test_an_archive_that_is_cut_off(stand_in, tmp_path):
    tar(stand_in / "a.tar.gz", {"toy/a.png": IMAGES[0]}, "w:gz")
    path = stand_in / "a.tar.gz"
    path.write_bytes(path.read_bytes()[:100])
    assert "a.tar.gz cannot be loaded: " in refusal(tmp_path, CLEAN, "/a.tar.gz")


@pytest.mark.parametrize("spoil", [lambda text: text.replace('"Image"', '"Picture"'), lambda text: text[:20]])
def test_a_cache_of_another_version(stand_in, tmp_path, spoil):
    """A newer version may write a kind of feature unknown to this one; an interrupted write leaves half a file."""
    folder(stand_in, "train", IMAGES, ["a", "b", "c"])
    assert len(index(tmp_path, CLEAN)) == 3
    (kept,) = (tmp_path / "cache").rglob("dataset_info.json")
    kept.write_text(spoil(kept.read_text()))
    line = refusal(tmp_path, CLEAN)
    assert f"its copy in {tmp_path / 'cache'} was not written by datasets {datasets.__version__}" in line
