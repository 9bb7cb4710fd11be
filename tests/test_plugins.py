"""Test that plugins are found without registration, and that a broken file is named."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint

import pytest

from petlir.benchmark import plugin_modules
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import find
from petlir.benchmark.revisions.normalised import digest
from petlir.benchmark.revisions.sources import built_on
from petlir.benchmark.task import Task
from tests.helpers.engine import PLUGIN, ROOT


def test_every_built_in_is_found_under_its_own_name():
    found = find()
    assert all(issubclass(method, Method) and method.name == name for name, method in found.methods.items())
    assert all(isinstance(task, Task) and task.name == name for name, task in found.tasks.items())
    assert len(found.tasks) + len(found.families) == len(list((ROOT / "tasks").glob("[a-z]*.py")))
    assert {"ipt", "ipt-nano"} <= set(found.backbones)


def test_a_file_brings_methods_and_tasks():
    plain, more = find(), find([PLUGIN])
    assert set(more.methods) - set(plain.methods) == {"broken", "diverging", "elsewhere", "follower", "lost", "nowhere"}
    assert set(more.tasks) - set(plain.tasks) == {"tiny", "tiny_x2", "tiny_y", "tiny_mix", "aside", "leaky"}
    assert more.sources["task:tiny"] == more.sources["method:broken"] == PLUGIN


def test_a_file_that_shadows_a_built_in_name_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.read_text().replace('name = "broken"', 'name = "lora"'))
    where = re.escape(str(find().sources["method:lora"]))
    line = rf"^plugin file {path} defines method 'lora' which {where} also defines; rename one of them$"
    with pytest.raises(PetlirError, match=line):
        find([path])
    assert where.endswith("methods/lora\\.py")
    path.write_text(OTHER.replace("'other'", "'sr_x4'"))
    with pytest.raises(
        PetlirError, match=rf"^plugin file {path} defines task 'sr_x4' which .*/sr_x4.py also defines; "
    ):
        find([path])


OLD = """from benchmark.method import Method
from methods.lora import LoRA
"""


def test_a_file_for_an_older_version_is_told_the_line_to_change(tmp_path):
    path = tmp_path / "old.py"
    path.write_text(OLD)
    line = rf"^plugin file {path} imports `{{0}}`, which petlir 0.2 renamed to `petlir.{{0}}`$"
    with pytest.raises(PetlirError, match=line.format("benchmark.method")):
        find([path])
    path.write_text(OLD.replace("from benchmark", "from petlir.benchmark"))
    with pytest.raises(PetlirError, match=line.format("methods.lora")):
        find([path])
    path.write_text("import benchmark.grid as grid\n")
    with pytest.raises(PetlirError, match=line.format("benchmark.grid")):
        find([path])


def test_inside_a_checkout_an_older_import_does_not_bring_a_second_engine(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    path = tmp_path / "old.py"
    path.write_text(OLD)
    with pytest.raises(PetlirError, match=r"imports `benchmark.method`, which petlir 0.2 renamed to "):
        find([path])


def test_a_file_may_import_a_package_of_its_own_that_is_called_methods(tmp_path, monkeypatch):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "__init__.py").write_text("NAME = 'mine'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "mine.py"
    path.write_text(f"from methods import NAME\n{OTHER.replace(repr('other'), 'NAME')}")
    try:
        assert "mine" in find([path]).tasks
    finally:
        sys.modules.pop("methods", None)


Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path, monkeypatch) -> Iterator[Install]:
    """Return a function that installs a distribution `extra` with this module code and these entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(code: str, points: str) -> None:
        (tmp_path / "petlir_extra.py").write_text(code)
        about = tmp_path / "extra-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(points)

    yield install
    sys.modules.pop("petlir_extra", None)
    plugin_modules.warn.cache_clear()


METRIC = """from petlir.benchmark.metric import Metric
class Bright(Metric):
    name = 'bright'
    title = 'Brightness'
    def __call__(self, restored, clean):
        return restored.mean().item()
"""


@pytest.mark.parametrize(
    ("code", "point", "reason"),
    [
        ("import gone_altogether", "petlir_extra", "cannot be imported: ModuleNotFoundError: "),
        ("1 / 0", "petlir_extra", "cannot be imported: ZeroDivisionError: "),
        ("", "petlir_extra:Missing", "cannot be imported: AttributeError: "),
        ("", "petlir_extra_gone", "cannot be imported: ModuleNotFoundError: "),
        ("", "petlir_extra", "defines no method, task, backbone or metric$"),
    ],
)
def test_a_broken_installed_plugin_is_named_with_its_distribution_and_ends_nothing_else(
    install, caplog, code, point, reason
):
    install(code, f"[petlir.tasks]\nmine = {point}\n")
    found = find()
    assert "lora" in found.methods
    (line,) = {record.getMessage() for record in caplog.records if record.name == "petlir"}
    assert re.match(rf"plugin {point} of extra 1.0 {reason}", line) and "\n" not in line
    with pytest.raises(PetlirError) as caught:
        found.method("mine")
    assert str(caught.value).endswith(f"; {line}")


def test_an_installed_package_offers_plugins_of_every_kind_in_any_group(install):
    install(OTHER + METRIC, "[petlir.methods]\na = petlir_extra\n[petlir.metrics]\nb = petlir_extra:Bright\n")
    found = find()
    assert found.broken == ()
    assert found.metrics["bright"].__name__ == "Bright"
    assert set(found.revisions("metric:bright")) == set(found.revisions("task:other"))
    assert found.registered_metrics()["bright"].library == found.revisions("task:other")[0]
    assert found.registered_metrics()["bright"].library.startswith("outside:")


def test_an_installed_plugin_with_a_name_of_ours_is_refused(install):
    install(METRIC.replace("'bright'", "'psnr'"), "[petlir.metrics]\na = petlir_extra\n")
    line = r"^plugin petlir_extra of extra 1.0 defines metric 'psnr' which .*/psnr_ssim.py also defines; rename one of"
    with pytest.raises(PetlirError, match=line):
        find()


def test_a_class_without_a_name_is_told_what_to_write(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(METRIC.replace("    name = 'bright'\n", ""))
    with pytest.raises(PetlirError, match=rf"^plugin file {path}: Bright has no name; expected `name = "):
        find([path])


def test_psnr_and_ssim_are_the_first_metrics():
    assert list(find().registered_metrics()) == ["psnr", "ssim"]


OTHER = "from petlir.benchmark.task import Task\nOTHER = Task('other', 'Other', None, ('rgb',), {})\n"


def test_an_outside_plugin_stands_by_the_code_of_its_file(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text(OTHER)
    two.write_text(OTHER.replace("other", "another"))
    found = find([one, two])
    codes = {f"outside:{digest(path.read_bytes())[:12]}" for path in (one, two)}
    assert set(found.revisions("task:other", "task:another")) == codes
    assert found.revisions("task:other") != found.revisions("task:another")


def test_the_digest_changes_with_what_a_plugin_is_built_on(tmp_path, monkeypatch):
    """The digest covers modules that the plugin imports indirectly, by absolute name, or relatively."""
    package = tmp_path / "outside"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "last.py").write_text("BASE = 1\n")
    (package / "middle.py").write_text("import outside.last\n")
    (package / "first.py").write_text(f"from .middle import outside\nfrom . import last\n{OTHER}")
    (package / "idle.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint("first", "outside.first", "petlir.tasks")
    monkeypatch.setattr(plugin_modules, "entry_points", lambda group: [entry] if group == entry.group else [])
    try:
        found = find()
        before = found.revisions("task:other")
        (package / "idle.py").write_text("CHANGED = 1\n")
        assert found.revisions("task:other") == before
        (package / "last.py").write_text("BASE = 2\n")
        assert found.revisions("task:other") != before
        assert {path.name for path in built_on(package / "middle.py")} == {"middle.py", "last.py"}
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "outside"]:
            del sys.modules[name]


def test_two_of_one_name_are_refused(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text(OTHER)
    two.write_text(OTHER + OTHER.replace("OTHER", "AGAIN"))
    with pytest.raises(PetlirError, match=rf"plugin file {two} defines task 'other' twice"):
        find([two])
    two.write_text(OTHER)
    with pytest.raises(PetlirError, match=rf"plugin file {two} defines task 'other' which {one} also defines"):
        find([one, two])


@pytest.mark.parametrize(
    "text", ["import nowhere_at_all", "def :", "x = y", "import os\nos.nothing", "1 + ''", "1 / 0"]
)
def test_a_file_that_cannot_be_imported_is_named(tmp_path, text):
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(PetlirError, match=r"^plugin file .*bad.py cannot be imported: \w+Error: ") as caught:
        find([path])
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PetlirError, match=r"^plugin file .*none.py does not exist$"):
        find([tmp_path / "none.py"])


def test_a_file_that_is_no_python_is_named(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("hello")
    with pytest.raises(PetlirError, match=r"^plugin file .*bad.txt is not a Python file$"):
        find([path])


def test_a_file_that_defines_nothing_is_named(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("x = 1\n")
    with pytest.raises(PetlirError, match=r"^plugin file .*empty.py defines no method, task, backbone or metric$"):
        find([path])


@pytest.mark.parametrize(
    ("kind", "wrong", "near"),
    [("method", "lroa", "lora"), ("task", "sr_4x", "sr_x4"), ("build", "ipt-nanno", "ipt-nano")],
)
def test_the_nearest_name_is_offered(kind, wrong, near):
    with pytest.raises(PetlirError, match=rf"^unknown \w+ '{wrong}'; did you mean '{near}'\?$"):
        getattr(find(), kind)(wrong)


def test_plugins_are_not_registered_by_import():
    """The plugins found in a file are not found again by a later search."""
    find([PLUGIN])
    assert "tiny" not in find().tasks
    code = "import petlir.benchmark.plugins, sys; print('petlir.methods' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "False"
