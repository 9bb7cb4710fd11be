"""Test verdicts on claims and orderings, on made-up records with known scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from petlir.benchmark.published import Claim, Ordering, claims
from petlir.reports.claims import is_method, verdicts, within
from petlir.reports.orderings import findings
from tests.helpers.samples import typed, typed_all
from tests.reports.stores import record

CLAIM = Claim("AdaptIR", "9", "ipt", "lora", "sr_x4", "Set5", "y-crop4", 32.70, None, "", "")
OFFICIAL = "e18223fc41500e72e6bd576f2a576eae0818f58fa8cc8646a2233f5faf7d0f74"
"""The SHA-256 of DAT-light's official weights for ×4."""
BETTER = Ordering("a beats b", "us", ("lora",), ">", ("adapter", "ssf"), ("sr_x4",), "psnr", "")


def cell(psnr: float, seed: int = 0, method: str = "lora", images: int = 8, **changes: Any) -> dict[str, Any]:
    """Return a record with the paper's setup, in which all images have approximately this PSNR."""
    given = {"backbone": "ipt", "track": "paper", "regime": "paper", **changes}
    made = record(method, "sr_x4", seed, smoke=False, **given)
    made["scores"] = [
        {**made["scores"][0], "set": "Set5", "image": str(i), "unit": str(i), "protocol": "y-crop4@tiles-48",
         "psnr": psnr + 0.001 * (i * (seed + 1) % 3)}
        for i in range(images)
    ]  # fmt: skip
    return made


def seeds(*psnr: float, **changes: Any) -> list[dict[str, Any]]:
    return [cell(value, seed, **changes) for seed, value in enumerate(psnr)]


@pytest.mark.parametrize(
    ("psnr", "verdict"),
    [
        ((32.70, 32.71, 32.69), "reproduced"),
        ((32.40, 32.41, 32.39), "not reproduced"),
        ((32.50, 32.70, 32.90), "inconclusive"),
        ((32.70,), "inconclusive"),
    ],
)
def test_the_verdict_is_the_interval_over_seeds_against_a_tenth_of_a_decibel(psnr, verdict):
    (found,) = verdicts(typed_all(seeds(*psnr)), [CLAIM])
    assert found.verdict == verdict
    assert found.seeds == len(psnr)


def test_the_interval_is_scipys_t_interval_of_the_seeds_means():
    records = seeds(32.5, 32.7, 32.8)
    means = [sum(score["psnr"] for score in one["scores"]) / 8 for one in records]
    known = stats.t.interval(0.95, 2, loc=sum(means) / 3, scale=stats.sem(means))
    (found,) = verdicts(typed_all(records), [CLAIM])
    assert (found.low, found.high) == pytest.approx(known)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (9.9, 10.1, "reproduced"),
        (9.8, 10.0, "inconclusive"),
        (10.2, 10.3, "not reproduced"),
        (9.0, 11.0, "inconclusive"),
    ],
)
def test_within(low, high, verdict):
    assert within(low, high, 10.0) == verdict


@pytest.mark.parametrize(
    ("claim", "changes", "reason"),
    [
        (replace(CLAIM, protocol="rgb"), {}, "protocol: y-crop4 here, rgb in the paper"),
        (replace(CLAIM, protocol="unstated"), {}, "protocol: the paper does not state it"),
        (CLAIM, {"backbone": "ipt-nano"}, "backbone weights: ipt-nano here, ipt in the paper"),
        (CLAIM, {"track": "open"}, "track: open here, not paper"),
        (CLAIM, {"regime": "tuned"}, "training: the learning rate was tuned here"),
        (CLAIM, {"data_label": "synthetic"}, "data: synthetic"),
        (replace(CLAIM, set="Set14"), {}, "data: not scored on Set14 here"),
        (replace(CLAIM, params="995K"), {}, "size: 20,736 parameters here, 995K in the paper"),
    ],
)
def test_what_differs_is_named(claim, changes, reason):
    (found,) = verdicts(typed_all(seeds(32.70, 32.71, 32.69, **changes)), [claim])
    assert (found.verdict, found.reasons) == ("not comparable", (reason,))
    assert (found.ours is None) == (claim.set == "Set14" or claim.protocol != "y-crop4")


def test_the_nearest_records_stand_beside_a_claim():
    near, far = seeds(32.70, 32.71, 32.69), seeds(20.0, 20.0, 20.0, backbone="ipt-nano", track="demo")
    (found,) = verdicts([*typed_all(far), *typed_all(near)], [CLAIM])
    assert (found.verdict, found.source) == ("reproduced", "ipt, paper track")


def test_what_was_not_run_is_said():
    (found,) = verdicts([typed(cell(32.7, method="adapter"))], [CLAIM])
    assert found.verdict == "not run"


def test_low_resolution_files_of_a_set_are_what_papers_restore():
    label = "low-resolution files of Set5"
    (found,) = verdicts(typed_all(seeds(32.70, 32.71, 32.69, data_label=label)), [CLAIM])
    assert found.verdict == "reproduced"
    (found,) = verdicts(typed_all(seeds(32.70, 32.71, 32.69, data_label=f"synthetic; {label}")), [CLAIM])
    assert found.reasons == ("data: synthetic",)


def test_an_untrained_method_needs_no_seeds():
    (found,) = verdicts([typed(cell(32.70, method="frozen", regime="none"))], [replace(CLAIM, method="frozen")])
    assert found.verdict == "reproduced"


@pytest.mark.parametrize(
    ("psnr", "weights", "verdict", "reasons"),
    [
        (32.57, OFFICIAL, "reproduced", ()),
        (32.45, OFFICIAL, "not reproduced", ()),
        (32.57, "0" * 64, "not comparable", ("backbone weights: not the official ones",)),
    ],
)
def test_a_frozen_network_is_comparable_on_any_track_by_its_official_weights(psnr, weights, verdict, reasons):
    """The claim is 32.57 ± 0.1 dB for DAT-light on Set5 ×4. Without training there is one record and no interval."""
    known = {claim.set: claim for claim in claims() if claim.paper == "DAT"}
    one = cell(psnr, method="frozen", regime="none", backbone="dat-light", track="open", images=5)
    one["digests"]["weights"] = weights
    found = {verdict.claim.set: verdict for verdict in verdicts([typed(one)], known.values())}
    assert (found["Set5"].verdict, found["Set5"].reasons, found["Set5"].seeds) == (verdict, reasons, 1)
    assert found["Set5"].low == found["Set5"].high
    assert found["Urban100"].verdict == "not comparable"
    assert "data: not scored on Urban100 here" in found["Urban100"].reasons


@pytest.mark.parametrize(
    ("name", "label", "same"),
    [
        ("lora", "lora[rank=8]", True),
        ("adaptir", "adaptir[ensemble=false]", False),
        ("adaptir[ensemble=false]", "adaptir[hidden=4; ensemble=false]", True),
        ("adaptir[ensemble=false]", "adaptir", False),
        ("lora", "uir-lora", False),
    ],
)
def test_a_method_is_meant_in_any_size_but_not_with_other_options(name, label, same):
    assert is_method(name, label) == same


@pytest.mark.parametrize(("left", "verdict"), [(30.0, "holds"), (28.0, "contradicted"), (29.0, "inconclusive")])
def test_an_ordering_is_tested_on_any_backbone(left, verdict):
    one = seeds(*(left + 0.03 * (seed % 2) for seed in range(5)), backbone="ipt-nano", track="demo")
    other = seeds(*(29.0 + 0.02 * (seed % 3) for seed in range(5)), method="adapter", backbone="ipt-nano", track="demo")
    (found,) = findings([*typed_all(one), *typed_all(other)], [BETTER])
    assert (found.left, found.right, found.verdict) == ("lora", "adapter", verdict)
    assert found.where.backbone == "ipt-nano"


def test_what_is_composed_is_tested_where_nothing_is_trained():
    better = replace(BETTER, left=("uir-lora",), right=("uir-lora[degradations=mixture; weights=uniform]",))
    union = "uir-lora[rank=8; degradations=mixture; weights=uniform]"
    given = {"regime": "none", "method": "frozen"}
    made = seeds(*[30.0] * 5, label="uir-lora[rank=8]", **given) + seeds(*[29.0] * 5, label=union, **given)
    (found,) = findings(typed_all(made), [better])
    assert (found.left, found.right, found.verdict) == ("uir-lora[rank=8]", union, "holds")
    beside = [*made, *seeds(*[25.0] * 5)]
    assert [one.verdict for one in findings(typed_all(beside), [better])] == ["holds"]


def test_about_as_good_is_within_a_tenth_of_a_decibel():
    about = replace(BETTER, relation="~")
    records = [*seeds(*[30.0, 30.01] * 3), *seeds(*[30.02] * 6, method="adapter"), *seeds(*[29.0] * 6, method="ssf")]
    found = {one.right: one.verdict for one in findings(typed_all(records), [about])}
    assert found == {"adapter": "holds", "ssf": "contradicted"}


def test_few_scenes_leave_an_ordering_open():
    records = [*seeds(*[30.0] * 5, images=4), *seeds(*[29.0] * 5, images=4, method="adapter")]
    (found,) = findings(typed_all(records), [BETTER])
    assert (found.verdict, found.reason) == ("inconclusive", "too few scenes (4) or seeds (5) for an interval")
    assert found.difference.mean == pytest.approx(1.0, abs=0.01)


def test_what_is_no_matter_of_scores_is_not_tested_by_them():
    assert findings(typed_all(seeds(30, 30)), [replace(BETTER, measure="contribution")]) == []
