"""The contract of an image set: what is known of it, where its images are, and how one of them is read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from petlir.benchmark.degradation import Degraded, Image
from petlir.benchmark.errors import PetlirError


class Missing(PetlirError):
    """A set is not there."""


class HalfThere(PetlirError):
    """Some of a set's files are there."""


class Reader(Protocol):
    """An image that has not been read yet."""

    @property
    def where(self) -> str:
        """What an error calls it: a path, or a place in a file."""

    @property
    def stamp(self) -> str:
        """A text that changes when the image may have changed, found without decoding it."""

    def __call__(self) -> Image:
        """The pixels, H×W×3 uint8."""


@dataclass(frozen=True)
class Held:
    """An image that lies in memory."""

    image: Image
    where: str

    @property
    def stamp(self) -> str:
        """The digest of its pixels."""
        return pixels_digest(self.image)

    def __call__(self) -> Image:
        """The image."""
        return self.image


@dataclass(frozen=True)
class Sample:
    """One image of a set, read.

    Attributes:
        name: what the set calls it, the same in every layout; mostly the clean image's file name without suffix.
        unit: the source scene; images that share one are not independent of each other.
        clean: H×W×3 uint8.
        degraded: h×w×3 uint8; None where the set is of clean images only.
    """

    name: str
    unit: str
    clean: Image
    degraded: Image | None = None


@dataclass(frozen=True)
class Entry:
    """One image of a set, not read yet.

    Attributes:
        name: as of `Sample`.
        unit: as of `Sample`.
        clean: reads the clean image.
        degraded: reads the degraded one; None where there is none.
        scale: how many times smaller the degraded one is.
    """

    name: str
    unit: str
    clean: Reader
    degraded: Reader | None = None
    scale: int = 1

    def read(self) -> Sample:
        """The pixels.

        Raises:
            PetlirError: a file cannot be read, or the sizes do not match.
        """
        clean = self.clean()
        degraded = self.degraded() if self.degraded else None
        if degraded is not None:
            self.check(clean.shape, degraded.shape)
        return Sample(self.name, self.unit, clean, degraded)

    def check(self, clean: tuple[int, ...], degraded: tuple[int, ...]) -> None:
        """Refuse a degraded image that is not as large as the clean one over the scale, by their shapes."""
        if degraded != (clean[0] // self.scale, clean[1] // self.scale, *clean[2:]):
            assert self.degraded
            shown = [f"{shape[1]}×{shape[0]}" for shape in (degraded, clean)]
            expected = "one size" if self.scale == 1 else f"a clean image {self.scale} times larger"
            line = f"{self.degraded.where} is {shown[0]} pixels, its clean image {self.clean.where} {shown[1]}"
            raise PetlirError(f"{line}; expected {expected}")


class Index(Protocol):
    """Finds a set's images below the data folder, without decoding any."""

    def __call__(self, root: Path | None, scale: int = 1) -> list[Entry]:
        """The images, in the order of names.

        Args:
            root: the data folder; None is none, which bundled sets need not.
            scale: above 1, with the degraded images that the set's layout ships at this scale, if any.
        """


@runtime_checkable
class Drawing(Protocol):
    """An index of images that are drawn when they are needed."""

    def first(self, count: int) -> Index:
        """The index of `count` of them; PetlirError where so many cannot be drawn."""


@dataclass(frozen=True)
class Fewer:
    """The index of some images of a set, whose order their names decide, so that fewer are always among more.

    Attributes:
        find: finds the whole set.
        name: of the set, for errors.
        count: how many.
    """

    find: Index
    name: str
    count: int

    def __call__(self, root: Path | None, scale: int = 1) -> list[Entry]:
        """The chosen images, in the order of names; see `Index`.

        Raises:
            PetlirError: the set is missing, or has not as many.
        """
        entries = self.find(root, scale)
        if len(entries) < self.count:
            raise PetlirError(f"{self.name} has {len(entries)} images; {self.count} were asked for")
        order = sorted(entries, key=lambda entry: hashlib.sha256(entry.name.encode()).digest())
        chosen = {entry.name for entry in order[: self.count]}
        return [entry for entry in entries if entry.name in chosen]


@dataclass(frozen=True)
class ImageSet:
    """A set of images.

    Attributes:
        name: what tasks call it.
        title: its name on a page.
        domain: `procedural` or `photographs`; the two are never averaged.
        licence: what its makers allow, or that they do not say.
        citation: the work to cite.
        source: the page that has it.
        paired: whether it holds degraded images of its own.
        find: finds its images.
        bibtex: the citation as BibTeX.
        get: the command that fetches it, where there is one.
        mirrors: repositories of the hub that are said to hold it; their content is checked by count and digest.
        count: how many images it has; None where that is up to its owner.
        known: the digest of its content, see `petlir.benchmark.images.digests`; None where it is not known.
    """

    name: str
    title: str
    domain: Literal["procedural", "photographs"]
    licence: str
    citation: str
    source: str
    paired: bool
    find: Index
    bibtex: str = ""
    get: str = ""
    mirrors: tuple[str, ...] = ()
    count: int | None = None
    known: str | None = None

    def first(self, count: int) -> ImageSet:
        """This set with `count` of its images; see `Fewer`. Sets that are drawn can have more than they have here."""
        some = self.find.first(count) if isinstance(self.find, Drawing) else Fewer(self.find, self.name, count)
        return replace(self, title=f"{self.title}, {count} of them", find=some, count=count, known=None)

    def index(self, root: Path | None, scale: int = 1) -> list[Entry]:
        """All images, not read yet, in the order of names; see `Index`.

        Raises:
            PetlirError: the set is missing or half there; names what is missing.
        """
        return self.find(root, scale)

    def samples(self, root: Path | None) -> list[Sample]:
        """All images, read, in the order of names; `root` is the folder that PETLIR_DATA names.

        Raises:
            PetlirError: the set is missing or half there, or an image or a pair is not as expected.
        """
        return [entry.read() for entry in self.index(root)]


def pixels_digest(image: Degraded) -> str:
    """SHA-256 over the size and the pixels of one image."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()
