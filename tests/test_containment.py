from __future__ import annotations

import os
import posix
import sys
from pathlib import Path

import pytest

from petlir.benchmark.containment import LIMIT, PluginExit, contained
from petlir.benchmark.errors import PetlirError, Terminated
from petlir.benchmark.plugins import find


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(4), Odd("on purpose")])
def test_what_would_end_the_program_becomes_an_error(error):
    with pytest.raises(PluginExit, match=type(error).__name__), contained():
        raise error


@pytest.mark.parametrize("error", [Terminated(143), KeyboardInterrupt(), ValueError("ordinary")])
def test_signals_and_ordinary_errors_pass(error):
    with pytest.raises(type(error)) as raised, contained():
        raise error
    assert raised.value is error


def test_the_end_of_this_process_becomes_an_error_and_that_of_a_forked_one_does_not():
    before = os._exit, posix._exit
    with pytest.raises(PluginExit, match=r"os\._exit\(5\)"), contained():
        os._exit(5)
    with contained():
        if (child := os.fork()) == 0:
            posix._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert (os._exit, posix._exit) == before


def test_output_goes_to_standard_error_up_to_a_limit(capsys):
    with contained():
        sys.stdout.write("first\n")
        for _ in range(100):
            sys.stdout.write("x" * LIMIT)
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("first\n") and len(err) < LIMIT + 200 and "discarded" in err


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("class Stop(BaseException): ...\nraise Stop('now')", "Stop: now"),
        ("class Own(Exception): ...\nraise Own('mine')", "Own: mine"),
        ("import os\nprint('y' * 10**6)\nraise MemoryError", "MemoryError"),
        ("raise RecursionError('deep')", "RecursionError: deep"),
    ],
)
def test_a_plugin_file_that_raises_anything_is_named(code, expected, tmp_path: Path, capsys):
    path = tmp_path / "own.py"
    path.write_text(code)
    with pytest.raises(PetlirError) as raised:
        find([path])
    out, err = capsys.readouterr()
    assert str(path) in str(raised.value) and expected in str(raised.value)
    assert out == "" and len(err) < LIMIT + 200
