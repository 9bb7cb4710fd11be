"""Selection of a learning rate for each backbone, method and task: a grid of rates, one seed, validation images only.

The learning rate affects a short run more than the method does, so every method is tuned in the same way: in eight
trials with the same number of steps. The rate with the highest validation PSNR after the last step is chosen, or a
larger rate that is about equally good. The first six trials use the rates of the method's grid; the other two try
rates near the best rate so far. For the doubling test, the network is also trained at the chosen rate for half of
the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from petlir.benchmark import cell as cells
from petlir.benchmark.cell import Cell
from petlir.benchmark.cells import run, train
from petlir.benchmark.cells.adapted_model import prepare
from petlir.benchmark.cells.job import Job
from petlir.benchmark.cells.selection import COMMITTED, Half, RateSelection, parse
from petlir.benchmark.containment import contained
from petlir.benchmark.errors import FAULTS, PetlirError
from petlir.benchmark.records.json_files import read_json
from petlir.benchmark.records.stored_forms import StoredTrial
from petlir.benchmark.statistics.convergence import half_of
from petlir.benchmark.store import Store
from petlir.benchmark.training import loop
from petlir.benchmark.writing import write_json

SEED = 1000
"""The seed of all trials, which differs from the seeds of reported results."""
WHOLE = "whole"
"""The key component of a half-length trial's job that states the number of steps of full-length trials."""


def selection_key(cell: Cell, selection_context: str) -> str:
    """Return the digest of a selection's training budget and selection context; see `Planner.selection_context`."""
    return cells.digest([cell.budget, selection_context])


def trial_cell(cell: Cell, rate: float, *, half: bool = False) -> Cell:
    """Return the cell of a trial, with this learning rate, the seed of trials, and all or half of the steps."""
    return replace(cell, seed=SEED, rate=rate, steps=half_of(cell.steps) if half else cell.steps)


def trial(job: Job, device: str) -> dict[str, object]:
    """Train the job's cell once at the learning rate `cell.rate`, and write the training curve to the store.

    A learning rate at which training diverges counts as tried. If training fails for a reason other than divergence,
    nothing is written, and the reason is returned.
    """
    cell = job.cell
    run.choose_kernels(job.context)
    try:
        with contained():
            curve = train.sparing(job, lambda parts: _curve(job, device, parts))
        psnr = curve[-1]["validation_psnr"]
    except loop.Diverged:
        curve, psnr = [], None
    except FAULTS as error:
        return {"state": "failed", "reason": run.reason(error)}
    row = {"rate": cell.rate, "validation_psnr": psnr, "curve": curve}
    write_json(_file(job), {"cell": cell.to_dict(), **row})
    job.store.publish(_file(job))
    return {"state": "done"}


def _curve(job: Job, device: str, parts: int) -> list[loop.Point]:
    return train.fit(prepare(job, device), job.context, parts=parts).curve


def trial_name(job: Job) -> str:
    """Return the name of a trial's lease."""
    half = f"-{_half_folder(job.parts[WHOLE])}" if WHOLE in job.parts else ""
    return f"{_key(job)}-{job.cell.rate:g}{half}"


def tried(job: Job) -> bool:
    """Return whether the store already contains the result of this trial."""
    return job.store.fetch(_file(job)).exists()


def _key(job: Job) -> str:
    return selection_key(job.cell, job.parts.get("selection_context", job.weights))


def _file(job: Job) -> Path:
    folder = _folder(job.store) / _key(job)
    return (folder / _half_folder(job.parts[WHOLE]) if WHOLE in job.parts else folder) / f"{job.cell.rate:g}.json"


def kept(store: Store, cell: Cell, selection_context: str) -> RateSelection:
    """Return the stored trials for the selection of a cell's learning rate."""
    key, shorter = selection_key(cell, selection_context), replace(cell, steps=half_of(cell.steps))
    described = {name: value for name, value in cell.to_dict().items() if name not in ("rate", "seed", "regime")}
    trials = _rows(_folder(store) / key)
    found = parse({"key": key, "cell": {**described, "seed": SEED, "weights": selection_context}, "trials": trials})  # type: ignore[typeddict-item]
    halves = _rows(_folder(store) / selection_key(shorter, selection_context) / _half_folder(cell.steps))
    return replace(
        found, halves={row["rate"]: Half(shorter.steps, row["validation_psnr"], row["curve"]) for row in halves}
    )


def _rows(folder: Path) -> list[StoredTrial]:
    """Read the trials in a folder, in the order of file names.

    Raises:
        PetlirError: the file of a trial is damaged.
    """
    return [_row(path) for path in sorted(folder.glob("*.json"))]


def _row(path: Path) -> StoredTrial:
    try:
        row = read_json(path)
        rate, psnr, curve = row["rate"], row["validation_psnr"], row["curve"]
        if isinstance(rate, float | int) and isinstance(psnr, float | int | None) and isinstance(curve, list):
            return {"rate": rate, "validation_psnr": psnr, "curve": curve}
        raise TypeError("rate must be a number, validation_psnr a number or null, and curve a list")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PetlirError(f"trial {path} is damaged: {error!r}; remove the file to try the rate again") from error


def _folder(store: Store) -> Path:
    return store.root / "tuning"


def _half_folder(whole: int | str) -> str:
    """Return the folder name of half-length trials, which differs from that of equally long full trials."""
    return f"half-of-{whole}"


def committed(cell: Cell, selection_context: str, folder: Path = COMMITTED) -> RateSelection | None:
    """Return the learning-rate selection that the project ships for this cell, or None if it ships none."""
    return shipped(shipped_at(cell.backbone, cell.track, folder)).get(selection_key(cell, selection_context))


def shipped_at(backbone: str, track: str, folder: Path = COMMITTED) -> Path:
    """Return the path of the learning-rate selections that the project ships for a backbone on a track."""
    return folder / track / f"{backbone.replace(':', '-')}.json"


@lru_cache(maxsize=8)
def shipped(path: Path) -> dict[str, RateSelection]:
    """Return the learning-rate selections in a file that the project ships, by selection key."""
    if not path.is_file():
        return {}
    try:
        found = [parse(plain) for plain in read_json(path)["selections"]]
    except (KeyError, TypeError, ValueError) as error:
        raise PetlirError(
            f"tuning record {path} is damaged: {error!r}; expected the format that `petlir tune --export` writes"
        ) from error
    return {selection.key: selection for selection in found}


def export(selections: Sequence[RateSelection], path: Path) -> None:
    """Write selections to the file that later runs read, and keep the selections for other cells in that file."""
    ours = {selection.key: selection.to_dict() for selection in selections}
    theirs = {key: selection.to_dict() for key, selection in shipped(path).items()}
    rows = sorted({**theirs, **ours}.values(), key=lambda row: (row["cell"]["task"], row["cell"]["label"]))
    write_json(path, {"schema": "petlir-tuning/1", "selections": rows})
    shipped.cache_clear()
