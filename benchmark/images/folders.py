"""Image sets in folders: clean images, pairs of two folders, and a user's own pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import PetlirError
from benchmark.images.imageset import Sample
from benchmark.images.reading import images_in, read_image

Rule = Callable[[str], str]
"""From the name of a clean file, without suffix, to its partner's name or to its scene."""
Part = Callable[[list[str]], list[str]]
"""From all names of a folder, sorted, to those that belong to a set."""


def same(name: str) -> str:
    """The name itself: partners have one name, and every image is a scene of its own."""
    return name


def everything(names: list[str]) -> list[str]:
    """All of them."""
    return names


@dataclass(frozen=True)
class CleanFolder:
    """Clean images in `<root>/<folder>`.

    Attributes:
        folder: below the data folder.
        source: where to get the set, for the error that it is missing.
        part: which of the names.
    """

    folder: str
    source: str
    part: Part = everything

    def __call__(self, root: Path | None) -> list[Sample]:
        """The images, each a scene of its own."""
        files = _files(root, (self.folder,), self.source)
        return [Sample(name, name, read_image(files[name])) for name in self.part(list(files))]


@dataclass(frozen=True)
class PairedFolders:
    """Degraded and clean images in two folders.

    Attributes:
        degraded: folder below the data folder.
        clean: folders below the data folder; the first that is there is taken.
        source: where to get the set.
        partner: from a clean name to the degraded one.
        unit: from a clean name to its scene.
        part: which of the clean names.
    """

    degraded: str
    clean: tuple[str, ...]
    source: str
    partner: Rule = same
    unit: Rule = same
    part: Part = everything

    def __call__(self, root: Path | None) -> list[Sample]:
        """The pairs, in the order of clean names."""
        clean = _files(root, self.clean, self.source)
        degraded = _files(root, (self.degraded,), self.source)
        match_names(clean, degraded, self.partner)
        chosen = self.part(list(clean))
        return [read_pair(self.unit(name), clean[name], degraded[self.partner(name)]) for name in chosen]


def match_names(clean: Mapping[str, Path], degraded: Mapping[str, Path], partner: Rule = same) -> None:
    """Check that each clean image has its degraded one and the other way round.

    Raises:
        PetlirError: one has no partner; names the first in the order of names.
    """
    expected = {partner(name): path for name, path in clean.items()}
    for has, lacks in ((expected, degraded), (degraded, expected)):
        for name in sorted(has.keys() - lacks.keys()):
            folder = next(iter(lacks.values())).parent
            raise PetlirError(f"{has[name]} has no partner: expected one that matches {name!r} in {folder}")


def read_pair(unit: str, clean: Path, degraded: Path) -> Sample:
    """A pair of files as a sample.

    Raises:
        PetlirError: one cannot be read, or their sizes differ.
    """
    sample = Sample(clean.stem, unit, read_image(clean), read_image(degraded))
    sizes = [image.shape[:2] for image in (sample.degraded, sample.clean) if image is not None]
    if sizes[0] != sizes[1]:
        shown = [f"{width}×{height}" for height, width in sizes]
        raise PetlirError(f"{degraded} is {shown[0]} pixels, its clean image {clean} {shown[1]}; expected one size")
    return sample


def _files(root: Path | None, folders: tuple[str, ...], source: str) -> dict[str, Path]:
    """The images of the first of these folders that is there."""
    if root is None:
        raise PetlirError(f"PETLIR_DATA is not set; expected the folder that holds {folders[0]}/ ({source})")
    present = [folder for folder in folders if (root / folder).is_dir()]
    if not present:
        raise PetlirError(f"{root / folders[0]} is missing; expected under PETLIR_DATA={root}; get it: {source}")
    try:
        return images_in(root / present[0])
    except PetlirError as error:
        raise PetlirError(f"{error}; get it: {source}") from None
