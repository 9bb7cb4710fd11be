"""Fixtures of the measurements, which only `nox -s perf` runs: they take time, and other load distorts them.

Their ratios form one table between markers in a document; `--ratios FILE` rewrites the measured rows of this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

START, END = "<!-- ratios -->\n", "<!-- end -->"
HEAD = "| work | against | time | at most | FLOPs | bytes |\n| --- | --- | ---: | ---: | ---: | ---: |\n"


@dataclass(frozen=True)
class Ratio:
    """The time of some work divided by the time of other work, both measured in the same run.

    Attributes:
        work: what is measured.
        against: what it is compared with.
        time: ratio of the times.
        bar: the largest accepted ratio; None: the ratio is only shown.
        flops: ratio of FLOPs, a lower bound if both are limited by arithmetic; None if not counted.
        memory: ratio of bytes, a lower bound if both are limited by memory; None if not counted.
    """

    work: str
    against: str
    time: float
    bar: float | None = None
    flops: float | None = None
    memory: float | None = None

    def row(self) -> str:
        numbers = ("" if value is None else f"{value:.3g}" for value in (self.time, self.bar, self.flops, self.memory))
        return f"| {self.work} | {self.against} | {' | '.join(numbers)} |\n"


RATIOS = pytest.StashKey[list[Ratio]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ratios", type=Path, help="a document whose table of ratios is written again")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RATIOS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--benchmark-only"):
        here = Path(__file__).parent
        skip = pytest.mark.skip(reason="measures; run it with --benchmark-only")
        for item in items:
            if here in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tell(request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> Callable[[Ratio], None]:
    """Return a function that adds a ratio to the table and fails if the ratio exceeds its bar."""

    def add(ratio: Ratio) -> None:
        benchmark.extra_info[f"{ratio.work} against {ratio.against}"] = round(ratio.time, 3)
        request.config.stash[RATIOS].append(ratio)
        assert ratio.bar is None or ratio.time <= ratio.bar, ratio

    return add


@pytest.fixture(autouse=True)
def _figures_are_told(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the measured ratios as well, since the table of pytest-benchmark shows only seconds."""
    told = request.getfixturevalue("benchmark").extra_info if "benchmark" in request.fixturenames else {}
    yield
    terminal = request.config.get_terminal_writer()
    for what, value in told.items():
        terminal.line(f"\n  {what}: {value}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(RATIOS, [])
    if not found:
        return
    table = HEAD + "".join(ratio.row() for ratio in found)
    terminalreporter.section("ratios")
    terminalreporter.write(table)
    document: Path | None = config.getoption("--ratios", None)
    if document is not None:
        document.write_text(updated(document.read_text(), found))


def updated(text: str, found: list[Ratio]) -> str:
    """Return the document with these rows in its table; rows of other measurements are kept."""
    before, rest = text.split(START)
    table, after = rest.split(END)
    kept = {tuple(row.split(" | ")[:2]): f"{row}\n" for row in table.splitlines()[2:]}
    rows = kept | {tuple(row.split(" | ")[:2]): row for row in (ratio.row() for ratio in found)}
    return "".join([before, START, HEAD, *rows.values(), END, after])
