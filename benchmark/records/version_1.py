"""The first version of a record, which is upgraded while reading: one object for each image and protocol.

Each held PSNR and SSIM under names of their own; the values of further metrics stood beside their descriptions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from petlir.benchmark.records.json_files import parsed
from petlir.benchmark.records.schema import RecordedMetric
from petlir.benchmark.records.scores import tabulated
from petlir.benchmark.records.types import Name, Number, PathName, RecordPart, Value
from petlir.benchmark.scoring.registry import Score

SCHEMA = "petlir-record/1"
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

    def rows(self) -> Iterator[Score]:
        values = {"psnr": (self.psnr, self.input_psnr), "ssim": (self.ssim, self.input_ssim)}
        for metric, (value, given) in values.items():
            named = (self.set, self.domain, self.image, self.unit, self.protocol)
            yield Score(*named, metric, float(value), float(given))


class _ImageValue(RecordPart):
    set: PathName
    image: PathName
    value: Number


class _FurtherMetric(RecordedMetric):
    values: list[_ImageValue]


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow")

    scores: list[_ImageScores]
    metrics: list[_FurtherMetric] = []

    def rows(self) -> Iterator[Score]:
        for score in self.scores:
            yield from score.rows()
        images = {(score.set, score.image): (score.domain, score.unit) for score in self.scores}
        for metric in self.metrics:
            for one in metric.values:
                domain, unit = images.get((one.set, one.image), ("photographs", one.image))
                yield Score(one.set, domain, one.image, unit, None, metric.metric, one.value, None)


def upgraded(text: str, schema: str) -> str:
    """Return the JSON of a record of the first version in the form of `schema`; any other text unchanged.

    Raises:
        pydantic.ValidationError: its scores or metrics are not of the first version.
        ValueError: the text is not JSON.
    """
    if not MENTIONED.search(text):
        return text
    plain = parsed(text)
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        return text
    record = _Record.model_validate_json(text, strict=True)
    changes: dict[str, object] = {"schema": schema, "scores": tabulated(record.rows())}
    if record.metrics:
        changes["metrics"] = [metric.model_dump(exclude={"values"}) for metric in record.metrics]
    return json.dumps(plain | changes)
