"""The examples of CONTRIBUTING.md work as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.contract import check
from benchmark.plugins import Plugins, find
from benchmark.trial import SMALL

GUIDE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Plugins:
    files = []
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)):
        files.append(tmp_path_factory.getbasetemp() / f"example_{number}.py")
        files[-1].write_text(code, encoding="utf-8")
    return find(files)


@pytest.mark.parametrize("family", SMALL)
def test_the_example_method_keeps_the_contract(plugins, family):
    method = plugins.method("channel-gain")()
    assert [finding for finding in check(method, SMALL[family]) if not finding.passed] == []


def test_the_example_method_is_short():
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    assert len(code[1].splitlines()) <= 40


def test_the_example_task_has_images_on_the_demo_track(plugins):
    assert "photographs" in plugins.task("denoise_15").on("demo").tests
