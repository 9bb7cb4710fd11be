"""Test that outputs never overwrite an input or a file that petlir did not write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import png
from petlir.benchmark.images.decoding import Picture, Pixels
from petlir.benchmark.images.outputs import OutputFile, outputs, write_each
from tests.helpers.engine import draw, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "sub/b.png"):
        save(tmp_path / "in" / name, draw([len(name)], 8, 9))
    return tmp_path / "in"


def unchanged(_: OutputFile, picture: Picture) -> tuple[Pixels, None]:
    return picture.pixels, None


def test_sub_folders_are_kept(folder, tmp_path):
    lines: list[str] = []
    (folder / "notes.txt").touch()
    assert write_each(outputs(folder, tmp_path / "out"), unchanged, "", lines.append) == 2
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")} == {
        "a.png", "sub/b.png"
    }  # fmt: skip
    assert lines == ["1 file skipped: notes.txt"]


def test_an_output_folder_within_the_inputs_is_left_out(folder):
    for _ in range(2):
        made = outputs(folder, folder / "out")
        assert [file.name for file in made.files] == ["a", "sub/b"]
        write_each(made, unchanged, "", lambda line: None)


def refused(message: str, source: Path, out: Path, *, skip_existing: bool = False) -> None:
    before = {path: path.read_bytes() for path in source.parent.rglob("*.png") if path.is_file()}
    with pytest.raises(PetlirError, match=message):
        outputs(source, out, skip_existing=skip_existing)
    assert before == {path: path.read_bytes() for path in source.parent.rglob("*.png") if path.is_file()}


def test_inputs_are_never_overwritten(folder, tmp_path, monkeypatch):
    refused("is the folder of the input images", folder, folder)
    refused("is the folder of the input images", folder, folder / "sub" / "..")
    refused("a.png is an input", folder / "a.png", folder)
    (tmp_path / "link").symlink_to(folder)
    refused("is the folder of the input images", folder, tmp_path / "link")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").symlink_to(folder / "a.png")
    refused("a.png is an input", folder, tmp_path / "out", skip_existing=True)
    monkeypatch.chdir(folder)
    refused("is the folder of the input images", Path(), folder)


def test_a_folder_with_the_name_of_an_output_is_refused(folder, tmp_path):
    save(folder / "a.png.d/c.jpg", draw([3], 8, 9))
    assert len(outputs(folder, tmp_path / "out").files) == 3
    (folder / "a.png.d").rename(folder / "b.png")
    save(folder / "b.jpg", draw([4], 8, 9))
    refused("c.jpg is in a folder with the name of an output, .*/out/b.png", folder, tmp_path / "out")


def test_files_of_others_are_never_overwritten(folder, tmp_path):
    save(tmp_path / "out/a.png", draw([9], 5, 5))
    refused("a.png exists, and petlir did not write it; .* or --skip-existing", folder, tmp_path / "out")
    made = outputs(folder, tmp_path / "out", skip_existing=True)
    assert ([file.name for file in made.files], made.existing) == (["sub/b"], 1)
    (tmp_path / "out/sub/b.png").mkdir(parents=True)
    refused("b.png is an input image or not a file", folder, tmp_path / "out", skip_existing=True)
    refused("a.png is not a folder; expected a folder", folder, tmp_path / "out/a.png")


def test_a_name_of_any_length_that_the_folder_allows(tmp_path):
    save(tmp_path / f"{'ü' * 125}.png", draw([0], 8, 9))
    made = outputs(next(tmp_path.glob("*.png")), tmp_path / "out")
    assert write_each(made, unchanged, "", lambda line: None) == 1
    assert [path.stem for path in (tmp_path / "out").iterdir()] == ["ü" * 125]


def test_own_files_are_replaced(folder, tmp_path):
    png.write(tmp_path / "out/a.png", np.zeros((2, 2, 3), np.uint8))
    assert write_each(outputs(folder, tmp_path / "out"), unchanged, "", lambda line: None) == 2
    assert (tmp_path / "out/a.png").stat().st_size > 100


def test_an_image_that_cannot_be_decoded_does_not_stop_the_others(folder, tmp_path):
    content = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(content[: len(content) - 60])
    lines: list[str] = []
    with pytest.raises(PetlirError, match=r"^1 of 2 images failed and the others were written; first error: "):
        write_each(outputs(folder, tmp_path / "out"), unchanged, "", lines.append)
    assert (tmp_path / "out/sub/b.png").exists() and not (tmp_path / "out/a.png").exists()
    assert len(lines) == 1 and "a.png is not a readable image" in lines[0]
