"""Test that damage to the text files of the cache is detected."""

from __future__ import annotations

from pathlib import Path

import pytest

from petlir.benchmark.images.cache import store_text, stored_text


def test_a_text_with_any_flipped_bit_is_not_returned(tmp_path: Path):
    path = tmp_path / "folder" / "text"
    store_text(path, "a\nü")
    whole = path.read_bytes()
    assert stored_text(path).decode() == "a\nü"
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            stored_text(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\n", b"\xff"])
def test_other_files_are_not_returned(content, tmp_path: Path):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        stored_text(tmp_path / "text")
