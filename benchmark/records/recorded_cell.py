"""The cell of a record."""

from __future__ import annotations

from typing import Literal

from petlir.benchmark import cell as requested
from petlir.benchmark.records.types import Count, Name, Number, PathName, RecordPart


class Accumulation(RecordPart):
    """Gradient accumulation: each batch was processed in parts, because memory ran out.

    `batch_statistics` is true if the method uses batch statistics; these then cover only a part of each batch, and the
    cell is not ranked.
    """

    parts: Count
    batch_statistics: bool


class RecordedCell(RecordPart):
    """The requested cell. `label` names the method's row in tables; `regime` is `none` if nothing is trained.

    `degradation` describes how clean images are degraded, with all parameters; empty if all image sets consist of pairs
    of degraded and clean images.
    `reference` is true for reference methods, which are never ranked.
    """

    backbone: Name
    method: Name
    options: dict[str, object]
    label: Name
    task: PathName
    track: PathName
    seed: Count
    heads: list[str]
    regime: Literal["tuned", "paper", "none"]
    learning_rate: Number | None
    steps: Count
    batch_size: Count
    patch: Count
    protocols: list[Name]
    simulated: str
    data_label: str
    degradation: str = ""
    transfer: Literal["seen", "related", "unseen"]
    accumulation: Accumulation | None = None
    reference: bool = False

    @property
    def title(self) -> str:
        """The cell's title, for display: backbone, label, task and seed."""
        return f"{self.backbone} · {self.label} · {self.task} · seed {self.seed}"

    @property
    def budget(self) -> str:
        """Training budget: steps, batch size and crop side; cells with different budgets never share a table column.

        If a method uses batch statistics, and its batches were split because memory ran out, the budget also states the
        number of parts.
        """
        whole = f"{self.steps} steps × {self.batch_size} × {self.patch}²"
        parts = self.accumulation
        return f"{whole}, batch statistics in {parts.parts} parts" if parts and parts.batch_statistics else whole

    def reference_or(self, otherwise: bool) -> bool:
        """Return whether the method is a reference method; for older records without this field, return `otherwise`."""
        return self.reference if "reference" in self.model_fields_set else otherwise

    def request(self) -> requested.Cell:
        """Convert the recorded cell to the `Cell` of a request."""
        return requested.Cell(
            backbone=self.backbone,
            method=self.method,
            options=self.options,
            label=self.label,
            task=self.task,
            track=self.track,
            seed=self.seed,
            regime=self.regime,
            rate=self.learning_rate,
            steps=self.steps,
            batch_size=self.batch_size,
            patch=self.patch,
        )
