"""Fixtures available to all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
from filelock import FileLock

from tests.helpers.engine import Lab, fill, laboratory


def pytest_configure() -> None:
    """Import setuptools before any test imports distutils, which setuptools replaces; BOFT in peft needs both."""
    with suppress(ImportError):
        import_module("setuptools")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of golden outputs and image sets beside the checkout; skip the test if it does not exist."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared beside the checkout")
    return folder


@pytest.fixture(scope="session", autouse=True)
def kept_images(pytestconfig: pytest.Config) -> Iterator[None]:
    """Keep drawn and decoded images beside pytest's own cache instead of in the user's cache."""
    assert pytestconfig.cache is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETLIR_CACHE", str(pytestconfig.cache.mkdir("petlir")))
        yield


@pytest.fixture(scope="session")
def small_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the few small images of the tests' plugin tasks, shared by all test processes."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared" / "data"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        return folder if folder.exists() else fill(folder)


@pytest.fixture
def lab(small_images: Path) -> Iterator[Lab]:
    """Return the engine in this process, on small images, without MLflow."""
    with laboratory(small_images) as found:
        yield found
