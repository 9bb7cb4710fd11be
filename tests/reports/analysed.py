"""Analyses of a store with made-up values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from petlir.benchmark.analysis.finished import Analysis
from petlir.benchmark.analysis.studies import keep


def curve(label: str, task: str, slope: float) -> list[dict[str, Any]]:
    return [
        {"label": label, "task": task, "frequency": k / 4, "relative_log_amplitude": -slope * k / 4} for k in range(4)
    ]


def write_analyses(store: Path) -> None:
    """Write an analysis of each kind into the store's folder `analyses`."""
    fourier: list[dict[str, Any]] = [
        *curve("lora", "rain", 1.0),
        *curve("lora", "noise", 2.0),
        *curve("<b>", "rain", 4.0),
    ]
    fourier.append({"label": "lora", "tasks": 2, "heterogeneity": 0.4, "low": 0.3, "high": 0.5})
    gains: list[dict[str, Any]] = [{"label": "lora", "trained": a, "tested": b, "psnr": 20.0, "over_frozen": gain}
             for a, b, gain in (("rain", "rain", 1.5), ("rain", "noise", -2.0), ("noise", "noise", 0.5))]  # fmt: skip
    routed = (("rain", "rain", 0.75), ("rain", "noise", 0.25), ("haze", "rain", 1.0))
    gains += [{"label": "uir-lora", "tested": task, "expert": expert, "weight": 0.5, "most": most}
              for task, expert, most in routed]  # fmt: skip
    groups = (("kind", "norm", 2.0), ("place", "encoder", 1.0))
    tensors = (("a", "norm", "encoder", 1e-4), ("b", "bias", "encoder", 1e-2), ("c", "norm", "decoder", 0.0),
               ("d", "norm", "decoder", 1e-6))  # fmt: skip
    moved: list[dict[str, Any]] = [
        {"label": "full-ft", "task": "rain", "level": level, "group": group, "mean": mean, "parameters": 1}
        for level, group, mean in groups
    ]
    moved += [{"label": "full-ft", "task": "rain", "level": "tensor", "group": group, "mean": mean, "parameters": 1,
               "kind": kind, "place": place} for group, kind, place, mean in tensors]  # fmt: skip
    moved += [
        {"label": label, "task": "rain", "level": "rank", "group": str(at), "place": place, "rank": rank}
        for label, several in (("colora", (2, 0, 8)), ("lora", (4, 0, 4)))
        for at, (rank, place) in enumerate(zip(several, ("encoder", "encoder", "decoder"), strict=True))
    ]
    strong = [
        {"label": "adaptir", "task": task, "branch": branch, "strength": strength, "low_energy": 0.5, "modules": 2}
        for task, branch, strength in (("rain", "local", 0.25), ("rain", "added", 9.0), ("noise", "local", 0.5),
                                       ("rain", "place gate", 0.75))
    ]  # fmt: skip
    for name, rows in (("fourier", fourier), ("transfer", gains), ("contribution", moved), ("response", strong)):
        keep(Analysis(rows, [f"what {name} shows"], ["frozen: <nothing>"]), store / "analyses" / f"{name}.csv")
