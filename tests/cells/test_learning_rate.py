"""Test the choice of learning rates: the same trials for all methods, and selection on validation images only."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from petlir.benchmark.cells import learning_rate, worker
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.job import Job, unpack
from petlir.benchmark.cells.selection import FLAT, TRIALS, Half, RateSelection
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.executors import Event, QueuedJob
from petlir.benchmark.images import prepare
from petlir.benchmark.method import RATES
from petlir.benchmark.plugins import find
from petlir.benchmark.records.stored_forms import TunedCell
from petlir.benchmark.runs import runner
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.statistics.convergence import RULE, Convergence
from petlir.benchmark.store import Store
from petlir.benchmark.weights.loading import digest
from petlir.methods.lora import LoRA
from tests.helpers.engine import draw, fill, results, save

LOSS = 0.4
"""The amount in dB by which the simulated PSNR is lower after half of the steps."""


def shipped(best: float = 3e-3, further: tuple[float, ...] = (1.7e-3, 2.3e-3), half: bool = True) -> RateSelection:
    """Return a selection whose PSNR peaks at a rate of the grid, with the two further rates that this peak implies."""
    trials = {rate: 30 - abs(math.log10(rate / best)) for rate in (*RATES, *further)}
    halves = {best: Half(1, 30 - LOSS, [])} if half else {}
    cell: TunedCell = {"task": "tiny", "label": "lora", "backbone": "ipt-nano", "steps": 2}
    return RateSelection("key", cell, trials, {rate: [] for rate in trials}, halves)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int, int]]:
    """Replace trials by a closed form with its peak at 3e-3, and return the list of rate, steps and seed of each."""
    made: list[tuple[float, int, int]] = []

    def curve(job: Job, device: str, parts: int) -> list[dict[str, float | None]]:
        cell = job.cell
        assert cell.rate is not None
        made.append((cell.rate, cell.steps, cell.seed))
        psnr = 30 - abs(math.log10(cell.rate / 3e-3)) - (LOSS if cell.steps == 1 else 0)
        return [{"step": cell.steps, "learning_rate": cell.rate, "loss": 0.1, "validation_psnr": psnr}]

    monkeypatch.setattr(learning_rate, "_curve", curve)
    return made


EVERY = [(rate, 2, learning_rate.SEED) for rate in (*RATES, 1.7e-3, 2.3e-3)] + [(3e-3, 1, learning_rate.SEED)]
"""All trials of two steps, and the half trial of the best rate."""


def test_eight_trials_then_the_half_trial_all_with_the_selection_seed(lab, tmp_path, untrained):
    (line,) = runner.tune(lab.request(regime="tuned"), tmp_path, device="cpu", workers=1)
    assert untrained == EVERY
    assert line == (
        "ipt-nano · lora · tiny: 0.003 (30.00 dB at 2 steps, 29.60 at 1: +0.40, not converged); rates tried: 8"
    )
    rows = [json.loads(path.read_text()) for path in tmp_path.glob("tuning/**/*.json")]
    assert {(row["rate"], row["cell"]["steps"], row["cell"]["seed"]) for row in rows} == set(EVERY)


def test_the_record_holds_the_doubling_test(lab, tmp_path, untrained):
    outcome = lab.run(tmp_path, methods="lora,full-ft,frozen", regime="tuned")
    found = {record.cell.label: record for record in Store(tmp_path).records()}
    for name in ("lora", "full-ft"):
        tested = found[name].convergence
        assert tested is not None and tested.model_dump() == {
            "psnr": 30.0,
            "half_psnr": pytest.approx(29.6),
            "change": pytest.approx(0.4),
        }
    assert found["frozen"].convergence is None
    assert {label for label, record in found.items() if record.cell.reference} == {"full-ft", "frozen"}
    assert outcome.summary().splitlines()[-2:] == [
        "ipt-nano · tiny: 0 of 1 PETL method converged; not converged: lora (+0.40 dB); references: full-ft (+0.40 dB)",
        RULE,
    ]


@pytest.mark.parametrize("made", range(len(EVERY)))
def test_a_killed_tuning_goes_on_with_what_is_left(lab, tmp_path, untrained, monkeypatch, made):
    real, left = learning_rate._curve, list(range(made))

    def killed(job: Job, device: str, parts: int) -> list[dict[str, float | None]]:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return real(job, device, parts)

    monkeypatch.setattr(learning_rate, "_curve", killed)
    asked = lab.request(regime="tuned")
    with pytest.raises(KeyboardInterrupt):
        list(runner.tune(asked, tmp_path, device="cpu", workers=1))
    monkeypatch.setattr(learning_rate, "_curve", real)
    list(runner.tune(asked, tmp_path, device="cpu", workers=1))
    assert untrained == EVERY


def test_a_second_runner_repeats_no_trial_and_no_half_trial(lab, tmp_path, untrained, monkeypatch):
    """Both runners plan every trial, as if they had started together; the second runner finds each trial done."""
    jobs: list[QueuedJob] = []
    real = lab.executor.run

    def noted(own: list[QueuedJob], on_event: Callable[[Event], None]) -> None:
        jobs.extend(own)
        real(own, on_event)

    monkeypatch.setattr(lab.executor, "run", noted)
    list(runner.tune(lab.request(regime="tuned"), tmp_path, device="cpu", workers=1))
    assert len(jobs) == len(EVERY)
    assert len({worker.name(unpack(job.packed)) for job in jobs}) == len(EVERY), "each has a claim of its own"
    for job in jobs:
        assert worker.work(dict(job.packed), "cpu", lambda share, text: None) == {
            "state": "done", "reason": None, "worked": False,
        }  # fmt: skip
    assert untrained == EVERY


def test_a_half_trial_is_no_trial_of_a_shorter_selection(lab, tmp_path, untrained):
    """The cells that a half trial requires were trained for all steps, so the shorter selection ignores it."""
    list(runner.tune(lab.request(regime="tuned"), tmp_path, device="cpu", workers=1))
    untrained.clear()
    list(runner.tune(lab.request(regime="tuned", steps=1), tmp_path, device="cpu", workers=1))
    assert len(untrained) == len(EVERY)


def test_one_step_is_tested_too(lab, tmp_path, untrained):
    (line,) = runner.tune(lab.request(regime="tuned", steps=1), tmp_path, device="cpu", workers=1)
    assert line.endswith("0.003 (29.60 dB at 1 step, 29.60 at 1: +0.00, converged); rates tried: 8")


def test_every_method_gets_as_many_trials():
    methods = find().methods.values()
    assert {len(method.rates) for method in methods if method.trains} == {len(RATES)}


def test_a_run_tunes_then_trains_at_the_best_rate(lab, tmp_path):
    asked = {"methods": "lora[rank=1]", "regime": "tuned"}
    outcome = lab.run(tmp_path, **asked)
    assert outcome.states == {"done": 1}
    rows = [json.loads(path.read_text()) for path in tmp_path.glob("tuning/*/*.json")]
    assert {row["rate"] for row in rows} >= set(RATES)
    assert len(rows) == TRIALS
    (half,) = [json.loads(path.read_text()) for path in tmp_path.glob("tuning/*/half-of-2/*.json")]
    (record,) = results(tmp_path).values()
    rate = record["cell"]["learning_rate"]
    (chosen,) = [row for row in rows if row["rate"] == rate]
    assert chosen["validation_psnr"] >= max(row["validation_psnr"] for row in rows) - FLAT
    assert (half["rate"], half["cell"]["steps"]) == (rate, 1)
    tested = record["convergence"]
    assert (tested["psnr"], tested["half_psnr"]) == (chosen["validation_psnr"], half["validation_psnr"])
    lab.executor.worked.clear()
    assert lab.run(tmp_path, **asked).worked == 0
    assert lab.executor.worked == []
    assert lab.run(tmp_path, **asked, seeds="0,1").worked == 1
    assert len(lab.executor.worked) == 1, "another seed needs no further trial"


def test_a_shipped_choice_needs_no_trials(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(learning_rate, "committed", lambda cell, weights: shipped())
    lab.run(tmp_path, methods="lora", regime="tuned")
    assert not (tmp_path / "tuning").exists()
    record = next(Store(tmp_path).records())
    assert (record.cell.learning_rate, record.convergence and record.convergence.half_psnr) == (3e-3, 30 - LOSS)


@pytest.mark.parametrize(
    ("found", "further"),
    [
        pytest.param(shipped(further=(), half=False), EVERY[6:], id="six: two more and the half trial"),
        pytest.param(shipped(further=(1.7e-3,), half=False), EVERY[7:], id="seven: one more"),
        pytest.param(shipped(half=False), EVERY[8:], id="eight: the half trial"),
        pytest.param(shipped(further=(0.1, 0.3, 1.0, 3.0)), EVERY[6:8], id="ten of another rule: the two of this one"),
    ],
)
def test_a_shipped_choice_is_continued_to_eight(lab, tmp_path, monkeypatch, untrained, found, further):
    monkeypatch.setattr(learning_rate, "committed", lambda cell, weights: found)
    (line,) = runner.tune(lab.request(regime="tuned"), tmp_path, device="cpu", workers=1)
    assert untrained == further
    assert line.endswith("not converged); rates tried: 8")


def test_tuned_again_the_store_counts_and_not_what_is_shipped(lab, tmp_path, monkeypatch, untrained):
    monkeypatch.setattr(learning_rate, "committed", lambda cell, weights: shipped(1e-2, (5.5e-3, 7.4e-3)))
    asked = lab.request(regime="tuned")
    (line,) = runner.tune(asked, tmp_path, device="cpu", workers=1, again=True)
    assert untrained == EVERY
    assert "tiny: 0.003 (" in line


def test_diverged_trials_count(lab, tmp_path):
    list(runner.tune(lab.request(methods="diverging", regime="tuned"), tmp_path, device="cpu", workers=1))
    rows = [json.loads(path.read_text()) for path in tmp_path.glob("tuning/**/*.json")]
    assert {row["rate"]: row["validation_psnr"] for row in rows} == dict.fromkeys([*RATES, 3e-5, 1e-5])


def test_a_method_declares_as_many_rates_as_all():
    @dataclass(frozen=True)
    class Greedy(LoRA):
        rates = (*RATES, 0.1)

    with pytest.raises(PetlirError, match=r"^lora: 7 learning rates, expected 6 as for every method$"):
        Greedy()


def test_an_exported_choice_is_found_again(lab, tmp_path):
    planner = Planner(lab.request(methods="lora,adapter", regime="tuned"))
    path = tmp_path / "demo" / "ipt-nano.json"
    for cell, best in zip(planner.cells, (1e-3, 1e-2), strict=True):
        key = learning_rate.selection_key(cell, planner.selection_context(cell))
        trials = {rate: (None if rate > 1e-2 else 30.0 + (rate == best)) for rate in RATES}
        curves = {rate: [{"step": 0, "validation_psnr": 29.0}] for rate in RATES}
        named: TunedCell = {"task": cell.task, "label": cell.label}
        halves = {best: Half(1, 30.5, [{"step": 1, "validation_psnr": 30.5}])}
        learning_rate.export([RateSelection(key, named, trials, curves, halves)], path)
    for cell, best in zip(planner.cells, (1e-3, 1e-2), strict=True):
        found = learning_rate.committed(cell, planner.selection_context(cell), tmp_path)
        assert found is not None
        assert found.rate == best
        assert found.trials[3e-2] is None
        assert found.convergence == Convergence(31.0, 30.5)
    assert learning_rate.committed(planner.cells[0], "other weights", tmp_path) is None
    assert [row["rate"] for row in json.loads(path.read_text())["selections"]] == [1e-2, 1e-3]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"selections": [{}]}'])
def test_a_damaged_tuning_record_is_named(lab, tmp_path, text):
    path = tmp_path / "demo" / "ipt-nano.json"
    path.parent.mkdir()
    path.write_text(text)
    (cell,) = Planner(lab.request(regime="tuned")).cells
    with pytest.raises(PetlirError, match=r"^tuning record .*ipt-nano.json is damaged: "):
        learning_rate.committed(cell, "0", tmp_path)


def test_tuning_restores_no_test_image(lab, tmp_path, monkeypatch):
    def tests(self: Context, task: str, on: str) -> None:
        raise AssertionError("a test image was asked for")

    monkeypatch.setattr(Context, "tests", tests)
    monkeypatch.setattr(prepare, "test_pairs", tests)
    (cell,) = Planner(lab.request()).cells
    assert learning_rate.trial(
        Job("trial", cell, lab.context(), Store(tmp_path), weights=digest("ipt-nano")), "cpu"
    ) == {"state": "done"}


def test_test_images_decide_neither_rate_nor_weights(lab, tmp_path):
    """With other test images, the trials and the trained adapter are identical to the bit."""
    other = fill(tmp_path / "data")
    for number in range(2):
        save(other / "small-test" / f"{number}.png", draw([77, number], 56, 64))
    labs = {"one": lab, "two": type(lab)(other, lab.executor)}
    for name, where in labs.items():
        where.run(tmp_path / name)
        (cell,) = Planner(where.request()).cells
        learning_rate.trial(
            Job("trial", cell, where.context(), Store(tmp_path / name), weights=digest("ipt-nano")), "cpu"
        )
    trials = [{p.name: p.read_bytes() for p in (tmp_path / name).glob("tuning/*/*.json")} for name in labs]
    assert trials[0] == trials[1]
    (one,), (two,) = (results(tmp_path / name).values() for name in labs)
    assert one["digests"]["adapter"] == two["digests"]["adapter"]
    assert one["curve"] == two["curve"]
    assert one["digests"]["predictions"] != two["digests"]["predictions"]


def test_a_training_image_that_is_a_test_image_is_refused(lab, tmp_path):
    with pytest.raises(PetlirError, match="task leaky: test set small-test overlaps with folder:small-test"):
        lab.run(tmp_path, tasks="leaky")


def test_tune_says_what_it_chose(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(learning_rate, "committed", lambda cell, weights: shipped())
    (line,) = runner.tune(lab.request(regime="tuned"), tmp_path, device="cpu", workers=1)
    assert line == (
        "ipt-nano · lora · tiny: 0.003 (30.00 dB at 2 steps, 29.60 at 1: +0.40, not converged); rates tried: 8"
    )


def test_tune_says_where_it_failed(lab, tmp_path):
    with pytest.raises(
        PetlirError, match=r"^tuning failed: .*broken.* seed 1000 at 0.0001: ValueError: no such width$"
    ):
        list(runner.tune(lab.request(methods="broken", regime="tuned"), tmp_path, device="cpu", workers=1))
