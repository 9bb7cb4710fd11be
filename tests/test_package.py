"""Test that petlir is one package without name collisions, and that the wheel contains all it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

import petlir
from tests.helpers.engine import ROOT

SOURCE = Path(petlir.__file__).parents[1]
NAMES = ("benchmark", "methods", "tasks", "reports", "results")
THEIRS = "raise SystemExit('theirs was imported')\n"
LARGEST = 15_000_000


def own_packages(folder: Path) -> None:
    """Write packages of a user under the names of all of petlir's folders."""
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(THEIRS)


def own_module(folder: Path) -> None:
    (folder / "tasks.py").write_text(THEIRS)


def another_distribution(folder: Path) -> None:
    """Write an installed distribution with a top-level package `tasks`."""
    own_packages(folder)
    (folder / "others-1.0.dist-info").mkdir()
    (folder / "others-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (folder / "others-1.0.dist-info" / "top_level.txt").write_text("tasks\n")


def run(folder: Path, *arguments: str | Path, path: str = "") -> str:
    """Run this Python in a folder, with `path` before petlir's own path in PYTHONPATH."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [path, str(SOURCE)]))}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("write", "path"),
    [
        (own_packages, ""),
        pytest.param(own_packages, ".", marks=pytest.mark.long),
        pytest.param(own_module, ".", marks=pytest.mark.long),
        (another_distribution, "SITE"),
    ],
    ids=["working folder", "PYTHONPATH=.", "tasks.py", "another distribution"],
)
def test_packages_of_the_same_names_are_left_alone(tmp_path, write, path):
    """All tasks of petlir are listed, and none of the user's packages is imported."""
    folder = tmp_path / "site" if path == "SITE" else tmp_path
    folder.mkdir(exist_ok=True)
    write(folder)
    tasks = run(tmp_path, "-m", "petlir", "list", "tasks", "--json", path=path.replace("SITE", str(folder)))
    ours = {path.stem for path in (ROOT / "tasks").glob("[a-z]*.py")} - {"pairs", "mixture"}
    assert len(ours) > 10 and ours <= {row["name"] for row in json.loads(tasks)}


def test_pytest_runs_beside_a_package_called_benchmark(tmp_path):
    own_packages(tmp_path)
    (tmp_path / "test_own.py").write_text(
        "import sys\nimport petlir\n\n\ndef test_ours():\n"
        "    assert petlir.Method.__module__ == 'petlir.benchmark.method'\n"
        f"    assert not set({NAMES}) & set(sys.modules)\n"
    )
    assert "1 passed" in run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_nothing_of_ours_is_importable_by_its_old_name(tmp_path):
    code = f"import importlib.util as u, petlir.benchmark; print([n for n in {NAMES} if u.find_spec(n)])"
    assert run(tmp_path, "-c", code).strip() == "[]"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the unpacked sdist."""
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    build(ROOT, "sdist", out)
    (archive,) = out.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(out, filter="data")
    build(out / archive.name.removesuffix(".tar.gz"), "wheel", out)
    (found,) = out.glob("*.whl")
    return found


def build(folder: Path, kind: str, out: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    subprocess.run(command, cwd=folder, text=True, capture_output=True, check=True)


def test_the_wheel_holds_all_it_needs_and_no_results(wheel):
    assert wheel.stat().st_size <= LARGEST
    with zipfile.ZipFile(wheel) as packed:
        names = [name for name in packed.namelist() if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in names} == {"petlir"}
    for folder in ("benchmark", "methods", "tasks", "reports", "results/grids", "results/tuning", "results/published"):
        committed = subprocess.run(
            ["git", "ls-files", folder], cwd=ROOT, text=True, capture_output=True, check=True
        ).stdout.split()
        assert committed and {f"petlir/{path}" for path in committed} <= set(names)
    assert {"petlir/__init__.py", "petlir/__main__.py", "petlir/py.typed", "petlir/results/revisions.toml"} <= set(
        names
    )
    assert {path.split("/")[2] for path in names if path.startswith("petlir/results/")} == {
        "grids", "published", "tuning", "revisions.toml",
    }  # fmt: skip
    assert not [name for name in names if "__pycache__" in name or name.startswith("petlir/tests")]
    assert len(names) == len(set(names))


@pytest.mark.long
def test_an_installed_wheel_plans_lists_and_trains(wheel, tmp_path):
    """The wheel is installed in a new environment outside the checkout, with the current environment's libraries."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def answer(*arguments: str) -> Any:
        return json.loads(call(folder / "bin" / "petlir", *arguments, "--json"))

    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    call(python, "-m", "pip", "install", "--no-index", "--no-deps", wheel)
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    assert call(python, "-c", "import petlir; print(petlir.__file__)").strip() == str(site / "petlir" / "__init__.py")
    assert {row["name"] for row in answer("list", "tasks")} >= {"sr_x4", "denoise_30", "low_light"}
    assert len(answer("plan", "--grid", "adaptir-branches", "--regime", "paper", "--steps", "2")) > 10
    asked = ["-m", "lora", "-t", "sr_x4", "--steps", "2", "--regime", "paper", "--store", str(tmp_path / "store")]
    call(folder / "bin" / "petlir", "run", *asked, "--device", "cpu")
    assert [row["state"] for row in answer("plan", *asked)] == ["done"]
    assert (tmp_path / "store" / "report" / "index.html").is_file()
