"""Scores of a record's stored images under other protocols, without restoring them again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.prepare import ImagePair
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.protocol import Protocol, check_stored, protocol
from petlir.benchmark.records.schema import SCORES, Record, Score
from petlir.benchmark.scoring.evaluate import Row, kept_in, score_row
from petlir.benchmark.store import Store


def ways(record: Record, store: Store) -> list[Protocol]:
    """Return a protocol for each way of restoring whose images are stored, the headline's first.

    Raises:
        PetlirError: the record names a protocol that is unknown in this version.
    """
    rules = {rule.way: rule for rule in (protocol(score.protocol) for score in record.scores)}
    folder, first = store.cell_folder(record.cell, record.key), next(iter(rules))
    return [rule for way, rule in rules.items() if way == first or (folder / kept_in(way, first)).is_dir()]


def meant(rule: Protocol, record: Record, store: Store) -> list[Protocol]:
    """Return the protocols that `rule` denotes: itself, or one per way of restoring if it has no field of view."""
    found = [rule.of(way) for way in ways(record, store) if rule.ensemble in (1, way.ensemble)]
    return [one for one in found if one == rule or not rule.seen]


def rescored(record: Record, store: Store, rules: Collection[Protocol]) -> list[Row]:
    """Return the rows of a finished record under protocols whose way is one of `ways`, in its order of images.

    Raises:
        PetlirError: an image is no longer there, or cannot be read; a protocol scores what is not rounded.
    """
    check_stored(rules)
    folder, first = store.cell_folder(record.cell, record.key), ways(record, store)[0].way
    rows: list[Row] = []
    for pair in stored_pairs(record, store) if rules else ():
        for way in dict.fromkeys(rule.way for rule in rules):
            image = read_image(folder / kept_in(way, first) / pair.set / f"{pair.name}.png")
            rows += [score_row(pair, image, rule) for rule in rules if rule.way == way]
    return rows


def stored_pairs(record: Record, store: Store) -> Iterator[ImagePair]:
    """Yield the test images of a record, degraded and clean, from its store."""
    named = {(score.set, score.image): score for score in record.scores}
    shared = store.shared(record.cell)
    for (set_, image), score in named.items():
        degraded, clean = (read_image(shared / set_ / side / f"{image}.png") for side in ("degraded", "clean"))
        yield ImagePair(image, score.unit, set_, score.domain, degraded, clean)


def through(
    extra_protocols: Sequence[Protocol], records: Iterable[Record], store: Store, warn: Callable[[str], None]
) -> list[Record]:
    """Return the records with added rows for further protocols; existing rows are kept.

    Args:
        extra_protocols: protocols; one without a field of view applies to each way in which images were restored.
        records: as read from the store; they are not modified.
        store: the store of the records.
        warn: called with a line for each record that cannot be rescored.

    Raises:
        PetlirError: a protocol scores unrounded images.
    """
    check_stored(extra_protocols)
    found = []
    for record in records:
        there = {score.protocol for score in record.scores}
        rows: list[Score] = []
        try:
            if there:
                wanted = dict.fromkeys(one for rule in extra_protocols for one in meant(rule, record, store))
                new = [one for one in wanted if one.id not in there]
                rows = SCORES.validate_python(rescored(record, store, new))
        except PetlirError as error:
            warn(f"cannot be scored again: {error}")
        found.append(record.model_copy(update={"scores": [*record.scores, *rows]}))
    return found
