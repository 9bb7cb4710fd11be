"""Test the committed table of revisions: it matches the code, and keys depend on revisions, not on bytes."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from petlir.benchmark.commands.revisions import check
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find
from petlir.benchmark.revisions import table
from petlir.benchmark.revisions.sources import built_on
from petlir.benchmark.revisions.table import PACKAGE, RevisionEntry, component, engine, read
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.request import Request

PARTS = ("benchmark", "methods", "tasks", "reports")


def keys() -> dict[str, list[str]]:
    """Compute the keys of two cells with the imported package; this function's source also runs in another process."""
    planner = Planner(Request("ipt-nano", "lora,adapter", "denoise_30", "demo"))
    return {cell.method: [planner.plan(cell.at(1e-3)).key, planner.selection_context(cell)] for cell in planner.cells}


def test_every_keyed_file_is_the_code_of_its_revision():
    """If this test fails, each line names the two ways to fix it."""
    assert not list(check.faults())


def test_what_stands_in_keys_has_a_line():
    keyed = {str(table.relative(path)) for path in check.keyed_files()}
    assert keyed >= {"methods/lora.py", "benchmark/backbones/ipt.py", "tasks/sidd.py", "benchmark/training/loop.py"}
    assert keyed <= set(read())


def test_the_engines_listed_modules_stand_in_every_key():
    names = {text.partition("@")[0] for text in engine()}
    assert names == {f"engine.{name}" for name in ("training", "adaptation", "restoration", "scoring", "images",
                                                  "degradation", "backbone")}  # fmt: skip


@pytest.fixture
def own_table(tmp_path, monkeypatch):
    """Return a copy of the table that a test may change."""
    path = tmp_path / "revisions.toml"
    shutil.copy(table.FILE, path)
    monkeypatch.setattr(table, "FILE", path)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is damaged: "),
        ("\xff", "is damaged: "),
        ('"a.py" = 3\n', "the entry of a.py is 3; expected "),
        ('"a.py" = { name = "a", revision = 0, digest = "x" }\n', "the entry of a.py is "),
        ('"a.py" = { name = "a", revision = true, digest = "x" }\n', "the entry of a.py is "),
        ('"a.py" = { name = "a", revision = "1", digest = "x" }\n', "the entry of a.py is "),
        ('"a.py" = { name = "a", digest = "x" }\n', "the entry of a.py is "),
        (
            '"a.py" = { name = "a", revision = 1, digest = "x" }\n'
            '"b.py" = { name = "a", revision = 2, digest = "y" }\n',
            "a.py and b.py are both a, at revisions 1 and 2; expected one revision",
        ),
    ],
)
def test_a_damaged_table_is_one_line(own_table, text, message):
    own_table.write_bytes(text.encode("latin-1"))
    with pytest.raises(PetlirError) as caught:
        find().revisions("method:lora")
    assert str(caught.value).startswith(f"revision file {own_table}") and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_one_line(own_table):
    own_table.unlink()
    with pytest.raises(PetlirError, match=rf"^revision file {own_table} cannot be read: No such file or directory$"):
        find().revisions("method:lora")


def test_a_file_without_a_line_is_named_with_the_command(own_table):
    table.write({file: entry for file, entry in read().items() if file != "methods/lora.py"})
    message = r"has no entry for methods/lora.py; add one with `nox -s revisions -- --new methods/lora.py`$"
    with pytest.raises(PetlirError, match=message):
        find().revisions("method:lora")
    assert check.add("methods/lora.py") == "methods/lora.py is methods.lora at revision 1"
    assert not list(check.faults())


def test_a_raised_revision_changes_what_is_built_on_the_file_and_nothing_else(own_table):
    names = ("method:moe", "method:colora", "method:lora", "method:ssf", "task:sr_x4", "backbone:ipt-nano")
    before = {name: find().revisions(name) for name in names}
    check.raise_revision("methods/lora.py")
    after = {name: find().revisions(name) for name in names}
    assert {name for name in names if before[name] != after[name]} == {"method:lora", "method:colora"}
    assert "methods.lora@2" in after["method:colora"]


def test_changed_code_is_never_taken_for_its_revision(own_table):
    known = dict(read())
    known["methods/lora.py"] = RevisionEntry("methods.lora", 1, "0" * 64)
    table.write(known)
    found = table.code_digest(PACKAGE / "methods/lora.py")[: table.SHORT]
    assert component(PACKAGE / "methods/lora.py") == f"methods.lora@{found}"
    (fault,) = check.faults()
    assert "--raise methods/lora.py" in fault and "--same methods/lora.py" in fault
    check.keep_revision("methods/lora.py")
    assert component(PACKAGE / "methods/lora.py") == "methods.lora@1"


def test_files_of_one_name_are_raised_together(own_table):
    check.raise_revision("benchmark/restoration/tiling.py")
    assert {entry.revision for entry in read().values() if entry.name == "engine.restoration"} == {2}
    assert "engine.restoration@2" in engine()


def test_an_outside_file_stands_by_its_code(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("X = 1\n")
    before = component(path)
    path.write_text('"""A comment."""\nX: int = 1  # one\n')
    assert component(path) == before and before.startswith("outside:")
    path.write_text("X = 22\n")
    assert component(path) != before


def test_a_near_name_is_offered(own_table):
    with pytest.raises(PetlirError, match=r"^methods/lorra.py is not in the table.*; did you mean 'methods/lora.py'"):
        check.raise_revision("methods/lorra.py")


def test_keys_survive_comments_docstrings_annotations_and_moves(tmp_path):
    """The files are edited in a copy of the package."""
    home = tmp_path / "petlir"
    home.mkdir()
    shutil.copy(PACKAGE / "__init__.py", home)
    for part in PARTS:
        shutil.copytree(PACKAGE / part, home / part, ignore=shutil.ignore_patterns("__pycache__", "static"))
    (home / "results").mkdir()
    shutil.copy(PACKAGE / "results" / "revisions.toml", home / "results")
    before = keys()
    _edit(home / "methods/lora.py", '"""', '"""Edited: ', 1)
    _edit(home / "methods/lora.py", "\nfrom __future__", "\n# a comment\nfrom __future__", 1)
    _edit(home / "benchmark/training/loop.py", "def split(batch: Batch, parts: int)", "def split(batch, parts)", 1)
    (home / "benchmark/layers/pointwise.py").rename(home / "benchmark/layers/points.py")
    for path in home.rglob("*.py"):
        _edit(path, "petlir.benchmark.layers.pointwise", "petlir.benchmark.layers.points")
    assert _keys(tmp_path) == before
    _edit(home / "methods/lora.py", "a=5**0.5", "a=6**0.5", 1)
    changed = _keys(tmp_path)
    assert changed["adapter"] == before["adapter"]
    assert [new != old for new, old in zip(changed["lora"], before["lora"], strict=True)] == [True, True]


def _keys(folder: Path) -> dict[str, list[str]]:
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    imports = (f"from {used.__module__} import {used.__name__}" for used in (Planner, Request))
    code = "\n".join(["import json", *imports, inspect.getsource(keys), "print(json.dumps(keys()))"])
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert not ended.returncode, ended.stderr
    found: dict[str, list[str]] = json.loads(ended.stdout)
    return found


def _edit(path: Path, before: str, after: str, count: int = -1) -> None:
    text = path.read_text(encoding="utf-8")
    assert count < 0 or before in text, path
    path.write_text(text.replace(before, after, count), encoding="utf-8")


def test_a_plugin_is_built_on_what_it_imports():
    found = {str(table.relative(path)) for path in built_on(find().sources["method:moe"])}
    assert found == {
        "methods/moe.py",
        "methods/adaptir.py",
        "benchmark/layers/pointwise.py",
        "benchmark/layers/dropout.py",
    }
