"""A cell: one (backbone, method, task, track, seed), the unit of work, of resume and of distribution."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import ClassVar, Protocol


class Chosen(Protocol):
    """A method with its options, as far as a cell names it."""

    name: ClassVar[str]

    @property
    def label(self) -> str:
        """What its row is called."""

    def options(self) -> dict[str, object]:
        """The options by name."""


@dataclass(frozen=True)
class Cell:
    """What is to be done, as plain data, so that it travels to a worker as JSON.

    Attributes:
        backbone: name of the backbone.
        method: name of the method.
        options: all of its options.
        label: what its row is called.
        task: name of the task.
        track: name of the track.
        seed: of data order and initial weights.
        regime: `tuned`, `paper`, or `none` where nothing is trained.
        rate: AdamW's first learning rate; None where nothing is trained, or it is still to be tuned.
        steps: optimiser steps.
        batch_size: crops of a step.
        patch: side of a crop on the degraded side.
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
        """This cell at a learning rate."""
        return replace(self, rate=rate)

    def on(self, task: str) -> Cell:
        """This cell on another task."""
        return replace(self, task=task)

    def of(self, method: Chosen, task: str | None = None) -> Cell:
        """The cell of another method, maybe on another task, at the same backbone, track and seed."""
        return replace(
            self, method=method.name, options=method.options(), label=method.label, task=task or self.task, rate=None
        )

    def to_dict(self) -> dict[str, object]:
        """The cell as JSON holds it."""
        return {**{field.name: getattr(self, field.name) for field in fields(self)}, "options": dict(self.options)}

    def __str__(self) -> str:
        return f"{self.backbone} · {self.label} · {self.task} · seed {self.seed}"

    @cached_property
    def selection(self) -> str:
        """What one choice of the learning rate is made for: everything but seed and rate."""
        plain = {k: v for k, v in self.to_dict().items() if k not in ("seed", "rate", "regime", "label")}
        return digest(plain)

    @property
    def budget(self) -> str:
        """Steps, crops of a step, and their side."""
        return f"{self.steps} × {self.batch_size} × {self.patch}"


def digest(value: object) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Common:
    """What decides a cell's result beside the cell itself, for all its seeds and rates alike.

    Attributes:
        options: the method's options that differ from their defaults.
        weights: digest of the backbone's pre-trained weights.
        data: digest of all its images.
        plugin: revisions of the files that backbone, method and task are built on.
        engine: revisions of the engine's modules.
        heads: the heads that an image goes through.
        protocols: the ids under which it is scored, with what the network sees at once.
        device: the type of the device where random numbers are drawn on it; empty where they do not depend on it.
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
        """Return what decides a cell's result, each by itself, so that a stale cell can say which one changed.

        Args:
            cell: the cell.
            needs: the keys of the cells that it requires.
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
        """Return the digest of what one choice of the learning rate is made on: all of it but seed and rate.

        Args:
            cell: the cell.
            needs: the digests of the selections of the cells that it requires.
        """
        own = self.key_components(cell, needs)
        return digest({name: value for name, value in own.items() if name not in ("seed", "rate")})


def key(parts: Mapping[str, str]) -> str:
    """The content key of a cell: the digest of its components."""
    return digest(dict(parts))
