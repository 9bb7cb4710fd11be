"""Validated types for the fields of a record."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Value = Number | Literal["inf"]
"""The value of a metric in JSON; as JSON has no infinity, the PSNR of identical images is `"inf"`."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]
SEGMENT = r"[^/\\\x00-\x1f]*[^/\\\x00-\x1f.][^/\\\x00-\x1f]*"
PathName = Annotated[str, Field(pattern=f"^{SEGMENT}(/{SEGMENT})*$")]
"""A name that becomes part of a path: relative, without `..`, backslashes or control characters."""
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?")


def _moment(text: str) -> str:
    if MOMENT.fullmatch(text) is None:
        raise ValueError("not of the form 2026-11-21T09:00:00+00:00")
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without a time zone; expected e.g. 2026-11-21T09:00:00+00:00")
    return text


Moment = Annotated[str, AfterValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
"""An ISO 8601 time with a time zone, kept as the text in the file."""


class RecordPart(BaseModel):
    """A part of a record; unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)
