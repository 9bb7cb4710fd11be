"""Progress display of a grid: finished, running and failed jobs, and the remaining time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from petlir.benchmark.executors import Event
from petlir.benchmark.terminal import one_line


@dataclass
class _Running:
    started: float
    bar: TaskID
    fraction: float = 0.0


class Progress:
    """A display of an executor's events: a live table on a terminal, otherwise a plain line for each job that ends.

    Args:
        total: number of jobs.
        console: output console; standard error by default.
        clock: function that returns the current time in seconds; the remaining time is estimated from such times.
    """

    def __init__(self, total: int, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._console = console or Console(stderr=True)
        self._ended: Counter[str] = Counter()
        self._running: dict[str, _Running] = {}
        self._seconds: list[float] = []
        self._workers = 1
        columns = (TextColumn("{task.description}", markup=False), BarColumn(20), TaskProgressColumn())
        doing = TextColumn("{task.fields[doing]}", style="dim", markup=False)
        self._bars = Bars(*columns, doing, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._whole = self._bars.add_task("all", total=total, doing="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, event: Event, title: str) -> None:
        """Display an event of the job called `title`."""
        title = one_line(title)
        if event.kind == "started":
            self._running[event.key] = _Running(self._clock(), self._bars.add_task(title, total=1.0, doing=""))
            self._workers = max(self._workers, len(self._running))
        elif event.kind == "progress" and (running := self._running.get(event.key)) is not None:
            running.fraction = event.fraction
            self._bars.update(running.bar, completed=event.fraction, doing=one_line(event.text))
        elif event.kind in ("finished", "died", "skipped"):
            self._end(event, title)

    def _end(self, event: Event, title: str) -> None:
        state = str(event.result.get("state", "done")) if event.kind == "finished" else "failed"
        reason = one_line(event.text or str(event.result.get("reason") or ""))
        running = self._running.pop(event.key, None)
        seconds = self._clock() - running.started if running else 0.0
        self._ended[state] += 1
        if running:
            self._bars.remove_task(running.bar)
        if running and state == "done":
            self._seconds.append(seconds)
        counts = ", ".join(f"{number} {name}" for name, number in sorted(self._ended.items()))
        doing = " · ".join(filter(None, (counts, self._left_text())))
        self._bars.update(self._whole, completed=self._ended.total(), doing=doing)
        if state != "done" or not self._console.is_terminal:
            place = f"[{self._ended.total()}/{self._total}]"
            parts = (f"{place} {state}: {title}", reason, f"{seconds:.1f} s" if running else "", self._left_text())
            self._console.print(Text(" · ".join(filter(None, parts))), soft_wrap=True)

    def left(self) -> float | None:
        """Return the estimated remaining time in seconds at the mean pace so far, or None until a job has finished."""
        if not self._seconds:
            return None
        mean = sum(self._seconds) / len(self._seconds)
        begun = sum(running.fraction for running in self._running.values())
        open_jobs = self._total - self._ended.total() - begun
        return max(0.0, open_jobs * mean / self._workers)

    def _left_text(self) -> str:
        left = self.left()
        return "" if not left else f"about {duration(left)} left"


def duration(seconds: float) -> str:
    """Format a duration, e.g. `40 s`, `5 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
