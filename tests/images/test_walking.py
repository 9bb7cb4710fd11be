"""Test folders of images with sub-folders, and which files in them are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.walking import images_in, walk


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_images_are_found_in_order_in_any_spelling_of_their_suffix(tmp_path):
    fill(tmp_path, "b.png", "a.JPG", "c.JFIF", "z/a.Webp", "z/y/a.gif", "d.PGM", "e.tar.ppm")
    assert list(images_in(tmp_path)) == ["a", "b", "c", "d", "e.tar", "z/a", "z/y/a"]


def test_what_is_skipped_is_counted_and_named(tmp_path):
    fill(tmp_path, "a.png", "notes.txt", ".hidden.png", "raw/b.CR2", ".git/c.png", "out/d.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.png").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    fill(tmp_path, os.fsdecode(b"\xff.png"), os.fsdecode(b"\xfe/d.png"))
    found = walk(tmp_path, without=tmp_path / "out")
    assert list(found.images) == ["a"]
    skipped = {
        ".git/",
        "loop/",
        "out/",
        ".hidden.png",
        "broken.png",
        "notes.txt",
        "pipe.png",
        "raw/b.CR2",
        "?.png",
        "?/",
    }
    assert set(found.skipped) == skipped
    assert found.skipped_line().startswith("10 files skipped: ") and found.skipped_line().endswith(", …")


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(PetlirError, match="holds no image"):
        images_in(tmp_path)
    with pytest.raises(PetlirError, match="is not a folder"):
        images_in(tmp_path / "missing")


def test_two_images_of_one_name_are_refused_unless_in_two_folders(tmp_path):
    fill(tmp_path, "a.jpg", "sub/a.png")
    assert list(images_in(tmp_path)) == ["a", "sub/a"]
    fill(tmp_path, "sub/a.JPEG")
    with pytest.raises(PetlirError, match=r"sub/a.png and a.JPEG have the same name"):
        images_in(tmp_path)
