"""The live view of a grid: what is done, what runs, what failed, and how long the rest will take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from petlir.benchmark.executors import Event


@dataclass
class _Running:
    title: str
    started: float
    fraction: float = 0.0
    text: str = ""


class Progress:
    """Shows the events of an executor: a live table on a terminal, else one plain line for each job that ends.

    Args:
        total: how many jobs there are.
        console: where to; standard error unless given.
        clock: seconds, for the time left.
    """

    def __init__(self, total: int, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._console = console or Console(stderr=True)
        self._ended: Counter[str] = Counter()
        self._running: dict[str, _Running] = {}
        self._seconds: list[float] = []
        self._workers = 1
        self._live = Live(
            console=self._console, get_renderable=self._view, transient=True, refresh_per_second=4, auto_refresh=True
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live.is_started:
            self._live.stop()

    def update(self, event: Event, title: str) -> None:
        """Take in what happened to the job that goes by `title`."""
        if event.kind == "started":
            self._running[event.key] = _Running(title, self._clock())
            self._workers = max(self._workers, len(self._running))
        elif event.kind == "progress" and event.key in self._running:
            running = self._running[event.key]
            running.fraction, running.text = event.fraction, event.text
        elif event.kind in ("finished", "died", "skipped"):
            self._end(event, title)

    def _end(self, event: Event, title: str) -> None:
        state = str(event.result.get("state", "done")) if event.kind == "finished" else "failed"
        reason = event.text or str(event.result.get("reason") or "")
        running = self._running.pop(event.key, None)
        seconds = self._clock() - running.started if running else 0.0
        self._ended[state] += 1
        if running and state == "done":
            self._seconds.append(seconds)
        if state != "done" or not self._console.is_terminal:
            place = f"[{self._ended.total()}/{self._total}]"
            parts = (f"{place} {state}: {title}", reason, f"{seconds:.1f} s" if running else "", self._left_text())
            self._console.print(Text(" · ".join(filter(None, parts))), soft_wrap=True)

    def left(self) -> float | None:
        """Seconds until all is done, at the mean pace of the jobs that are; None before the first of them."""
        if not self._seconds:
            return None
        mean = sum(self._seconds) / len(self._seconds)
        begun = sum(running.fraction for running in self._running.values())
        open_jobs = self._total - self._ended.total() - begun
        return max(0.0, open_jobs * mean / self._workers)

    def _left_text(self) -> str:
        left = self.left()
        return "" if not left else f"about {duration(left)} left"

    def _view(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for running in list(self._running.values()):
            bar = ProgressBar(total=1.0, completed=running.fraction, width=20)
            table.add_row(Text(running.title), bar, Text(f"{running.fraction:4.0%}"), Text(running.text, "dim"))
        counts = [f"{self._ended.total()}/{self._total} ended"]
        counts += [f"{number} {state}" for state, number in sorted(self._ended.items())]
        return Group(table, Text(" · ".join([*counts, *filter(None, [self._left_text()])]), "bold"))


def duration(seconds: float) -> str:
    """A duration as one says it: `40 s`, `5 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
