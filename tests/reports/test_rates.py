from __future__ import annotations

import json

from petlir.benchmark.statistics.convergence import Convergence
from petlir.reports.rates import rates
from tests.helpers.samples import typed, typed_all
from tests.reports.stores import record, smoke_records


def test_trials_are_counted_and_a_torn_file_is_named(tmp_path):
    records = [record("lora", "sr_x4", steps=41), record("adapter", "sr_x4", steps=41), record("frozen", "sr_x4")]
    for rate in (0.001, 0.003, 0.01):
        path = tmp_path / "tuning" / "abc" / f"{rate}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"cell": records[0]["cell"], "rate": rate}))
    torn = tmp_path / "tuning" / "def" / "0.1.json"
    torn.parent.mkdir()
    torn.write_text("{")
    warned: list[str] = []
    found = {rate.label: (rate.rate, rate.trials) for rate in rates(typed_all(records), tmp_path, warned.append)}
    assert found == {"lora": (0.003, (0.001, 0.003, 0.01)), "adapter": (0.003, ())}
    assert len(warned) == 1


def test_the_regime_of_the_paper_has_no_trials(tmp_path):
    (found,) = rates([typed(record("lora", "sr_x4", regime="paper"))], tmp_path, print)
    assert (found.regime, found.trials) == ("paper", ())
    assert len(rates(typed_all(smoke_records()), tmp_path, print)) == 12


def test_the_doubling_test_stands_beside_its_rate(tmp_path):
    (found,) = rates([typed(record("lora", "sr_x4"))], tmp_path, print)
    assert found.convergence == Convergence(24.02, 24.0)


def test_trials_here_and_shipped_ones_are_counted_together(tmp_path, monkeypatch):
    plain = record("lora", "sr_x4")
    shipped = {"key": "abc", "cell": plain["cell"], "rate": 0.003, "trials": [{"rate": 0.001}, {"rate": 0.003}]}
    file = tmp_path / "shipped" / "demo" / "nano.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"selections": [shipped]}))
    monkeypatch.setattr("petlir.reports.rates.COMMITTED", tmp_path / "shipped")
    here = tmp_path / "tuning" / "abc" / "0.0055.json"
    here.parent.mkdir(parents=True)
    here.write_text(json.dumps({"cell": plain["cell"], "rate": 0.0055}))
    half = tmp_path / "tuning" / "def" / "half-of-40" / "0.003.json"
    half.parent.mkdir(parents=True)
    half.write_text(json.dumps({"cell": plain["cell"], "rate": 0.003}))
    (found,) = rates([typed(plain)], tmp_path, print)
    assert found.trials == (0.001, 0.003, 0.0055)
