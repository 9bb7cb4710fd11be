"""A user's own folder of pairs: `<path>/{train,validation,test}/{degraded,clean}/NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.errors import PetlirError
from benchmark.images.imageset import Entry
from benchmark.images.reading import FileReader, images_in

Part = Literal["train", "validation", "test"]
LAYOUT = "{train,validation,test}/{degraded,clean}/NAME"
FIFTH = 5


@dataclass(frozen=True)
class PairFolder:
    """Pairs of equal names and sizes, each a scene of its own.

    Without a validation folder, every fifth training image in the order of names, from the first on, is used.
    """

    path: Path

    def samples(self, part: Part) -> list[Entry]:
        """The pairs of one part, in the order of names.

        Raises:
            PetlirError: a folder is missing or empty, or names or sizes do not match; names the first.
        """
        if not self.path.is_dir():
            raise PetlirError(f"{self.path} is missing; expected a folder of pairs, {LAYOUT}")
        held_out = part != "test" and not (self.path / "validation").is_dir()
        clean, degraded = (images_in(self.path / self._folder(part, held_out) / side) for side in ("clean", "degraded"))
        match_names(clean, degraded)
        names = self._split(part, list(clean)) if held_out else list(clean)
        return [Entry(name, name, FileReader(clean[name]), FileReader(degraded[name])) for name in names]

    def _folder(self, part: Part, held_out: bool) -> Part:
        return "train" if held_out else part

    def _split(self, part: Part, names: list[str]) -> list[str]:
        if len(names) < 2:
            raise PetlirError(f"{self.path / 'train'} holds one pair; expected two or more, or a validation folder")
        held_out = set(names[::FIFTH])
        return [name for name in names if (name in held_out) == (part == "validation")]


@dataclass(frozen=True)
class UserPairs:
    """One part of the pairs in `<root>/pairs`."""

    part: Part

    def __call__(self, root: Path | None, scale: int = 1) -> list[Entry]:
        """The pairs of this part."""
        if root is None:
            raise PetlirError(f"PETLIR_DATA is not set; expected the folder that holds pairs/{LAYOUT}")
        return PairFolder(root / "pairs").samples(self.part)


def match_names(clean: Mapping[str, Path], degraded: Mapping[str, Path]) -> None:
    """Check that each clean image has its degraded one and the other way round.

    Raises:
        PetlirError: one has no partner; names the first in the order of names.
    """
    for has, lacks in ((clean, degraded), (degraded, clean)):
        for name in sorted(has.keys() - lacks.keys()):
            folder = next(iter(lacks.values())).parent
            raise PetlirError(f"{has[name]} has no partner: expected one that matches {name!r} in {folder}")
