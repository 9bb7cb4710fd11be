"""Scores, metrics and digests of a record, recomputed from restored images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from petlir.benchmark.cells.context import Context
from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.prepare import ImagePair
from petlir.benchmark.images.reading import read_image, size_of
from petlir.benchmark.protocol import Protocol, protocol
from petlir.benchmark.publishing.tampering import Tampered, check_near, check_same
from petlir.benchmark.records.schema import Done
from petlir.benchmark.scoring.evaluate import image_scores, kept_in
from petlir.benchmark.scoring.measurement import Measurement
from petlir.benchmark.scoring.metrics import choose, measured
from petlir.benchmark.scoring.registry import METRICS, Score, compared

METRIC_TOLERANCE = 1e-3
"""The relative tolerance of a metric's value computed on another device."""
EXACT = 1e-6
"""The tolerance of a score recomputed from the same pixels."""
DESCRIBED = ("domain", "unit")

Restore = Callable[[ImagePair, Protocol], Image | Tensor]
"""A function that returns a restored test image: an H×W×3 uint8 array, or an unrounded 1×3×H×W tensor in [0, 1]."""


@dataclass(frozen=True)
class ScoredImages:
    """The scores of a record by image and protocol.

    Attributes:
        record: the record.
        pairs: the test images.
        own: the protocols that the cell was planned with; other protocols were added to its record later.
        rows: the scores by set, image, protocol and metric.
    """

    record: Done
    pairs: Sequence[ImagePair]
    own: tuple[str, ...]
    rows: Mapping[tuple[str, str, str, str], Score]

    def rules(self, pair: ImagePair, *, own: bool = False) -> dict[str, list[Protocol]]:
        """Return the protocols of an image by restoration mode; `own` omits protocols added to the record later."""
        found: dict[str, list[Protocol]] = {}
        for name in self.own if own else self.record.cell.protocols:
            rule = protocol(name)
            planned = [protocol(one) for one in pair.protocols]  # not empty in a mixture
            if name not in self.own or not planned or replace(rule, seen="") in planned:
                found.setdefault(rule.way, []).append(rule)
        return found

    @property
    def exact(self) -> bool:
        """True if a protocol scores unrounded images, which are not stored, so that every image must be restored."""
        return any(not protocol(name).rounded for name in self.record.cell.protocols)

    def file(self, pair: ImagePair, way: str) -> Path:
        """Return the path, in the cell's folder, of an image restored in the mode `way`."""
        return Path(kept_in(way, protocol(self.own[0]).way), pair.set, f"{pair.name}.png")

    def files(self) -> Iterator[Path]:
        """Yield the path, in the cell's folder, of each restored image."""
        for pair in self.pairs:
            yield from (self.file(pair, way) for way in self.rules(pair))


def scored_images(record: Done, pairs: Sequence[ImagePair], own: Sequence[str]) -> ScoredImages:
    """Return the scores of a record, which must have exactly one score for each image, protocol and metric.

    Args:
        record: the record.
        pairs: the test images.
        own: the protocols that the cell was planned with.

    Raises:
        Tampered: a score is missing or duplicated, or belongs to another image or protocol.
    """
    rows = [((row.set, row.image, row.protocol or "", row.metric), row) for row in record.every_row()]
    said = Counter(place for place, _ in rows)
    found = ScoredImages(record, pairs, tuple(own), dict(rows))
    expected = Counter(
        (pair.set, pair.name, rule.id, metric)
        for pair in pairs
        for rules in found.rules(pair).values()
        for rule in rules
        for metric in METRICS
    )
    if said != expected:
        place = min((said - expected) or (expected - said))
        raise Tampered(
            f"the record does not score each test image once: {place[3]} of {place[0]}/{place[1]} under {place[2]}: "
            f"found {said[place]}, expected {expected[place]}"
        )
    if protocol(record.protocols[0]).way != protocol(own[0]).way:
        raise Tampered(
            f"the first protocol is {record.protocols[0]}; expected one with the restoration mode of {own[0]}"
        )
    return found


def check_files(folder: Path, scores: ScoredImages) -> None:
    """Raise Tampered unless each scored image has a file and there are no other files."""
    present = {path.relative_to(folder) for path in folder.glob("restored*/**/*") if path.is_file()}
    expected = set(scores.files())
    if missing := sorted(expected - present):
        raise Tampered(f"{missing[0].as_posix()} is missing, but the record scores this image")
    if stray := sorted(present - expected):
        raise Tampered(f"{stray[0].as_posix()} is not an image that the record scores")


def stored(folder: Path, scores: ScoredImages) -> Restore:
    """Return a function that reads a cell's stored images, which must have the size of the clean images."""

    def read(pair: ImagePair, rule: Protocol) -> Image:
        file = scores.file(pair, rule.way)
        try:
            size, expected = size_of(folder / file), pair.clean.shape[1::-1]
            if size != expected:
                raise Tampered(f"{file.as_posix()} is {size[0]}×{size[1]} pixels; expected {expected[0]}×{expected[1]}")
            return read_image(folder / file)
        except Tampered:
            raise
        except PetlirError as error:
            raise Tampered(f"{file.as_posix()} is damaged: {error}") from error

    return read


def check_scores(scores: ScoredImages, pair: ImagePair, way: str, image: Image | Tensor, decibel: float) -> None:
    """Compare the scores of one restored image with the record.

    Args:
        scores: the record's scores.
        pair: the test image.
        way: the restoration mode, such as `@tiles-48+x8`.
        image: the restored image; only the protocols that score images of this type, rounded or not, are compared.
        decibel: tolerance of PSNR in dB; see `_tolerance` for SSIM.

    Raises:
        Tampered: a score differs from the record; the message names the first such score.
    """
    for rule in scores.rules(pair)[way]:
        if rule.rounded == isinstance(image, Tensor):
            continue
        where = f"{pair.set}/{pair.name} under {rule.id}: "
        for derived in image_scores(pair, image, rule):
            said = scores.rows[pair.set, pair.name, rule.id, derived.metric]
            check_same(
                {name: getattr(said, name) for name in DESCRIBED},
                {name: getattr(derived, name) for name in DESCRIBED},
                where,
            )
            if said.input is None:
                raise Tampered(f"{where}input_{said.metric} is missing")
            for name, ours, theirs in compared(said, derived):
                check_near(name, ours, theirs, _tolerance(name, theirs, decibel), where)


def _tolerance(name: str, derived: float, decibel: float) -> float:
    """Return the tolerance of a score, if the tolerance of PSNR is `decibel`.

    To first order, the distance of SSIM from 1 is proportional to the mean squared error, which changes by 23 % per dB.
    """
    if name.startswith("input"):
        return EXACT
    return decibel if name != "ssim" else max(EXACT, 0.23 * decibel * max(1 - derived, 0.05))


def check_images(scores: ScoredImages, image_of: Restore, decibel: float) -> str:
    """Compare the scores of every 8-bit image with the record, and return the digest of the images.

    Args:
        scores: the record's scores.
        image_of: reads or restores an image.
        decibel: tolerance of PSNR in dB; see `_tolerance` for SSIM.

    Raises:
        Tampered: a score differs from the record, or an image is damaged.
    """
    digest = hashlib.sha256()
    for pair in scores.pairs:
        digest.update(f"{pair.set}/{pair.name}".encode())
        own = scores.rules(pair, own=True)
        for way, rules in scores.rules(pair).items():
            image = image_of(pair, rules[0])
            check_scores(scores, pair, way, image, decibel)
            if way in own:
                assert not isinstance(image, Tensor)
                digest.update(image.tobytes())
    return digest.hexdigest()


def check_metrics(folder: Path, scores: ScoredImages, context: Context, device: str) -> None:
    """Compare the values of additional metrics with values computed from the stored images.

    Raises:
        Tampered: a value, or the description of a metric, differs from the record.
        PetlirError: a metric cannot be computed here, or only by another version of its library.
    """
    metrics = scores.record.metrics
    names = [metric.metric for metric in metrics]
    if unnamed := {name for table in scores.record.scores if table.protocol is None for name in table.values} - {
        *names
    }:
        raise Tampered(f"metrics: {min(unnamed)} has values but no description")
    if not metrics:
        return
    if len(set(names)) < len(names) or any(
        metric.unavailable and any(scores.record.measured(metric.metric)) for metric in metrics
    ):
        raise Tampered(
            f"metrics: expected each metric once, with values or the reason why there are none: {', '.join(names)}"
        )
    first, read = protocol(scores.own[0]), stored(folder, scores)
    images = {f"{pair.set}/{pair.name}": partial(_both, read, pair, first) for pair in scores.pairs}
    registered = context.plugins.registered_metrics()
    available = [metric for metric in metrics if metric.unavailable is None]
    chosen = choose(",".join(metric.metric for metric in available), registered)
    for said, derived in zip(available, measured(chosen, images, device, registered), strict=True):
        if derived.unavailable is not None or derived.library != said.library:
            why = derived.unavailable or f"{derived.library} is installed, but the record was made with {said.library}"
            raise PetlirError(f"metric {said.metric} cannot be computed again: {why}")
        check_same({"better": said.better, "colour": said.colour}, {"better": derived.better, "colour": derived.colour})
        _check_values(list(scores.record.measured(said.metric)), scores.pairs, derived)


def _both(read: Restore, pair: ImagePair, rule: Protocol) -> tuple[Image, Image]:
    image = read(pair, rule)
    assert not isinstance(image, Tensor)
    return image, pair.clean


def _check_values(said: Sequence[Score], pairs: Sequence[ImagePair], derived: Measurement) -> None:
    rows = {(score.set, score.image): score for score in said}
    if len(rows) < len(said) or rows.keys() != {(pair.set, pair.name) for pair in pairs}:
        raise Tampered(f"metric {derived.name}: expected one value for each test image")
    for pair, value in zip(pairs, derived.values, strict=True):
        tolerance, where = max(1e-6, METRIC_TOLERANCE * abs(value)), f"{pair.set}/{pair.name}: "
        row = rows[pair.set, pair.name]
        check_same(row._asdict(), {"domain": pair.domain, "unit": pair.unit, "input": None}, where)
        check_near(derived.name, row.value, value, tolerance, where)
