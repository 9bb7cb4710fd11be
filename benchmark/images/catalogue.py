"""All image sets by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from benchmark.errors import unknown
from benchmark.images.bundled import Leaves, photographs
from benchmark.images.folders import CleanFolder, PairedFolders, Part
from benchmark.images.imageset import ImageSet
from benchmark.images.pairs import LAYOUT, UserPairs

UNSTATED = "not stated by its makers; for research"
BSDS_PAGE = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"
BSDS_LICENCE = "non-commercial research and education"
BSDS_PAPER = "Arbeláez et al., Contour detection and hierarchical image segmentation, TPAMI 2011"
RAIN_PAGE = "https://www.icst.pku.edu.cn/struct/Projects/joint_rain_removal.html"
POLYU_PAGE = "https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset"

POLYU_SCENES = {
    "test": frozenset({"ball", "bicycle", "bulletin", "circuit", "door", "flower", "printer", "stair"}),
    "validation": frozenset({"desk", "fruit", "wall", "waterhouse"}),
}
"""The scenes of PolyU's test and validation images, whatever the camera; the others are for training."""

EVALUATION = {
    "Set5": "Bevilacqua et al., Low-complexity single-image super-resolution, BMVC 2012",
    "Set14": "Zeyde et al., On single image scale-up using sparse-representations, Curves and Surfaces 2010",
    "BSD100": "Martin et al., A database of human segmented natural images, ICCV 2001",
}
LEAVES = {"train": Leaves(2000, 64, 256), "validation": Leaves(3000, 12, 84), "test": Leaves(4000, 32, 84)}


def image_set(name: str) -> ImageSet:
    """The image set of this name.

    Raises:
        PetlirError: nothing goes by this name; names the nearest that is valid.
    """
    sets = {entry.name: entry for entry in _sets()}
    if name not in sets:
        raise unknown("image set", name, sets)
    return sets[name]


def names() -> list[str]:
    """The names of all image sets, bundled ones first."""
    return [entry.name for entry in _sets()]


def scene(name: str) -> str:
    """The scene word of a PolyU name: `chair` of `Canon5D2_5_160_3200_chair_11`; else the name itself."""
    match = re.search(r"_([A-Za-z]+)_+\d+$", name)
    return match[1] if match else name


def _sets() -> Iterator[ImageSet]:
    yield from _bundled()
    yield from _evaluation()
    yield from _bsds()
    yield from _rain()
    yield from _polyu()
    yield from _own()


def _bundled() -> Iterator[ImageSet]:
    leaves = partial(
        ImageSet,
        domain="procedural",
        licence="Apache-2.0",
        citation="Lee et al., Occlusion models for natural images, IJCV 2001",
        source="drawn by benchmark.images.procedural",
        paired=False,
    )
    for part, load in LEAVES.items():
        yield leaves(f"leaves-{part}", f"Dead leaves ({part})", load=load)
    yield ImageSet(
        name="photographs",
        title="Four photographs",
        domain="photographs",
        licence="public domain and CC0",
        citation="van der Walt et al., scikit-image, PeerJ 2014",
        source="carried by scikit-image",
        paired=False,
        load=photographs,
    )


def _evaluation() -> Iterator[ImageSet]:
    source = "https://github.com/XPixelGroup/BasicSR/blob/master/docs/DatasetPreparation.md"
    for name, citation in EVALUATION.items():
        load = CleanFolder(f"{name}/HR", source)
        yield ImageSet(name, name, "photographs", UNSTATED, citation, source, False, load)


def _bsds() -> Iterator[ImageSet]:
    parts: dict[str, Part] = {"BSDS303": _without_eleventh, "BSDS30": _eleventh}
    for name, part in parts.items():
        load = CleanFolder("BSDS333", BSDS_PAGE, part)
        yield ImageSet(name, name, "photographs", BSDS_LICENCE, BSDS_PAPER, BSDS_PAGE, False, load)


def _eleventh(names: list[str]) -> list[str]:
    return names[10::11]


def _without_eleventh(names: list[str]) -> list[str]:
    held_out = set(_eleventh(names))
    return [name for name in names if name not in held_out]


def _rain() -> Iterator[ImageSet]:
    citation = "Yang et al., Deep joint rain detection and removal from a single image, CVPR 2017"
    for name in ("Rain100L", "Rain100H"):
        clean = tuple(dict.fromkeys((f"{name}/norain", "Rain100L/norain")))
        load = PairedFolders(f"{name}/rain", clean, RAIN_PAGE, _rainy, _number)
        yield ImageSet(name, name, "photographs", UNSTATED, citation, RAIN_PAGE, True, load)


def _rainy(name: str) -> str:
    """Of `norain-001` its partner `rain-001`."""
    return name.removeprefix("no")


def _number(name: str) -> str:
    """Rain100L and H lie over the same clean images: `norain-001` of both is `Rain100-001`."""
    return name.replace("norain", "Rain100")


def _polyu() -> Iterator[ImageSet]:
    citation = "Xu et al., Real-world noisy image denoising: a new benchmark, arXiv 1804.02603, 2018"
    for part in ("train", "validation", "test"):
        chosen = partial(_of_scenes, part)
        load = PairedFolders("PolyU/noisy", ("PolyU/clean",), POLYU_PAGE, unit=scene, part=chosen)
        title = f"PolyU ({part} scenes)"
        yield ImageSet(f"PolyU-{part}", title, "photographs", UNSTATED, citation, POLYU_PAGE, True, load)


def _of_scenes(part: str, names: list[str]) -> list[str]:
    parts = {word: held_out for held_out, words in POLYU_SCENES.items() for word in words}
    return [name for name in names if parts.get(scene(name), "train") == part]


def _own() -> Iterator[ImageSet]:
    source = f"your own, under PETLIR_DATA: pairs/{LAYOUT}"
    for part in ("train", "validation", "test"):
        name, title = f"pairs-{part}", f"Own pairs ({part})"
        yield ImageSet(name, title, "photographs", "your own", "your own", source, True, UserPairs(part))
