"""Learning rates: the same trials for all, chosen on validation images alone."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlir.benchmark import runner, tuning
from petlir.benchmark import weights as pretrained
from petlir.benchmark.bench import Bench
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import prepare
from petlir.benchmark.method import RATES
from petlir.benchmark.payload import Payload
from petlir.benchmark.planning import Planner
from petlir.benchmark.plugins import find
from petlir.benchmark.store import Store
from petlir.benchmark.tuning import Selection, nice, open_trials
from petlir.benchmark.weights import digest
from tests.engine import draw, fill, results, save

LADDER = [float(f"{mantissa}e{exponent}") for exponent in range(-6, 0) for mantissa in (1, 3)] + [1.0]


def selection(trials: dict[float, float | None]) -> Selection:
    return Selection("key", {"task": "tiny", "label": "lora"}, trials, {rate: [] for rate in trials})


TRIALS = st.dictionaries(st.sampled_from(LADDER), st.none() | st.floats(0, 60), min_size=1)


@given(TRIALS)
def test_the_choice_is_the_best_on_validation_and_the_lower_of_two(trials):
    chosen = selection(trials).rate
    finite = {rate: psnr for rate, psnr in trials.items() if psnr is not None}
    if not finite:
        assert chosen is None
    else:
        best = max(finite.values())
        assert chosen == min(rate for rate, psnr in finite.items() if psnr == best)


@given(TRIALS)
def test_a_choice_at_the_edge_widens_the_grid_by_a_rung(trials):
    found = selection(trials)
    wider, place = found.wider(), LADDER.index(found.rate) if found.rate is not None else None
    if place is None:
        assert wider == next((rate for rate in reversed(LADDER) if rate < min(trials)), None)
    elif found.rate == max(trials):
        assert wider == next(iter(LADDER[place + 1 :]), None)
    elif found.rate == min(trials):
        assert wider == (LADDER[place - 1] if place else None)
    else:
        assert wider is None


@given(st.floats(1e-6, 1))
def test_a_nice_rate_is_the_nearest_rung(rate):
    rung = nice(rate)
    assert rung in LADDER
    exact = [10 ** (half / 2) for half in range(-12, 1)]
    assert abs(math.log10(exact[LADDER.index(rung)] / rate)) <= 0.25 + 1e-9


def test_the_grid_comes_first_and_then_what_widens_it():
    assert open_trials(None, RATES) == list(RATES)
    some = selection(dict.fromkeys(RATES[:4], 30.0))
    assert open_trials(some, RATES) == list(RATES[4:])
    rising = selection({rate: 30 + place for place, rate in enumerate(RATES)})
    assert open_trials(rising, RATES) == [0.1]
    inside = selection({rate: 30 - abs(place - 2) for place, rate in enumerate(RATES)})
    assert open_trials(inside, RATES) == []


def test_widening_ends():
    trials: dict[float, float | None] = dict.fromkeys(RATES)
    while more := open_trials(selection(trials), RATES):
        trials |= dict.fromkeys(more)
    assert min(trials) == tuning.WIDEST[0]
    trials = {rate: rate for rate in RATES}
    while more := open_trials(selection(trials), RATES):
        trials |= {rate: rate for rate in more}
    assert max(trials) == tuning.WIDEST[1]


def test_every_method_gets_as_many_trials():
    methods = find().methods.values()
    assert {len(method.rates) for method in methods if method.trains} == {len(RATES)}


def test_a_run_tunes_then_trains_at_the_best_rate(lab, tmp_path):
    asked = {"methods": "lora[rank=1]", "regime": "tuned"}
    outcome = lab.run(tmp_path, **asked)
    assert outcome.states == {"done": 1}
    rows = [json.loads(path.read_text()) for path in tmp_path.glob("tuning/*/*.json")]
    assert {row["rate"] for row in rows} >= set(RATES)
    best = max(sorted(rows, key=lambda row: row["rate"]), key=lambda row: row["validation_psnr"])
    (record,) = results(tmp_path).values()
    assert record["cell"]["learning_rate"] == best["rate"]
    lab.executor.worked.clear()
    assert lab.run(tmp_path, **asked).worked == 0
    assert lab.executor.worked == []
    assert lab.run(tmp_path, **asked, seeds="0,1").worked == 1
    assert len(lab.executor.worked) == 1, "another seed needs no further trial"


def test_a_shipped_choice_needs_no_trials(lab, tmp_path, monkeypatch):
    shipped = selection({1e-3: 30.0, 3e-3: 31.0, 1e-2: 29.0})
    monkeypatch.setattr(tuning, "committed", lambda cell, weights: shipped)
    lab.run(tmp_path, methods="lora", regime="tuned")
    assert not (tmp_path / "tuning").exists()
    assert next(Store(tmp_path).records())["cell"]["learning_rate"] == 3e-3


def test_diverged_trials_count(lab, tmp_path):
    list(runner.tune(lab.request(methods="diverging", regime="tuned"), tmp_path, device="cpu", workers=1))
    rows = [json.loads(path.read_text()) for path in tmp_path.glob("tuning/*/*.json")]
    assert {row["rate"]: row["validation_psnr"] for row in rows} == dict.fromkeys([*LADDER[:10]])


def test_an_exported_choice_is_found_again(lab, tmp_path):
    planner = Planner(lab.request(methods="lora,adapter", regime="tuned"))
    digest = pretrained.card("ipt-nano").sha256
    path = tmp_path / "demo" / "ipt-nano.json"
    for cell, best in zip(planner.cells, (1e-3, 1e-2), strict=True):
        key = tuning.selection_key(cell, digest)
        trials = {rate: (None if rate > 1e-2 else 30.0 + (rate == best)) for rate in RATES}
        curves = {rate: [{"step": 0, "validation_psnr": 29.0}] for rate in RATES}
        tuning.export([Selection(key, {"task": cell.task, "label": cell.label}, trials, curves)], path)
    for cell, best in zip(planner.cells, (1e-3, 1e-2), strict=True):
        found = tuning.committed(cell, digest, tmp_path)
        assert found is not None
        assert found.rate == best
        assert found.trials[3e-2] is None
    assert tuning.committed(planner.cells[0], "other weights", tmp_path) is None
    assert [row["rate"] for row in json.loads(path.read_text())["selections"]] == [1e-2, 1e-3]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"selections": [{}]}'])
def test_a_damaged_tuning_record_is_named(lab, tmp_path, text):
    path = tmp_path / "demo" / "ipt-nano.json"
    path.parent.mkdir()
    path.write_text(text)
    (cell,) = Planner(lab.request(regime="tuned")).cells
    with pytest.raises(PetlirError, match=r"^tuning record .*ipt-nano.json is damaged: "):
        tuning.committed(cell, "0", tmp_path)


def test_tuning_restores_no_test_image(lab, tmp_path, monkeypatch):
    def tests(self: Bench, task: str, on: str) -> None:
        raise AssertionError("a test image was asked for")

    monkeypatch.setattr(Bench, "tests", tests)
    monkeypatch.setattr(prepare, "test_pairs", tests)
    (cell,) = Planner(lab.request()).cells
    assert tuning.trial(Payload("trial", cell, lab.bench(), Store(tmp_path), weights=digest("ipt-nano")), "cpu") == {
        "state": "done"
    }


def test_test_images_decide_neither_rate_nor_weights(lab, tmp_path):
    """With other test images the trials and the trained adapter are the same to the bit."""
    other = fill(tmp_path / "data")
    for number in range(2):
        save(other / "small-test" / f"{number}.png", draw([77, number], 56, 64))
    labs = {"one": lab, "two": type(lab)(other, lab.executor)}
    for name, where in labs.items():
        where.run(tmp_path / name)
        (cell,) = Planner(where.request()).cells
        tuning.trial(Payload("trial", cell, where.bench(), Store(tmp_path / name), weights=digest("ipt-nano")), "cpu")
    trials = [{p.name: p.read_bytes() for p in (tmp_path / name).glob("tuning/*/*.json")} for name in labs]
    assert trials[0] == trials[1]
    (one,), (two,) = (results(tmp_path / name).values() for name in labs)
    assert one["digests"]["adapter"] == two["digests"]["adapter"]
    assert one["curve"] == two["curve"]
    assert one["digests"]["predictions"] != two["digests"]["predictions"]


def test_a_training_image_that_is_a_test_image_is_refused(lab, tmp_path):
    with pytest.raises(PetlirError, match="task leaky: test set small-test leaks from folder:small-test"):
        lab.run(tmp_path, tasks="leaky")


def test_tune_says_what_it_chose(lab, tmp_path, monkeypatch):
    shipped = selection({1e-3: 30.0, 3e-3: 31.0, 1e-2: 29.0})
    monkeypatch.setattr(tuning, "committed", lambda cell, weights: shipped)
    (line,) = runner.tune(lab.request(regime="tuned"), tmp_path, device="cpu", workers=1)
    assert line == "ipt-nano · lora · tiny: 0.003 (31.00 dB on validation), of 3 rates"


def test_tune_says_where_it_failed(lab, tmp_path):
    with pytest.raises(PetlirError, match=r"^tuning failed: .*broken.* at 0.0001: ValueError: no such width$"):
        list(runner.tune(lab.request(methods="broken", regime="tuned"), tmp_path, device="cpu", workers=1))
