from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from petlir.benchmark.executors import Event
from petlir.benchmark.executors.progress import Progress, duration


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def plain() -> Console:
    return Console(file=io.StringIO(), width=40)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_each_end_is_one_plain_line_with_brackets_kept():
    console, clock = plain(), Clock()
    with Progress(3, console, clock) as progress:
        progress.update(Event("started", "a"), "ipt-nano · lora[rank=8] · sr_x4 · a long title beyond the width")
        clock.now = 12.0
        progress.update(Event("progress", "a", fraction=0.5), "lora[rank=8]")
        progress.update(Event("finished", "a", result={"state": "done", "reason": None}), "lora[rank=8]")
        progress.update(Event("skipped", "b", text="needs a"), "colora")
        progress.update(Event("finished", "c", result={"state": "not-applicable", "reason": "no tokens"}), "vpt")
    assert printed(console).splitlines() == [
        "[1/3] done: lora[rank=8] · 12.0 s · about 24 s left",
        "[2/3] failed: colora · needs a · about 12 s left",
        "[3/3] not-applicable: vpt · no tokens",
    ]


def test_no_escape_codes_without_a_terminal():
    console = plain()
    with Progress(1, console) as progress:
        progress.update(Event("died", "a", text="killed"), "lora")
    assert "\x1b" not in printed(console)


def test_a_terminal_shows_what_runs_and_keeps_only_failures():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Progress(2, console) as progress:
        progress.update(Event("started", "a"), "lora[rank=8]")
        progress.update(Event("progress", "a", fraction=0.25, text="step 10 of 40"), "lora[rank=8]")
        with console.capture() as capture:
            console.print(progress._bars.get_renderable())
        progress.update(Event("died", "a", text="killed"), "lora[rank=8]")
        (whole,) = progress._bars.tasks
    assert all(text in capture.get() for text in ("lora[rank=8]", "25%", "step 10 of 40", "0%"))
    assert (whole.completed, whole.total, whole.fields["doing"]) == (1, 2, "1 failed")
    assert "failed: lora[rank=8] · killed" in printed(console)


@given(st.integers(1, 50), st.floats(0.1, 100), st.integers(1, 4))
def test_equal_jobs_on_equal_workers_are_predicted_exactly(rounds, seconds, workers):
    clock, total = Clock(), (rounds + 1) * workers
    progress = Progress(total, plain(), clock)
    for turn in range(rounds + 1):
        for worker in range(workers):
            progress.update(Event("started", f"{turn} {worker}"), "")
        if turn == rounds:
            break
        clock.now += seconds
        for worker in range(workers):
            progress.update(Event("finished", f"{turn} {worker}", result={"state": "done"}), "")
    left = progress.left()
    assert left is not None and abs(left - seconds) < 1e-6 * seconds * total


def test_durations_read_well():
    assert [duration(seconds) for seconds in (40.4, 300, 9000)] == ["40 s", "5 min", "2.5 h"]
