"""Measure the time per record of exports and reports of large stores, in units of parsing the record's JSON.

The records are synthetic.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from petlir.benchmark.records.files import RECORD
from tests.helpers.samples import record, score
from tests.helpers.version_1 import version_2
from tests.perf.conftest import Ratio
from tests.perf.test_large_grids import Spent, least, spent_by

BACKBONES, TASKS, METHODS, SEEDS = 2, 10, 20, 5
PARSING = (
    "import json, pathlib, sys; [json.loads(p.read_text()) for p in pathlib.Path(sys.argv[1]).rglob('record.json')]"
)


def write_large_store(root: Path, *, first_version: bool) -> Path:
    """Write a finished record for each backbone, task, method and seed."""
    for place in range(BACKBONES * TASKS * METHODS * SEEDS):
        rest, seed = divmod(place, SEEDS)
        rest, method = divmod(rest, METHODS)
        backbone, task = divmod(rest, TASKS)
        label = f"m{method:02}"
        plain = record(
            key=hashlib.sha256(f"{place}".encode()).hexdigest(),
            smoke=False,
            scores=[score(f"image{n}", 25 + n + method / 10 + (seed * 7 + n) % 5 / 100, 0.8) for n in range(6)],
        )
        cell = {"backbone": f"net{backbone}", "task": f"task{task:02}", "label": label, "method": label, "seed": seed}
        plain["cell"] = plain["cell"] | cell
        folder = root / "cells" / f"net{backbone}" / f"task{task:02}" / f"{label}-s{seed}-{plain['key'][:8]}"
        folder.mkdir(parents=True)
        (folder / RECORD).write_text(json.dumps(plain if first_version else version_2(plain), indent=1))
    return root


@pytest.fixture(scope="module", params=[1, 2])
def version(request: pytest.FixtureRequest) -> int:
    """Return the version of the schema of the records."""
    found: int = request.param
    return found


@pytest.fixture(scope="module")
def store(version: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_large_store(tmp_path_factory.mktemp("large"), first_version=version == 1)


def beyond(spent: Spent, alone: Spent, store: Path) -> float:
    """Return the CPU time of a command without its start-up, as a multiple of the time to parse all records' JSON."""
    parsing = least(lambda: spent_by("-c", PARSING, store)) - least(lambda: spent_by("-c", "import json, pathlib"))
    return (spent - alone).seconds / parsing.seconds


@pytest.mark.parametrize(("command", "module", "most"), [("export", "export", 6.0), ("report", "site", 18.0)])
def test_a_store_is_shown_in_a_few_times_what_parsing_it_takes(
    benchmark, tell, store, version, tmp_path, command, module, most
):
    alone = least(lambda: spent_by("-c", f"import petlir.reports.{module}"))
    out = tmp_path / ("out.csv" if command == "export" else "out")
    asked = ("-m", "petlir", command, "--store", store, "--out", out)
    spent = benchmark.pedantic(lambda: least(lambda: spent_by(*asked)), rounds=1)
    benchmark.extra_info[f"peak memory of {command}"] = f"{spent.megabytes:.0f} MB"
    work = f"{command} of 2,000 records in version {version}"
    tell(Ratio(work, "parsing their JSON", beyond(spent, alone, store), most))
