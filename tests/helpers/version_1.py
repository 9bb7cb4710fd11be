"""Records in the first version of the schema, where tests can edit each score by itself."""

from __future__ import annotations

from typing import Any

from petlir.benchmark.records.scores import tabulated
from petlir.benchmark.scoring.registry import Score

Plain = dict[str, Any]


def flat(scores: list[Plain]) -> list[Plain]:
    """Return stored scores as one object per image and protocol, in the order in which images are scored."""
    found: dict[tuple[str, str], list[Plain]] = {}
    for table in scores:
        for place, image in enumerate(table["images"] if table["protocol"] is not None else ()):
            one = {name: table[name] for name in ("set", "domain", "protocol")}
            one |= {"image": image, "unit": table["units"][place]}
            one |= {name: column[place] for name, column in table["values"].items()}
            one |= {f"input_{name}": column[place] for name, column in table["inputs"].items()}
            found.setdefault((table["set"], image), []).append(one)
    return [one for several in found.values() for one in several]


def measured(scores: list[Plain], metric: str) -> list[Plain]:
    """Return the values of a metric that has no protocol."""
    return [
        {"set": table["set"], "image": image, "value": value}
        for table in scores
        if table["protocol"] is None and metric in table["values"]
        for image, value in zip(table["images"], table["values"][metric], strict=True)
    ]


def version_1(record: Plain) -> Plain:
    """Return a record in the first version of the schema."""
    further = [
        {**metric, "values": measured(record["scores"], metric["metric"])} for metric in record.get("metrics", ())
    ]
    first = {**record, "schema": "petlir-record/1", "scores": flat(record["scores"])}
    return {**first, "metrics": further} if further else first


def version_2(record: Plain) -> Plain:
    """Convert a record from the first to the second version of the schema, building its rows here."""
    rows = [
        Score(one["set"], one["domain"], one["image"], one["unit"], one["protocol"], metric, *values)
        for one in record["scores"]
        for metric in ("psnr", "ssim")
        for values in [(float(one[metric]), float(one[f"input_{metric}"]))]
    ]
    return {**record, "schema": "petlir-record/2", "scores": tabulated(rows)}
