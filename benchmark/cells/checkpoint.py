"""Handling of damaged checkpoints: a damaged file is moved aside, and training restarts from the beginning."""

from __future__ import annotations

import logging
import zipfile
from dataclasses import fields
from pathlib import Path

import torch

from petlir.benchmark.errors import FAULTS, Unwritable, told
from petlir.benchmark.training.loop import Fit

ASIDE = ".damaged"
"""The suffix that distinguishes the folder of a damaged checkpoint from the cell's work folder."""
CONTENT = {"adapter": dict, "optimizer": dict, "scaler": dict, "fit": dict, "times": list}
"""The entries of a checkpoint, and their types."""


def set_aside_damaged(checkpoint: Path) -> None:
    """Move a checkpoint, if it is damaged, into a new folder next to the cell's work folder, and log a warning.

    `petlir clean` removes the folder of a damaged checkpoint once the cell is finished.

    Raises:
        Unwritable: the checkpoint cannot be moved.
    """
    damage = _damage(checkpoint) if checkpoint.exists() else ""
    if not damage:
        return
    aside = checkpoint.parent.with_name(f"{checkpoint.parent.name}{ASIDE}") / checkpoint.name
    try:
        aside.parent.mkdir(exist_ok=True)
        checkpoint.replace(aside)
    except OSError as error:
        raise Unwritable(f"cannot set aside {checkpoint}: {error.strerror}") from error
    line = f"petlir: checkpoint {checkpoint} is damaged: {damage}; training starts again; the file was moved to {aside}"
    logging.getLogger("petlir").warning(line)


def _damage(checkpoint: Path) -> str:
    """Return a description of the damage to a checkpoint, or "" if training can continue from it."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:  # torch does not compare checksums
            if changed := archive.testzip():
                return f"its entry {changed} is corrupt"
        content = torch.load(checkpoint, weights_only=True, mmap=True)
    except FAULTS as error:  # a damaged archive or pickle may raise any exception
        return told(error)
    if not isinstance(content, dict):
        return f"its content is of type {type(content).__name__}, expected dict"
    wrong = [name for name, kind in CONTENT.items() if not isinstance(content.get(name), kind)]
    if not wrong and not content["fit"].keys() <= {field.name for field in fields(Fit)}:
        wrong = ["fit"]
    return f"it holds no valid {', '.join(wrong)}" if wrong else ""
