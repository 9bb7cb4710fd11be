"""A cell: one backbone, method, task, track and seed. Each cell is run, distributed and resumed separately."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import ClassVar, Protocol


class Chosen(Protocol):
    """The properties of a method, including its options, that a cell records."""

    name: ClassVar[str]

    @property
    def label(self) -> str:
        """The name of the method's row in tables."""

    def options(self) -> dict[str, object]:
        """Return the options by name."""


@dataclass(frozen=True)
class Cell:
    """A cell, the benchmark's unit of work, as plain data that can be sent to a worker as JSON.

    Attributes:
        backbone: name of the backbone.
        method: name of the method.
        options: all options of the method.
        label: name of the method's row in tables.
        task: name of the task.
        track: name of the track.
        seed: random seed of the data order and the initial weights.
        regime: `tuned`, `paper`, or `none` if nothing is trained.
        rate: AdamW's initial learning rate; None if nothing is trained, or if the rate has not been tuned yet.
        steps: optimiser steps.
        batch_size: crops per step.
        patch: side length of a degraded crop in pixels.
    """

    backbone: str
    method: str
    options: Mapping[str, object]
    label: str
    task: str
    track: str
    seed: int
    regime: str
    rate: float | None
    steps: int
    batch_size: int
    patch: int

    def at(self, rate: float) -> Cell:
        """Return this cell with the given learning rate."""
        return replace(self, rate=rate)

    def on(self, task: str) -> Cell:
        """Return this cell for another task."""
        return replace(self, task=task)

    def of(self, method: Chosen, task: str | None = None) -> Cell:
        """Return the cell of another method, optionally on another task, with the same backbone, track and seed."""
        return replace(
            self, method=method.name, options=method.options(), label=method.label, task=task or self.task, rate=None
        )

    def to_dict(self) -> dict[str, object]:
        """Return the cell as a dictionary that can be written as JSON."""
        return {**{field.name: getattr(self, field.name) for field in fields(self)}, "options": dict(self.options)}

    def __str__(self) -> str:
        return f"{self.backbone} · {self.label} · {self.task} · seed {self.seed}"

    @cached_property
    def selection(self) -> str:
        """The digest of all fields except seed, rate, regime and label.

        Cells for which this digest is equal share one learning-rate selection.
        """
        plain = {k: v for k, v in self.to_dict().items() if k not in ("seed", "rate", "regime", "label")}
        return digest(plain)

    @property
    def budget(self) -> str:
        """The training budget as text: steps × crops per step × side length of a crop."""
        return f"{self.steps} × {self.batch_size} × {self.patch}"


def digest(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Common:
    """Everything that determines a cell's result besides the cell's own fields; equal for all seeds and learning rates.

    Attributes:
        options: the method's options that differ from their defaults.
        weights: digest of the backbone's pre-trained weights.
        data: digest of all images of the task.
        plugin: revisions of the files that backbone, method and task depend on.
        engine: revisions of the engine's modules.
        heads: the output heads through which an image passes.
        protocols: ids of the scoring protocols, each including the network's field of view.
        device: device type if random numbers are drawn on the device; empty if they do not depend on the device.
    """

    options: Mapping[str, object]
    weights: str
    data: str
    plugin: tuple[str, ...]
    engine: tuple[str, ...]
    heads: tuple[str, ...]
    protocols: tuple[str, ...]
    device: str = ""

    def key_components(self, cell: Cell, needs: tuple[str, ...] = ()) -> dict[str, str]:
        """Return the key components of a cell by name, so that the component that made a cell stale can be reported.

        Args:
            cell: the cell.
            needs: the keys of the cells that `cell` requires.
        """
        optional = {"needs": digest(needs) if needs else "", "device": self.device}
        return {name: value for name, value in optional.items() if value} | {
            "backbone": cell.backbone,
            "weights": self.weights,
            "method": cell.method,
            "options": digest(dict(self.options)),
            "task": cell.task,
            "track": cell.track,
            "seed": str(cell.seed),
            "budget": cell.budget,
            "rate": f"{cell.regime} {cell.rate}",
            "data": self.data,
            "plugin": " ".join(self.plugin),
            "heads": " ".join(self.heads),
            "protocols": " ".join(self.protocols),
            "engine": " ".join(self.engine),
        }

    def selection(self, cell: Cell, needs: tuple[str, ...] = ()) -> str:
        """Return the digest that identifies a learning-rate selection: all key components except seed and rate.

        Args:
            cell: the cell.
            needs: the selection digests of the cells that `cell` requires.
        """
        own = self.key_components(cell, needs)
        return digest({name: value for name, value in own.items() if name not in ("seed", "rate")})


def key(parts: Mapping[str, str]) -> str:
    """Return the content key of a cell: the digest of the cell's key components."""
    return digest(dict(parts))
