"""Scores of stored images under further protocols, computed without restoring the images again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.prepare import ImagePair
from petlir.benchmark.images.reading import read_deep, read_image
from petlir.benchmark.protocol import Protocol, check_stored, protocol
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.records.scores import ScoreTable, tabulated
from petlir.benchmark.scoring.evaluate import image_scores, kept_in
from petlir.benchmark.scoring.registry import METRICS, Score, compared
from petlir.benchmark.store import Store

TOLERANCE = 1e-6
"""Tolerance, in dB for PSNR and absolute for SSIM, for scores that are recomputed from the same images."""


def ways(record: Record, store: Store) -> list[Protocol]:
    """Return a protocol for each restoration mode whose images are stored, beginning with the headline score's mode.

    Raises:
        PetlirError: the record names a protocol that is unknown in this version.
    """
    rules = {rule.way: rule for rule in (protocol(name) for name in record.protocols)}
    folder, first = store.cell_folder(record.cell, record.key), next(iter(rules))
    return [rule for way, rule in rules.items() if way == first or (folder / kept_in(way, first)).is_dir()]


def meant(rule: Protocol, record: Record, store: Store) -> list[Protocol]:
    """Return the protocols that `rule` denotes: itself or, if it has no field of view, one per restoration mode."""
    found = [rule.restored_as(way) for way in ways(record, store) if rule.ensemble in (1, way.ensemble)]
    return [one for one in found if one == rule or not rule.seen]


def rescored(record: Done, store: Store, rules: Collection[Protocol]) -> list[Score]:
    """Return the scores of a finished cell's stored images under further protocols.

    Restored images must be stored for the restoration mode of each protocol. The scores are in the order of the
    record's images.

    Raises:
        PetlirError: an image is missing, is unreadable or has changed since it was scored, or a protocol needs
            unrounded images.
    """
    check_stored(rules)
    wanted = list(dict.fromkeys(rule.way for rule in rules))
    rows: list[Score] = []
    for pair, restored in _checked(record, store, wanted) if rules else ():
        for way in wanted:
            for rule in rules:
                rows += image_scores(pair, restored[way], rule) if rule.way == way else []
    return rows


def check_stored_images(record: Done, store: Store) -> None:
    """Raise PetlirError if the images stored for the headline score do not reproduce the recorded scores."""
    for _ in _checked(record, store, [ways(record, store)[0].way]):
        pass


def _checked(record: Done, store: Store, wanted: Sequence[str]) -> Iterator[tuple[ImagePair, dict[str, Image]]]:
    """Yield a record's test images and their restorations in the `wanted` modes, after checking the recorded scores."""
    folder, first = store.cell_folder(record.cell, record.key), ways(record, store)[0].way
    recorded = _first_scores(record, wanted)
    for pair in stored_pairs(record, store):
        restored = {}
        for way in wanted:
            path = folder / kept_in(way, first) / pair.set / f"{pair.name}.png"
            restored[way] = read_image(path)
            if scores := recorded.get((pair.set, pair.name, way)):
                _check(path, pair, restored[way], scores)
        yield pair, restored


def _first_scores(record: Done, wanted: Sequence[str]) -> dict[tuple[str, str, str], list[Score]]:
    """Return, for each image and restoration mode, the recorded scores under the first protocol for rounded images."""
    found: dict[tuple[str, str, str], list[Score]] = {}
    for metric in METRICS:
        for score in record.rows(metric):
            rule = protocol(score.protocol or "")
            if rule.rounded and rule.way in wanted:
                scores = found.setdefault((score.set, score.image, rule.way), [])
                if not scores or scores[0].protocol == score.protocol:
                    scores.append(score)
    return found


def _check(path: Path, pair: ImagePair, image: Image, recorded: Sequence[Score]) -> None:
    """Raise PetlirError if a test image and its restoration do not reproduce the recorded scores."""
    derived = {score.metric: score for score in image_scores(pair, image, protocol(recorded[0].protocol or ""))}
    for score in recorded:
        for name, value, expected in compared(derived[score.metric], score):
            if value != expected and not abs(value - expected) <= TOLERANCE:
                line = f"{path}, or its degraded or clean image, has changed since scoring"
                raise PetlirError(f"{line}: {name} under {score.protocol} is {value}, but {expected} is recorded")


def stored_pairs(record: Done, store: Store) -> Iterator[ImagePair]:
    """Read the test images of a record from the store, and yield each with its degraded and its clean version."""
    shared = store.shared_by(record)
    for score in record.images:
        degraded, clean = (
            read_deep(shared / score.set / side / f"{score.image}.png") for side in ("degraded", "clean")
        )
        yield ImagePair(score.image, score.unit, score.set, score.domain, degraded, cast("Image", clean))


def through(
    extra_protocols: Sequence[Protocol], records: Iterable[Record], store: Store, warn: Callable[[str], None]
) -> list[Record]:
    """Return copies of the records with added scores under further protocols; existing scores are kept.

    Args:
        extra_protocols: further protocols; a protocol without a field of view applies to each stored restoration mode.
        records: the records to copy, which are not modified.
        store: the store from which the records were read.
        warn: called with a line for each record that cannot be rescored.

    Raises:
        PetlirError: a protocol scores unrounded images, which are not stored.
    """
    check_stored(extra_protocols)
    found = []
    for record in records:
        tables: list[ScoreTable] = []
        try:
            if isinstance(record, Done):
                wanted = dict.fromkeys(one for rule in extra_protocols for one in meant(rule, record, store))
                new = [one for one in wanted if one.id not in record.protocols]
                tables = [ScoreTable.model_validate(table) for table in tabulated(rescored(record, store, new))]
        except PetlirError as error:
            warn(f"{record.title} cannot be scored again: {error}")
        found.append(record.model_copy(update={"scores": [*record.scores, *tables]}))
    return found
