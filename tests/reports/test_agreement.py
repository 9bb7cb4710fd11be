"""Test repeated runs against shipped records with the same keys, both made-up and trained for two steps."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from petlir.benchmark.commands.reporting import reference_beside
from petlir.benchmark.errors import PetlirError
from petlir.reports.agreement import agreement, repeated_runs
from petlir.reports.frame import load
from tests.helpers.engine import PLUGIN, command
from tests.helpers.samples import typed_all
from tests.reports.stores import record, unfinished, write_store


def shifted(plain: dict[str, Any], by: float, set_: str = "photographs") -> dict[str, Any]:
    made = copy.deepcopy(plain)
    for score in made["scores"]:
        if score["set"] != set_:
            continue
        if "values" in score:
            score["values"]["psnr"] = [value + by for value in score["values"]["psnr"]]
        else:
            score["psnr"] += by
    return made


def shipped(root: Path, *records: dict[str, Any]) -> Path:
    """Write shipped stores with these records, finished on an earlier day, and return their folder."""
    write_store(root / "demo", [one | {"finished": "2026-11-01T09:00:07+00:00"} for one in records], images=False)
    return root


def test_copies_of_shipped_records_are_no_repeated_runs(tmp_path):
    one = record("lora", "sr_x4")
    folder = shipped(tmp_path, one)
    assert len(repeated_runs(typed_all([one]), folder)) == 1
    assert repeated_runs(load(folder / "demo"), folder) == []


def test_the_largest_difference_is_named_with_its_set(tmp_path):
    ours = [record(method, "sr_x4") for method in ("frozen", "lora", "adapter")]
    theirs = [ours[0], shifted(ours[1], 0.25), shifted(ours[2], -0.05, "leaves-test")]
    runs = repeated_runs(typed_all(ours), shipped(tmp_path, *theirs))
    assert [run.agrees for run in runs] == [False, True, True]
    assert [run.difference for run in runs] == pytest.approx([-0.25, 0.05, 0.0])
    assert agreement(runs) == (
        "2 of 3 runs agree with the published scores within the stated tolerance (0.1 dB); largest difference "
        "−0.25 dB: ipt-nano · lora · sr_x4 · seed 0 (photographs, y-crop4)."
    )


def test_only_runs_of_the_same_key_are_compared(tmp_path):
    ours = [record("lora", "sr_x4", seed) for seed in (0, 1)]
    folder = shipped(tmp_path, ours[1], record("adapter", "sr_x4"))
    assert [run.title for run in repeated_runs(typed_all(ours), folder)] == ["ipt-nano · lora · sr_x4 · seed 1"]
    assert agreement(repeated_runs(typed_all(ours[:1]), folder)) == ""
    assert agreement(repeated_runs(typed_all(ours), tmp_path / "nothing")) == ""


def test_a_run_that_failed_does_not_agree(tmp_path):
    one = record("lora", "sr_x4")
    runs = repeated_runs(typed_all([unfinished(one, "failed", "because")]), shipped(tmp_path, one))
    assert agreement(runs).startswith("0 of 1 run agrees")
    assert agreement(runs).endswith("; 1 without a result.")


def test_images_that_either_restores_exactly_are_left_out(tmp_path):
    one = record("lora", "sr_x4")
    exact = copy.deepcopy(one)
    exact["scores"][0]["psnr"] = "inf"
    (run,) = repeated_runs(typed_all([exact]), shipped(tmp_path, one))
    assert run.difference == 0.0


def test_a_measured_tolerance_goes_before_the_general_one(tmp_path):
    ours = record("lora", "sr_x4")
    folder = shipped(tmp_path, shifted(ours, 0.25))
    (folder / "tolerance.csv").write_text("method,task,tolerance_db,runs,cells\nlora,sr_x4,0.3,3,1\n")
    (run,) = repeated_runs(typed_all([ours]), folder)
    assert run.agrees
    (folder / "tolerance.csv").write_text("method,task\nlora,sr_x4\n")
    with pytest.raises(PetlirError, match=r"tolerance.csv is damaged: expected the columns method, task, tolerance_db"):
        repeated_runs(typed_all([ours]), folder)


def test_a_damaged_shipped_record_is_one_line(tmp_path):
    one = record("lora", "sr_x4")
    folder = shipped(tmp_path, one)
    (path,) = folder.rglob("record.json")
    path.write_text("{")
    lines: list[str] = []
    assert repeated_runs(typed_all([one]), folder, lines.append) == []
    assert len(lines) == 1


def test_the_reference_is_shown_where_it_is_shipped_and_not_beside_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("petlir.reports.agreement.LEADERBOARD", tmp_path)
    assert reference_beside(tmp_path / "store", None) is None
    with pytest.raises(PetlirError, match=r"--reference: .*reference holds no records; expected a checkout"):
        reference_beside(tmp_path / "store", True)
    reference = write_store(tmp_path / "reference", [record("lora", "sr_x4")], images=False)
    found = [reference_beside(tmp_path / "store", wanted) for wanted in (None, True, False)]
    assert found == [reference, reference, None]
    assert reference_beside(reference, True) is None


def test_a_run_of_two_steps_says_that_it_agrees(lab, tmp_path, monkeypatch, capsys):
    """The store of the run is shipped; afterwards, one shipped score is changed by half a decibel."""
    monkeypatch.setattr("petlir.reports.agreement.LEADERBOARD", tmp_path / "leaderboard")
    store, shipped_store = tmp_path / "store", tmp_path / "leaderboard" / "demo"
    outcome = lab.run(store, methods="frozen,lora", backbones="ipt-nano", seeds="0")
    shutil.copytree(store / "cells", shipped_store / "cells")
    for path in shipped_store.rglob("record.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"finished": "2026-11-01T09:00:07+00:00"}))
    assert agreement(repeated_runs(load(outcome.store, keys=set(outcome.keys)))) == (
        "2 of 2 runs agree with the published scores within the stated tolerance (0.1 dB); largest difference 0.00 dB."
    )
    (path,) = shipped_store.rglob("lora*/record.json")
    plain = json.loads(path.read_text())
    path.write_text(json.dumps(shifted(plain, 0.5, plain["scores"][0]["set"])))
    asked = ["run", "-m", "frozen,lora", "-t", "tiny", "--steps", "2", "--regime", "paper", "--seeds", "0"]
    asked += ["-b", "ipt-nano", "--device", "cpu", "--workers", "1", "--no-report"]
    asked += ["--plugin", str(PLUGIN), "--data", str(lab.data), "--store", str(store)]
    _, out, _ = command(capsys, *asked)
    last = out.splitlines()[-1]
    assert last.startswith("1 of 2 runs agree")
    assert "largest difference −0.50 dB: ipt-nano · lora · tiny · seed 0 (" in last
