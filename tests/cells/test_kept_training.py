"""Test that no training is lost if scoring fails: the next run continues from the trained adapter."""

from __future__ import annotations

from petlir.benchmark.cells.kept_training import TRAINED
from petlir.benchmark.records.files import ADAPTER
from petlir.benchmark.scoring import evaluate
from petlir.benchmark.store import Store
from petlir.benchmark.training import loop


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("no memory is left for the scores")


def unexpected(*_: object, **__: object) -> None:
    raise AssertionError("the cell was trained again")


def test_a_failure_while_scoring_keeps_the_trained_adapter(lab, tmp_path, monkeypatch):
    whole, broken = lab.finished(tmp_path / "whole"), tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "evaluate", fail)
        outcome = lab.run(broken)
    assert outcome.failed[0][1] == "RuntimeError: no memory is left for the scores"
    (kept,) = broken.glob(f"work/*/{TRAINED}")
    monkeypatch.setattr(loop, "fit", unexpected)
    assert lab.run(broken).states == {"done": 1}
    assert not kept.parent.exists()
    (one,), (other,) = (Store(store).files() for store in (whole, broken))
    assert (one.parent / ADAPTER).read_bytes() == (other.parent / ADAPTER).read_bytes()
    first, second = (next(Store(store).records()) for store in (whole, broken))
    assert (first.scores, first.curve) == (second.scores, second.curve)


def test_a_damaged_file_is_trained_again(lab, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "evaluate", fail)
        lab.run(tmp_path)
    (kept,) = tmp_path.glob(f"work/*/{TRAINED}")
    kept.write_bytes(kept.read_bytes()[:100])
    assert lab.run(tmp_path).states == {"done": 1}


def test_a_failure_while_training_keeps_nothing(lab, tmp_path):
    assert lab.run(tmp_path, methods="diverging").states == {"failed": 1}
    assert not list(tmp_path.glob(f"work/*/{TRAINED}"))
