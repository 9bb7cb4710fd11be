"""Identification of tasks whose test images only simulate a camera or the weather."""

from __future__ import annotations

from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.task import Task


def simulation(task: Task, on: str) -> str:
    """Return the name of the simulated degradation of a track's test images, or "" if there is none.

    Real degraded images and exactly known degradations, such as bicubic downscaling, are not simulations.
    """
    if task.parts:
        return ", ".join(dict.fromkeys(filter(None, (simulation(part, on) for part in task.parts))))
    return "" if replaced_by_pairs(task, on) or task.degradation is None else task.degradation.simulated


def replaced_by_pairs(task: Task, on: str) -> bool:
    """Return whether a track tests the task on existing image pairs instead of clean images that the task degrades."""
    return all(image_set(name).paired for name in task.on(on).tests)
