from __future__ import annotations

import json

from petlir.reports.rates import rates
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
    found = {rate.label: (rate.rate, rate.trials) for rate in rates(records, tmp_path, warned.append)}
    assert found == {"lora": (0.003, 3), "adapter": (0.003, None)}
    assert len(warned) == 1


def test_the_regime_of_the_paper_has_no_trials(tmp_path):
    (found,) = rates([record("lora", "sr_x4", regime="paper")], tmp_path, print)
    assert (found.regime, found.trials) == ("paper", None)
    assert len(rates(smoke_records(), tmp_path, print)) == 12
