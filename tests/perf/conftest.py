"""Measurements run with `nox -s perf` only: they take time, and a busy machine spoils them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


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


@pytest.fixture(autouse=True)
def _ratios_are_told(request: pytest.FixtureRequest) -> Iterator[None]:
    """The table of pytest-benchmark shows seconds; what counts here are ratios."""
    told = request.getfixturevalue("benchmark").extra_info if "benchmark" in request.fixturenames else {}
    yield
    terminal = request.config.get_terminal_writer()
    for what, value in told.items():
        terminal.line(f"\n  {what}: {value}")
