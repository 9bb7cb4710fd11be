"""Verification of results: claimed, re-scored, re-inferred or re-trained.

Each level includes the one before it:

    claimed      every file matches the manifest, and every record is complete
    re-scored    key, cell and sizes follow from the request; the stored images give the recorded scores
    re-inferred  the adapter reproduces some of the images, which the verifier draws at random
    re-trained   retraining gives the same scores

A cell is re-inferred or re-trained only if every cell that it requires has at least the same level. Times, energy and
the environment are not verified.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from petlir.benchmark.cells.adapted_model import AdaptedModel
from petlir.benchmark.cells.context import Context
from petlir.benchmark.devices import pick
from petlir.benchmark.errors import FAULTS, PetlirError, told
from petlir.benchmark.publishing import adapters, inference, manifest, scores
from petlir.benchmark.publishing.adapters import repeats
from petlir.benchmark.publishing.archive import unpack
from petlir.benchmark.publishing.description import check_description, check_rate
from petlir.benchmark.publishing.requested import Requests, method_of
from petlir.benchmark.publishing.retrain import check_retrained
from petlir.benchmark.publishing.tampering import Tampered, check_same
from petlir.benchmark.publishing.tolerance import measured
from petlir.benchmark.records.files import ADAPTER, read_record
from petlir.benchmark.records.origins import LEVELS as LEVELS
from petlir.benchmark.records.schema import Done
from petlir.benchmark.runs import plugin_sources
from petlir.benchmark.scoring.evaluate import digest_of
from petlir.benchmark.scoring.fields_of_view import scored_as
from petlir.benchmark.store import Store

CLAIMED, RE_SCORED, RE_INFERRED, RE_TRAINED = LEVELS
SCORE_TOLERANCE = 1e-6
"""The tolerance, for PSNR in dB and for SSIM, of scores recomputed from the same 8-bit images."""
INFERENCE_TOLERANCE = 0.01
"""The largest tolerance, in dB, of PSNR after rerunning the restoration; the tolerance of SSIM is derived from it.

Larger measured tolerances are not used, because they include the differences between repeated training runs.
"""


@dataclass(frozen=True)
class VerifiedCell:
    """The level of verification that a cell reached.

    Attributes:
        key: the cell's key.
        cell: the name of the cell's folder.
        level: one of `LEVELS`; empty if the cell's record is inconsistent.
        why: the reason why the cell did not reach the next level.
        folder: the cell's folder, relative to the store or the unpacked archive.
        convergence: whether the project ships the doubling test of the cell's learning rate.
    """

    key: str
    cell: str
    level: str
    why: str
    folder: str
    convergence: bool = False


@dataclass(frozen=True)
class Check:
    """The settings of a verification.

    Attributes:
        context: plugins, images and weights.
        device: the device on which to restore and train.
        images: number of images per cell to restore again, at least 1.
        retrain: number of cells to retrain; the cells that they require are retrained as well.
        draw: the random number generator that draws the images and cells to check, unpredictable for submitters.
    """

    context: Context
    device: str
    images: int
    retrain: int
    draw: random.Random

    def __post_init__(self) -> None:
        if self.images < 1:
            raise PetlirError(f"--images {self.images}: expected at least 1 image to restore again")


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """Yield the folder of a store, or of a temporarily unpacked archive.

    Raises:
        PetlirError: `source` is neither a folder nor an archive, or the archive is rejected.
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
    """Return the level of every finished cell of a store or an unpacked archive.

    Raises:
        PetlirError: a file does not match the manifest, or there is no finished cell.
    """
    submission = manifest.read(folder)
    if submission is not None:
        manifest.check_files(submission, folder)
    done = {path.parent: record for path in Store(folder).files() if isinstance(record := read_record(path), Done)}
    if not done:
        raise PetlirError(f"{folder} holds no finished cell; expected cells/BACKBONE/TASK/CELL/record.json")
    if submission is not None:
        manifest.check_places(submission, [place.relative_to(folder).as_posix() for place in done])
        manifest.check_trials(folder)
        plugin_sources.check(folder)
    verifier = _Verifier(folder, done, check, submission is not None)
    return [verifier.verdict(place) for place in done]


class _Verifier:
    """The verification of the finished cells of a folder.

    Args:
        folder: a store or an unpacked archive.
        records: the records of the finished cells, by cell folder.
        check: the settings.
        complete: whether every image and adapter must be present, as in an archive.
    """

    def __init__(self, folder: Path, records: Mapping[Path, Done], check: Check, complete: bool) -> None:
        self._folder, self._records, self._check, self._complete = folder, records, check, complete
        self._requests = Requests(folder, records, check.context)
        self._twins = _twins(records)
        self._drawn = set(check.draw.sample(list(records), min(check.retrain, len(records))))
        for place in list(self._drawn):
            self._drawn |= self._required(place)
        self._verdicts: dict[Path, VerifiedCell] = {}

    def verdict(self, place: Path) -> VerifiedCell:
        """Return the verified level of a cell."""
        if place not in self._verdicts:
            record, level, why = self._records[place], CLAIMED, "it was not retrained"
            try:
                for reached in self._levels(place, record):
                    level = reached
                why = "" if level == RE_TRAINED else why
            except Tampered as error:
                level, why = "", str(error)
            except (PetlirError, *FAULTS) as error:
                why = str(error) if isinstance(error, PetlirError) else told(error)
            shipped = level in (RE_INFERRED, RE_TRAINED) and self._requests.shipped(place)
            name = place.relative_to(self._folder).as_posix()
            self._verdicts[place] = VerifiedCell(record.key, place.name, level, why, name, shipped)
        return self._verdicts[place]

    def _levels(self, place: Path, record: Done) -> Iterator[str]:
        """Yield each level that a cell reaches; if a check fails, raise an exception with the reason."""
        shape, rows = self._described(place, record)
        cell, context = record.cell, self._check.context
        stored = self._complete or any(place.glob("restored*"))
        if stored:
            scores.check_files(place, rows)
            digest = scores.check_images(rows, scores.stored(place, rows), SCORE_TOLERANCE)
            check_same({"predictions": record.digests.predictions}, {"predictions": digest})
            scores.check_metrics(place, rows, context, self._check.device)
            yield RE_SCORED
        decibel = min(measured(cell.label, cell.method, cell.task, INFERENCE_TOLERANCE), INFERENCE_TOLERANCE)
        model = self._check_inference(place, record, rows, decibel, stored)
        if self._complete:
            inference.check_step(record, model, shape)
        yield RE_INFERRED
        if not self._complete:
            self._check_step(record, model, shape)
        if place in self._drawn:
            needs = self._requests.needs(place)
            self._check_needs(needs, RE_TRAINED)
            check_retrained(self._folder, record, needs, context, self._check.device)
            yield RE_TRAINED

    def _described(self, place: Path, record: Done) -> tuple[AdaptedModel, scores.ScoredImages]:
        """Check what can be checked without weights; return the model, with shapes only, and the recorded scores."""
        context = self._check.context
        if place in self._twins:
            raise Tampered(self._twins[place])
        method = method_of(record, context)
        kept = self._complete or not method.reference or (place / ADAPTER).is_file()
        if kept:
            adapters.check_file(place, record)
        self._requests.check(place)
        if not kept and record.digests.adapter is not None:
            raise PetlirError(f"the adapter of {record.cell.label} is not stored in this folder")
        planner, needs = self._requests.planner(record), self._requests.needs(place)
        shape = adapters.without_values(place, record, method, planner)
        check_description(record, shape, [self._records[need] for need in needs], context)
        pairs = context.tests(record.cell.task, record.cell.track)
        if digest_of(pairs) != record.digests.data:
            raise Tampered("the digest of its test images does not match the images of its task")
        own = scored_as(shape.task.protocols, shape.views)
        return shape, scores.scored_images(record, pairs, own)

    def _check_step(self, record: Done, model: AdaptedModel, shape: AdaptedModel) -> None:
        """Check the recorded FLOPs and bytes of a training step; records in a store may follow older counting rules."""
        try:
            inference.check_step(record, model, shape)
        except Tampered as error:
            raise PetlirError(f"{error}; another version may have counted differently") from error

    def _check_inference(
        self, place: Path, record: Done, rows: scores.ScoredImages, decibel: float, stored: bool
    ) -> AdaptedModel:
        """Restore some images again, or all images if no restored images are stored; return the network."""
        context, check = self._check.context, self._check
        self._check_needs(self._requests.needs(place), RE_INFERRED)
        check_rate(record, self._requests.selection(place) if record.cell.regime == "tuned" else None)
        model = inference.network_of(place, context, str(pick(check.device)))
        if stored:
            inference.check_restored(place, rows, model, check.images, check.draw, decibel)
        else:
            restore = inference.restoring(model)
            scores.check_images(rows, inference.rounding(restore), decibel)
            inference.check_exact(rows, restore, decibel)
        inference.check_network(record, model, context, decibel)
        return model

    def _check_needs(self, needs: tuple[Path, ...], level: str) -> None:
        """Raise an error if a required cell has a lower level than `level`."""
        for need in needs:
            found = self.verdict(need).level
            if not found or LEVELS.index(found) < LEVELS.index(level):
                raise PetlirError(f"it requires {need.name}, which is {found or 'tampered with'}")

    def _required(self, place: Path) -> set[Path]:
        """Return the folders of all directly or indirectly required cells; empty if the cell's request is invalid."""
        try:
            needs = self._requests.needs(place)
        except (PetlirError, *FAULTS):
            return set()
        return {*needs, *(other for need in needs for other in self._required(need))}


def _twins(records: Mapping[Path, Done]) -> dict[Path, str]:
    """Return the folders of cells that duplicate another cell, with the reasons; either cell may be the copy."""
    keys = Counter(record.key for record in records.values())
    found = {place: "another cell has the same key" for place, record in records.items() if keys[record.key] > 1}
    trained = {
        place: record for place, record in records.items() if record.cell.regime != "none" and place not in found
    }
    return found | {place: repeats(other) for place, other in adapters.repeated(trained).items()}
