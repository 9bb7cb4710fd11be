"""Test that a time limit ends slow code, but never an import that was started within it."""

import sys
import time

import pytest

from petlir.benchmark.signals import TimeUp, time_limit


def test_a_time_limit_ends_what_runs():
    with pytest.raises(TimeUp), time_limit(0.01):
        while True:
            time.sleep(0.001)


def test_an_import_is_finished_first(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.1)\nLAST = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TimeUp), time_limit(0.01):
        import slow_to_import  # type: ignore[import-not-found]

        while True:
            time.sleep(0.001)
    assert sys.modules.pop("slow_to_import").LAST == slow_to_import.LAST == 1


def test_a_limit_inside_an_import_ends_too(tmp_path, monkeypatch):
    lines = (
        "import time",
        "from petlir.benchmark.signals import time_limit",
        "with time_limit(0.01):",
        "    time.sleep(5)",
    )
    (tmp_path / "limited.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TimeUp):
        import limited  # type: ignore[import-not-found]  # noqa: F401
