"""Test that a changed file keeps its revision only if models trained with it yield the same numbers as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from petlir.benchmark.commands.revisions import same
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.revisions import normalised, table
from petlir.benchmark.revisions.table import RevisionEntry, read


def store(folder: Path, *, psnr: float = 20.0, moved: float = 0.0, state: str = "done", name: str = "down") -> Path:
    cell = folder / "cells" / "one"
    cell.mkdir(parents=True)
    identity = {"backbone": "toy", "label": "lora", "task": "tiny", "seed": 0}
    curve = [{"step": 2, "loss": 0.1, "validation_psnr": psnr}]
    record = {"cell": identity, "state": state, "reason": None, "curve": curve}
    (cell / "record.json").write_text(json.dumps(record))
    save_file({name: torch.tensor([1.0, 2.0 + moved])}, cell / "adapter.safetensors")
    return folder


def test_equal_stores_agree(tmp_path):
    assert same.compared(store(tmp_path / "a"), store(tmp_path / "b")) == (1, 0.0, "")


@pytest.mark.parametrize(
    ("changes", "difference", "where"),
    [
        ({"psnr": 20.5}, 0.5, "validation_psnr at step 2 of toy · lora · tiny · 0"),
        ({"moved": 0.25}, 0.25, "down of toy · lora · tiny · 0"),
        ({"name": "up"}, float("inf"), "down of toy · lora · tiny · 0"),
        ({"state": "failed"}, float("inf"), "state (failed: None) of toy · lora · tiny · 0"),
    ],
)
def test_the_largest_difference_is_named(tmp_path, changes, difference, where):
    cells, largest, place = same.compared(store(tmp_path / "a"), store(tmp_path / "b", **changes))
    assert largest == pytest.approx(difference)
    assert (cells, place) == (1, where)


def test_a_curve_that_is_not_a_number_is_a_difference(tmp_path):
    _, largest, _ = same.compared(store(tmp_path / "a"), store(tmp_path / "b", psnr=float("nan")))
    assert not largest <= same.TOLERANCE


def test_what_is_built_on_a_file_is_trained(tmp_path):
    assert {"lora", "colora", "uir-lora"} <= set(same.grid_of("methods/lora.py").methods.split(","))
    assert same.grid_of("benchmark/backbones/restormer.py").backbones == "restormer-nano"
    assert same.grid_of("tasks/sidd.py").tasks == "sidd"
    assert same.grid_of("benchmark/training/loop.py") == same.Grid(same.BACKBONES, same.METHODS, same.TASKS)


def test_the_code_of_a_revision_is_found_in_the_history():
    text = same._git("show", f"{same.commit_of('methods/lora.py')}:methods/lora.py")
    assert normalised.digest(text) == read()["methods/lora.py"].digest


def test_code_that_is_in_no_commit_is_refused(tmp_path, monkeypatch):
    known = {**read(), "methods/lora.py": RevisionEntry("methods.lora", 1, "0" * 64)}
    monkeypatch.setattr(table, "FILE", tmp_path / "revisions.toml")
    table.write(known)
    with pytest.raises(PetlirError, match=r"^no commit contains methods/lora.py with the code of its revision; use"):
        same.commit_of("methods/lora.py")
