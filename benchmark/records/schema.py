"""The schema of a record: the types of the objects that reading a record returns.

`record.schema.json` is generated from these types.

`python -m petlir.benchmark.records.schema` regenerates `record.schema.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NotRequired, TypedDict, get_args

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr, TypeAdapter

from petlir.benchmark.records.groups import Group
from petlir.benchmark.records.recorded_cell import Accumulation as Accumulation
from petlir.benchmark.records.recorded_cell import RecordedCell as RecordedCell
from petlir.benchmark.records.recorded_costs import RecordedCosts
from petlir.benchmark.records.scores import ScoreTable
from petlir.benchmark.records.types import Count, Hash, Moment, Name, Number, RecordPart, Value
from petlir.benchmark.scoring.registry import LEADING, Score

if TYPE_CHECKING:
    from petlir.benchmark.statistics.spending import SpendingPlan

SCHEMA_FILE = Path(__file__).with_name("record.schema.json")

Schema = Literal["petlir-record/2"]
RETRIED = ("failed", "out-of-memory")
"""The states of a record whose cell is run again when the command is repeated."""


class Origin(TypedDict):
    """The origin of a submitted record, its level of verification, and whether its doubling test is verified."""

    level: str
    by: str
    tuning: str
    used_test_data: bool
    convergence: NotRequired[bool]


class Nothing(RecordPart):
    """An empty object, in place of the costs or the digests of a cell that did not finish."""


class RecordedMetric(RecordPart):
    """A metric that is computed on the stored images without a scoring protocol; its scores have a null protocol.

    `unavailable` is the reason why there are no values.
    """

    metric: Name
    better: Literal["higher", "lower"]
    colour: Name
    library: Name
    unavailable: Name | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the training curve; `loss` is the mean loss since the previous point.

    Only the last point has a validation PSNR.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # slots: a store may contain a million points

    step: Count
    learning_rate: Number
    loss: Number
    validation_psnr: Value | None


class Environment(RecordPart):
    """The environment in which the cell ran; the revision is null outside a git checkout.

    `lock` is the digest of the checkout's `requirements.lock`, null if the installed libraries deviate from it.
    """

    device: Name
    python: Name
    torch: Name
    petlir: Name
    platform: str
    git_revision: str | None
    git_dirty: bool | None
    deterministic: bool
    precision: Name
    threads: Count
    versions: dict[str, str]
    lock: Hash | None = None


class RecordedOverlap(RecordPart):
    """Overlap of a test set with a training, validation or pre-training set.

    `images` is the number of shared images, null if unknown.
    """

    set: Name
    holder: Name
    role: Literal["training", "validation", "pre-training"]
    shared: Literal["images", "scenes"]
    images: Count | None


class RecordedConvergence(RecordPart):
    """The doubling test: validation PSNR in dB at the cell's learning rate with the selection seed.

    `psnr` is reached after the cell's number of steps, `half_psnr` after half of these steps with a complete
    schedule of its own, and `change` is the difference; `half_psnr` and `change` are null if training with half of the
    steps diverged.
    """

    psnr: Number
    half_psnr: Number | None
    change: Number | None


class RecordedDigests(RecordPart):
    """SHA-256 digests of the cell's data and results; `adapter` is null if nothing was trained."""

    adapter: Hash | None
    predictions: Hash
    data: Hash
    weights: Hash


class RecordFields(RecordPart):
    """The fields common to all versions and states of a record."""

    key: Hash
    cell: RecordedCell
    key_components: dict[str, str]
    environment: Environment
    convergence: RecordedConvergence | None = None
    converged: Annotated[bool | None, Field(deprecated="ignored: older than the doubling test")] = None
    smoke: bool
    overlap: list[RecordedOverlap] | None = None
    started: Moment
    finished: Moment
    curve: list[CurvePoint]


class DoneFields(RecordFields):
    """The additional fields of a finished cell."""

    state: Literal["done"]
    reason: None
    costs: RecordedCosts
    digests: RecordedDigests


class UnfinishedFields(RecordFields):
    """The additional fields of a cell without a result; `reason` is a single line."""

    state: Literal["failed", "out-of-memory", "not-applicable"]
    reason: Name
    costs: RecordedCosts | Nothing
    digests: RecordedDigests | Nothing


class _Scored(RecordFields):
    schema_: Schema = Field(alias="schema")
    scores: list[ScoreTable]
    _origin: Origin | None = PrivateAttr(default=None)
    _plan: SpendingPlan | None = PrivateAttr(default=None)

    @property
    def tables(self) -> list[ScoreTable]:
        """The tables of scores that were computed under a protocol."""
        return [table for table in self.scores if table.protocol is not None]

    @property
    def protocols(self) -> list[str]:
        """The distinct protocols of the scores."""
        return list(dict.fromkeys(table.protocol for table in self.tables if table.protocol is not None))

    @property
    def images(self) -> list[Score]:
        """The score of each image in the leading metric, under the first protocol with a score of that image."""
        found: dict[tuple[str, str], Score] = {}
        for score in self.rows():
            found.setdefault((score.set, score.image), score)
        return list(found.values())

    def rows(self, metric: str = LEADING) -> Iterator[Score]:
        """Yield the scores of a metric under all protocols."""
        for table in self.tables:
            yield from table.rows(metric)

    def every_row(self) -> Iterator[Score]:
        """Yield the scores of all metrics under all protocols."""
        for table in self.tables:
            for metric in table.values:
                yield from table.rows(metric)

    def measured(self, metric: str) -> Iterator[Score]:
        """Yield the values of a metric that is not computed under protocols."""
        for table in self.scores:
            if table.protocol is None:
                yield from table.rows(metric)

    @property
    def device(self) -> str:
        """The device on which the cell ran."""
        return self.environment.device

    @property
    def title(self) -> str:
        """The cell's title, for display: backbone, label, task and seed."""
        return self.cell.title

    @property
    def group(self) -> Group:
        """The group, and thus the table, to which the record belongs."""
        return Group(self.cell.track, self.cell.backbone, self.device, self.cell.regime)

    @property
    def origin(self) -> Origin | None:
        """The origin of a submitted record, stored in another file; None if the cell ran in this store."""
        return self._origin

    @property
    def plan(self) -> SpendingPlan | None:
        """The interim analyses planned for the cell, stored in another file; None if none are planned."""
        return self._plan

    def annotate(self, origin: Origin | None, plan: SpendingPlan | None) -> None:
        """Attach the origin and the planned interim analyses, which the store keeps in other files."""
        self._origin, self._plan = origin, plan


def _under_a_protocol(scores: list[ScoreTable]) -> list[ScoreTable]:
    if all(table.protocol is None for table in scores):
        raise ValueError("a finished cell needs at least one score under a protocol")
    return scores


class Done(_Scored, DoneFields):
    """The record of a finished cell."""

    scores: Annotated[list[ScoreTable], Field(min_length=1), AfterValidator(_under_a_protocol)]
    metrics: list[RecordedMetric] = Field(default_factory=list)


class Unfinished(_Scored, UnfinishedFields):
    """The record of a cell without a result."""

    scores: Annotated[list[ScoreTable], Field(max_length=0)]

    @property
    def metrics(self) -> list[RecordedMetric]:
        """An empty list: a cell without a result has no images to measure."""
        return []


Record = Done | Unfinished
RECORDS: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="state", title=get_args(Schema)[0])])


def schema() -> dict[str, object]:
    """Return the JSON schema of a record."""
    return RECORDS.json_schema()


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n")
