"""Images that were decoded once: one file in the user's cache holds many, and is mapped into memory, not read.

The file is the pixels of one image behind the other, then a JSON index, then the length of that index in 8 bytes. It
is renamed when it is whole, so processes may race. One of another version, or that is torn, is made anew.
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
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.degradation import Degraded
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.cache import cache_folder
from petlir.benchmark.images.imageset import Reader, pixels_digest

VERSION = 1
"""Of the form of the file."""
LENGTH = 8
MAKERS = min(8, os.cpu_count() or 1)
"""How many images are made at once; twice as many are held in memory."""
Make = Callable[[], Degraded]
"""Decodes or draws one image, H×W×3."""


@dataclass(frozen=True)
class Mapped:
    """Images of one mapped file.

    Attributes:
        images: read-only views of the file, uint8 or float32; what is not looked at takes no memory.
        digests: SHA-256 over the size and the pixels of each.
    """

    images: Sequence[NDArray[Any]]
    digests: Sequence[str]


def mapped(name: str, key: str, makers: Sequence[Make]) -> Mapped:
    """The images of `makers`, which are asked only where the cache has none of this name and key.

    Args:
        name: what a person may call them.
        key: a digest of all that decides the images.
        makers: one for each image.

    Raises:
        PetlirError: an image cannot be made; or the images can be kept nowhere.
    """
    path = cache_folder() / "images" / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}-{key[:24]}.bin"
    with suppress(OSError, ValueError, LookupError, TypeError), path.open("rb") as kept:
        return _open(kept)
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
            return _open(kept)
    except OSError:  # a cache that cannot be written only costs time
        return _kept_nowhere(makers)


def decoded(name: str, readers: Sequence[Reader]) -> Mapped:
    """The images of `readers`, read only where one of them may have changed; `name` is for a person.

    Raises:
        PetlirError: an image cannot be read.
    """
    return mapped(name, key_of("files", [reader.stamp for reader in readers]), readers)


def key_of(*parts: object) -> str:
    """A key for what these parts, plain values, decide."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _kept_nowhere(makers: Sequence[Make]) -> Mapped:
    """The images in a file without a name, which goes with this process."""
    try:
        with tempfile.TemporaryFile() as file:
            _write(file, makers)
            return _open(file)
    except OSError as error:
        where = f"neither in PETLIR_CACHE={cache_folder()} nor in {tempfile.gettempdir()}"
        raise PetlirError(f"decoded images can be kept {where}: {error.strerror or error}") from error


def _write(file: IO[bytes], makers: Sequence[Make]) -> None:
    rows = []
    for image, digest in _made(makers):
        file.write(image.data if image.flags.c_contiguous else image.tobytes())
        rows.append([image.dtype.name, image.shape, digest])
    index = json.dumps({"version": VERSION, "images": rows}).encode()
    file.write(index + len(index).to_bytes(LENGTH, "little"))
    file.flush()


def _made(makers: Sequence[Make]) -> Iterator[tuple[Degraded, str]]:
    """Each image with its digest, some made ahead; the first alone, as it may open what the others share."""
    yield from map(_one, makers[:1])
    at_once = 2 * MAKERS
    with ThreadPoolExecutor(MAKERS) as pool:
        for start in range(1, len(makers), at_once):
            yield from pool.map(_one, makers[start : start + at_once])


def _one(make: Make) -> tuple[Degraded, str]:
    image = make()
    return image, pixels_digest(image)


def _open(file: IO[bytes]) -> Mapped:
    """The images of an open file, which may be closed then; raises where it is torn or of another version."""
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
    return Mapped(images, [digest for _, _, digest in content["images"]])
