"""Test that light commands do not import heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from petlir.benchmark.writing import write_json
from tests.helpers.engine import draw, save
from tests.helpers.samples import folder_of, record

PROGRAM = """
import sys
from petlir.benchmark.cli import main

sys.argv[0] = "petlir"
try:
    main()
except SystemExit as end:
    code = end.code
import json
with open(sys.argv.pop(), "w") as file:
    json.dump([code, sorted({name.partition(".")[0] for name in sys.modules})], file)
"""
HEAVY = {"torch", "pandas", "scipy", "mlflow", "skimage", "datasets", "huggingface_hub", "jinja2"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("light") / "store"
    plain = record()
    write_json(folder_of(folder, plain) / "record.json", plain)
    return folder


def imported(tmp_path: Path, arguments: str, store: Path) -> set[str]:
    """Return the top-level modules that a command has imported."""
    found, words = tmp_path / "modules.json", [word.replace("STORE", str(store)) for word in arguments.split()]
    program = PROGRAM.replace("sys.argv.pop()", repr(str(found)))
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    code, modules = json.loads(found.read_text())
    assert code == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        "status --store STORE", "compare STORE STORE", "list tracks", "list protocols", "list images", "list tasks",
        "list tasks --markdown", "--help",
    ],
)  # fmt: skip
def test_a_light_command_imports_neither_torch_nor_pandas_nor_scipy(arguments, store, tmp_path):
    assert not imported(tmp_path, arguments, store) & HEAVY


@pytest.mark.parametrize("arguments", ["export --store STORE", "claims --store STORE", "claims"])
def test_tables_of_records_need_no_torch(arguments, store, tmp_path):
    assert not imported(tmp_path, arguments, store) & {"torch", "mlflow", "datasets", "huggingface_hub"}


def test_bicubic_enlargement_needs_no_torch(store, tmp_path):
    save(tmp_path / "in" / "0.png", draw([1], 8, 9))
    line = f"restore {tmp_path}/in {tmp_path}/out --bicubic 2"
    assert not imported(tmp_path, line, store) & {"torch", "pandas", "mlflow"}
    assert (tmp_path / "out" / "0.png").exists()


def test_the_package_imports_nothing_heavy():
    program = "import petlir, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & (HEAVY | {"numpy", "pydantic", "typer"})
