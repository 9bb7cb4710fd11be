"""The engine and a submission, shared by the tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from petlir.benchmark.publishing.submit import submit
from petlir.benchmark.publishing.verify import opened
from tests.helpers.engine import Lab, laboratory


@pytest.fixture(scope="module")
def lab(small_images: Path) -> Iterator[Lab]:
    """Yield the engine in this process, on small images, without MLflow."""
    with laboratory(small_images) as found:
        yield found


@pytest.fixture(scope="module")
def honest(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an unpacked submission of one cell, scored under an unrounded protocol and with an extra metric."""
    root = tmp_path_factory.mktemp("honest")
    lab.finished(root / "store", methods="lora[rank=2]", tasks="tiny", protocols="rgb-float", metrics="psnr")
    submit(root / "store", root / "a.zip", "someone", None, False)
    with opened(root / "a.zip") as folder:
        return shutil.copytree(folder, root / "submission")


@pytest.fixture
def forged(honest: Path, tmp_path: Path) -> Path:
    """Return a copy of the submission that a test may change."""
    return shutil.copytree(honest, tmp_path / "forged")
