"""What `petlir analyse` has found, drawn: curves over frequency, contributions, branches, transfer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.errors import PetlirError
from reports.axis import Axis, spanning
from reports.curves import BOTTOM, LEFT, RIGHT, TOP

TITLES = {
    "fourier": "Frequencies of what methods add",
    "contribution": "What full fine-tuning moved",
    "response": "Branches",
    "transfer": "Transfer",
}
HUES = 6
"""Colours of the style sheet; further lines are dashed."""


@dataclass(frozen=True)
class Study:
    """One analysis of a store.

    Attributes:
        name: as the command has it.
        rows: its table; empty where it applied to nothing.
        sentences: what the rows show.
        left_out: what it does not apply to, with the reasons.
    """

    name: str
    rows: pd.DataFrame
    sentences: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its heading."""
        return TITLES[self.name]

    @property
    def colours(self) -> dict[str, str]:
        """Classes of the style sheet for each task."""
        return hues(sorted(self.rows.task.dropna().unique())) if self._is("fourier") else {}

    @property
    def panels(self) -> list[Panel]:
        """The Fourier curves of each label, all on the same axes."""
        return panels(self.rows) if self._is("fourier") else []

    @property
    def matrices(self) -> list[Matrix]:
        """The transfer matrix of each label."""
        return matrices(self.rows) if self._is("transfer") else []

    @property
    def table(self) -> list[list[str]]:
        """Head and lines, of contributions by kind and place, or of the strength of branches."""
        shapes = {"contribution": _contributions, "response": _strengths}
        return [] if self.rows.empty or self.name not in shapes else _lines(shapes[self.name](self.rows))

    def _is(self, name: str) -> bool:
        return self.name == name and not self.rows.empty


@dataclass(frozen=True)
class Panel:
    """The curves of one method, a line a task."""

    label: str
    x: Axis
    y: Axis
    lines: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Matrix:
    """Gains over the frozen network in dB, trained on × tested on; None where a cell is missing."""

    label: str
    tasks: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]


def studies(store: Path, warn: Callable[[str], None]) -> list[Study]:
    """The analyses that a store holds; `warn` gets a line on each that is damaged, which is left out."""
    found = []
    for name in TITLES:
        if (store / "analyses" / f"{name}.csv").is_file():
            try:
                found.append(_read(store / "analyses", name))
            except PetlirError as error:
                warn(str(error))
    return found


def _read(folder: Path, name: str) -> Study:
    try:
        told = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        rows = pd.read_csv(folder / f"{name}.csv")
        return Study(name, rows, tuple(told["sentences"]), tuple(told["left_out"]))
    except pd.errors.EmptyDataError:
        return Study(name, pd.DataFrame(), tuple(told["sentences"]), tuple(told["left_out"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PetlirError(f"analysis {folder / name} is damaged: {error}; `petlir analyse {name}` makes it") from error


def hues(names: Sequence[str]) -> dict[str, str]:
    """A colour of the style sheet for each name, further ones dashed."""
    return {name: f"hue-{place % HUES} dash-{place // HUES}" for place, name in enumerate(names)}


def panels(rows: pd.DataFrame) -> list[Panel]:
    """The Fourier curves of each label, all on the same axes."""
    curves = rows[rows.frequency.notna()]
    x, y = Axis(0, 1, LEFT, RIGHT), spanning(curves.relative_log_amplitude, BOTTOM, TOP)
    colours = hues(sorted(curves.task.unique()))
    return [
        Panel(str(label), x, y, tuple(_line(str(task), one, x, y, colours) for task, one in of_label.groupby("task")))
        for label, of_label in curves.groupby("label")
    ]


def _line(task: str, rows: pd.DataFrame, x: Axis, y: Axis, colours: Mapping[str, str]) -> tuple[str, str, str]:
    points = zip(rows.frequency, rows.relative_log_amplitude, strict=True)
    return task, colours[task], " ".join(f"{x(frequency)},{y(value)}" for frequency, value in points)


def matrices(rows: pd.DataFrame) -> list[Matrix]:
    """The transfer matrix of each label."""
    found = []
    for label, one in rows.groupby("label"):
        tasks = tuple(sorted({*one.trained, *one.tested}))
        gains = one.set_index(["trained", "tested"]).over_frozen
        found.append(Matrix(str(label), tasks, tuple(tuple(gains.get((a, b)) for b in tasks) for a in tasks)))
    return found


def _contributions(rows: pd.DataFrame) -> pd.DataFrame:
    """Means per parameter of each kind and place."""
    groups = rows[rows.level != "tensor"]
    return groups.pivot_table(index=["label", "task"], columns="group", values="mean", sort=False)


def _strengths(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.pivot_table(index=["label", "branch"], columns="task", values="strength", sort=False)


def _lines(wide: pd.DataFrame) -> list[list[str]]:
    """Head and lines of a table."""
    head = [*map(str, wide.index.names), *map(str, wide.columns)]
    numbers = zip(wide.index, wide.to_numpy(), strict=True)
    return [head, *([*map(str, names), *(f"{value:.3g}" for value in line)] for names, line in numbers)]
