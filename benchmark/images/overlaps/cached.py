"""Fingerprints and search results in the user's cache, so that repeated audits of the same files are fast."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np

from petlir.benchmark.degradation import rounded
from petlir.benchmark.images.cache import cache_folder, store_bytes, store_text, stored_text
from petlir.benchmark.images.imageset import ImageEntry, Reader
from petlir.benchmark.images.overlaps.blobs import Blobs
from petlir.benchmark.images.overlaps.fingerprint import Fingerprint, fingerprint
from petlir.benchmark.images.overlaps.search import Match, search
from petlir.benchmark.images.overlaps.turns import Turn

CODE = ("turns", "blobs", "fingerprint", "hashes", "placement", "search")
"""The modules that compute fingerprints and matches."""


def matches(images: Sequence[ImageEntry], others: Sequence[ImageEntry]) -> list[Match]:
    """Return matches between two lists of images, from the cache if no file has changed.

    Raises:
        PetlirError: an image cannot be read.
    """
    stamps = [[entry.clean.stamp for entry in entries] for entries in (images, others)]
    path = cache_folder() / "overlaps" / f"{_key(stamps)}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return [Match(**{**row, "turn": Turn(**row["turn"])}) for row in json.loads(stored_text(path))]
    found = search(_fingerprints(images), _fingerprints(others))
    with contextlib.suppress(OSError):  # if the cache is not writable, this only takes longer
        store_text(path, json.dumps([asdict(match) for match in found]))
    return found


def _fingerprints(entries: Sequence[ImageEntry]) -> list[Fingerprint]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda entry: _fingerprint(entry.clean), entries))


def _fingerprint(reader: Reader) -> Fingerprint:
    path = cache_folder() / "fingerprints" / f"{_key(reader.stamp)}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return _loaded(path)
    made = fingerprint(rounded(reader()))  # images with 16 bits per channel are float
    content = io.BytesIO()
    np.savez(
        content, digest=made.digest, size=(made.width, made.height), thumbnail=made.thumbnail, **asdict(made.blobs)
    )
    with contextlib.suppress(OSError):
        store_bytes(path, content.getvalue())
    return made


def _loaded(path: Path) -> Fingerprint:
    with np.load(path, allow_pickle=False) as stored:
        blobs = Blobs(stored["points"], stored["scales"], stored["codes"])
        width, height = map(int, stored["size"])
        return Fingerprint(str(stored["digest"]), width, height, stored["thumbnail"], blobs)


def _key(what: object) -> str:
    return hashlib.sha256(repr((_version(), what)).encode()).hexdigest()[:32]


@cache
def _version() -> str:
    """Return a digest of the code that computes fingerprints and matches."""
    sources = [(Path(__file__).parent / f"{name}.py").read_bytes() for name in CODE]
    return hashlib.sha256(b"".join(sources)).hexdigest()
