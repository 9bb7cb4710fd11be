"""Test images in a memory-mapped file: identical bits, written once, complete or absent, never all in memory."""

from __future__ import annotations

import multiprocessing
import tempfile
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import mapped as module
from petlir.benchmark.images.imageset import pixels_digest
from petlir.benchmark.images.mapped import Mapped, decoded, mapped
from petlir.benchmark.images.reading import FileReader
from tests.helpers.engine import draw, save

Array = NDArray[Any]
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))
IMAGES = st.sampled_from([np.uint8, np.float32]).flatmap(
    lambda kind: st.lists(arrays(kind, SHAPES), min_size=1, max_size=5)
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def value(image: Array) -> Array:
    return image


def kept(images: list[Array], key: str = "key") -> Mapped[Array]:
    return mapped("toy", key, [partial(value, image) for image in images])


def asked() -> Array:
    raise AssertionError


def drawn(count: int, side: int = 16) -> list[Array]:
    return [draw([number], side, side + number % 3) for number in range(count)]


@settings(deadline=None)
@given(IMAGES)
def test_images_come_back_bit_for_bit(images):
    key = uuid4().hex
    for found in (kept(images, key), mapped("toy", key, [asked] * len(images))):
        assert [image.dtype for image in found.images] == [image.dtype for image in images]
        assert all(a.tobytes() == b.tobytes() for a, b in zip(found.images, images, strict=True))


def test_digests_are_those_of_the_pixels():
    images = drawn(40)
    assert kept(images).digests == [pixels_digest(image) for image in images]


def test_images_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        kept(drawn(1)).images[0][:] = 0


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-3], lambda b: b[5:], lambda b: b[:-30] + b"x" * 30])
def test_a_torn_file_is_made_anew(cache, damage):
    kept(drawn(3))
    (file,) = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert all((a == b).all() for a, b in zip(kept(drawn(3)).images, drawn(3), strict=True))
    assert mapped("toy", "key", [asked] * 3).digests == kept(drawn(3)).digests


def test_a_file_of_another_version_is_made_anew(cache, monkeypatch):
    kept(drawn(3))
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    with pytest.raises(AssertionError):
        mapped("toy", "key", [asked] * 3)
    assert len(kept(drawn(3)).images) == 3
    assert len(list(cache.iterdir())) == 1


def test_a_failure_leaves_nothing_behind(cache):
    makers: list[Callable[[], Array]] = [partial(value, draw([0], 8, 8)), asked]
    with pytest.raises(AssertionError):
        mapped("toy", "key", makers)
    assert list(cache.iterdir()) == []


def test_works_where_the_cache_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "file"))
    assert all((a == b).all() for a, b in zip(kept(drawn(9)).images, drawn(9), strict=True))


def test_nowhere_to_keep_images_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: (tmp_path / "none" / "file").open("w+b"))
    with pytest.raises(PetlirError, match=r"^decoded images can be stored neither in PETLIR_CACHE=.*: No such file"):
        kept(drawn(1))


def test_a_changed_file_is_read_again(tmp_path):
    reader = FileReader(tmp_path / "a.png")
    save(reader.path, draw([0], 8, 8))
    decoded("toy", [reader])
    save(reader.path, draw([1], 9, 8))
    assert (decoded("toy", [reader]).images[0] == draw([1], 9, 8)).all()


def test_the_whole_set_is_never_in_memory():
    count, side = 400, 64
    tracemalloc.start()
    try:
        found = mapped("toy", "large", [partial(draw, [number], side, side) for number in range(count)])
        total = sum(int(image.sum()) for image in found.images)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total > 0
    assert peak < count * side * side * 3 / 4


def _race(folder: str, start: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETLIR_CACHE", folder)
        start.wait()
        for key in map(str, range(20)):
            assert all((a == b).all() for a, b in zip(kept(drawn(5), key).images, drawn(5), strict=True))


def test_processes_may_race(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)
    both = [context.Process(target=_race, args=(str(tmp_path), start)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(list(Path(tmp_path / "images").iterdir())) == 20


@pytest.mark.parametrize("place", [0, 17, 300])
def test_a_flipped_byte_is_noticed(cache, place):
    before = kept(drawn(3)).digests
    (file,) = cache.iterdir()
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(AssertionError):
        mapped("toy", "key", [asked] * 3)
    assert kept(drawn(3)).digests == before
    assert all((a == b).all() for a, b in zip(mapped("toy", "key", [asked] * 3).images, drawn(3), strict=True))
