"""Test the command line: the behaviour that scripts rely on, and the modules that it may import."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from petlir.benchmark.cli import PANELS
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.store import Store
from tests.helpers.engine import PLUGIN, ROOT, command, draw, save

HEAVY = ("torch", "numpy", "pandas", "skimage", "scipy", "mlflow", "datasets", "jinja2", "pydantic")


def answer(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    """Return what a command prints as JSON; the command must succeed."""
    code, out, _ = command(capsys, *arguments, "--json")
    assert code == 0
    return json.loads(out)


def small(lab, store: Path, *more: str) -> list[str | Path]:
    return ["--plugin", PLUGIN, "--data", lab.data, "--store", store, "-t", "tiny", *more]


def test_help_imports_nothing_heavy():
    code = f"import sys, petlir.benchmark.cli; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command(capsys):
    code, out, _ = command(capsys, "--help")
    assert code == 0
    names = ("list", "params", "plan", "run", "tune", "status", "report", "export", "score", "degrade", "restore")
    assert all(name in out for name in (*names, "pretrain", "contract", "new", "images"))


@pytest.mark.parametrize(
    "words",
    [
        ["restore", "@", "out", "--bicubic", "2"], ["restore", "in", "@", "--bicubic", "2"], ["score", "@", "@"],
        ["degrade", "jpeg", "in", "@"], ["adapt", "@"], ["plan", "-m", "frozen", "--plugin", "@"],
        ["plan", "-m", "frozen", "-t", "pairs:@"], ["plan", "-m", "frozen", "--data", "@", "--track", "open"],
        ["plan", "-m", "frozen", "--weights", "ipt-nano=@"], ["status", "--store", "@"], ["export", "--store", "@"],
        ["submit", "a.zip", "--by", "me", "--store", "@"], ["verify", "@"], ["merge", "@", "--into", "b"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["loop", "long"])
def test_paths_that_cannot_exist_are_refused_in_one_line(words, kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "in" / "a.png", draw([0], 12, 12))
    (tmp_path / "loop").symlink_to("loop")
    code, _, err = command(capsys, *(word.replace("@", {"loop": "loop", "long": "x" * 300}[kind]) for word in words))
    assert (code, len(err.splitlines())) == (2, 1) and err.startswith("petlir: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "loop"]


def test_version(capsys):
    assert command(capsys, "--version")[:2] == (0, f"petlir {version('petlir')}\n")


@pytest.mark.parametrize("kind", ["methods", "tasks", "tracks", "protocols"])
def test_lists_as_text_and_as_json(capsys, kind):
    """The lists of backbones and image sets, which take seconds, are printed in the same way."""
    rows = answer(capsys, "list", kind)
    code, out, _ = command(capsys, "list", kind)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [row["name"] for row in rows]


def test_params_as_json(capsys):
    rows = answer(capsys, "params", "--backbone", "ipt-nano", "--method", "lora[rank=2,4]", "--plugin", PLUGIN)
    assert [row["options"]["rank"] for row in rows] == [2, 4]
    assert rows[1]["trainable"] == 2 * rows[0]["trainable"]
    assert set(rows[0]) >= {"method", "options", "trainable", "stored_bytes", "total", "not_applicable"}
    assert command(capsys, "params", "--method", "lora")[0] == 0


def test_published_parameters(capsys):
    (row,) = answer(capsys, "params", "--backbone", "ipt", "--method", "lora", "--published")
    assert row["published"] == "995K"
    assert row["trainable"] == pytest.approx(995e3, rel=1e-3)


def test_run_plan_and_status(lab, tmp_path, capsys):
    store = tmp_path / "store"
    asked = small(lab, store, "-m", "frozen,broken,elsewhere", "--steps", "2", "--regime", "paper")
    states = [row["state"] for row in answer(capsys, "plan", *asked)]
    assert states == ["missing", "missing", "not-applicable"]
    code, out, err = command(capsys, "run", *asked, "--device", "cpu", "--no-report")
    assert code == 1
    assert "3 cells: 1 done, 1 failed, 1 not-applicable; processed 3" in out
    assert "ipt-nano · broken · tiny · seed 0: ValueError: no such width" in out
    assert "Traceback" not in err
    assert [row["state"] for row in answer(capsys, "plan", *asked)] == ["done", "failed", "not-applicable"]
    status = answer(capsys, "status", "--store", store)
    assert status["counts"] == {"done": 1, "failed": 1, "not-applicable": 1}
    assert "failed: ipt-nano · broken" in command(capsys, "status", "--store", store)[1]


def test_a_run_that_is_done_says_so(lab, tmp_path, capsys):
    asked = ["run", *small(lab, tmp_path, "-m", "frozen"), "--device", "cpu", "--no-report"]
    assert command(capsys, *asked)[0] == 0
    code, out, _ = command(capsys, *asked)
    assert (code, out.splitlines()[-1]) == (0, "1 cell: 1 done; nothing left to process")


def test_a_run_writes_its_report(lab, tmp_path, capsys):
    code, out, _ = command(capsys, "run", *small(lab, tmp_path, "-m", "frozen"), "--device", "cpu")
    assert code == 0
    page = Path(out.splitlines()[-1].removeprefix("report: "))
    assert page.exists()


def test_score_of_a_folder_against_itself(capsys, tmp_path):
    for number in range(2):
        save(tmp_path / "a" / f"{number}.png", draw([number]))
        save(tmp_path / "b" / f"{number}.png", draw([number]) // 2)
    same = answer(capsys, "score", tmp_path / "a", tmp_path / "a", "--protocol", "y-crop4")
    assert (same["protocol"], same["mean"]["psnr"], same["mean"]["ssim"]) == ("y-crop4", "inf", pytest.approx(1))
    found = answer(capsys, "score", tmp_path / "b", tmp_path / "a")
    errors = [np.square(draw([n]) // 2 - draw([n]).astype(float)).mean() for n in range(2)]
    assert found["mean"]["psnr"] == pytest.approx(np.mean([10 * np.log10(255**2 / error) for error in errors]))
    assert len(found["images"]) == 2
    assert "dB" in command(capsys, "score", tmp_path / "b", tmp_path / "a")[1]


def test_degrade_and_restore(lab, capsys, tmp_path):
    save(tmp_path / "in" / "a.png", draw([1], 24, 30))
    assert command(capsys, "degrade", "sr_x2", tmp_path / "in", tmp_path / "low")[:2] == (
        0, f"1 image in {tmp_path / 'low'}\n",
    )  # fmt: skip
    assert command(capsys, "restore", tmp_path / "low", tmp_path / "out", "--bicubic", "2")[0] == 0
    assert read_image(tmp_path / "out/a.png").shape == (24, 30, 3)
    lab.run(tmp_path / "store", methods="frozen")
    (record,) = Store(tmp_path / "store").files()
    asked = ["restore", tmp_path / "in", tmp_path / "own", "--adapter", record, "--plugin", PLUGIN, "--device", "cpu"]
    assert command(capsys, *asked)[0] == 0
    assert read_image(tmp_path / "own/a.png").shape == (24, 30, 3)


def test_images_are_there_or_missing(lab, capsys):
    rows = {row["name"]: row for row in answer(capsys, "images", "--data", lab.data)}
    assert rows["photographs"]["state"] == "there"
    assert rows["Rain100H"]["source"].startswith("https://")


def test_the_contract_of_a_file(capsys):
    code, out, _ = command(capsys, "contract", f"{PLUGIN}:Diverging", "-b", "ipt,nafnet")
    assert code == 1
    assert "FAIL" in out
    assert command(capsys, "contract", "lora", "-b", "ipt")[0] == 0
    code, out, _ = command(capsys, "contract", "cascade", "-b", "dat")
    assert code == 0 and out.startswith("n/a  dat: supported: dat-tiny has a single head")


def test_new_writes_a_method_that_is_found(capsys, tmp_path):
    assert command(capsys, "new", "method", "mine", "--folder", tmp_path)[0] == 0
    (path,) = tmp_path.glob("*.py")
    assert "mine" in {row["name"] for row in answer(capsys, "list", "methods", "--plugin", path)}


def test_the_python_entry_is_the_same_module():
    done = subprocess.run(
        [sys.executable, "-m", "petlir", "--version"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert done.stdout == f"petlir {version('petlir')}\n"


def test_deterministic_kernels_are_asked_for(lab, tmp_path, capsys):
    assert command(capsys, "run", *small(lab, tmp_path, "-m", "frozen"), "--device", "cpu", "--no-report")[0] == 0
    assert torch.are_deterministic_algorithms_enabled()
    assert next(Store(tmp_path).records()).environment.deterministic


def test_h_is_help_for_every_command_and_headings_group_them(capsys):
    _, whole, _ = command(capsys, "-h")
    assert all(heading in whole for heading in PANELS)
    _, short, _ = command(capsys, "status", "-h")
    _, long, _ = command(capsys, "status", "--help")
    assert short == long and "Count the cells" in short
