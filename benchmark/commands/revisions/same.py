"""Proof that changed code still computes the same results: two training steps with the old and with the new code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

from petlir.benchmark.errors import PetlirError, counted
from petlir.benchmark.revisions import normalised
from petlir.benchmark.revisions.sources import built_on
from petlir.benchmark.revisions.table import PACKAGE, engine_files, read

TOLERANCE = 1e-6
"""The largest difference in adapter weights or training curves at which two cells still count as equal."""
CHECKOUT = (PACKAGE / "benchmark").resolve().parent
BACKBONES, METHODS, TASKS = "ipt-nano,nafnet-nano", "lora,full-ft,adaptir", "hybrid_lr4_noise30,derain_heavy"
"""The default plugins of each type, which are trained if no plugin of this type depends on the changed file."""


@dataclass(frozen=True)
class Grid:
    """A grid, with names separated by commas, as in the options of `petlir run`."""

    backbones: str
    methods: str
    tasks: str


def prove(files: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    """Compare two training steps of the plugins that depend on the files: with the old code, and with the new code.

    The old code of a file is the code whose digest the table of revisions states. Files on which the same plugins
    depend, and whose old code is in the same commit, share one comparison.

    Args:
        files: paths relative to the package, such as `methods/lora.py`.

    Yields:
        For each comparison, the list of compared files and a sentence on the result.

    Raises:
        PetlirError: a result differs, or no commit contains the code of a revision.
    """
    tested_alike: dict[tuple[Grid, str], list[str]] = {}
    for file in files:
        tested_alike.setdefault((grid_of(file), commit_of(file)), []).append(file)
    for (grid, commit), group in tested_alike.items():
        yield group, _prove(", ".join(group), grid, commit)


def _prove(names: str, grid: Grid, commit: str) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        before, after, tree = (Path(scratch) / name for name in ("before", "after", "tree"))
        _git("worktree", "add", "--detach", "--quiet", str(tree), commit)
        try:
            _train(tree, grid, before)
            _train(CHECKOUT, grid, after)
        finally:
            _git("worktree", "remove", "--force", str(tree))
        cells, largest, place = compared(before, after)
    if not cells:
        raise PetlirError(f"{names}: no cell was trained with both versions; expected at least one")
    if largest > TOLERANCE:
        raise PetlirError(f"{names}: different results; {place} differs by {largest:.2g}; increment the revision")
    return (
        f"{names}: results of {counted(cells, 'cell')} trained for two steps agree with commit {commit[:12]}; "
        f"largest difference {largest:.2g}"
    )


def grid_of(file: str) -> Grid:
    """Return the backbones, methods and tasks that depend on a file; for a type without any, return default plugins."""
    from petlir.benchmark.plugins import find

    plugins = find()
    wanted = (PACKAGE / file).resolve()
    if wanted in {path.resolve() for path in engine_files()}:
        return Grid(BACKBONES, METHODS, TASKS)
    touched: dict[str, list[str]] = {"method": [], "task": [], "backbone": []}
    for named, source in plugins.sources.items():
        kind, _, name = named.partition(":")
        if kind in touched and wanted in {path.resolve() for path in built_on(source)}:
            touched[kind].append(name)
    small = [name for name in touched["backbone"] if name.endswith("-nano") or name == "dat-light"]
    return Grid(
        ",".join(small) or BACKBONES, ",".join(touched["method"]) or METHODS, ",".join(touched["task"]) or TASKS
    )


def commit_of(file: str) -> str:
    """Return the newest commit in which a file has the code whose digest is in the table of revisions.

    Raises:
        PetlirError: no commit contains the code whose digest is in the table of revisions.
    """
    expected = read()[file].digest
    for commit in (*_git("rev-parse", "HEAD").split(), *_git("log", "--format=%H", "--", file).split()):
        text = _git("show", f"{commit}:{file}", missing="")
        if text and normalised.digest(text) == expected:
            return commit
    raise PetlirError(f"no commit contains {file} with the code of its revision; use --raise instead")


def compared(before: Path, after: Path) -> tuple[int, float, str]:
    """Return the number of compared cells, and the size and place of the largest difference between their results."""
    cells, largest, place = 0, 0.0, ""
    newer = {_cell(path): path.parent for path in after.rglob("record.json")}
    for path in before.rglob("record.json"):
        if (other := newer.get(_cell(path))) is None or _record(path)["state"] != "done":
            continue
        cells += 1
        for what, difference in _differences(path.parent, other):
            if difference > largest:
                largest, place = difference, f"{what} of {_cell(path)}"
    return cells, largest, place


def _differences(before: Path, after: Path) -> Iterator[tuple[str, float]]:
    old, new = _record(before / "record.json"), _record(after / "record.json")
    if new["state"] != "done":
        yield f"state ({new['state']}: {new['reason']})", inf
        return
    for one, two in zip(old["curve"], new["curve"], strict=False):
        for what in ("loss", "validation_psnr"):
            if one["step"] == two["step"] and None not in (one[what], two[what]):
                apart = abs(one[what] - two[what])
                yield f"{what} at step {one['step']}", apart if isfinite(apart) else inf
    from safetensors.torch import load_file

    adapter = "adapter.safetensors"
    if not (before / adapter).exists():
        return
    theirs = load_file(after / adapter) if (after / adapter).exists() else {}
    for name, tensor in load_file(before / adapter).items():
        same = name in theirs and theirs[name].shape == tensor.shape
        apart = float((tensor.double() - theirs[name].double()).abs().max()) if same else inf
        yield name, apart if isfinite(apart) else inf


def _cell(path: Path) -> str:
    cell = _record(path)["cell"]
    return " · ".join(str(cell[name]) for name in ("backbone", "label", "task", "seed"))


def _record(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _train(tree: Path, grid: Grid, store: Path) -> None:
    asked = ["-b", grid.backbones, "-m", grid.methods, "-t", grid.tasks]
    more = ["--steps", "2", "--regime", "paper", "--seeds", "0", "--device", "cpu", "--workers", "1", "--no-report"]
    command = [sys.executable, "-m", "petlir", "run", *asked, *more, "--store", str(store)]
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, cwd=store.parent, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 1):  # code 1: a cell failed, which the comparison reports
        last = "".join(ended.stderr.strip().splitlines()[-1:])
        raise PetlirError(f"training with the code in {tree} failed: {last}")


def _git(*arguments: str, missing: str | None = None) -> str:
    ended = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if ended.returncode:
        if missing is not None:
            return missing
        raise PetlirError(f"git {arguments[0]} failed: {ended.stderr.strip()}")
    return ended.stdout
