"""Petlir's engine on a few small images, in this process, so that a cell takes one or two seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from filelock import FileLock
from torch import Tensor

from petlir.benchmark.cell import digest
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.worker import work
from petlir.benchmark.cli import main
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.executors import Event, QueuedJob, Schedule
from petlir.benchmark.images.patches import PatchSampler
from petlir.benchmark.runs import runner
from petlir.benchmark.runs.planning.request import Request, request_from_grid
from petlir.benchmark.runs.runner import Outcome
from petlir.benchmark.scoring import evaluate
from petlir.benchmark.store import Store
from petlir.benchmark.track import DEMO, TRACKS

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).parent / "plugins" / "tiny.py"
SETS = {
    "small-train": (3, 96, 100),
    "small-validation": (2, 64, 60),
    "small-test": (2, 56, 64),
    "small-test-x2": (2, 96, 100),
}
"""The plugin's image sets: number, height and width of the images; enlarging tasks need at least 96×96 pixels."""

BATCH = 2
"""Crops per training step in the laboratory, half as many as in the demo track."""


def draw(seed: list[int], height: int = 52, width: int = 100) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw a smooth H×W×3 image from a seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.array(PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC))


def save(path: Path, image: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Write an image file, creating its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)


def fill(root: Path) -> Path:
    """Write the image sets of the plugin's tasks below `root`."""
    for place, (name, (count, height, width)) in enumerate(SETS.items()):
        for number in range(count):
            save(root / name / f"{number}.png", draw([place, number], height, width))
    return root


class Inline:
    """An executor that runs jobs in this process; jobs still pass through JSON."""

    def __init__(self) -> None:
        self.worked: list[str] = []

    def run(self, jobs: Sequence[QueuedJob], on_event: Callable[[Event], None]) -> None:
        """Run the jobs one after the other, each after the jobs that it requires."""
        schedule = Schedule(jobs)
        while schedule:
            for event in schedule.refresh():
                on_event(event)
            while job := schedule.take(None, ()):
                schedule.end(self._run(job, on_event))

    def _run(self, job: QueuedJob, on_event: Callable[[Event], None]) -> Event:
        self.worked.append(job.key)
        on_event(Event("started", job.key, "cpu"))
        try:
            result = work(json.loads(json.dumps(job.packed)), "cpu", lambda share, text: None)
        except PetlirError as error:
            result = {"state": "failed", "reason": str(error)}
        finished = Event("finished", job.key, "cpu", 1.0, result=result)
        on_event(finished)
        return finished


class Silent:
    """A stand-in for the MLflow mirror; it stores nothing."""

    def __init__(self, *_: object) -> None: ...

    def put(self, record: object) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Lab:
    """Small images, and functions that run cells on them; by default two steps at the paper's learning rate."""

    data: Path
    executor: Inline

    def request(self, **chosen: Any) -> Request:
        """Return the request that `petlir run` would make."""
        given: dict[str, Any] = {"methods": "lora", "tasks": "tiny", "steps": 2, "regime": "paper"} | chosen
        return request_from_grid("demo", [PLUGIN], self.data, True, "float32", **given)

    def run(self, store: Path, **chosen: Any) -> Outcome:
        """Run the requested cells in this process."""
        return runner.run(self.request(**chosen), store, device="cpu", workers=1)

    def finished(self, store: Path, **chosen: Any) -> Path:
        """Copy a store of the requested cells to `store`; they are trained once for all test processes."""
        source = self.data.with_name("stores") / digest(chosen)
        source.parent.mkdir(exist_ok=True)
        with FileLock(source.with_suffix(".lock")):
            if not source.exists():
                self.run(source.with_suffix(".part"), **chosen)
                source.with_suffix(".part").rename(source)
                self.executor.worked.clear()
        return shutil.copytree(source, store, dirs_exist_ok=True)

    def context(self, **changes: Any) -> Context:
        """Return the context that a worker would have."""
        return replace(self.request().context, **changes)


def restore_batches(patch: pytest.MonkeyPatch) -> None:
    """Give the laboratory the demo track's own batch size, which processes started by tests use."""
    patch.setitem(TRACKS, "demo", DEMO)


@contextmanager
def laboratory(images: Path) -> Iterator[Lab]:
    """Set up the engine in this process, on small images, without MLflow."""
    executor = Inline()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker has
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "_executor", lambda *_, **__: executor)
        patch.setattr(runner, "Mirror", Silent)
        patch.setitem(TRACKS, "demo", replace(DEMO, batch_size=BATCH))
        patch.setattr(evaluate, "seconds_per_megapixel", lambda *_: 1.0)  # timing takes as long as training does here
        patch.delenv("PETLIR_WEIGHTS", raising=False)
        yield Lab(images, executor)
    torch.set_num_threads(threads)


UNMIRRORED = """
import sys
from petlir.benchmark.cli import main
from petlir.benchmark.runs import runner

runner.Mirror = type("Silent", (), dict.fromkeys(("__init__", "put", "close"), lambda *_: None))
sys.argv[0] = "petlir"
main()
"""
"""`petlir` without MLflow, whose database takes longer to set up than a small grid takes to run."""


def spawned(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    """Start `petlir` in a separate process with its own workers, in a process group that can be signalled."""
    asked = [sys.executable, "-c", UNMIRRORED, *map(str, arguments)]
    setting = os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment
    pipe = subprocess.PIPE
    return subprocess.Popen(asked, env=setting, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Interrupt the run in this process once, when it draws the batch of `step`.

    Return a list of the steps whose batches are drawn.
    """
    stops, seen, real = [step], list[int](), PatchSampler.batch

    def batch(self: PatchSampler, step: int) -> tuple[Tensor, Tensor]:
        if step in stops:
            stops.clear()
            raise KeyboardInterrupt
        seen.append(step)
        return real(self, step)

    monkeypatch.setattr(PatchSampler, "batch", batch)
    return seen


def results(store: Path) -> dict[str, dict[str, Any]]:
    """Return everything that must be equal for equal cells, that is, all computed values except measured times."""
    kept = {"state", "reason", "cell", "key_components", "scores", "curve", "convergence", "digests", "key"}
    return {f"{r.cell.label} {r.cell.task}": r.model_dump(include=kept) for r in Store(store).records()}


def command(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Run the command line in this process and return its exit code, output and errors."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["petlir", *map(str, arguments)])
        main()
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err
