"""The reference results: what README prints of them is in their records, and the records are whole."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest

from petlir.benchmark.records import read_record
from petlir.reports.titles import built_in_tasks

ROOT = Path(__file__).parents[1]
STORE = ROOT / "results" / "leaderboard" / "demo-150"


@pytest.fixture(scope="module")
def records():
    return [read_record(path) for path in sorted(STORE.glob("cells/*/*/*/record.json"))]


def printed():
    """The numbers of README's first table by task and method's label."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Reference results")[1].split("\n## ")[0]
    tables = section.split("<!-- figures: table ")[1].split("\n\n")
    titles = {task.title: name for name, task in built_in_tasks().items()}
    for lines in (table.splitlines() for table in tables if table.startswith("|")):
        head, _, *rows = [re.sub(r"\\(.)", r"\1", line.strip("| ")).split(" | ") for line in lines if line[:1] == "|"]
        tasks = [titles[title.partition("<br>")[0]] for title in head[2:]]
        for label, _, *cells in rows:
            yield from (((task, label), text.strip("* ")) for task, text in zip(tasks, cells, strict=True))


def test_the_table_of_the_readme_is_that_of_the_records(records):
    """Under the first protocol of each cell, straight from the files."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        cell = record["cell"]
        for score in record["scores"]:
            if score["domain"] == "photographs" and score["protocol"] == cell["protocols"][0]:
                found.setdefault((cell["task"], cell["label"]), []).append(float(score["psnr"]))
                if cell["method"] == "frozen":
                    found.setdefault((cell["task"], "input (bicubic)"), []).append(float(score["input_psnr"]))
    numbers = {key: text for key, text in printed() if text != "n/a"}
    assert len(numbers) > 70
    assert {key: f"{fmean(values):.2f}" for key, values in found.items()} == numbers


def test_what_is_said_of_them_is_so(records):
    said = (STORE.parent / "README.md").read_text(encoding="utf-8")
    states = Counter(record["state"] for record in records)
    assert f"Cells: {states['done']} done" in said
    assert f"{states['not-applicable']} not applicable" in said
    assert {record["environment"]["device"] for record in records if record["state"] == "done"} == {"NVIDIA H200"}
    assert all(record["smoke"] for record in records)


def test_every_rate_was_tried(records):
    tried = [json.loads(path.read_text()) for path in STORE.glob("tuning/*/*.json")]
    rates = {(one["cell"]["label"], one["cell"]["task"], one["rate"]) for one in tried}
    for record in records:
        cell = record["cell"]
        if cell["learning_rate"] is not None:
            assert (cell["label"], cell["task"], cell["learning_rate"]) in rates
