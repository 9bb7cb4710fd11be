"""A cache of decoded images, with the images of a set in one memory-mapped file.

A file of the cache contains the pixels of all images, then a JSON index, then the length of the index in 8 bytes. A
file is written under a temporary name and renamed when it is complete, so that concurrent processes never read an
incomplete file. A file that is truncated, modified or written in another version of the format is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Generic, TypeVar, cast

import numpy as np

from petlir.benchmark.degradation import Degraded, Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.cache import cache_folder
from petlir.benchmark.images.imageset import Reader, pixels_digest

VERSION = 1
"""The version of the file format."""
LENGTH = 8
MAKERS = min(8, os.cpu_count() or 1)
"""The number of images that are produced in parallel; up to twice as many are in memory."""
Pixels = TypeVar("Pixels", bound=Degraded)
Make = Callable[[], Degraded]
"""A function that decodes or draws one image, H×W×3."""


@dataclass(frozen=True)
class Mapped(Generic[Pixels]):
    """The images in one memory-mapped file.

    Attributes:
        images: read-only memory-mapped views of the file, uint8 or float32.
        digests: SHA-256 over the size and the pixels of each image.
    """

    images: Sequence[Pixels]
    digests: Sequence[str]


def mapped(name: str, key: str, makers: Sequence[Callable[[], Pixels]]) -> Mapped[Pixels]:
    """Return the images of `makers`, which are called only if the cache has no file of this name and key.

    Args:
        name: human-readable name of the file.
        key: digest of everything that determines the images.
        makers: functions that return the images, one function per image.

    Raises:
        PetlirError: an image cannot be produced, or neither the cache nor the temporary folder can store the images.
    """
    path = cache_folder() / "images" / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}-{key[:24]}.bin"
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError), path.open("rb") as kept:
        return cast("Mapped[Pixels]", _open(kept))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                _write(file, makers)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
        with path.open("rb") as kept:
            return cast("Mapped[Pixels]", _open(kept))
    except OSError:  # an unwritable cache only costs time
        return cast("Mapped[Pixels]", _kept_nowhere(makers))


def decoded(name: str, readers: Sequence[Reader]) -> Mapped[Image]:
    """Return the images of `readers`, decoded again only if a file may have changed; `name` is human-readable.

    Raises:
        PetlirError: an image cannot be read.
    """
    return mapped(name, key_of("files", [reader.stamp for reader in readers]), readers)


def key_of(*parts: object) -> str:
    """Return a digest of `parts`, which are plain JSON values."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _kept_nowhere(makers: Sequence[Make]) -> Mapped[Degraded]:
    """Return the images in an unnamed temporary file, which is deleted when this process ends."""
    try:
        with tempfile.TemporaryFile() as file:
            _write(file, makers)
            return _open(file)
    except OSError as error:
        where = f"neither in PETLIR_CACHE={cache_folder()} nor in {tempfile.gettempdir()}"
        raise PetlirError(f"decoded images can be stored {where}: {error.strerror or error}") from error


def _write(file: IO[bytes], makers: Sequence[Make]) -> None:
    rows = []
    for image, digest in _made(makers):
        file.write(image.data if image.flags.c_contiguous else image.tobytes())
        rows.append([image.dtype.name, image.shape, digest])
    index = json.dumps({"version": VERSION, "images": rows}).encode()
    file.write(index + len(index).to_bytes(LENGTH, "little"))
    file.flush()


def _made(makers: Sequence[Make]) -> Iterator[tuple[Degraded, str]]:
    """Yield each image with its digest.

    The first image is produced alone, because its reader may open files that other readers share; the other images are
    produced in parallel.
    """
    yield from map(_one, makers[:1])
    at_once = 2 * MAKERS
    with ThreadPoolExecutor(MAKERS) as pool:
        for start in range(1, len(makers), at_once):
            yield from pool.map(_one, makers[start : start + at_once])


def _one(make: Make) -> tuple[Degraded, str]:
    image = make()
    return image, pixels_digest(image)


def _open(file: IO[bytes]) -> Mapped[Degraded]:
    """Return the images of an open file, which may be closed afterwards; raise if the file is damaged."""
    pixels = np.asarray(np.memmap(file, np.uint8, "r"))
    length = int.from_bytes(pixels[-LENGTH:].tobytes(), "little")
    content = json.loads(pixels[-LENGTH - length : -LENGTH].tobytes())
    if content["version"] != VERSION:
        raise ValueError("of another version")
    images = []
    place = 0
    for kind, shape, _ in content["images"]:
        size = prod(shape) * np.dtype(kind).itemsize
        images.append(pixels[place : place + size].view(kind).reshape(shape))
        place += size
    if place + length + LENGTH != pixels.size:
        raise ValueError("torn")
    digests = [digest for _, _, digest in content["images"]]
    with ThreadPoolExecutor(MAKERS) as pool:
        if list(pool.map(pixels_digest, images)) != digests:
            raise ValueError("changed")
    return Mapped(images, digests)
