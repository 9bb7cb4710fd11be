"""How far results can be believed, from evidence: claimed, re-scored, re-inferred, re-trained.

Each level holds what the one before it holds:

    claimed      every file is the one that the submission lists, every record is whole
    re-scored    the stored images give the scores of the record
    re-inferred  the stored adapter makes the stored images again, some of them, drawn by who verifies
    re-trained   training again gives the same scores
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor

from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.own_images import restorer
from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.prepare import ImagePair
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.protocol import protocol
from petlir.benchmark.publishing import manifest
from petlir.benchmark.publishing.archive import unpack
from petlir.benchmark.publishing.retrain import retrained
from petlir.benchmark.records.files import ADAPTER, read_record
from petlir.benchmark.records.schema import Done, Score
from petlir.benchmark.scoring.evaluate import digest_of, kept_in, restored, scored, to_image
from petlir.benchmark.store import Store
from petlir.benchmark.weights.sources import sha256

SCORE_TOLERANCE = 1e-6
"""In dB and SSIM, of scores that are computed again from the same 8-bit images."""
LEVEL_TOLERANCE = 1
"""Grey levels by which another device may restore a pixel otherwise."""
INFERENCE_TOLERANCE = 0.01
"""In dB, of the scores of an image that is restored again."""


class Tampered(PetlirError):
    """What was submitted contradicts itself."""


@dataclass(frozen=True)
class VerifiedCell:
    """How far one cell got.

    Attributes:
        key: of the cell.
        cell: its name.
        level: one of `LEVELS`; empty where it contradicts itself.
        why: what kept it from the next level.
    """

    key: str
    cell: str
    level: str
    why: str


@dataclass(frozen=True)
class Check:
    """What verifying may use.

    Attributes:
        context: plugins, images and weights.
        device: where to restore and train.
        images: how many images of each cell are restored again.
        retrain: how many cells are trained again.
        draw: chooses images and cells; whoever submits must not know it beforehand.
    """

    context: Context
    device: str
    images: int
    retrain: int
    draw: random.Random


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """The folder of a store, or of an archive that is unpacked for the time being.

    Raises:
        PetlirError: it is neither, or the archive is refused.
    """
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise PetlirError(f"{source} does not exist; expected an archive made by `petlir submit`, or a store")
    with TemporaryDirectory(prefix="petlir-verify-") as folder:
        unpack(source, Path(folder))
        yield Path(folder)


def verify(folder: Path, check: Check) -> list[VerifiedCell]:
    """The level of every finished cell of a store or an unpacked archive.

    Raises:
        PetlirError: a file is not the one that the manifest lists, or there is no finished cell.
    """
    submission = manifest.read(folder)
    if submission is not None:
        manifest.check_files(submission, folder)
    done = {path.parent: record for path in Store(folder).files() if isinstance(record := read_record(path), Done)}
    if not done:
        raise PetlirError(f"{folder} holds no finished cell; expected cells/BACKBONE/TASK/CELL/record.json")
    again = set(check.draw.sample(list(done), min(check.retrain, len(done))))
    return [_verdict(place, record, check, place in again) for place, record in done.items()]


def _verdict(folder: Path, record: Done, check: Check, again: bool) -> VerifiedCell:
    level, why = "claimed", ""
    try:
        _complete(folder, record)
        pairs = _test_images(record, check.context)
        _scored(folder, record, pairs)
        level = "re-scored"
        _inferred(folder, record, pairs, check)
        level = "re-inferred"
        if again:
            why = retrained(folder, record, check.context, check.device)
            level, why = ("re-inferred", why) if why else ("re-trained", "")
        else:
            why = "it was not trained again"
    except Tampered as error:
        level, why = "", str(error)
    except PetlirError as error:
        why = str(error)
    return VerifiedCell(record.key, folder.name, level, why)


def _complete(folder: Path, record: Done) -> None:
    expected = record.digests.adapter
    found = sha256(folder / ADAPTER) if (folder / ADAPTER).exists() else None
    if found != expected:
        raise Tampered(f"{ADAPTER} is missing or not the one of the record")
    for row in record.scores:
        if not (folder / _place(record, row)).is_file():
            raise Tampered(f"{_place(record, row)} is missing; the record scores it")


def _place(record: Done, row: Score) -> Path:
    """Where in the cell's folder the image lies that a row scores."""
    way, first = (protocol(name).way for name in (row.protocol, record.cell.protocols[0]))
    return Path(kept_in(way, first), row.set, f"{row.image}.png")


def _test_images(record: Done, context: Context) -> dict[tuple[str, str], ImagePair]:
    """The test images of the cell by set and name; PetlirError where they are not at hand or others."""
    pairs = context.tests(record.cell.task, record.cell.track)
    if digest_of(pairs) != record.digests.data:
        raise PetlirError("the test images at hand are not those of the record: their digest differs")
    return {(pair.set, pair.name): pair for pair in pairs}


def _scored(folder: Path, record: Done, pairs: dict[tuple[str, str], ImagePair]) -> None:
    if {(row.set, row.image) for row in record.scores} != set(pairs):
        raise Tampered("the record scores other images than the test sets hold")
    for row in record.scores:
        if protocol(row.protocol).rounded:
            image = read_image(folder / _place(record, row))
            _same_scores(row, image, pairs[row.set, row.image], SCORE_TOLERANCE, "its image scores")


def _same_scores(row: Score, image: Image | Tensor, pair: ImagePair, tolerance: float, what: str) -> None:
    for name, value in scored(image, pair.clean, protocol(row.protocol)).items():
        if abs(float(value) - float(getattr(row, name))) > tolerance and value != getattr(row, name):
            where = f"{row.set}/{row.image} under {row.protocol}"
            raise Tampered(f"{where}: the record says {name} {getattr(row, name)}, {what} {value}")


def _inferred(folder: Path, record: Done, pairs: dict[tuple[str, str], ImagePair], check: Check) -> None:
    model = restorer(folder, check.device, [Path(file) for file in check.context.plugin_files], check.context.weights)
    for key in check.draw.sample(sorted(pairs), min(check.images, len(pairs))):
        rows: dict[str, list[Score]] = {}
        for row in record.scores:
            if (row.set, row.image) == key:
                rows.setdefault(protocol(row.protocol).way, []).append(row)
        for mine in rows.values():
            rule = protocol(mine[0].protocol)
            exact = next(restored(model.network, [pairs[key].degraded], model.heads, rule))
            _same_image(folder / _place(record, mine[0]), key, to_image(exact))
            for row in mine:
                image = to_image(exact) if protocol(row.protocol).rounded else exact
                _same_scores(row, image, pairs[key], INFERENCE_TOLERANCE, "restoring it again gives")


def _same_image(path: Path, key: tuple[str, str], image: Image) -> None:
    off = int(np.abs(read_image(path).astype(int) - image.astype(int)).max())
    if off > LEVEL_TOLERANCE:
        raise Tampered(f"the adapter restores {'/'.join(key)} otherwise: by up to {off} grey levels")
