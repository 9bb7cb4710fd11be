from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from petlir.benchmark.terminal import echo, prepare_streams, printable
from petlir.benchmark.writing import write_json
from tests.helpers.engine import command, draw, save
from tests.helpers.samples import failed, folder_of, record

EVIL = "\x1b]0;title\x07\x9b31m\x7f\u202e\u200f"


def test_control_characters_are_escaped_and_tabs_and_lines_stay():
    assert printable("a\tb\nüü 日本") == "a\tb\nüü 日本"
    assert printable(EVIL) == r"\u001b]0;title\u0007\u009b31m\u007f\u202e\u200f"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_what_an_encoding_lacks_is_escaped(encoding, monkeypatch):
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding=encoding))
    prepare_streams()
    echo("σ → 日本 \udcff")
    sys.stdout.flush()
    text = kept.getvalue().decode(encoding)
    assert text.endswith("\\udcff\n") and ("σ" in text) == (encoding == "utf-8")


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_record_cannot_steer_the_terminal(arguments, tmp_path: Path, capsys):
    for number, plain in enumerate([failed(reason=f"no {EVIL}\nsecond line"), record()]):
        plain["cell"] = plain["cell"] | {"seed": number, "label": f"lora {EVIL}"}
        plain["key"] = f"{number + 1:064x}"
        write_json(folder_of(tmp_path, plain) / "record.json", plain)
    for words in (("status", "--store", tmp_path), ("compare", tmp_path, tmp_path)):
        code, out, err = command(capsys, *words, *arguments)
        assert code == 0 and "title" in out + err
        assert not set(out + err) & {"\x1b", "\x07", "\x9b", "\x7f", "\u202e", "\u200f"}


def test_an_error_is_one_line_whatever_is_in_it(tmp_path: Path, capsys):
    code, out, err = command(capsys, "compare", tmp_path / f"a\n{EVIL}", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1) and "\x1b" not in err


def test_skipped_files_cannot_steer_the_terminal(tmp_path: Path, capsys):
    save(tmp_path / "in" / "a.png", draw([0], 12, 12))
    (tmp_path / "in" / f"b\n{EVIL}.txt").touch()
    code, _, err = command(capsys, "restore", tmp_path / "in", tmp_path / "out", "--bicubic", "2")
    assert (code, err) == (0, f"petlir: 1 file skipped: b\\n{printable(EVIL)}.txt\n")


def test_the_c_locale(tmp_path: Path):
    plain = failed(reason="σ → 日本")
    write_json(folder_of(tmp_path, plain) / "record.json", plain)
    environment = os.environ | {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
        "PYTHONCOERCECLOCALE": "0",
    }
    words = [sys.executable, "-m", "petlir", "status", "--store", str(tmp_path)]
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert done.returncode == 0 and b"\\u03c3" in done.stdout and not done.stderr


@pytest.mark.parametrize(
    ("stream", "code", "line"), [("full", 2, "petlir: No space left on device\n"), ("closed", 0, "")]
)
def test_output_that_cannot_be_written(stream, code, line):
    target = {"full": "> /dev/full", "closed": ">&-"}[stream]
    words = f"'{sys.executable}' -m petlir list tasks {target}"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, line)
