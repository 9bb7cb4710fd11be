"""Test which runs are too short to rank methods."""

import pytest

from petlir.benchmark.store import Store
from petlir.benchmark.track import track


@pytest.mark.parametrize(
    ("name", "steps", "brief"),
    [
        ("demo", 0, True),
        ("demo", 40, True),
        ("demo", 199, True),
        ("demo", 200, False),
        ("open", 60, True),
        ("paper", 60, False),
    ],
)
def test_a_smoke_tracks_own_budget_ranks_nothing_a_longer_one_does(name, steps, brief):
    assert track(name).too_brief(steps) is brief


def test_a_record_says_so(lab, tmp_path):
    lab.finished(tmp_path, methods="frozen,lora")
    assert all(record.smoke for record in Store(tmp_path).records())
