"""A user's own folder of image pairs; each part consists of a folder of degraded and a folder of clean images."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError, counted
from petlir.benchmark.images.imageset import ImageEntry
from petlir.benchmark.images.mapped import Mapped, decoded
from petlir.benchmark.images.pairing import CLEAN, DEGRADED, partners, side, token
from petlir.benchmark.images.reading import DeepReader, header_of, size_of
from petlir.benchmark.images.walking import images_in

Part = Literal["train", "validation", "test"]
PARTS = {"train": ("train", "training"), "validation": ("validation", "val", "valid"), "test": ("test", "testing")}
"""Case-insensitive names of the folders that contain each part."""
LAYOUT = "{train,validation,test}/{degraded,clean}/NAME, or only {degraded,clean}/NAME"
NAMES = f"folders of degraded images: {', '.join(DEGRADED)}; folders of clean images: {', '.join(CLEAN)}"
FIFTH = 5
COUNTER = re.compile(r"[-_. ]*\d+$")
"""The number at the end of a name, which distinguishes images of one scene, e.g. `_12` in `Canon_chair_12`."""
Files = tuple[Path, Path]
"""The degraded and the clean image of a pair."""


@dataclass(frozen=True)
class PairFolder:
    """A folder of pairs of a degraded and a clean image, which are matched by name.

    The folder contains `train/`, `test/` and optionally `validation/`, or only a folder of degraded and a folder of
    clean images. Without a folder of test pairs, every fifth scene in order of name, starting with the first, is held
    out from the training pairs for testing. Without a folder of validation pairs, every fifth of the remaining scenes
    is then held out for validation. Names that differ only by a number at the end belong to one scene; if there are
    fewer than five scenes, every image counts as a scene.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            state = "is not a folder" if self.path.exists() else "is missing"
            raise PetlirError(f"{self.path} {state}; expected a folder of pairs, {LAYOUT}")

    def index(self, part: Part, scale: int) -> list[ImageEntry]:
        """Return the pairs of one part, sorted by name; `scale` is the upscaling factor of all clean images.

        Raises:
            PetlirError: a folder is missing, is empty or has too few pairs, or an image has no partner; the message
                names the folder or image.
        """
        return [
            ImageEntry(name, name, DeepReader(clean), DeepReader(degraded), scale)
            for name, (degraded, clean) in self.files(part).items()
        ]

    def files(self, part: Part) -> dict[str, Files]:
        """Return the files of one part by name; raise the same errors as `index`."""
        if self._folder(part) and part != "train":
            return self._joined(part)
        left = self._joined("train")
        for other in ("test", "validation"):
            if self._folder(other):
                continue
            if len(left) < 2:
                raise PetlirError(
                    f"{self._images} holds too few pairs to hold out {other} pairs; expected three or more"
                )
            held_out = _every_fifth_scene(list(left))
            if other == part:
                return {name: left[name] for name in held_out}
            left = {name: files for name, files in left.items() if name not in held_out}
        return left

    @property
    def scale(self) -> int:
        """The upscaling factor of the clean images, derived from the sizes of all pairs.

        Raises:
            PetlirError: the folder is invalid (see `index`), or the sizes of a pair do not match; the message names the
                pair.
        """
        scale = 0
        for degraded, clean in self._all():
            small, large = size_of(degraded), size_of(clean)
            scale = scale or max(1, round(large[0] / small[0]))
            if (large[0] // scale, large[1] // scale) != small:
                shown = ("×".join(map(str, size)) for size in (small, large))
                line = f"{degraded} is {next(shown)} pixels and its clean image {clean} is {next(shown)}"
                raise PetlirError(f"{line}; expected equal sizes, or clean images larger by the same integer factor")
        return scale

    @property
    def bits(self) -> int:
        """The largest number of bits per channel in any image."""
        return max(header_of(path).bits for files in self._all() for path in files)

    @property
    def notes(self) -> list[str]:
        """A note if images have an alpha channel; an opaque one is dropped, and any other makes reading fail."""
        count = sum(header_of(path).alpha for files in self._all() for path in files)
        return [f"{self.path}: the opaque alpha channel of {counted(count, 'image')} is dropped"] if count else []

    def digest(self, scale: int) -> str:
        """Return the SHA-256 over names and pixels of all pairs, part by part; decoded images are cached.

        Raises:
            PetlirError: the folder is invalid (see `index`), or an image cannot be read.
        """
        digest = hashlib.sha256()
        for part in ("train", "validation", "test"):
            entries = self.index(part, scale)
            for images in sides_of(set_name(self.path, part), entries):
                named = zip((entry.name for entry in entries), images.digests, strict=True)
                digest.update("\n".join(f"{name}\0{pixels}" for name, pixels in named).encode() + b"\1")
        return digest.hexdigest()

    def _all(self) -> Iterator[Files]:
        for part in ("test", "train", "validation"):
            if part == "train" or self._folder(part):
                yield from self._joined(part).values()

    @property
    def _images(self) -> Path:
        """The folder of the training pairs: `train/`, or the whole folder if it directly contains folders of images."""
        if found := self._folder("train"):
            return found
        if any(path.is_dir() and side(path.name) for path in self.path.iterdir()):
            return self.path
        raise PetlirError(f"{self.path} holds no pairs; expected {LAYOUT}; {NAMES}")

    def _joined(self, part: str) -> dict[str, Files]:
        folder = self._images if part == "train" else self._folder(part)
        assert folder is not None
        sides: dict[str, Path] = {}
        for below in sorted(path for path in folder.iterdir() if path.is_dir()):
            if (holds := side(below.name)) is None:
                continue
            if holds in sides:
                raise PetlirError(
                    f"{below} and {sides[holds].name} both look like folders of {holds} images; expected one"
                )
            sides[holds] = below
        for holds, names in (("degraded", DEGRADED), ("clean", CLEAN)):
            if holds not in sides:
                raise PetlirError(f"{folder} has no folder of {holds} images; expected one of {', '.join(names)}")
        return partners(images_in(sides["clean"]), images_in(sides["degraded"]))

    def _folder(self, part: str) -> Path | None:
        found = [path for path in self.path.iterdir() if path.is_dir() and path.name.lower() in PARTS[part]]
        return min(found, default=None)


def set_name(folder: Path, part: Part) -> str:
    """Return the name of the image set for one part of a folder of pairs."""
    return f"{folder.name}-{part}"


def sides_of(name: str, entries: Sequence[ImageEntry]) -> tuple[Mapped[Image], Mapped[Image]]:
    """Return the clean and the degraded images of a set of pairs; `name` is the human-readable name of the set."""
    degraded = [entry.degraded for entry in entries if entry.degraded]
    return decoded(name, [entry.clean for entry in entries]), decoded(f"{name}-shipped", degraded)


def _every_fifth_scene(names: Sequence[str]) -> list[str]:
    scenes = {name: COUNTER.sub("", token(name)) for name in names}
    if len(set(scenes.values())) < FIFTH:
        scenes = {name: name for name in names}
    held_out = set(list(dict.fromkeys(scenes.values()))[::FIFTH])
    return [name for name in names if scenes[name] in held_out]


@dataclass(frozen=True)
class UserPairs:
    """The index of one part of a folder of pairs; see `petlir.benchmark.images.imageset.ImageIndex`."""

    folder: Path
    part: Part
    scale: int

    def __call__(self, root: Path | None = None, scale: int = 1) -> list[ImageEntry]:
        """Return the pairs of this part; the arguments are not used."""
        return PairFolder(self.folder).index(self.part, self.scale)
