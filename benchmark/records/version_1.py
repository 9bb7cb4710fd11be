"""The first version of the record format, with one object for each image and protocol.

Records of the first version are converted to the current form when they are read. In the first version, each object
contained PSNR and SSIM under separate names; the values of other metrics were stored with the descriptions of these
metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from petlir.benchmark.records import schema
from petlir.benchmark.records.schema import DoneFields, Record, RecordedMetric, UnfinishedFields
from petlir.benchmark.records.scores import ScoreTable, tabulated
from petlir.benchmark.records.types import Name, Number, PathName, RecordPart, Value
from petlir.benchmark.scoring.registry import Score

Schema = Literal["petlir-record/1"]
MENTIONED = re.compile(r'"petlir-record\\?/1"')


@dataclass(frozen=True, slots=True)
class _ImageScores:
    __pydantic_config__ = ConfigDict(extra="forbid")

    set: PathName
    domain: Literal["photographs", "procedural"]
    image: PathName
    unit: Name
    protocol: Name
    psnr: Value
    ssim: Number
    input_psnr: Value
    input_ssim: Number


class _ImageValue(RecordPart):
    set: PathName
    image: PathName
    value: Number


class _FurtherMetric(RecordedMetric):
    values: list[_ImageValue]


class _Done(DoneFields):
    schema_: Schema = Field(alias="schema")
    scores: Annotated[list[_ImageScores], Field(min_length=1)]
    metrics: list[_FurtherMetric] = Field(default_factory=list)


class _Unfinished(UnfinishedFields):
    schema_: Schema = Field(alias="schema")
    scores: Annotated[list[_ImageScores], Field(max_length=0)]


RECORDS: TypeAdapter[_Done | _Unfinished] = TypeAdapter(Annotated[_Done | _Unfinished, Field(discriminator="state")])


def parse(text: str) -> Record | None:
    """Return a record of the first version in the current form; None if the text is of another version.

    Raises:
        pydantic.ValidationError: the text is of the first version, but is not a valid record.
    """
    if not MENTIONED.search(text):
        return None
    try:
        old = RECORDS.validate_json(text, strict=True)
    except ValidationError as error:
        if any(one["loc"][-1:] == ("schema",) for one in error.errors(include_url=False)):
            return None
        raise
    fields = {**old.__dict__, "schema_": get_args(schema.Schema)[0], "scores": []}
    if isinstance(old, _Unfinished):
        return schema.Unfinished.model_construct(old.model_fields_set, **fields)
    fields["scores"] = [*_tables(old.scores), *map(ScoreTable.model_validate, tabulated(_further(old)))]
    fields["metrics"] = [RecordedMetric(**metric.model_dump(exclude={"values"})) for metric in old.metrics]
    return schema.Done.model_construct(old.model_fields_set, **fields)


def _tables(scores: Sequence[_ImageScores]) -> Iterator[ScoreTable]:
    found: dict[tuple[str, str, str], list[_ImageScores]] = {}
    for score in scores:
        found.setdefault((score.set, score.domain, score.protocol), []).append(score)
    for (set_, domain, protocol), rows in found.items():
        yield ScoreTable.model_construct(  # without validation: the parts have been validated
            set=set_,
            domain=domain,
            protocol=protocol,
            images=[row.image for row in rows],
            units=[row.unit for row in rows],
            values={"psnr": [row.psnr for row in rows], "ssim": [row.ssim for row in rows]},
            inputs={"psnr": [row.input_psnr for row in rows], "ssim": [row.input_ssim for row in rows]},
        )


def _further(old: _Done) -> Iterator[Score]:
    images = {(score.set, score.image): (score.domain, score.unit) for score in old.scores}
    for metric in old.metrics:
        for one in metric.values:
            domain, unit = images.get((one.set, one.image), ("photographs", one.image))
            yield Score(one.set, domain, one.image, unit, None, metric.metric, one.value, None)
