"""Stores of made-up records, and a browser for their pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.reports.browser import chromium
from tests.reports.stores import ranked_records, write_smoke_store, write_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return the store of a smoke run with cells of every state and one incomplete record."""
    return write_smoke_store(tmp_path / "store")


@pytest.fixture
def ranked(tmp_path: Path) -> Path:
    """Return the store of a grid with three seeds."""
    return write_store(tmp_path / "ranked", ranked_records(), images=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield the system's Chromium."""
    with chromium() as found:
        yield found
