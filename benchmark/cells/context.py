"""The context in which cells are processed: plugins, images and numerical precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from petlir.benchmark import grid
from petlir.benchmark.backbones import Builder
from petlir.benchmark.degradation import Image, rounded
from petlir.benchmark.errors import PetlirError, resolved
from petlir.benchmark.images.pairs import PairFolder
from petlir.benchmark.images.prepare import ImagePair, test_pairs, training_pairs, validation_pairs
from petlir.benchmark.plugins import Plugins, find
from petlir.benchmark.task import Family
from petlir.benchmark.weights.sources import UNTRAINED, network_of, sources

PRECISIONS = ("float32", "bfloat16", "float16")
"""The numerical precisions of training; all but float32 use autocast on a GPU."""
PAIRS = "pairs"
"""The name of the task family whose image pairs come from the user's own folders."""


@dataclass(frozen=True)
class Context:
    """The context in which cells are processed: plugins, images and numerical precision.

    Attributes:
        plugin_files: files given with `--plugin`.
        data: the folder of image sets, or None if only bundled sets are used.
        deterministic: whether only deterministic kernels are allowed.
        precision: the numerical precision: `float32`, or `bfloat16` or `float16` for autocast on a GPU.
        exclusive: whether the device processes one cell at a time, so that measured times are comparable.
        checkpoint_seconds: interval in seconds between checkpoints of a cell's training state.
        weights: the user's own pre-trained weights, each written as `NAME=SOURCE`.
        opened: tasks that belong to a task family, each written as `FAMILY:ARGUMENT`.
        allow_overlap: whether test images may occur in training, validation and pre-training sets; records list such
            overlaps.
    """

    plugin_files: tuple[str, ...] = ()
    data: str | None = None
    deterministic: bool = True
    precision: str = "float32"
    exclusive: bool = False
    checkpoint_seconds: float = 20.0
    weights: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    allow_overlap: bool = False

    @property
    def plugins(self) -> Plugins:
        """The plugins."""
        return _plugins(self.plugin_files, self.opened)

    def training(self, task: str, on: str, seed: int) -> list[tuple[Image, Image]]:
        """Return pairs of training images of a task on a track: degraded with this seed, and clean."""
        return _training(self, task, on, seed)

    def validation(self, task: str, on: str) -> list[ImagePair]:
        """Return the degraded and clean validation images of a task on a track."""
        return _validation(self, task, on)

    def tests(self, task: str, on: str) -> list[ImagePair]:
        """Return the degraded and clean test images of a task on a track."""
        return _tests(self, task, on)

    @property
    def sources(self) -> dict[str, str]:
        """The sources of the user's own pre-trained weights, by backbone name."""
        return dict(text.split("=", 1) for text in self.weights)

    @property
    def backbones(self) -> dict[str, Builder]:
        """The backbones that a grid can name: networks, `NAME:none` (untrained), `NAME:LABEL` (with user weights)."""
        networks = self.plugins.backbones
        labelled = [*(f"{name}:{UNTRAINED}" for name in networks), *(name for name in self.sources if ":" in name)]
        return {**networks, **{name: networks[network_of(name)] for name in labelled}}

    @property
    def notes(self) -> list[str]:
        """A line for each of the user's folders whose images have an alpha channel, which is ignored."""
        opened = (text.partition(":") for text in self.opened)
        return [note for family, _, folder in opened if family == PAIRS for note in PairFolder(Path(folder)).notes]

    def opening(self, tasks: str) -> tuple[str, Context]:
        """Return the selected tasks, with canonical names for tasks of a family, and a context with these tasks.

        Raises:
            PetlirError: a task family rejects the argument in `FAMILY:ARGUMENT`.
        """
        items, opened = [], list(self.opened)
        for item in grid.split(tasks):
            name, colon, argument = grid.unquoted(item).partition(":")
            if (family := self.plugins.families.get(name)) is not None:
                if not colon or not argument:
                    raise PetlirError(f"task {item!r} is incomplete; expected {name}:{family.argument}")
                canonical_argument = canonical(family, argument)
                opened.append(f"{name}:{canonical_argument}")
                items.append(family.open(canonical_argument).name)
            else:
                items.append(item)
        return ",".join(items), replace(self, opened=tuple(dict.fromkeys(opened)))

    @property
    def root(self) -> Path | None:
        """The folder of image sets."""
        return Path(self.data) if self.data else None


def canonical(family: Family, argument: str) -> str:
    """Return the canonical argument of a task of a family.

    Raises:
        PetlirError: the argument is a path with a loop of symbolic links or an unknown user.
    """
    try:
        return family.canonical(argument)
    except RuntimeError as error:
        raise PetlirError(f"task {family.name}:{argument} is not valid: {error}") from error


def context_of(
    plugins: Sequence[Path] = (),
    data: Path | None = None,
    weights: Sequence[str] = (),
    deterministic: bool = True,
    precision: str = "float32",
) -> Context:
    """Return the context for a user's command-line arguments, with absolute paths.

    Raises:
        PetlirError: a plugin file or a source of weights is invalid.
    """
    files = tuple(str(resolved(file)) for file in plugins)
    context = Context(files, str(resolved(data)) if data else None, deterministic, precision)
    return replace(context, weights=sources(weights, context.plugins.backbones))


@lru_cache(maxsize=1)
def _plugins(files: tuple[str, ...], opened: tuple[str, ...]) -> Plugins:
    return find([Path(file) for file in files], opened)


@lru_cache(maxsize=1)
def _training(context: Context, task: str, on: str, seed: int) -> list[tuple[Image, Image]]:
    pairs = training_pairs(context.plugins.task(task), on, context.root, context.allow_overlap, seed=seed)
    return [(rounded(degraded), rounded(clean)) for degraded, clean in pairs]  # crops have 8 bits per channel


@lru_cache(maxsize=1)
def _validation(context: Context, task: str, on: str) -> list[ImagePair]:
    return validation_pairs(context.plugins.task(task), on, context.root, context.allow_overlap)


@lru_cache(maxsize=1)
def _tests(context: Context, task: str, on: str) -> list[ImagePair]:
    return test_pairs(context.plugins.task(task), on, context.root)
