"""The examples of CONTRIBUTING.md work as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from petlir.benchmark.contract import check
from petlir.benchmark.contract.toy_model import SMALL
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.plugins import Plugins, find
from petlir.benchmark.runs import runner
from petlir.benchmark.runs.planning.request import request_from_grid
from petlir.benchmark.store import Store
from tests.helpers.engine import command, draw, save

GUIDE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
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
def fog(tmp_path: Path) -> Path:
    """The task of the guide, as a plugin file."""
    code = next(code for code in CODE.findall(GUIDE.read_text(encoding="utf-8")) if "Task(" in code)
    file = tmp_path / "fog.py"
    file.write_text(code, encoding="utf-8")
    return file


def test_the_example_task_is_none_of_the_built_in_ones(fog):
    assert "fog" in find([fog]).tasks.keys() - find().tasks.keys()


def test_the_example_task_degrades_a_folder_as_the_guide_says(fog, tmp_path, capsys):
    """One line for all pixels, through white: what is lost in contrast is added in light."""
    image = draw([0], 48, 64)
    save(tmp_path / "clean" / "a.png", image)
    given = ("degrade", "fog", tmp_path / "clean", tmp_path / "out", "--plugin", fog)
    assert command(capsys, *given)[0] == 0
    foggy = read_image(tmp_path / "out" / "a.png").astype(float)
    slope, offset = np.polyfit(image.ravel().astype(float), foggy.ravel(), 1)
    assert 0.7 <= slope <= 0.85
    assert offset == pytest.approx((1 - slope) * 255, abs=0.2)
    assert np.abs(foggy - (slope * image + offset)).max() <= 0.7


def test_the_example_task_runs_as_the_guide_says(lab, fog, tmp_path):
    degraded, clean = lab.context(plugin_files=(str(fog),)).training("fog", "demo", 0)[0]
    assert degraded.shape == clean.shape == (256, 256, 3)
    assert (degraded != clean).any()
    asked = request_from_grid("demo", [fog], None, True, "float32", methods="frozen", tasks="fog[fog=slight,dense]")
    outcome = runner.run(asked, tmp_path / "store", device="cpu", workers=1)
    assert outcome.states == {"done": 2}
    records = list(Store(tmp_path / "store").records())
    assert {record.cell.task for record in records} == {"fog", "fog[fog=dense]"}
    assert {record.cell.simulated for record in records} == {"simulated fog"}
    slight, dense = (
        fmean(float(score.input_psnr) for score in record.scores)
        for record in sorted(records, key=lambda record: len(record.cell.task))
    )
    assert slight > dense + 2
