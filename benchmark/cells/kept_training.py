"""Storage of trained parameters until a cell is scored, so that a failure during scoring does not lose them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import torch

from petlir.benchmark.cells.adapted_model import prepare
from petlir.benchmark.cells.job import Job
from petlir.benchmark.cells.train import Trained
from petlir.benchmark.costs import StepTimer
from petlir.benchmark.errors import FAULTS, PetlirError
from petlir.benchmark.training.loop import Fit
from petlir.benchmark.writing import write_bytes

TRAINED = "trained.pt"
"""The name of the file with trained parameters in a cell's work folder."""
DAMAGED = (*FAULTS, OSError, EOFError, PetlirError)
"""Exceptions that may be raised when a damaged file is read."""


def keep_training(one: Trained, job: Job, work: Path) -> None:
    """Write the trained parameters, the training curve and the costs to the work folder, unless their file exists.

    Raises:
        Unwritable: the file of trained parameters cannot be written.
    """
    path = work / TRAINED
    if one.fitted is None or path.exists():
        return
    buffer = BytesIO()
    content = {"adapter": one.model.adapted.state(), "spent": one.spent, "parts": one.parts}
    torch.save(content | {"curve": one.fitted.curve, "step": one.fitted.step}, buffer)
    write_bytes(path, buffer.getvalue())
    job.store.publish(path)


def load_training(job: Job, device: str, work: Path) -> Trained | None:
    """Return the trained model that an earlier attempt stored, or None if the model's file is missing or damaged."""
    path = job.store.fetch(work / TRAINED)
    if not path.exists():
        return None
    try:
        content = torch.load(path, weights_only=True)
        model = prepare(job, device, content["adapter"])
        model.adapted.load(content["adapter"])
        fitted = Fit(StepTimer(), step=content["step"], curve=content["curve"])
        trained = Trained(model, content["spent"], fitted, content["parts"])
    except DAMAGED:  # the cell is trained again
        path.unlink(missing_ok=True)
        return None
    model.adapted.eval()
    return trained
