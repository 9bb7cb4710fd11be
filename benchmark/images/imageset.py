"""The interface of an image set: its metadata, the index of its images, and the readers of the images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from petlir.benchmark.degradation import Degraded, Image
from petlir.benchmark.errors import PetlirError, counted


class Missing(PetlirError):
    """The error raised when an image set does not exist."""


class HalfThere(PetlirError):
    """The error raised when files of an image set are missing."""


class Reader(Protocol):
    """The interface of a function that reads one image."""

    @property
    def where(self) -> str:
        """The location of the image for error messages: a path, or a position in a file."""

    @property
    def stamp(self) -> str:
        """A text that changes whenever the image may have changed, available without decoding the image."""

    def __call__(self) -> Image:
        """Return the pixels, H×W×3 uint8."""


@dataclass(frozen=True)
class HeldImage:
    """An image in memory."""

    image: Image
    where: str

    @property
    def stamp(self) -> str:
        """The digest of the image's pixels."""
        return pixels_digest(self.image)

    def __call__(self) -> Image:
        """Return the image."""
        return self.image


@dataclass(frozen=True)
class Sample:
    """One image of a set with its decoded pixels.

    Attributes:
        name: name of the image in the set, the same in every layout; usually the clean image's file name without
            suffix.
        unit: name of the source scene; images of the same scene are not statistically independent.
        clean: H×W×3 uint8.
        degraded: h×w×3 uint8, or None if the set has only clean images.
    """

    name: str
    unit: str
    clean: Image
    degraded: Image | None = None


@dataclass(frozen=True)
class ImageEntry:
    """One image of a set; its pixels are read on demand.

    Attributes:
        name: as in `Sample`.
        unit: as in `Sample`.
        clean: reader of the clean image.
        degraded: reader of the degraded image, or None if the set has only clean images.
        scale: downscaling factor of the degraded image.
    """

    name: str
    unit: str
    clean: Reader
    degraded: Reader | None = None
    scale: int = 1

    def read(self) -> Sample:
        """Read the pixels.

        Raises:
            PetlirError: a file cannot be read, or the sizes of the degraded and the clean image do not match.
        """
        clean = self.clean()
        degraded = self.degraded() if self.degraded else None
        if degraded is not None:
            self.check(clean.shape, degraded.shape)
        return Sample(self.name, self.unit, clean, degraded)

    def check(self, clean: tuple[int, ...], degraded: tuple[int, ...]) -> None:
        """Reject a degraded image whose shape is not the shape of the clean image divided by the scale."""
        if degraded != (clean[0] // self.scale, clean[1] // self.scale, *clean[2:]):
            assert self.degraded
            shown = [f"{shape[1]}×{shape[0]}" for shape in (degraded, clean)]
            expected = "equal sizes" if self.scale == 1 else f"a clean image {self.scale} times larger"
            line = f"{self.degraded.where} is {shown[0]} pixels and its clean image {self.clean.where} is {shown[1]}"
            raise PetlirError(f"{line}; expected {expected}")


class ImageIndex(Protocol):
    """An index that lists the images of a set below the data folder without decoding them."""

    def __call__(self, root: Path | None, scale: int = 1) -> list[ImageEntry]:
        """Return the images, sorted by name.

        Args:
            root: the data folder, or None; bundled sets need no data folder.
            scale: downscaling factor; if `scale` is above 1, the result includes any downscaled images at this scale
                that the set provides.
        """


@runtime_checkable
class DrawnIndex(Protocol):
    """An index of images that are drawn on demand."""

    def first(self, count: int) -> ImageIndex:
        """Return an index of `count` images; raise PetlirError if fewer images can be drawn."""


@dataclass(frozen=True)
class Fewer:
    """An index of a subset of images, chosen by a hash of names, so that larger subsets contain smaller subsets.

    Attributes:
        find: index of the whole set.
        name: name of the set, for error messages.
        count: number of images.
    """

    find: ImageIndex
    name: str
    count: int

    def __call__(self, root: Path | None, scale: int = 1) -> list[ImageEntry]:
        """Return the images of the subset, sorted by name; see `ImageIndex`.

        Raises:
            PetlirError: the set is missing, or has fewer than `count` images.
        """
        entries = self.find(root, scale)
        if len(entries) < self.count:
            raise PetlirError(f"{self.name} has {counted(len(entries), 'image')}; {self.count} were requested")
        order = sorted(entries, key=lambda entry: hashlib.sha256(entry.name.encode()).digest())
        chosen = {entry.name for entry in order[: self.count]}
        return [entry for entry in entries if entry.name in chosen]


@dataclass(frozen=True)
class ImageSet:
    """A set of images.

    Attributes:
        name: name of the set in tasks.
        title: display name of the set in reports.
        domain: `procedural` or `photographs`; scores of the two domains are never averaged.
        licence: the licence of the images, or a note that the source states no licence.
        citation: the publication to cite.
        source: the web page of the set.
        paired: whether the set includes degraded images.
        find: index of the set's images.
        bibtex: the citation as BibTeX.
        get: command that downloads the set; empty if there is no such command.
        mirrors: repositories on the Hugging Face hub that claim to hold the set; their content is checked by the number
            and the digest of the images.
        count: number of images, or None if the number depends on the user's files.
        known: digest of the set's content (see `petlir.benchmark.images.digests`), or None if the digest is unknown.
    """

    name: str
    title: str
    domain: Literal["procedural", "photographs"]
    licence: str
    citation: str
    source: str
    paired: bool
    find: ImageIndex
    bibtex: str = ""
    get: str = ""
    mirrors: tuple[str, ...] = ()
    count: int | None = None
    known: str | None = None

    def first(self, count: int) -> ImageSet:
        """Return a set of `count` images of this set; see `Fewer`.

        If the images of this set are drawn on demand, `count` may exceed their current number.
        """
        some = self.find.first(count) if isinstance(self.find, DrawnIndex) else Fewer(self.find, self.name, count)
        return replace(self, title=f"{self.title}, {count} of them", find=some, count=count, known=None)

    def index(self, root: Path | None, scale: int = 1) -> list[ImageEntry]:
        """Return the entries of all images, sorted by name, without reading pixels; see `ImageIndex`.

        Raises:
            PetlirError: the set is missing or incomplete; the message names the missing files.
        """
        return self.find(root, scale)

    def samples(self, root: Path | None) -> list[Sample]:
        """Read all images, sorted by name; `root` is the folder that PETLIR_DATA names.

        Raises:
            PetlirError: the set is missing or incomplete, or an image or a pair is invalid.
        """
        return [entry.read() for entry in self.index(root)]


def pixels_digest(image: Degraded) -> str:
    """Return the SHA-256 over the size and the pixels of an image."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()
