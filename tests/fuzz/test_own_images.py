"""Test that any folder of a user's images is restored, degraded and scored, or refused in one line."""

from __future__ import annotations

import io
import shutil
import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from petlir.benchmark.cells.own_images import degrade_folder, restore_folder
from petlir.benchmark.images.reading import read_picture
from petlir.benchmark.images.walking import walk
from petlir.benchmark.protocol import protocol
from petlir.benchmark.scoring.folders import score_folders
from tests.fuzz.edits import damaged, in_a_folder, refused_in_a_line
from tests.helpers.deep_images import deep_files, deep_png

few = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
SUFFIXES = ["png", "PNG", "jpg", "Jfif", "tif", "TIFF", "webp", "gif", "ppm", "bmp", "txt"]
NAMES = st.sampled_from(["a", "a b", "é", unicodedata.normalize("NFD", "é"), "x#%?+(1)", "a,b", ".a", "-v", "a.b"])
PLACES = st.sampled_from(["", "sub/", "sub/deeper/", "ü ber/"])


def pixels(
    height: int, width: int, channels: int, kind: type[np.generic]
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    rng = np.random.default_rng([height, width, channels])
    return rng.integers(0, np.iinfo(kind).max, (height, width, channels)).astype(kind)  # type: ignore[type-var]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    if draw(st.booleans()):
        channels = draw(st.integers(1, 4))
        deep = pixels(height, width, channels, np.uint16)
        content = deep_png(deep) if channels != 3 else draw(st.sampled_from([*deep_files(deep).values()]))  # type: ignore[arg-type]
    else:
        image = PIL.Image.fromarray(pixels(height, width, 3, np.uint8))
        exif, buffer = PIL.Image.Exif(), io.BytesIO()
        exif[0x0112] = draw(st.integers(0, 9))
        kind = draw(st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "GIF"]))
        image = image.convert(draw(st.sampled_from(["RGB", "L", "P", "RGBA"] if kind == "PNG" else ["RGB", "L"])))
        image.save(buffer, kind, exif=exif)
        content = buffer.getvalue()
    return draw(st.just(content) | damaged(content))


def fill(folder: Path, tree: list[tuple[str, str, str, bytes]]) -> Path:
    for place, name, suffix, content in tree:
        path = folder / place / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@few
@given(tree=st.lists(st.tuples(PLACES, NAMES, st.sampled_from(SUFFIXES), files()), min_size=1, max_size=5))
@in_a_folder
def test_folders_of_own_images(folder, tree):
    source, out = fill(folder / "in", tree), folder / "out"
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    refused_in_a_line(partial(restore_folder, source, out, None, 2, "cpu", []))
    for path in out.rglob("*.png"):
        name = path.relative_to(out).with_suffix("").as_posix()
        small, large = read_picture(walk(source).images[name]), read_picture(path)
        assert large.pixels.dtype == small.pixels.dtype
        assert large.pixels.shape[:2] == tuple(2 * side for side in small.pixels.shape[:2])
        assert (large.alpha is None) == (small.alpha is None) or small.alpha is not None
    refused_in_a_line(partial(degrade_folder, "denoise_30", source, folder / "noisy", 0, []))
    refused_in_a_line(partial(score_folders, folder / "noisy", source, protocol("rgb-ssim3d")))
    refused_in_a_line(partial(degrade_folder, "denoise_30", source, source, 0, []))
    assert before == {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    assert {path.name for path in folder.iterdir()} <= {"in", "out", "noisy"}
    for made in ("in", "out", "noisy"):
        shutil.rmtree(folder / made, ignore_errors=True)
