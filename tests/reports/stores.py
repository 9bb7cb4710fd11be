"""Stores of made-up records that contain everything a page must be able to show."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from skimage.io import imsave

MALICIOUS = "evil</script><script>document.title='x'</script>"
TRAINABLE = {"frozen": 0, "cascade": 0, "full-ft": 850_000, "lora": 20_736, "adapter": 20_100, "ssf": 5_000}
QUALITY = {"frozen": 0.0, "cascade": 3.0, "full-ft": 4.0, "lora": 1.0, "adapter": 1.4, "ssf": 0.6}
TASKS = {"sr_x4": "y-crop4", "denoise_30": "rgb", "hybrid_lr4_noise30": "y-crop4"}
SETS = {
    "photographs": ("photographs", ("astronaut", "coffee", "chelsea", "rocket")),
    "leaves-test": ("procedural", tuple(f"leaves-{i:02}" for i in range(6))),
}
RANKED_TOO = ("moon", "page")
"""Further photographs, since the four in `SETS` are too few for a ranking."""
Record = dict[str, Any]
Edit = Callable[[Record], None]


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def record(method: str, task: str, seed: int = 0, label: str = "", smoke: bool = True, **cell: Any) -> dict[str, Any]:
    """Return the record of a finished cell as the engine writes it."""
    trains = method not in ("frozen", "cascade")
    label = label or method
    key = sha(f"{label}{task}{seed}{sorted(cell.items())}")
    return {
        "schema": "petlir-record/1",
        "key": key,
        "state": "done",
        "reason": None,
        "cell": {
            "backbone": "ipt-nano", "method": method, "options": {"rank": 8}, "label": label, "task": task,
            "track": "demo", "seed": seed, "heads": ["sr_x4"], "regime": "tuned" if trains else "none",
            "learning_rate": 0.003 if trains else None, "steps": 40, "batch_size": 4, "patch": 48,
            "protocols": [TASKS.get(task, "rgb")], "simulated": "", "data_label": "",
            "transfer": "unseen" if task.startswith("hybrid") else "seen",
            "reference": method in ("frozen", "cascade", "full-ft"), **cell,
        },
        "key_components": {"engine": "1"},
        "scores": scores(method, task, seed, () if smoke else RANKED_TOO),
        "curve": curve(method, seed) if trains else [],
        "convergence": doubling(0.02) if trains else None,
        "smoke": smoke,
        "costs": costs(method),
        "environment": {
            "device": "cpu", "python": "3.11.9", "torch": "2.9.0", "petlir": "0.1.0", "platform": "Linux",
            "git_revision": "0123abcd", "git_dirty": False, "deterministic": True, "precision": "float32",
            "threads": 1, "versions": {"numpy": "2.0"},
        },
        "digests": {"adapter": None, "predictions": sha("p"), "data": sha(task), "weights": sha("w")},
        "started": "2026-11-21T09:00:00Z",
        "finished": "2026-11-21T09:05:00Z",
    }  # fmt: skip


def doubling(change: float, half: float = 24.0) -> dict[str, float]:
    """Return a doubling test in which PSNR changed by `change` dB."""
    return {"psnr": half + change, "half_psnr": half, "change": change}


def scores(method: str, task: str, seed: int, further: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Draw scores from the two-way crossed model: a level, effects of the unit and of the seed, and noise."""
    draw = random.Random(f"{method}{task}{seed}")
    rows = []
    for set_, (domain, names) in SETS.items():
        for number, image in enumerate(names if domain == "procedural" else (*names, *further)):
            level = 22.0 + number + (0.5 if domain == "procedural" else 0.0)
            rows.append({
                "set": set_, "domain": domain, "image": image, "unit": image, "protocol": TASKS.get(task, "rgb"),
                "psnr": round(level + QUALITY[method] + 0.01 * seed + draw.gauss(0, 0.02), 4),
                "ssim": round(0.7 + 0.03 * QUALITY[method], 4), "input_psnr": level + 1.5, "input_ssim": 0.74,
            })  # fmt: skip
    return rows


def curve(method: str, seed: int) -> list[dict[str, Any]]:
    draw = random.Random(f"{method}{seed}")
    return [
        {"step": step, "learning_rate": 0.003 * (1 - step / 40),
         "loss": 0.03 + 0.9 ** (step / 2) / 20 + draw.gauss(0, 0.0002),
         "validation_psnr": 22 + QUALITY[method] + draw.gauss(0, 0.02) if step == 40 else None}
        for step in range(5, 41, 5)
    ]  # fmt: skip


def costs(method: str) -> dict[str, Any]:
    trainable = TRAINABLE[method]
    base, trains = 850_000, trainable > 0
    return {
        "trainable": trainable, "stored_bytes": 4 * trainable,
        "total": base if method == "full-ft" else base + trainable,
        "saved_for_backward_bytes": 9_000_000 if trains else 0, "flops_per_step": 1_240_000_000 if trains else 0,
        "memory": {"weights": 4 * base, "gradients": 4 * trainable, "optimizer": 8 * trainable,
                   "activations": 9_000_000 if trains else 0, "peak": None},
        "step_seconds": {"median": 0.1, "p95": 0.12} if trains else None, "training_seconds": 4.0 * trains,
        "validation_seconds": 1.0 * trains,
        "evaluation_seconds": 3.0, "inference_seconds_per_megapixel": 1.0,
        "merged_inference_seconds_per_megapixel": 0.9 if method == "lora" else None, "merged": method == "lora",
        "energy_joules": None, "threads": 1, "exclusive": False,
    }  # fmt: skip


def unfinished(plain: dict[str, Any], state: str, reason: str) -> dict[str, Any]:
    """Return the record of the same cell without a result."""
    empty: dict[str, Any] = {"scores": [], "curve": [], "costs": {}, "digests": {}}
    return {**plain, **empty, "state": state, "reason": reason}


def write_store(root: Path, records: list[dict[str, Any]], images: bool = True) -> Path:
    """Write records into the folders of a store, with tiny images."""
    for one in records:
        cell = one["cell"]
        slug = "".join(c if c.isalnum() or c in "._=-" else "-" for c in cell["label"]).strip("-.")
        while "--" in slug:
            slug = slug.replace("--", "-")
        folder = root / "cells" / cell["backbone"] / cell["task"] / f"{slug}-s{cell['seed']}-{one['key'][:8]}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(one))
        for score in one["scores"] if images and cell["seed"] == 0 else ():
            shared = root / "images" / cell["track"] / cell["task"] / score["set"]
            write_png(folder / "restored" / score["set"] / f"{score['image']}.png", 64, slug)
            write_png(shared / "clean" / f"{score['image']}.png", 64)
            write_png(shared / "degraded" / f"{score['image']}.png", 16)
    return root


def write_smoke_store(root: Path) -> Path:
    """Write the store of a smoke run with cells of every state and one incomplete record."""
    write_store(root, smoke_records())
    torn = root / "cells" / "ipt-nano" / "sr_x4" / "torn-s0-00000000" / "record.json"
    torn.parent.mkdir()
    torn.write_text('{"schema": "petlir-rec')
    return root


def write_png(path: Path, side: int, by: str = "") -> None:
    """Write a ramp that is shifted depending on the file's name and, for restored images, on the method `by`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, 255, side, dtype=np.uint8)
    image = np.stack([ramp[:, None] + 0 * ramp, ramp[None] + 0 * ramp[:, None], 0 * ramp[:, None] + 0 * ramp], -1)
    imsave(path, np.roll(image, (crc32(path.name.encode()) + crc32(by.encode()) % 7) % side, 0), check_contrast=False)


def smoke_records() -> list[dict[str, Any]]:
    """Return records of one seed with every state, a hostile label, an infinite PSNR and a missing cell."""
    made = {(method, task): record(method, task) for method in TRAINABLE for task in TASKS}
    made["lora", "sr_x4"]["scores"][0]["psnr"] = "inf"
    made["ssf", "sr_x4"]["convergence"] = doubling(0.41)
    for (method, task), (state, reason) in {
        ("cascade", "sr_x4"): (
            "not-applicable",
            "cascade needs a task made of several degradations, and sr_x4 has one",
        ),
        ("cascade", "denoise_30"): (
            "not-applicable",
            "cascade needs a task made of several degradations, and denoise_30 has one",
        ),
        ("ssf", "denoise_30"): ("failed", "the loss is not a number at step 12"),
        ("full-ft", "denoise_30"): ("out-of-memory", "CUDA out of memory"),
    }.items():
        made[method, task] = unfinished(made[method, task], state, reason)
        if state == "not-applicable":
            made[method, task]["environment"]["device"] = "none"
    del made["adapter", "denoise_30"]
    return [*made.values(), record("lora", "sr_x4", label=MALICIOUS, options={"rank": 4})]


def ranked_records(seeds: int = 3) -> list[dict[str, Any]]:
    """Return converged cells of six PETL methods with several seeds; one method is statistically tied with the best."""
    several = [record(m, t, s, smoke=False) for m in ("full-ft", "lora", "adapter", "ssf") for t in TASKS
               for s in range(seeds)]  # fmt: skip
    once = [record(method, task, smoke=False) for method in ("frozen", "cascade") for task in TASKS]
    twins = [record(method, task, seed, label=label, smoke=False) for task in TASKS for seed in range(seeds)
             for label, method in (("twin", "adapter"), ("minor", "lora"), ("least", "ssf"))]  # fmt: skip
    for twin in twins:
        draw = random.Random(twin["key"])
        for score in twin["scores"]:
            score["psnr"] += draw.gauss(0, 0.05) - (0 if twin["cell"]["label"] == "twin" else 0.3)
    return several + once + twins
