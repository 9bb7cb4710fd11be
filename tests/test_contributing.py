"""The examples of CONTRIBUTING.md work as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from petlir.benchmark import runner
from petlir.benchmark.contract import check
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.planning.request import request_from_grid
from petlir.benchmark.plugins import Plugins, find
from petlir.benchmark.store import Store
from petlir.benchmark.trial import SMALL
from tests.engine import command, draw, save

GUIDE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Plugins:
    files = []
    for number, code in enumerate(CODE.findall(GUIDE.read_text(encoding="utf-8"))):
        files.append(tmp_path_factory.getbasetemp() / f"example_{number}.py")
        files[-1].write_text(code, encoding="utf-8")
    return find(files)


@pytest.mark.parametrize("family", SMALL)
def test_the_example_method_keeps_the_contract(plugins, family):
    method = plugins.method("channel-gain")()
    assert [finding for finding in check(method, SMALL[family]) if not finding.passed] == []


def test_the_example_method_is_short():
    code = CODE.search(GUIDE.read_text(encoding="utf-8"))
    assert code is not None
    assert len(code[1].splitlines()) <= 40


@pytest.fixture
def deblur(tmp_path: Path) -> Path:
    """The task of the guide, as a plugin file."""
    code = next(code for code in CODE.findall(GUIDE.read_text(encoding="utf-8")) if "Task(" in code)
    file = tmp_path / "deblur.py"
    file.write_text(code, encoding="utf-8")
    return file


def test_the_example_task_degrades_a_folder_as_the_guide_says(deblur, tmp_path, capsys):
    image = draw([0], 48, 64)
    save(tmp_path / "clean" / "a.png", image)
    given = ("degrade", "deblur", tmp_path / "clean", tmp_path / "out", "--plugin", deblur)
    assert command(capsys, *given)[0] == 0
    blurred = read_image(tmp_path / "out" / "a.png").astype(float)
    assert np.abs(np.diff(blurred, axis=1)).mean() < np.abs(np.diff(image.astype(float), axis=1)).mean()
    assert blurred.mean() == pytest.approx(image.mean(), rel=0.02)


def test_the_example_task_runs_as_the_guide_says(lab, deblur, tmp_path):
    degraded, clean = lab.bench(plugin_files=(str(deblur),)).training("deblur", "demo")[0]
    assert degraded.shape == clean.shape == (256, 256, 3)
    assert (degraded != clean).any()
    asked = request_from_grid(
        "demo", [deblur], None, True, "float32", methods="frozen", tasks="deblur[blur=slight,strong]"
    )
    outcome = runner.run(asked, tmp_path / "store", device="cpu", workers=1)
    assert outcome.states == {"done": 2}
    records = list(Store(tmp_path / "store").records())
    assert {record["cell"]["task"] for record in records} == {"deblur", "deblur[blur=strong]"}
    assert {record["cell"]["simulated"] for record in records} == {"simulated motion blur"}
    slight, strong = (
        fmean(score["input_psnr"] for score in record["scores"])
        for record in sorted(records, key=lambda record: str(record["cell"]["task"]))
    )
    assert slight > strong + 2
