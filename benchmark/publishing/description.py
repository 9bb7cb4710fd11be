"""Checks of a record's values (except scores) against values derived from its request, the weights and the images."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from petlir.benchmark.cells import run
from petlir.benchmark.cells.adapted_model import AdaptedModel
from petlir.benchmark.cells.context import PRECISIONS, Context
from petlir.benchmark.cells.overlap_guard import comparisons_of, overlaps_of, recorded
from petlir.benchmark.cells.selection import RateSelection
from petlir.benchmark.costs import count
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.protocol import protocol
from petlir.benchmark.publishing.adapters import tensors
from petlir.benchmark.publishing.tampering import Tampered, check_near, check_same
from petlir.benchmark.records.groups import ANY
from petlir.benchmark.records.schema import Done, RecordedOverlap
from petlir.benchmark.terminal import one_line
from petlir.benchmark.track import track
from petlir.benchmark.training.loop import Budget

LARGEST_ENVIRONMENT = 10_000
"""The maximum number of characters of a recorded environment, ten times the usual number."""


def check_description(record: Done, model: AdaptedModel, needs: Sequence[Done], context: Context) -> None:
    """Compare the record's description of its cell with a newly derived description.

    Args:
        record: the record.
        model: the cell's adapted model, whose tensors have shapes but no values.
        needs: the records of the cells that the cell requires.
        context: plugins, images and weights.

    Raises:
        Tampered: a field differs from its derived value; the message names the first such field.
        PetlirError: an image set is missing.
    """
    cell = record.cell
    derived = run.described(model, context.root)
    own = derived.pop("protocols")
    assert isinstance(own, list)
    if cell.protocols[: len(own)] != own or len(set(cell.protocols)) < len(cell.protocols):
        raise Tampered(
            f"the record says protocols {cell.protocols}, expected {own} first, then other protocols, each once"
        )
    for name in cell.protocols:
        _known(name)
    check_same(vars(cell), derived)
    _check_circumstances(record)
    smoke = track(cell.track).too_brief(cell.steps)
    if not cell.steps and needs:
        smoke = any(need.smoke for need in needs)
    check_same({"smoke": record.smoke}, {"smoke": smoke})
    if (parts := cell.accumulation) is not None:
        if not cell.steps:
            raise Tampered("accumulation: nothing was trained, so no batch was split")
        if not 2 <= parts.parts <= cell.batch_size:
            raise Tampered(f"accumulation: invalid number of parts {parts.parts} for the batch size {cell.batch_size}")
        check_same(vars(parts), {"batch_statistics": model.adapted.batch_statistics})
    _check_curve(record)
    _check_overlap(record, model, context)
    _check_sizes(record, model, needs)


def _check_circumstances(record: Done) -> None:
    """Check the environment and the dates, which cannot be derived but affect how a record is shown."""
    if record.device == ANY or record.device != one_line(record.device).strip():
        raise Tampered(f"device: expected the device that the cell ran on, not {record.device!r}")
    if (size := len(record.environment.model_dump_json())) > LARGEST_ENVIRONMENT:
        raise Tampered(f"environment: {size:,} characters; expected at most {LARGEST_ENVIRONMENT:,}")
    if record.environment.precision not in PRECISIONS:
        raise Tampered(f"precision: expected {', '.join(PRECISIONS)}, not {record.environment.precision!r}")
    started, finished = (datetime.fromisoformat(moment) for moment in (record.started, record.finished))
    if not started <= finished <= datetime.now(UTC) + timedelta(days=1):
        raise Tampered(f"finished: {record.finished} is before the start, {record.started}, or in the future")


def _known(name: str) -> None:
    try:
        protocol(name)
    except PetlirError as error:
        raise Tampered(str(error)) from error


def _check_curve(record: Done) -> None:
    """Compare steps and learning rates of the training curve with the budget; losses are only checked by retraining."""
    cell = record.cell
    if cell.learning_rate is None:
        if record.curve:
            raise Tampered("curve: expected no curve, since nothing is trained")
        return
    budget = Budget(cell.steps, cell.learning_rate)
    check_same({"curve steps": [point.step for point in record.curve]}, {"curve steps": budget.curve_steps})
    for point in record.curve:
        rate = budget.rate_at(point.step - 1)
        check_near(f"learning rate of step {point.step}", point.learning_rate, rate, 1e-9 * rate)
        if (point.validation_psnr is None) != (point.step < cell.steps):
            raise Tampered(
                f"curve: step {point.step} of {cell.steps}: expected a validation PSNR at the last step only"
            )


def _check_overlap(record: Done, model: AdaptedModel, context: Context) -> None:
    """Require each overlap found here exactly once; accept others only for image sets that cannot be compared here."""
    asked = model.cell, context.plugins, model.card, context.root
    found = [RecordedOverlap.model_validate(one) for one in recorded(overlaps_of(*asked))]
    said = {_place(one): one.images for one in record.overlap or ()}
    if len(said) < len(record.overlap or ()):
        raise Tampered("overlap: the record names an overlap twice")
    possible = {(one.test, one.holder, use.role) for use, one in comparisons_of(*asked) if one.unsearched}
    for place in said.keys() - {_place(one) for one in found}:
        if place[:3] not in possible:
            raise Tampered(f"overlap: {place[0]} shares no {place[3]} with the {place[2]} set {place[1]}")
    for one in found:
        if _place(one) not in said:
            raise Tampered(f"overlap: the record omits that {one.set} shares {one.shared} with {one.holder}")
        if one.images is not None and said[_place(one)] is not None:
            check_same({"overlap": said[_place(one)]}, {"overlap": one.images})


def _place(one: RecordedOverlap) -> tuple[str, str, str, str]:
    return one.set, one.holder, one.role, one.shared


def _check_sizes(record: Done, model: AdaptedModel, needs: Sequence[Done]) -> None:
    """Compare the recorded numbers of parameters and bytes with the numbers that follow from tensor shapes."""
    costs, size = record.costs, count(model.network)
    said = {**vars(costs), **vars(costs.memory)}
    weights = size.total_bytes + sum(buffer.nbytes for buffer in model.network.buffers())
    check_same(
        said,
        {
            "trainable": size.trainable,
            "total": size.total,
            "stored_bytes": sum(tensor.nbytes for tensor in tensors(model.adapted).values()),
            "weights": weights,
            "gradients": size.trainable_bytes,
            "optimizer": 2 * size.trainable_bytes,
            "activations": costs.saved_for_backward_bytes,
        },
        "costs: ",
    )
    check_near("required_seconds", costs.required_seconds, sum(need.costs.training_seconds for need in needs), 1e-6)
    if costs.merged != (costs.merged_inference_seconds_per_megapixel is not None):
        raise Tampered(
            "costs: merged: expected an inference time after merging if and only if the method can be merged"
        )


def check_rate(record: Done, found: RateSelection | None) -> None:
    """Compare a tuned cell's learning rate and doubling test with the trials.

    Raises:
        Tampered: the record's learning rate, or its result of the doubling test, does not follow from the trials.
        PetlirError: the trials are missing.
    """
    said = record.convergence
    if record.cell.regime != "tuned":
        if said is not None:
            raise Tampered(f"convergence: expected no value, since the regime {record.cell.regime} tunes no rate")
        return
    if found is None:
        raise PetlirError("the trials of the cell's learning rate are not in the submission")
    check_same({"learning_rate": record.cell.learning_rate}, {"learning_rate": found.rate})
    if said is not None:
        derived = found.convergence.to_dict() if found.convergence else {}
        for name in ("psnr", "half_psnr", "change"):
            check_near(name, getattr(said, name), derived.get(name), 1e-9, "convergence: ")
