"""Results of `petlir analyse` as figures and tables: spectra, contributions, branch responses, transfer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.records.json_files import read_json
from petlir.reports.figures.axis import Axis, spanning
from petlir.reports.figures.colours import hues
from petlir.reports.figures.curves import BOTTOM, LEFT, RIGHT, TOP
from petlir.reports.figures.layers import Layers, contributions, ranks
from petlir.reports.figures.strengths import Strengths, strengths
from petlir.reports.formats import csv_text

TITLES = {
    "fourier": "Frequencies that methods add",
    "contribution": "Contributions of tensors to full fine-tuning, and ranks of updates",
    "response": "Outputs of branches",
    "transfer": "Transfer between tasks",
}
COLUMNS = {
    "fourier": ("label", "task", "frequency", "relative_log_amplitude"),
    "contribution": ("label", "task", "level", "group", "mean", "kind", "place", "rank"),
    "response": ("label", "task", "branch", "strength"),
    "transfer": ("label", "trained", "tested", "over_frozen", "expert", "most", "most_forced"),
}
"""The columns that figures use, by analysis; columns that the table of an analysis lacks are added without values."""
RESPONSES = {
    "strength": "Strength: mean absolute output of a branch, or mean value of a gate",
    "low_energy": "Fraction of a feature map's energy below 0.05 cycles per pixel, including its mean",
    "channel_variance": "Variance over channels",
}
"""The captions of the quantities that are measured on each branch and on the sum of everything that a method adds."""


@dataclass(frozen=True)
class Study:
    """The results of one analysis of a store.

    Attributes:
        name: the name of the analysis, as on the command line.
        rows: the table of results; empty if the analysis did not apply to any cell.
        sentences: the findings.
        left_out: cells to which the analysis does not apply, with the reasons.
    """

    name: str
    rows: pd.DataFrame
    sentences: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def title(self) -> str:
        """The heading of the analysis."""
        return TITLES[self.name]

    @property
    def colours(self) -> dict[str, str]:
        """The style-sheet classes of each task in the Fourier curves."""
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
    def confusions(self) -> list[Matrix]:
        """The router confusion matrix of each label with a router."""
        return confusions(self.rows, "most") if self._is("transfer") else []

    @property
    def forced_confusions(self) -> list[Matrix]:
        """The router confusion matrices for a forced choice, in which `none` cannot be chosen."""
        return confusions(self.rows, "most_forced") if self._is("transfer") else []

    @property
    def moved(self) -> tuple[dict[str, str], list[Layers]]:
        """The style of each kind of tensor, and the contributions of each fully fine-tuned cell."""
        return contributions(self.rows) if self._is("contribution") else ({}, [])

    @property
    def ranks(self) -> list[Layers]:
        """The ranks of each cell whose label has different ranks for different projections or tasks."""
        return ranks(self.rows) if self._is("contribution") else []

    @property
    def strengths(self) -> list[Strengths]:
        """The strengths of the branches and gates of each label."""
        return strengths(self.rows) if self._is("response") else []

    @property
    def csv(self) -> str:
        """All rows, as CSV."""
        return csv_text(self.rows.dropna(axis=1, how="all"))

    @property
    def tables(self) -> list[tuple[str, list[list[str]]]]:
        """Captions and tables of contributions by kind and place, or of branch responses; row 1 has the headings."""
        if self._is("contribution"):
            wide = _contributions(self.rows)
            return [("Mean contribution per parameter", _lines(wide))] if len(wide) else []
        return _responses(self.rows) if self._is("response") else []

    def _is(self, name: str) -> bool:
        return self.name == name and not self.rows.empty


@dataclass(frozen=True)
class Panel:
    """The Fourier curves of one label: for each task, its name, its style-sheet classes and its polyline."""

    label: str
    x: Axis
    y: Axis
    lines: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Matrix:
    """A matrix of values for one label, with the row names `down` and the column names `across`; None if missing."""

    label: str
    down: tuple[str, ...]
    across: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]


def studies(store: Path, warn: Callable[[str], None]) -> list[Study]:
    """Return the analyses in a store.

    Damaged analyses are left out; `warn` receives a line for each damaged analysis.
    """
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
        told = read_json(folder / f"{name}.json")
        rows = pd.read_csv(folder / f"{name}.csv")
        rows = rows.reindex(columns=list(dict.fromkeys([*rows, *COLUMNS[name]])))
        return Study(name, rows, tuple(told["sentences"]), tuple(told["left_out"]))
    except pd.errors.EmptyDataError:
        return Study(name, pd.DataFrame(), tuple(told["sentences"]), tuple(told["left_out"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PetlirError(f"analysis {folder / name} is damaged: {error}; run `petlir analyse {name}` again") from error


def panels(rows: pd.DataFrame) -> list[Panel]:
    """Return the Fourier curves of each label, all on the same axes."""
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
    """Return a matrix for each label: the gains over the frozen network in dB, by training task and test task."""
    return _matrices(rows, "trained", "tested", "over_frozen")


def confusions(rows: pd.DataFrame, shares: str) -> list[Matrix]:
    """Return each router's confusion matrix, tasks × experts, with the fractions in [0, 1] from the column `shares`."""
    return _matrices(rows, "tested", "expert", shares)


def _matrices(rows: pd.DataFrame, down: str, across: str, values: str) -> list[Matrix]:
    found = []
    for label, one in rows[rows[values].notna()].groupby("label"):
        numbers = one.set_index([down, across])[values]
        rest, columns = tuple(sorted(set(one[down]))), tuple(sorted(set(one[across])))
        lines = tuple(tuple(numbers.get((a, b)) for b in columns) for a in rest)
        found.append(Matrix(str(label), rest, columns, lines))
    return found


def _contributions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean contribution per parameter for each kind of tensor and each place in the network."""
    groups = rows[rows.level.isin(["kind", "place"])]
    return groups.pivot_table(index=["label", "task"], columns="group", values="mean", sort=False)


def _responses(rows: pd.DataFrame) -> list[tuple[str, list[list[str]]]]:
    """Return a table for each quantity measured on at least one branch."""
    return [
        (caption, _lines(wide))
        for name, caption in RESPONSES.items()
        if name in rows
        and not (wide := rows.pivot_table(index=["label", "branch"], columns="task", values=name, sort=False)).empty
    ]


def _lines(wide: pd.DataFrame) -> list[list[str]]:
    """Return the headings and the rows of a table as text."""
    head = [*map(str, wide.index.names), *map(str, wide.columns)]
    numbers = zip(wide.index, wide.to_numpy(), strict=True)
    return [head, *([*map(str, names), *(f"{value:.3g}" for value in line)] for names, line in numbers)]
