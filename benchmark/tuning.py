"""Chooses learning rates: for each (backbone, method, task) one grid, one seed, validation images only.

A learning rate decides a short run more than the method does, so every method is tuned alike: as many trials, each of
the same steps, the weights of the last step, the highest validation PSNR. A choice at the edge widens the grid.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from petlir.benchmark import cell as cells
from petlir.benchmark import experiment, fitting, records, training
from petlir.benchmark.cell import Cell
from petlir.benchmark.errors import FAULTS, PetlirError
from petlir.benchmark.payload import Payload
from petlir.benchmark.store import Store
from petlir.benchmark.subject import prepare

SEED = 1000
"""The selection seed; reported seeds are others."""
COMMITTED = Path(__file__).parent.parent / "results" / "tuning"
STEP = 10**0.5
LOOKS = (1.0,)
"""When validation looks at a trial, as shares of its steps: at the end, which decides."""
WIDEST = (1e-6, 1.0)
"""Beyond these rates no grid is widened."""


@dataclass(frozen=True)
class Selection:
    """The trials for one choice of a learning rate.

    Attributes:
        key: what it was chosen for, as a digest.
        cell: the same in words.
        trials: learning rate → final validation PSNR in dB, None where training diverged.
        curves: learning rate → the trial's curve.
    """

    key: str
    cell: Mapping[str, Any]
    trials: Mapping[float, float | None]
    curves: Mapping[float, Sequence[Mapping[str, float | None]]]

    @property
    def rate(self) -> float | None:
        """The rate of the highest validation PSNR, the lower one of two equal; None where all diverged."""
        finite = {rate: psnr for rate, psnr in self.trials.items() if psnr is not None}
        return max(sorted(finite), key=lambda rate: finite[rate]) if finite else None

    def wider(self) -> float | None:
        """The next rate to try where the choice lies at the edge of the grid."""
        best, tried = self.rate, sorted(self.trials)
        if best is None:
            following = nice(tried[0] / STEP)
        elif best == tried[-1]:
            following = nice(best * STEP)
        elif best == tried[0]:
            following = nice(best / STEP)
        else:
            return None
        return following if WIDEST[0] <= following <= WIDEST[1] else None

    def plain(self) -> dict[str, Any]:
        """The selection as JSON holds it."""
        rows = [
            {"rate": rate, "validation_psnr": psnr, "curve": list(self.curves[rate])}
            for rate, psnr in sorted(self.trials.items())
        ]
        return {"key": self.key, "cell": dict(self.cell), "rate": self.rate, "trials": rows}


def nice(rate: float) -> float:
    """A rate rounded to the grid's 1 and 3 of each decade."""
    return float(f"{10 ** (round(2 * math.log10(rate)) / 2):.0e}")


def parse(plain: Mapping[str, Any]) -> Selection:
    """A selection from its JSON."""
    trials = {row["rate"]: row["validation_psnr"] for row in plain["trials"]}
    return Selection(plain["key"], plain["cell"], trials, {row["rate"]: row["curve"] for row in plain["trials"]})


def selection_key(cell: Cell, ground: str) -> str:
    """What a rate is chosen for: everything of the cell but seed and rate, on the ground of `Planner.ground`."""
    return cells.digest([cell.selection, ground])


def trial(job: Payload, device: str) -> dict[str, Any]:
    """Train once at `cell.rate` with the selection seed, and leave the curve in the store.

    A rate at which training diverges counts as tried; a method that fails otherwise leaves nothing but the reason.
    """
    cell = job.cell
    experiment.settle(job.bench)
    try:
        selecting = replace(job, cell=replace(cell, seed=SEED))
        curve = fitting.sparing(job, lambda parts: _curve(selecting, device, parts))
        psnr = curve[-1]["validation_psnr"]
    except training.Diverged:
        curve, psnr = [], None
    except (PetlirError, *FAULTS) as error:
        return {"state": "failed", "reason": experiment.reason(error)}
    row = {"rate": cell.rate, "validation_psnr": psnr, "curve": curve}
    records.write_json(_file(job), {"cell": cell.plain(), **row})
    job.store.publish(_file(job))
    return {"state": "done"}


def _curve(job: Payload, device: str, parts: int) -> list[training.Point]:
    return fitting.fit(prepare(job, device), job.bench, looks=LOOKS, parts=parts).curve


def trial_name(job: Payload) -> str:
    """What a trial is claimed by."""
    return f"{_key(job)}-{job.cell.rate:g}"


def tried(job: Payload) -> bool:
    """Whether another runner has left this trial."""
    return job.store.fetch(_file(job)).exists()


def _key(job: Payload) -> str:
    return selection_key(job.cell, job.parts.get("ground", job.weights))


def _file(job: Payload) -> Path:
    return _folder(job.store) / _key(job) / f"{job.cell.rate:g}.json"


def kept(store: Store, cell: Cell, ground: str) -> Selection | None:
    """What the store's trials say of a cell's learning rate; None where there is no trial."""
    key = selection_key(cell, ground)
    rows = [json.loads(path.read_text()) for path in sorted((_folder(store) / key).glob("*.json"))]
    if not rows:
        return None
    described = {k: v for k, v in rows[0]["cell"].items() if k not in ("rate", "seed", "regime")}
    return parse({"key": key, "cell": {**described, "seed": SEED, "weights": ground}, "trials": rows})


def _folder(store: Store) -> Path:
    return store.root / "tuning"


def open_trials(selection: Selection | None, rates: Iterable[float]) -> list[float]:
    """The rates that are still to be tried: the method's grid, then what widens it."""
    tried = selection.trials if selection else {}
    missing = [rate for rate in rates if rate not in tried]
    if missing or selection is None:
        return missing
    wider = selection.wider()
    return [] if wider is None else [wider]


def committed(cell: Cell, ground: str, folder: Path = COMMITTED) -> Selection | None:
    """The selection that the project ships for this cell, if any."""
    return _shipped(shipped_at(cell.backbone, cell.track, folder)).get(selection_key(cell, ground))


def shipped_at(backbone: str, track: str, folder: Path = COMMITTED) -> Path:
    """The file of the selections that the project ships for a backbone on a track."""
    return folder / track / f"{backbone.replace(':', '-')}.json"


@lru_cache(maxsize=8)
def _shipped(path: Path) -> dict[str, Selection]:
    if not path.is_file():
        return {}
    try:
        found = [parse(plain) for plain in json.loads(path.read_text())["selections"]]
    except (KeyError, TypeError, ValueError) as error:
        raise PetlirError(
            f"tuning record {path} is damaged: {error!r}; expected the form that `petlir tune --export` writes"
        ) from error
    return {selection.key: selection for selection in found}


def export(selections: Sequence[Selection], path: Path) -> None:
    """Write selections where a later run finds them; those already there for other cells stay."""
    ours = {selection.key: selection.plain() for selection in selections}
    theirs = {key: selection.plain() for key, selection in _shipped(path).items()}
    rows = sorted({**theirs, **ours}.values(), key=lambda row: (row["cell"]["task"], row["cell"]["label"]))
    records.write_json(path, {"schema": "petlir-tuning/1", "selections": rows})
    _shipped.cache_clear()
