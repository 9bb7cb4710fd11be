"""Digests of image sets: computed once, checked against the catalogue, and kept in the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.cache import cache_folder, store_text, stored_text
from petlir.benchmark.images.imageset import ImageEntry, ImageSet, Sample, pixels_digest
from petlir.benchmark.images.mapped import decoded

CROP = 12
"""The multiple to which images are cropped before hashing, so that copies cropped to multiples of 2, 3 or 4 agree."""


@dataclass(frozen=True)
class Digests:
    """SHA-256 digests of a set's images.

    Attributes:
        named: digest over the names and pixels of the images, sorted by name; the digest is part of a cell's key.
        content: digest over the pixels of the images, cropped to multiples of 12 pixels, without names; the digest does
            not depend on the order of the images and is therefore the same for every folder layout.
    """

    named: str
    content: str


def digest_of(images: ImageSet, root: Path | None) -> str:
    """Return the SHA-256 over names and pixels of a set's images.

    Raises:
        PetlirError: the set is missing or incomplete, an image or a pair is invalid, or the images differ from the
            catalogued images.
    """
    entries = images.index(root)
    found = digests(images.name, entries, _mapped(images.name, entries))
    if images.known not in (None, found.content):
        raise PetlirError(different(images, found))
    return found.named


def different(images: ImageSet, found: Digests) -> str:
    """Return the error message for a set whose images differ from the catalogued images."""
    assert images.known is not None
    return (
        f"{images.name} differs from the catalogue: digest {found.content[:12]}…, expected "
        f"{images.known[:12]}…; source: {images.source}; for images of your own, use -t pairs:DIR"
    )


def digests(name: str, entries: Sequence[ImageEntry], samples: Iterable[Sample] | None = None) -> Digests:
    """Return the digests of a set's images, read from the cache if no file has changed.

    Args:
        name: name of the set.
        entries: its images.
        samples: the decoded images of `entries`; by default, the entries are read one after the other.
    """
    path = cache_folder() / "digests" / f"{name}-{_state(entries)}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Digests(**json.loads(stored_text(path)))
    found = _computed(samples or (entry.read() for entry in entries))
    with contextlib.suppress(OSError):  # without a writable cache, the next call only takes longer
        store_text(path, json.dumps(asdict(found)))
    return found


def _mapped(name: str, entries: Sequence[ImageEntry]) -> Iterator[Sample]:
    """Read the images through the cache of decoded images, because training or scoring will read them from it."""
    clean = decoded(name, [entry.clean for entry in entries]).images
    readers = [entry.degraded for entry in entries if entry.degraded]
    degraded = decoded(f"{name}-shipped", readers).images if readers else [None] * len(entries)
    for entry, target, image in zip(entries, clean, degraded, strict=True):
        if image is not None:
            entry.check(target.shape, image.shape)
        yield Sample(entry.name, entry.unit, target, image)


def _state(entries: Sequence[ImageEntry]) -> str:
    """Return a digest that changes when a file of the set may have changed."""
    stamps = [(e.name, e.clean.stamp, e.degraded.stamp if e.degraded else None) for e in entries]
    return hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]


def _computed(samples: Iterable[Sample]) -> Digests:
    named, contents = hashlib.sha256(), []
    for sample in samples:
        sides = [side for side in (sample.clean, sample.degraded) if side is not None]
        named.update(sample.name.encode() + b"\0" + "".join(map(pixels_digest, sides)).encode())
        contents.append("".join(pixels_digest(_cropped(side)) for side in sides))
    return Digests(named.hexdigest(), hashlib.sha256("\n".join(sorted(contents)).encode()).hexdigest())


def _cropped(image: Image) -> Image:
    height, width = (side // CROP * CROP or side for side in image.shape[:2])
    return image[:height, :width]
