"""Test that a time limit ends slow code, but never an import that was started within it."""

import sys
import time
from contextlib import suppress

import pytest

from petlir.benchmark.signals import RETRY, TimeUp, time_limit


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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_limit_that_python_discards_ends_the_block_later():
    """Python discards an exception that is raised in a finaliser, and goes on."""

    class Slow:
        def __del__(self) -> None:
            deadline = time.monotonic() + 0.1
            while time.monotonic() < deadline:
                pass

    with pytest.raises(TimeUp), time_limit(0.01):
        Slow()
        time.sleep(5)
        pytest.fail("the time limit was lost")


def test_cleaning_up_is_not_interrupted():
    """Cleaning up takes several times as long as the interval after which an expired limit is tested again."""
    cleaned = []
    with pytest.raises(TimeUp), time_limit(0.01):
        try:
            time.sleep(5)
        finally:
            try:
                raise KeyError
            except KeyError:
                time.sleep(5 * RETRY)
            time.sleep(5 * RETRY)
            cleaned.append(True)
    assert cleaned == [True]


def test_nothing_is_raised_after_the_block():
    for _ in range(20):
        with suppress(TimeUp), time_limit(0.001):
            time.sleep(0.0005)
        time.sleep(2 * RETRY)


def test_a_limit_set_while_another_limit_is_handled_ends_too():
    try:
        with time_limit(0.01):
            time.sleep(5)
    except TimeUp:
        with pytest.raises(TimeUp), time_limit(0.01):
            time.sleep(5)
            pytest.fail("the second limit was lost")
