"""Test that a generated template works unchanged, and that no existing file is overwritten."""

import pytest

from petlir.benchmark.commands.scaffold import new
from petlir.benchmark.contract import check, findings, networks, trials
from petlir.benchmark.contract.backbone_points import BackboneTrial
from petlir.benchmark.contract.toy_model import SMALL
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find, load_file
from tests.helpers.engine import command


@pytest.mark.parametrize("name", ["probe", "my-method", "low_rank2"])
def test_a_new_method_holds_the_contract(tmp_path, name):
    path = new("method", name, tmp_path / "plugins")
    method = find([path]).method(name)
    assert [finding for finding in check(method()) if not finding.passed] == []


def test_a_new_backbone_holds_its_contract_and_methods_theirs_on_it(tmp_path):
    path = new("backbone", "my-net", tmp_path)
    plugins = find([path])
    (trial,) = trials(f"{path}:MyNet", plugins=plugins).values()
    assert isinstance(trial, BackboneTrial)
    assert [finding for finding in findings(trial) if not finding.passed] == []
    assert set(networks("*", plugins)) == {*SMALL, "my-net"}
    small = networks("my-net", plugins)["my-net"]
    assert small().name == "my-net"
    assert [finding for finding in check(plugins.method("adapter")(), small) if not finding.passed] == []
    assert sum(p.numel() for p in plugins.build("my-net").parameters()) > sum(p.numel() for p in small().parameters())


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("method", "petlir contract {0}:MyStart"),
        ("backbone", "petlir contract {0}:MyStart"),
        ("task", "petlir run --plugin {0} -m frozen,lora -t my-start"),
    ],
)
def test_the_command_says_what_to_run_next(tmp_path, capsys, kind, line):
    code, out, _ = command(capsys, "new", kind, "my-start", "--folder", tmp_path)
    path = tmp_path / "my_start.py"
    assert (code, out.splitlines()) == (0, [str(path), f"next: {line.format(path)}"])
    code, _, err = command(capsys, "new", kind, "my-start", "--folder", tmp_path)
    assert code == 2 and "already exists" in err and err.count("\n") == 1


def test_an_unknown_kind_is_named(tmp_path):
    with pytest.raises(PetlirError, match="unknown kind 'methd'; did you mean 'method'"):
        new("methd", "mine", tmp_path)


def test_a_new_task_loads(tmp_path):
    path = new("task", "deblur-mild", tmp_path)
    task = load_file(path).DEBLUR_MILD
    assert task.name == "deblur-mild"
    assert task.on("demo").tests


@pytest.mark.parametrize("kind", ["method", "backbone", "task"])
def test_an_existing_file_is_kept(tmp_path, kind):
    path = tmp_path / "mine.py"
    path.write_text("mine")
    with pytest.raises(PetlirError, match="already exists"):
        new(kind, "mine", tmp_path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["", "Mine", "two words", "9lives", "class", "../up", "-x", "a--b", "a-", "é"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(PetlirError, match="expected lower-case words"):
        new("method", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(PetlirError, match="file"):
        new("method", "mine", blocked)
