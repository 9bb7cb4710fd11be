"""A start that is written works as it is, and nothing is overwritten."""

import pytest

from petlir.benchmark.commands.scaffold import new_method, new_task
from petlir.benchmark.contract import check
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.plugins import find, load_file


@pytest.mark.parametrize("name", ["probe", "my-method", "low_rank2"])
def test_a_new_method_holds_the_contract(tmp_path, name):
    path = new_method(name, tmp_path / "plugins")
    method = find([path]).method(name)
    assert [finding for finding in check(method()) if not finding.passed] == []


def test_a_new_task_loads(tmp_path):
    path = new_task("deblur-mild", tmp_path)
    task = load_file(path).DEBLUR_MILD
    assert task.name == "deblur-mild"
    assert task.on("demo").tests


@pytest.mark.parametrize("make", [new_method, new_task])
def test_an_existing_file_is_kept(tmp_path, make):
    path = tmp_path / "mine.py"
    path.write_text("mine")
    with pytest.raises(PetlirError, match="exists already"):
        make("mine", tmp_path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["", "Mine", "two words", "9lives", "class", "../up", "-x", "a--b", "a-", "é"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(PetlirError, match="expected lower-case words"):
        new_method(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(PetlirError, match="file"):
        new_method("mine", blocked)
