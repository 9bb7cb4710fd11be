"""Test values that a record states in addition to its request: each is changed, and none of the changes is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers import forging
from tests.helpers.forging import cell_of, score_of, verdicts

Record = dict[str, Any]


def test_what_is_honest_is_believed(lab, forged):
    assert [(one.level, one.why) for one in verdicts(forged, lab)] == [("re-inferred", "it was not retrained")]


def costs_of(**fields: Any) -> Callable[[Record], None]:
    return lambda record: record["costs"].update(fields)


def exchanged(record: Record) -> None:
    """Replace an image's score under one protocol by a second copy of another image's score.

    The number of scores stays the same, and every image still has a score.
    """
    rounded = [
        row for row in record["scores"] if row["protocol"].endswith("@tiles-48") and "float" not in row["protocol"]
    ]
    record["scores"].remove(rounded[0])
    record["scores"].append(dict(rounded[1]))


def converged(record: Record) -> None:
    record["convergence"] = {"psnr": 30.0, "half_psnr": 30.0, "change": 0.0}


def accumulated(record: Record) -> None:
    record["cell"]["accumulation"] = {"parts": 2, "batch_statistics": True}


def curve_of(place: int, **fields: Any) -> Callable[[Record], None]:
    return lambda record: record["curve"][place].update(fields)


def metric_of(**fields: Any) -> Callable[[Record], None]:
    return lambda record: record["metrics"][0].update(fields)


STATED: dict[str, tuple[Callable[[Record], None], str]] = {
    "label": (cell_of(label="lora"), "the record says label"),
    "heads": (cell_of(heads=["denoise_50", "sr_x4"]), "the record says heads"),
    "no protocols": (cell_of(protocols=[]), "the record says protocols"),
    "another headline": (cell_of(protocols=["rgb-float@tiles-48", "rgb@tiles-48"]), "the record says protocols"),
    "transfer": (cell_of(transfer="seen"), "the record says transfer"),
    "degradation": (cell_of(degradation="GaussianNoise(sigma=50)"), "the record says degradation"),
    "simulated": (cell_of(simulated="simulated camera noise"), "the record says simulated"),
    "column's note": (cell_of(data_label="real photographs"), "the record says data_label"),
    "reference": (cell_of(reference=True), "the record says reference"),
    "regime": (cell_of(regime="tuned"), "do not match the cell: rate"),
    "no rate": (cell_of(learning_rate=None), "the record says learning_rate None"),
    "rate": (cell_of(learning_rate=3e-3), "the record says learning_rate"),
    "batch": (cell_of(batch_size=64), "the record says batch_size"),
    "huge patch": (cell_of(patch=10**6), "the record says patch"),
    "accumulation": (accumulated, "batch_statistics"),
    "rank as text": (cell_of(options={"rank": "2", "alpha": 1.0}), "wrong type"),
    "rank as a list": (cell_of(options={"rank": [2], "alpha": 1.0}), "wrong type"),
    "unknown option": (cell_of(options={"rank": 2, "best": True}), "options of lora do not match"),
    "few options": (cell_of(options={"rank": 2}), "the record says options"),
    "smoke": (lambda record: record.update(smoke=False), "the record says smoke"),
    "converged": (converged, "convergence: expected no value"),
    "trainable": (costs_of(trainable=1), "the record says trainable 1"),
    "stored bytes": (costs_of(stored_bytes=1), "the record says stored_bytes 1"),
    "total": (costs_of(total=10**9), "the record says total"),
    "FLOPs": (costs_of(flops_per_step=1), "the record says flops_per_step 1"),
    "bytes for backward": (costs_of(saved_for_backward_bytes=1), "the record says activations"),
    "merged": (costs_of(merged=False, merged_inference_seconds_per_megapixel=None), "the record says merged"),
    "required seconds": (costs_of(required_seconds=3.0), "the record says required_seconds"),
    "curve steps": (curve_of(0, step=5), "the record says curve steps"),
    "curve rate": (curve_of(0, learning_rate=1.0), "learning rate of step 1 1.0"),
    "validation": (curve_of(-1, validation_psnr=46.0), "the record says validation_psnr 46.0"),
    "score": (score_of(psnr=46.0), "the record says psnr 46.0"),
    "perfect score": (score_of(psnr="inf"), "the record says psnr inf"),
    "SSIM": (score_of(ssim=0.99), "the record says ssim 0.99"),
    "unrounded score": (score_of("rgb-float@tiles-48", psnr=46.0), "the record says psnr 46.0"),
    "input score": (score_of(input_psnr=1.0), "the record says input_psnr 1.0"),
    "domain": (score_of(domain="procedural"), "the record says domain"),
    "unit": (score_of(unit="another scene"), "the record says unit"),
    "a score twice, another not at all": (exchanged, "the record does not score each test image once"),
    "metric": (metric_of(values=[]), "expected one value for each test image"),
    "better": (metric_of(better="lower"), "the record says better"),
    "predictions": (lambda record: record["digests"].update(predictions="0" * 64), "the record says predictions"),
    "weights": (lambda record: record["digests"].update(weights="0" * 64), "the record says weights"),
    "test images": (lambda record: record["digests"].update(data="0" * 64), "the digest of its test images"),
    "device": (lambda record: record["environment"].update(device="none"), "expected the device that the cell ran on"),
    "date": (lambda record: record.update(finished="2999-01-01T00:00:00+00:00"), "or in the future"),
    "key": (lambda record: record.update(key="0" * 64), "the cell's key is not the digest"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "line"), STATED.values(), ids=STATED.keys())
def test_what_a_record_states_is_derived(lab, forged, change, line):
    forging.edit(forging.cell_in(forged), change)
    (found,) = verdicts(forged, lab)
    assert found.level == ""
    assert re.search(line, found.why), found.why
