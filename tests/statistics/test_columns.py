"""Test which columns are ranked, and the reasons why others are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from petlir.benchmark.statistics.columns import pretraining_gain, rankable

METHODS = ("adapter", "lora", "ssf", "moe", "colora", "convpass")


def scores(scratch, methods=METHODS):
    psnr = {"full-ft": 30.0, "scratch": scratch, **dict.fromkeys(methods, 29.5)}
    return pd.DataFrame(
        [
            {
                "label": name,
                "method": name,
                "seed": seed,
                "unit": at,
                "image": at,
                "psnr": mean + unit + seed / 10,
            }
            for name, mean in psnr.items()
            for seed in range(3)
            for unit, at in enumerate("abc")
        ]
    ).assign(converged=True)


def ranked(rows, fewest=3):
    return rankable(rows[~rows.method.isin(("full-ft", "scratch"))], fewest, rows)


@pytest.mark.parametrize(("scratch", "why"), [(29.4, ""), (29.7, "only 0.30 dB better"), (31.0, "1.00 dB worse")])
def test_a_task_that_does_not_need_the_weights_is_not_ranked(scratch, why):
    found, reason = ranked(scores(scratch))
    assert set(found) == (set() if why else set(METHODS))
    assert why in reason
    assert ("training from scratch" in reason) == bool(why)


def test_without_either_reference_nothing_is_known_of_the_weights():
    rows = scores(31.0)
    found, reason = ranked(rows[rows.method != "scratch"])
    assert set(found) == set(METHODS)
    assert reason == ""


def test_the_gain_averages_units_and_seeds_and_leaves_identical_images_out():
    rows = scores(29.0)
    rows.loc[(rows.method == "scratch") & (rows.image == "b"), "psnr"] = np.inf
    assert pretraining_gain(rows) == pytest.approx(1.0)  # a and c have the mean of all three
    assert pretraining_gain(rows[rows.method == "lora"]) is None


def test_five_methods_are_too_few():
    found, reason = ranked(scores(29.0, METHODS[:5]))
    assert not found
    assert "fewer than 6" in reason
