"""The reference results: what README prints of them is in their records, and the records are whole."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest

from petlir.benchmark.convergence import converged
from petlir.benchmark.records import read_record

ROOT = Path(__file__).parents[1]
STORE = ROOT / "results" / "leaderboard" / "demo-150"


@pytest.fixture(scope="module")
def records():
    return [read_record(path) for path in sorted(STORE.glob("cells/*/*/*/record.json"))]


def printed():
    """The numbers of README's table by task and method."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Reference results")[1].split("\n## ")[0]
    head, _, *rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    for row in rows:
        task = re.findall(r"`(\w+)`", row[0])[0]
        yield from (((task, method), text) for method, text in zip(head[1:], row[1:], strict=True))


def test_the_table_of_the_readme_is_that_of_the_records(records):
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        cell = record["cell"]
        for score in record["scores"]:
            if score["domain"] == "photographs" and not score["protocol"].startswith("rgb-float"):
                found.setdefault((cell["task"], cell["method"]), []).append(float(score["psnr"]))
                if cell["method"] == "frozen":
                    found.setdefault((cell["task"], "input"), []).append(float(score["input_psnr"]))
    numbers = dict(printed())
    assert {key: f"{fmean(values):.2f}" for key, values in found.items()} == {
        key: text for key, text in numbers.items() if text != "n/a"
    }


def test_what_is_said_of_them_is_so(records):
    said = (STORE.parent / "README.md").read_text(encoding="utf-8")
    states = Counter(record["state"] for record in records)
    assert f"{states['done']} cells done, {states['not-applicable']} not applicable" in said
    assert {converged(record) for record in records} == {None}
    assert {record["environment"]["device"] for record in records if record["state"] == "done"} == {"NVIDIA H200"}
    assert all(record["smoke"] for record in records)


def test_every_rate_was_tried(records):
    tried = [json.loads(path.read_text()) for path in STORE.glob("tuning/*/*.json")]
    rates = {(one["cell"]["label"], one["cell"]["task"], one["rate"]) for one in tried}
    for record in records:
        cell = record["cell"]
        if cell["learning_rate"] is not None:
            assert (cell["label"], cell["task"], cell["learning_rate"]) in rates
