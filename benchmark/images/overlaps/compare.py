"""Overlap of a test set with another set: computed from the images if both sets are available, else as published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.imageset import ImageEntry, ImageSet
from petlir.benchmark.images.overlaps.cached import matches
from petlir.benchmark.images.overlaps.search import Match
from petlir.benchmark.images.overlaps.traps import Shared, traps

NEARLY = 0.97
"""The minimum fraction of an area that counts as the whole area, because papers crop images to multiples of the
scale.
"""


@dataclass(frozen=True)
class OverlappingImage:
    """A test image that is contained in another set.

    Attributes:
        image: name of the test image.
        found_in: name of the image that contains the test image.
        how: description of the relation between the two images.
        likeness: correlation of both images over their common area, up to 1.
    """

    image: str
    found_in: str
    how: str
    likeness: float


@dataclass(frozen=True)
class Overlap:
    """An overlap between a test set and another set.

    Attributes:
        test: name of the test set.
        holder: name of the other set.
        shared: `images`, `scenes`, or `maybe`.
        images: number of test images that overlap, or None if the number is unknown.
        statement: a sentence that describes the overlap.
        source: source of the statement; empty if the images were compared.
        found: the shared images, if the images were compared.
    """

    test: str
    holder: str
    shared: Shared
    images: int | None
    statement: str
    source: str = ""
    found: tuple[OverlappingImage, ...] = ()


@dataclass(frozen=True)
class SetComparison:
    """The comparison of a test set with another set.

    Attributes:
        test: name of the test set.
        holder: name of the other set.
        overlaps: the known overlaps; empty if there are none.
        unsearched: reason why the images were not compared; empty if they were compared.
    """

    test: str
    holder: str
    overlaps: tuple[Overlap, ...]
    unsearched: str = ""


def compare(test: str, holder: str, root: Path | None) -> SetComparison:
    """Return the overlaps of the images of `test` with the images of `holder`; `root` is the data folder.

    Raises:
        PetlirError: an image cannot be read.
    """
    listed = []
    for name in (test, holder):
        try:
            listed.append(image_set(name))
        except PetlirError:  # weights may be pre-trained on sets outside the catalogue
            return SetComparison(test, holder, _published(test, holder), f"{name} is not in the catalogue")
    one, other = listed
    test, holder = one.name, other.name
    if test == holder:
        return SetComparison(test, holder, (Overlap(test, holder, "images", None, "it is the test set itself"),))
    try:
        images, others = one.index(root), other.index(root)
    except PetlirError as error:
        return SetComparison(test, holder, _published(test, holder), str(error))
    return SetComparison(test, holder, _searched(one, other, images, others))


def _published(test: str, holder: str) -> tuple[Overlap, ...]:
    trap = traps().get((holder, test))
    if trap is None:
        return ()
    return (Overlap(test, holder, trap.shared, trap.images, trap.statement, trap.source),)


def _searched(
    test: ImageSet, holder: ImageSet, images: Sequence[ImageEntry], others: Sequence[ImageEntry]
) -> tuple[Overlap, ...]:
    """Search for shared images; different photographs of the same scene are reported as shared scenes."""
    scenes = _scenes(images, others) if test.citation == holder.citation else set()
    found, several = [], frozenset(scenes)
    for match in matches(images, others):
        image, other = images[match.image], others[match.found_in]
        if match.equal or image.unit != other.unit or image.unit not in several:
            found.append(OverlappingImage(image.name, other.name, relation(match), round(match.likeness, 3)))
            scenes.discard(image.unit)  # already reported as a shared image
    overlaps = []
    if found:
        count = len({one.image for one in found})
        statement = f"{count} of {len(images)} test images found in {holder.name}"
        overlaps.append(Overlap(test.name, holder.name, "images", count, statement, found=tuple(found)))
    if scenes:
        count = sum(entry.unit in scenes for entry in images)
        statement = f"other photographs of the scenes of {count} of {len(images)} test images"
        overlaps.append(Overlap(test.name, holder.name, "scenes", count, statement))
    return tuple(overlaps)


def _scenes(images: Sequence[ImageEntry], others: Sequence[ImageEntry]) -> set[str]:
    """Return the scenes that occur in both lists of images, and several times in at least one of the lists."""
    counts = [Counter(entry.unit for entry in entries) for entries in (images, others)]
    return {unit for unit in counts[0].keys() & counts[1].keys() if max(count[unit] for count in counts) > 1}


def relation(match: Match) -> str:
    """Describe how a test image relates to the image that contains it."""
    all_of_it, all_of_other = match.share > NEARLY, match.share_of_other > NEARLY
    if all_of_it and all_of_other:
        words = ["the same image"]
    elif all_of_it:
        words = [f"{match.share_of_other:.0%} of it, cropped"]
    elif all_of_other:
        words = [f"all of it, {match.share:.0%} of the test image"]
    else:
        words = [f"{match.share_of_other:.0%} of it, {match.share:.0%} of the test image"]
    if match.turn.name != "as it is":
        words.append(match.turn.name)
    if abs(match.scale - 1) > 1 - NEARLY:
        words.append(f"at {1 / match.scale:.2f} of its size")
    return ", ".join(words)
