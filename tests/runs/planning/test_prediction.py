"""Test the time and memory that a plan predicts against what cells took."""

from __future__ import annotations

import json

import pytest

from petlir.benchmark.runs.planning import Planner, prediction, sizes
from petlir.benchmark.runs.planning.prediction import Prediction, Predictor
from petlir.benchmark.runs.planning.rates import Rates
from petlir.benchmark.runs.planning.sizes import Kept, Sizes, sizes_of
from petlir.benchmark.runs.planning.survey import duration, survey, totals
from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Index
from tests.helpers.engine import PLUGIN, command
from tests.helpers.samples import finished_in


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PETLIR_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "methods", ["lora,vpt,full-ft,frozen", pytest.param("adaptir,ssf,fact,adapter", marks=pytest.mark.long)]
)
def test_sizes_are_those_that_finished_cells_count(lab, tmp_path, methods):
    lab.run(tmp_path / "store", methods=methods, tasks="tiny", steps=1)
    planner = Planner(lab.request(methods=methods))
    records = {r.cell.label: r for r in finished_in(tmp_path / "store")}
    assert len(records) == 4
    for cell in planner.cells:
        costs, head = records[cell.label].costs, records[cell.label].cell.heads[-1]
        found = sizes_of(planner.plugins, cell.backbone, planner.method(cell), head, cell.batch_size, cell.patch)
        memory = costs.memory
        expected = Sizes(costs.flops_per_step, costs.saved_for_backward_bytes, memory.weights, memory.gradients)
        assert found == expected, cell.label


def predictor(lab, store, **chosen):
    planner = Planner(lab.request(**chosen))
    found = Predictor(planner, Index.from_store(Store(store)), "cpu")
    return found, [found.predict(one) for one in map(Rates(planner, Store(store)).planned, planner.cells)]


def test_another_seed_takes_what_the_first_took(lab, tmp_path):
    lab.finished(tmp_path)
    costs = finished_in(tmp_path)[0].costs
    spent = ("adaptation_seconds", "training_seconds", "validation_seconds", "evaluation_seconds")
    _, (found,) = predictor(lab, tmp_path, methods="lora", seeds="1")
    assert found.seconds == pytest.approx(sum(getattr(costs, name) for name in spent))


def test_another_method_takes_as_long_as_its_flops_tell(lab, tmp_path):
    lab.finished(tmp_path)
    costs = finished_in(tmp_path)[0].costs
    looking = costs.adaptation_seconds + costs.validation_seconds + costs.evaluation_seconds
    _, (few,) = predictor(lab, tmp_path, methods="full-ft", steps=7)
    _, (many,) = predictor(lab, tmp_path, methods="full-ft", steps=14)
    assert few.seconds > looking
    assert many.seconds - looking == pytest.approx(2 * (few.seconds - looking))


def test_memory_is_what_is_counted_and_what_finished_cells_needed_beyond(lab, tmp_path):
    lab.finished(tmp_path)
    _, (found,) = predictor(lab, tmp_path, methods="lora")
    costs = finished_in(tmp_path)[0].costs
    memory = costs.memory
    known = sum(getattr(memory, part) for part in ("weights", "gradients", "optimizer", "activations"))
    assert found.bytes == prediction.BASE + int(prediction.OVERHEAD * known)
    assert prediction.BASE < found.parted < found.bytes
    measured = costs.model_copy(update={"memory": memory.model_copy(update={"peak": 3 * known})})
    index = Index.from_store(Store(tmp_path))
    heads = tuple(head.model_copy(update={"costs": measured}) for head in index.heads)
    planner = Planner(lab.request(methods="lora"))
    one = Rates(planner, Store(tmp_path)).planned(planner.cells[0])
    found = Predictor(planner, Index(Store(tmp_path), heads, ()), "cpu").predict(one)
    assert found.bytes == prediction.BASE + 3 * known


def test_what_does_not_fit_is_named():
    whole = Prediction(1.0, 30 * 2**30, 10 * 2**30)
    assert whole.obstacle(40 * 2**30, "cpu") == ""
    assert whole.obstacle(24 * 2**30, "A card") == (
        "needs about 30.0 GiB, A card has 24.0 GiB: its batches will be split into 4 parts"
    )
    assert whole.obstacle(8 * 2**30, "cpu") == "needs about 30.0 GiB, cpu has 8.0 GiB: it will not fit even if split"
    assert Prediction(1.0).obstacle(1, "cpu") == ""


def test_a_plan_names_them_and_prints_totals(lab, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prediction, "capacity", lambda device: (2**20, "cpu"))
    asked = ["-m", "lora,elsewhere", "-t", "tiny", "--seeds", "0,1", "--steps", "2", "--regime", "paper"]
    asked += ["--data", str(lab.data), "--plugin", str(PLUGIN), "--store", str(tmp_path / "store"), "--device", "cpu"]
    code, out, err = command(capsys, "plan", *asked)
    assert code == 0 and err == "petlir: counting the costs of 1 distinct cell; the counts are cached\n"
    *_, total, first, second = out.splitlines()
    assert (
        total.startswith("2 of 4 cells to do: about ") and "at most 0.6 GiB (ipt-nano · lora · tiny · seed 0)" in total
    )
    assert first.startswith("ipt-nano · lora · tiny · seed 0: needs about 0.6 GiB, cpu has 0.0 GiB: it will not fit")
    assert "seed 1" in second
    code, out, err = command(capsys, "plan", *asked, "--json")
    assert (code, err) == (0, ""), "it is counted once"
    rows = json.loads(out)
    assert [row["state"] for row in rows] == ["missing", "missing", "not-applicable", "not-applicable"]
    assert rows[0]["seconds"] > 0 and rows[0]["bytes"] > 0 and rows[0]["unfit"] and rows[2]["seconds"] is None


def test_trials_are_counted_once_for_all_seeds(lab, tmp_path):
    first, second = survey(lab.request(regime="tuned", seeds="0,1"), tmp_path, "cpu")
    assert (first.state, second.state) == ("to be tuned", "to be tuned")
    assert first.seconds and second.seconds
    assert first.seconds == pytest.approx((1 + 8 + 0.5) * second.seconds)
    assert totals([first, second]).startswith("2 of 2 cells to do: about ")


def test_a_damaged_cache_is_counted_again(tmp_path):
    kept = Kept(tmp_path / "sizes.json")
    kept.add("a", Sizes(1, 2, 3, 4))
    kept.add("b", None)
    kept.write()
    again = Kept(tmp_path / "sizes.json")
    assert again["a"] == Sizes(1, 2, 3, 4) and again["b"] is None and "c" not in again
    content = (tmp_path / "sizes.json").read_bytes()
    for damaged in (b'{"a": [1, 2]}', b"[" * 100_000, content.replace(b"[1, 2", b"[8, 2"), content[:-3]):
        (tmp_path / "sizes.json").write_bytes(damaged)
        assert "a" not in Kept(tmp_path / "sizes.json")


def test_what_cannot_be_counted_is_not_guessed(lab):
    planner = Planner(lab.request(methods="broken"))
    (cell,) = planner.cells
    assert sizes.sizes_of(planner.plugins, cell.backbone, planner.method(cell), "denoise_30", 1, 48) is None


def test_durations():
    assert [duration(s) for s in (0, 59, 119, 120, 7199, 7200, 172800)] == [
        "0 s", "59 s", "119 s", "2.0 min", "120.0 min", "2.0 h", "2.0 d",
    ]  # fmt: skip
