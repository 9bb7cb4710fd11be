"""Sample records of finished cells, for tests to change."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from petlir.benchmark.records.files import parse_record
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.store import Store

KEY = "0123456789abcdef" * 4


def record(**changes: Any) -> dict[str, Any]:
    """Return a complete record, with these top-level entries changed."""
    return _done() | changes


def failed(reason: str = "NaN in training at step 3", **changes: Any) -> dict[str, Any]:
    """Return the record of a cell that did not finish."""
    nothing = {"state": "failed", "reason": reason, "scores": [], "curve": [], "costs": {}, "digests": {}}
    return _done() | nothing | changes


def _done() -> dict[str, Any]:
    digest = "f" * 64
    return {
        "schema": "petlir-record/1",
        "key": KEY,
        "state": "done",
        "reason": None,
        "cell": {
            "backbone": "ipt-nano",
            "method": "lora",
            "options": {"rank": 8, "alpha": 8.0},
            "label": "lora[rank=8]",
            "task": "sr_x4",
            "track": "demo",
            "seed": 0,
            "heads": ["sr_x4"],
            "regime": "tuned",
            "learning_rate": 0.003,
            "steps": 40,
            "batch_size": 4,
            "patch": 48,
            "protocols": ["y-crop4@tiles-48"],
            "simulated": "",
            "data_label": "",
            "transfer": "seen",
        },
        "key_components": {"options": "a", "weights": "b"},
        "scores": [score("astronaut", 27.0, 0.8), score("coffee", 29.0, 0.9)],
        "curve": [
            {"step": 20, "learning_rate": 0.003, "loss": 0.05, "validation_psnr": None},
            {"step": 40, "learning_rate": 0.0, "loss": 0.03, "validation_psnr": 22.6},
        ],
        "convergence": {"psnr": 22.6, "half_psnr": 22.55, "change": 0.05},
        "smoke": True,
        "costs": {
            "trainable": 20736,
            "stored_bytes": 82944,
            "total": 850000,
            "saved_for_backward_bytes": 1000,
            "flops_per_step": 2000,
            "memory": {"weights": 4, "gradients": 3, "optimizer": 2, "activations": 1, "peak": None},
            "step_seconds": {"median": 0.1, "p95": 0.12},
            "training_seconds": 4.0,
            "validation_seconds": 1.0,
            "evaluation_seconds": 3.0,
            "inference_seconds_per_megapixel": 1.0,
            "merged_inference_seconds_per_megapixel": 0.9,
            "merged": True,
            "energy_joules": None,
            "threads": 1,
            "exclusive": False,
        },
        "environment": {
            "device": "cpu",
            "python": "3.11.7",
            "torch": "2.9.0",
            "petlir": "0.1.0",
            "platform": "Linux",
            "git_revision": None,
            "git_dirty": None,
            "deterministic": True,
            "precision": "float32",
            "threads": 1,
            "versions": {"numpy": "2.3"},
        },
        "digests": {"adapter": digest, "predictions": digest, "data": digest, "weights": digest},
        "started": "2026-11-21T09:00:00+00:00",
        "finished": "2026-11-21T09:00:07+00:00",
    }


def score(image: str, psnr: float | str, ssim: float) -> dict[str, Any]:
    """Return the scores of one image."""
    return {
        "set": "photographs",
        "domain": "photographs",
        "image": image,
        "unit": image,
        "protocol": "y-crop4@tiles-48",
        "psnr": psnr,
        "ssim": ssim,
        "input_psnr": 25.0,
        "input_ssim": 0.7,
    }


def typed(plain: dict[str, Any]) -> Record:
    """Return the record read from this JSON object."""
    return parse_record(json.dumps(plain), Path("record.json"))


def typed_all(plain: Iterable[dict[str, Any]]) -> list[Record]:
    """Return the records read from these JSON objects."""
    return [typed(one) for one in plain]


def finished_in(store: Path) -> list[Done]:
    """Return the records of the finished cells of a store."""
    return [record for record in Store(store).records() if isinstance(record, Done)]


def folder_of(store: Path, plain: dict[str, Any]) -> Path:
    """Return the folder of this record's cell in a store."""
    one = typed(plain)
    return Store(store).cell_folder(one.cell, one.key)
