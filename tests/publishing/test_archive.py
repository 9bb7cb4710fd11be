"""Test that archives return exactly the files that were put into them."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.archive import MANIFEST, pack, unpack

CELL = "cells/ipt-nano/sr_x4/lora-s0-01234567"
FILES = {
    MANIFEST: b"{}",
    f"{CELL}/record.json": b'{"a": 1}' * 1000,
    f"{CELL}/adapter.safetensors": bytes(range(256)),
    f"{CELL}/restored/Set5/img 001 (a).png": b"png",
    f"{CELL}/restored@whole/denoise_30/Set5/a.png": b"png",
    f"tuning/{64 * 'a'}/half-of-40/0.0003.json": b"{}",
    "plugins/0123456789ab/fog.py": b"",
}


def made(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def test_what_is_packed_is_unpacked_and_equal_content_is_an_equal_archive(tmp_path):
    for name in ("a.zip", f"{'b' * 251}.zip"):
        pack(FILES, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / f"{'b' * 251}.zip").read_bytes()
    unpack(tmp_path / "a.zip", tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
    assert {name: content for name, content in found.items() if (tmp_path / "out" / name).is_file()} == FILES


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "/etc/passwd",
        f"{CELL}/../../../../record.json",
        "cells/../x/y/record.json",
        f"{CELL}/restored/../a.png",
        f"{CELL}/restored/Set5/..\\..\\a.png",
        f"{CELL}/run.py",
        f"{CELL}/restored/Set5/",
        "cells/a/b/record.json",
        "plugins/fog.py",
        "plugins/0123456789ab/../fog.py",
        "tuning/a/1.json",
        "verification.json",
    ],
)
def test_a_name_that_is_not_expected_is_refused_and_nothing_leaves_the_folder(tmp_path, name):
    path = made(tmp_path / "a.zip", (MANIFEST, b"{}"), (name, b"x"))
    with pytest.raises(PetlirError, match="refused"):
        unpack(path, tmp_path / "deep" / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["a.zip"]
    with pytest.raises(PetlirError, match="refused"):
        pack({name: b"x"}, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


def test_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo(f"{CELL}/record.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(PetlirError, match="a link"):
        unpack(made(tmp_path / "a.zip", (MANIFEST, b"{}"), (link, b"/etc/passwd")), tmp_path / "out")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = made(tmp_path / "a.zip", (MANIFEST, b"{}"), (f"{CELL}/record.json", b"0" * 2**26))
    assert path.stat().st_size < 2**17
    with pytest.raises(PetlirError, match=r"would unpack to 67,108,864 bytes"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_share_their_bytes_are_refused(tmp_path):
    """An archive whose files overlap can unpack to far more than the compression ratio of each file allows."""
    inner, outer, content = zipfile.ZipInfo(f"{CELL}/record.json"), zipfile.ZipInfo(MANIFEST), b"0" * 5000
    for entry in (inner, outer):
        entry.CRC, entry.file_size, entry.compress_size = zlib.crc32(content), len(content), len(content)
        content = entry.FileHeader() + content
    (tmp_path / "a.zip").write_bytes(content)
    outer.header_offset, inner.header_offset = 0, len(outer.FileHeader())
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.filelist = [outer, inner]
    with pytest.raises(PetlirError, match="overlap in the archive"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_larger_than_the_archive_says_is_refused(tmp_path):
    path = made(tmp_path / "a.zip", (MANIFEST, b"{}"), (f"{CELL}/record.json", b"0" * 5000))
    content = path.read_bytes()
    size = (5000).to_bytes(4, "little")
    path.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(PetlirError):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"no zip at all", "not an archive of results"), (b"", "not an archive of results")],
)
def test_what_is_no_archive_is_named(tmp_path, content, match):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(PetlirError, match=match):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_an_archive_without_a_manifest_or_with_a_file_twice(tmp_path):
    with pytest.raises(PetlirError, match=f"no {MANIFEST}"):
        unpack(made(tmp_path / "a.zip", (f"{CELL}/record.json", b"{}")), tmp_path / "out")
    with pytest.warns(UserWarning, match="Duplicate"):
        made(tmp_path / "b.zip", (MANIFEST, b"{}"), (MANIFEST, b"{}"))
    with pytest.raises(PetlirError, match="twice"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 700), flip=st.integers(0, 700), to=st.integers(0, 255))
def test_damaged_archives_end_in_one_line(tmp_path_factory, cut, flip, to):
    folder = tmp_path_factory.mktemp("fuzz")
    pack(FILES, folder / "a.zip")
    content = bytearray((folder / "a.zip").read_bytes())
    content[flip % len(content)] = to
    (folder / "a.zip").write_bytes(content[: len(content) - cut % 3 * cut])
    try:
        unpack(folder / "a.zip", folder / "out")
    except PetlirError as error:
        assert "\n" not in str(error)
