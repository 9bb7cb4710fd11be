"""Test adding seeds to tied methods: which get more, how many interim analyses there are, and what is refused.

Records are made up, and nothing is trained.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from petlir.benchmark import grid
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.runs import group_sequential
from petlir.benchmark.runs.interim_analyses import FILE, stated
from petlir.benchmark.runs.planning.request import Request
from petlir.benchmark.runs.runner import Outcome
from petlir.benchmark.store import Store
from petlir.reports.frame import load
from petlir.reports.tables import tables
from tests.helpers.engine import Lab, command
from tests.reports.stores import QUALITY, doubling, record, write_store

LEVELS = {"lora": 1.0, "adapter": 1.0, "ssf": 3.0, "moe": 4.0, "fact": 5.0, "vpt": 6.0}
"""Six PETL methods, the fewest that are ranked; two of them are tied."""
REFERENCES = {"full-ft": 7.0, "scratch": 8.0}


class Pretend:
    """A stand-in for a run; it writes records of each method at its level and notes what was requested."""

    def __init__(self, root: Path, converged: bool = True) -> None:
        self.root, self.converged = root, converged
        self.asked: list[tuple[list[str], int]] = []
        self.said: list[str] = []

    def __call__(self, asked: Request) -> Outcome:
        seeds, methods = grid.seeds(asked.seeds), grid.split(asked.methods)
        self.asked.append((methods, len(seeds)))
        have = {(r.cell.label, r.cell.seed) for r in Store(self.root).records()}
        new = [self.cell(method, seed) for method in methods for seed in seeds if (method, seed) not in have]
        write_store(self.root, new, images=False)
        return Outcome(Counter(done=len(new)), len(new), [])

    def cell(self, method: str, seed: int) -> dict[str, Any]:
        known = method if method in QUALITY else "lora"
        made = record(known, "denoise_30", seed, method, smoke=False, steps=2, regime="paper", protocols=["rgb@whole"])
        made["cell"]["method"] = method
        made["cell"]["task"], made["convergence"] = "tiny", doubling(0.05 if self.converged else 0.3)
        draw = random.Random(f"{method}{seed}")
        level = (LEVELS | REFERENCES)[method]
        made["scores"] = [score(f"{place}", 20 + place + level + draw.gauss(0, 0.05)) for place in range(8)]
        return made

    def run(self, asked: Request, confidence: float = 0.95, most: int = 8) -> list[Outcome]:
        store = Store(self.root)
        return list(group_sequential.run(asked, store, self, self.said.append, confidence=confidence, most=most))


def score(image: str, psnr: float) -> dict[str, Any]:
    return {"set": "small-test", "domain": "photographs", "image": image, "unit": image, "protocol": "rgb@whole",
            "psnr": psnr, "ssim": 0.8, "input_psnr": 18.0, "input_ssim": 0.5}  # fmt: skip


@pytest.fixture
def asked(lab: Lab) -> Request:
    return lab.request(methods=",".join(LEVELS), seeds="0,1,2")


def test_only_tied_methods_get_further_seeds(asked, tmp_path):
    pretend = Pretend(tmp_path)
    outcomes = pretend.run(asked)
    assert len(outcomes) == len(pretend.asked)
    everything, *further = pretend.asked
    assert everything == ([*LEVELS], 3)
    assert [seeds for _, seeds in further] == [5, 8]
    assert further[-1][0] == ["adapter", "lora"]
    assert pretend.said[-1] == "ipt-nano · tiny · small-test, rgb@whole: pairs separated at analysis 3: 14 of 15"


def test_the_report_knows_how_often_was_looked(asked, tmp_path):
    Pretend(tmp_path).run(asked)
    assert [plan.seeds for plan in stated(Store(tmp_path))] == [(3, 5, 8)]
    records = load(tmp_path)
    assert {record.plan.alpha for record in records if record.plan} == {0.05}
    (table,) = tables(records, {})
    (column,) = table.columns
    assert (column.looks, column.unranked) == (3, "")
    vpt = table.row("vpt")
    assert vpt is not None
    assert vpt.values[0].mark == "best"


def test_what_did_not_converge_gets_no_further_seeds(asked, tmp_path):
    pretend = Pretend(tmp_path, converged=False)
    pretend.run(asked)
    assert len(pretend.asked) == 1


@pytest.mark.parametrize("methods", [[*LEVELS][:5], [*[*LEVELS][:5], *REFERENCES]])
def test_a_column_of_five_gets_no_further_seeds_and_references_do_not_count(lab, tmp_path, methods):
    pretend = Pretend(tmp_path)
    pretend.run(lab.request(methods=",".join(methods), seeds="0,1,2"))
    assert len(pretend.asked) == 1


def test_the_same_again_asks_for_nothing_new(asked, tmp_path):
    Pretend(tmp_path).run(asked)
    again = Pretend(tmp_path)
    assert all(outcome.worked == 0 for outcome in again.run(asked))


def test_other_looks_on_the_same_store_are_refused(asked, tmp_path):
    Pretend(tmp_path).run(asked)
    with pytest.raises(PetlirError, match=r"ipt-nano · tiny was to be analysed after 3, 5, 8 seeds at confidence 0.95"):
        Pretend(tmp_path).run(asked, most=10)


@pytest.mark.parametrize(
    ("chosen", "line"), [({"confidence": 95}, "--until-separable 95"), ({"most": 2}, "--max-seeds 2")]
)
def test_bad_numbers_are_refused_before_anything_runs(asked, tmp_path, chosen, line):
    pretend = Pretend(tmp_path)
    with pytest.raises(PetlirError, match=line):
        pretend.run(asked, **chosen)
    assert not pretend.asked


def test_damaged_looks_are_one_line(tmp_path):
    (tmp_path / FILE).write_text(json.dumps([{"seeds": 3}]))
    with pytest.raises(PetlirError, match=r"interim_analyses\.json is not a list of interim analyses"):
        stated(Store(tmp_path))


def test_on_the_command_line(lab, capsys, tmp_path):
    code, _, err = command(capsys, "run", "--store", tmp_path, "--until-separable", "0.95", "--max-seeds", "1")
    assert code == 2
    assert "--max-seeds 1: expected at least 3, the number of seeds" in err
