"""Test cells that require other cells: those run first and pass on their results, and their failure is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from petlir.benchmark import track
from petlir.benchmark.cells.own_images import restorer
from petlir.benchmark.records.files import ADAPTER
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.rates import Rates
from petlir.benchmark.store import Store
from tests.helpers.engine import PLUGIN, results
from tests.helpers.samples import finished_in


def folder(store: Path, label: str) -> Path:
    """Return the folder of the cell with this label."""
    (found,) = store.glob(f"cells/*/*/{label}-s0-*")
    return found


def test_what_is_required_is_done_first_and_handed_on(lab, tmp_path):
    outcome = lab.run(tmp_path, methods="follower[rank=3]")
    assert outcome.summary() == "2 cells: 2 done; processed 2"
    records = {record.cell.method: record for record in finished_in(tmp_path)}
    required = load_file(folder(tmp_path, "lora-rank=3") / ADAPTER)
    (seen,) = [t for name, t in load_file(folder(tmp_path, "follower-rank=3") / ADAPTER).items() if "seen" in name]
    assert seen[0] == sum(tensor.numel() for tensor in required.values())
    assert seen[1].item() == pytest.approx(sum(t.double().abs().sum().item() for t in required.values()), rel=1e-6)
    assert 0 < seen[2] < 1
    assert records["follower"].costs.required_seconds == records["lora"].costs.training_seconds
    assert records["lora"].costs.required_seconds == 0
    lab.executor.worked.clear()
    assert lab.run(tmp_path, methods="follower[rank=3]").summary().endswith("nothing left to process")


@pytest.mark.parametrize(("least", "brief"), [(5, True), (1 / 40, False)])
def test_what_is_composed_is_as_brief_as_its_parts(lab, tmp_path, monkeypatch, least, brief):
    monkeypatch.setattr(track, "LONGER", least)
    lab.run(tmp_path, methods="frozen,uir-lora[degradations=tiny+tiny_y; rank=2; weights=uniform]")
    found = {record.cell.method: record.smoke for record in finished_in(tmp_path)}
    assert found == {"frozen": True, "lora": brief, "uir-lora": brief}


def test_the_key_holds_what_is_required(lab):
    """If the required cell is on another task, the key components `options` and `needs` change, and no others."""

    def parts(methods: str) -> dict[str, str]:
        planner = Planner(lab.request(methods=methods))
        (cell,) = planner.cells
        return Rates(planner, Store(Path("nowhere"))).planned(cell).parts

    one, other = parts("follower"), parts("follower[task=tiny_x2]")
    assert {name for name in one if one[name] != other[name]} == {"options", "needs"}
    assert "needs" not in parts("lora")


@pytest.mark.parametrize(
    ("method", "state", "reason"),
    [
        ("lost", "failed", "it requires ipt-nano · broken · tiny · seed 0, which has no result"),
        (
            "nowhere",
            "not-applicable",
            "it requires ipt-nano · elsewhere · tiny · seed 0, which is not applicable: ipt-nano has no tokens",
        ),
    ],
)
def test_without_what_it_requires_a_cell_says_so(lab, tmp_path, method, state, reason):
    lab.run(tmp_path, methods=method)
    found = results(tmp_path)[f"{method} tiny"]
    assert (found["state"], found["reason"]) == (state, reason)


def test_trials_look_at_cells_of_the_selection_seed_that_stand_in_no_report(lab, tmp_path):
    lab.run(tmp_path, methods="follower", regime="tuned")
    selection = list(finished_in(tmp_path / "selection"))
    assert [(r.cell.method, r.cell.seed) for r in selection] == [("lora", 1000)]
    assert {(r.cell.method, r.cell.seed) for r in finished_in(tmp_path)} == {
        ("lora", 0),
        ("follower", 0),
    }


def test_a_finished_cell_is_loaded_without_what_it_required(lab, tmp_path):
    lab.finished(tmp_path, methods="follower")
    model = restorer(folder(tmp_path, "follower"), "cpu", [PLUGIN])
    stored = load_file(folder(tmp_path, "follower") / ADAPTER)
    assert all(torch.equal(tensor, stored[name]) for name, tensor in model.adapted.state().items())
