"""The schema of a record: the types that reading returns. `record.schema.json` is generated from it.

`python -m petlir.benchmark.records.schema` regenerates that file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NotRequired, TypedDict, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, WithJsonSchema

from petlir.benchmark import cell as requested
from petlir.benchmark.records.groups import Group

if TYPE_CHECKING:
    from petlir.benchmark.statistics.spending import SpendingPlan

SCHEMA_FILE = Path(__file__).with_name("record.schema.json")

Schema = Literal["petlir-record/1"]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Decibel = Number | Literal["inf"]
Name = Annotated[str, Field(min_length=1)]
SEGMENT = r"[^/\\\x00-\x1f]*[^/\\\x00-\x1f.][^/\\\x00-\x1f]*"
PathName = Annotated[str, Field(pattern=f"^{SEGMENT}(/{SEGMENT})*$")]
"""A name that becomes part of a path: relative, without `..`, backslashes and control characters."""
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
RETRIED = ("failed", "out-of-memory")
"""States of a record that a repeated command retries."""


def _moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without its zone; expected one such as 2026-11-21T09:00:00+00:00")
    return text


Moment = Annotated[str, AfterValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time with its zone, as written in the file."""


class Origin(TypedDict):
    """Where a submitted record came from, and how far it was verified; `convergence`: the doubling test too."""

    level: str
    by: str
    tuning: str
    used_test_data: bool
    convergence: NotRequired[bool]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(_Part):
    """An empty object: a cell that did not finish has no costs and no digests."""


class Accumulation(_Part):
    """Gradient accumulation: each batch was processed in parts, after memory ran out.

    `batch_statistics`: the method uses statistics of the batch, which then cover fewer crops; it is not ranked.
    """

    parts: Count
    batch_statistics: bool


class RecordedCell(_Part):
    """The requested cell. `label` names its row; `regime` none: nothing is trained.

    `degradation` is the degradation of clean images, with all its parameters; empty where every set consists of pairs.
    `reference`: the method is a reference, which is never ranked.
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
        """Backbone, label, task and seed, for display."""
        return f"{self.backbone} · {self.label} · {self.task} · seed {self.seed}"

    @property
    def budget(self) -> str:
        """Steps, batch size and crop side; cells of different budgets do not share a column.

        A method with batch statistics whose batches were split after memory ran out has a budget of its own.
        """
        whole = f"{self.steps} steps × {self.batch_size} × {self.patch}²"
        parts = self.accumulation
        return f"{whole}, batch statistics in {parts.parts} parts" if parts and parts.batch_statistics else whole

    def reference_or(self, otherwise: bool) -> bool:
        """Return whether the method is a reference; `otherwise` for records older than `reference`."""
        return self.reference if "reference" in self.model_fields_set else otherwise

    def request(self) -> requested.Cell:
        """Return the cell as it was requested."""
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


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of one image under one protocol; `input` is the degraded image, enlarged bicubically where smaller."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # slots: a store has a million rows

    set: PathName
    domain: Literal["photographs", "procedural"]
    image: PathName
    unit: Name
    protocol: Name
    psnr: Decibel
    ssim: Number
    input_psnr: Decibel
    input_ssim: Number


class RecordedValue(_Part):
    """The value of a metric on one image."""

    set: PathName
    image: PathName
    value: Number


class RecordedMetric(_Part):
    """A metric beyond PSNR and SSIM, on the stored images; if `unavailable`, it gives the reason instead of values."""

    metric: Name
    better: Literal["higher", "lower"]
    colour: Name
    library: Name
    unavailable: Name | None
    values: list[RecordedValue]


class CurvePoint(_Part):
    """A point of the training curve: the mean loss since the last point; validation follows only the last step."""

    step: Count
    learning_rate: Number
    loss: Number
    validation_psnr: Decibel | None


class RecordedMemory(_Part):
    """Memory of training in bytes; `peak` is measured by the device, null where it cannot."""

    weights: Count
    gradients: Count
    optimizer: Count
    activations: Count
    peak: Count | None


class RecordedStepSeconds(_Part):
    """Seconds of one training step."""

    median: Seconds
    p95: Seconds


class RecordedCosts(_Part):
    """Costs of the cell; times are comparable only within one device, and only if `exclusive`.

    `adaptation_seconds` covers inserting the method, with its prior analyses (CoLoRA's attribution, a router's
    prototypes); `required_seconds` is the training time of the cells that it requires; `waiting_share` is the share of
    the training seconds in which the device waits for a batch, null where nothing is trained.
    """

    trainable: Count
    stored_bytes: Count
    total: Count
    saved_for_backward_bytes: Count
    flops_per_step: Count
    memory: RecordedMemory
    step_seconds: RecordedStepSeconds | None
    adaptation_seconds: Seconds = 0.0
    training_seconds: Seconds
    required_seconds: Seconds = 0.0
    waiting_share: Share | None = None
    validation_seconds: Seconds
    evaluation_seconds: Seconds
    inference_seconds_per_megapixel: Seconds
    merged_inference_seconds_per_megapixel: Seconds | None
    merged: bool
    energy_joules: Seconds | None
    threads: Count
    exclusive: bool


class Environment(_Part):
    """The environment of the cell; the revision is null outside a git checkout.

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


class RecordedOverlap(_Part):
    """Overlap of a test set with a set used to fit the cell; `images` counts its shared images, null where unknown."""

    set: Name
    holder: Name
    role: Literal["training", "validation", "pre-training"]
    shared: Literal["images", "scenes"]
    images: Count | None


class RecordedConvergence(_Part):
    """The doubling test: validation PSNR in dB at the cell's learning rate with the selection seed.

    `psnr` is reached after the cell's number of steps, `half_psnr` after half of them with a full schedule of its own,
    and `change` is the difference; the last two are null if the half trial diverged.
    """

    psnr: Number
    half_psnr: Number | None
    change: Number | None


class RecordedDigests(_Part):
    """SHA-256 digests of the cell's data and results; the adapter is null where nothing was trained."""

    adapter: Hash | None
    predictions: Hash
    data: Hash
    weights: Hash


class _Common(_Part):
    schema_: Schema = Field(alias="schema")
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
    _origin: Origin | None = PrivateAttr(default=None)
    _plan: SpendingPlan | None = PrivateAttr(default=None)

    @property
    def device(self) -> str:
        """The device of the cell."""
        return self.environment.device

    @property
    def title(self) -> str:
        """Backbone, label, task and seed, for display."""
        return self.cell.title

    @property
    def group(self) -> Group:
        """The table that the record belongs to."""
        return Group(self.cell.track, self.cell.backbone, self.device, self.cell.regime)

    @property
    def origin(self) -> Origin | None:
        """The origin of a submitted record; None if the cell ran in this store. The store knows it, not the file."""
        return self._origin

    @property
    def plan(self) -> SpendingPlan | None:
        """The interim analyses planned for the cell; None without any. The store knows them, not the file."""
        return self._plan

    def annotate(self, origin: Origin | None, plan: SpendingPlan | None) -> None:
        """Attach what the store knows about the record."""
        self._origin, self._plan = origin, plan


class Done(_Common):
    """A finished cell."""

    state: Literal["done"]
    reason: None
    scores: Annotated[list[Score], Field(min_length=1)]
    metrics: list[RecordedMetric] = []
    curve: list[CurvePoint]
    costs: RecordedCosts
    digests: RecordedDigests


class Unfinished(_Common):
    """A cell without a result, and the reason in one line."""

    state: Literal["failed", "out-of-memory", "not-applicable"]
    reason: Name
    scores: Annotated[list[Score], Field(max_length=0)]
    curve: list[CurvePoint]
    costs: RecordedCosts | Nothing
    digests: RecordedDigests | Nothing

    @property
    def metrics(self) -> list[RecordedMetric]:
        """An empty list: there are no images to measure."""
        return []


Record = Done | Unfinished
RECORDS: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="state", title=get_args(Schema)[0])])
SCORES = TypeAdapter(list[Score])


def schema() -> dict[str, object]:
    """Return the JSON schema of a record."""
    return RECORDS.json_schema()


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n")
