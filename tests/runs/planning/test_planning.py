"""Test plans: the cells that are done or missing, and the reason why a record is stale."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cells.context import Context, context_of
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.method import Method
from petlir.benchmark.runs import planning, runner
from petlir.benchmark.runs.planning import PAPER_RATE, Planner
from petlir.benchmark.runs.planning.grid_file import GRIDS
from petlir.benchmark.runs.planning.request import Request, request_from_grid
from petlir.benchmark.runs.planning.survey import survey
from petlir.benchmark.track import TRACKS
from petlir.benchmark.weights import cards as pretrained
from petlir.benchmark.weights import loading
from tests.helpers.engine import PLUGIN, Lab, draw, fill, save


def whys(lab: Lab, store: Path, **chosen: object) -> list[tuple[str, str]]:
    return [(row.state, row.why) for row in survey(lab.request(**chosen), store)]


def test_a_request_fills_in_the_named_grid(lab):
    asked = lab.request(methods="frozen", seeds="3")
    assert (asked.backbones, asked.methods, asked.tasks, asked.track, asked.seeds) == (
        "ipt-nano", "frozen", "tiny", "demo", "3",
    )  # fmt: skip


def test_cells_are_backbones_by_tasks_by_methods_by_seeds(lab):
    cells = Planner(lab.request(methods="frozen,lora[rank=2,4]", tasks="tiny,tiny_x2", seeds="0,1")).cells
    assert [(cell.task, cell.label, cell.seed) for cell in cells] == [
        (task, label, seed)
        for task in ("tiny", "tiny_x2")
        for label, seeds in (("frozen", [0]), ("lora[rank=2]", [0, 1]), ("lora", [0, 1]))
        for seed in seeds
    ]


def test_a_cell_takes_the_tracks_budget_and_the_windows_patch(lab):
    (cell,) = Planner(lab.request(steps=None, regime=None)).cells
    demo = TRACKS["demo"]
    assert (cell.steps, cell.batch_size, cell.patch, cell.regime, cell.rate) == (
        demo.steps, demo.batch_size, 48, "tuned", None,
    )  # fmt: skip
    (frozen,) = Planner(lab.request(methods="frozen")).cells
    assert (frozen.steps, frozen.regime, frozen.rate) == (0, "none", None)


def test_the_papers_regime_fixes_the_rate(lab):
    (cell,) = Planner(lab.request(regime="paper")).cells
    assert cell.rate == PAPER_RATE == 1e-4


def test_equal_sizes_are_solved_for(lab):
    asked = lab.request(methods="lora@20k,adapter@20k,frozen@20k,elsewhere@20k")
    planner = Planner(asked)
    counted = {cell.method: planner.count("ipt-nano", planner.method(cell)) for cell in planner.cells[:2]}
    assert [cell.method for cell in planner.cells] == ["lora", "adapter", "frozen", "elsewhere"]
    assert all(abs(count - 20_000) < 3_000 for count in counted.values()), counted


@pytest.mark.parametrize("chosen", [{"tasks": "tiny,pairs"}, {"tasks": "tiny", "track": "paper"}])
def test_a_request_is_refused_where_a_name_has_no_data(lab, chosen):
    with pytest.raises(PetlirError, match=r"PETLIR_DATA|track|not a folder|pairs"):
        planner = Planner(lab.request(**chosen))
        [planner.plan(cell) for cell in planner.cells]


def test_every_task_of_a_star_is_on_the_track(lab):
    named = {cell.task for cell in Planner(lab.request(methods="frozen", tasks="*", track="paper")).cells}
    tasks = lab.context().plugins.tasks
    assert named == {name for name, task in tasks.items() if "paper" in task.data}


def test_a_new_store_misses_everything(lab, tmp_path):
    assert whys(lab, tmp_path / "none", methods="frozen,elsewhere") == [
        ("missing", ""),
        ("not-applicable", "ipt-nano has no tokens"),
    ]
    assert not (tmp_path / "none").exists()


def test_a_scale_that_the_network_has_not_is_not_applicable(lab):
    """The other cells of the request are planned; a task without enlargement gets crops made of whole windows."""
    planner = Planner(lab.request(backbones="dat-light", methods="frozen", tasks="tiny,tiny_x2"))
    reason = "dat-light has no head for task 'tiny_x2' (scale 2); it restores at ×1, ×4"
    found = {cell.task: planner.network("dat-light").applies(planner.plugins.task(cell.task)) for cell in planner.cells}
    assert found == {"tiny": None, "tiny_x2": reason}
    assert {cell.task: cell.patch for cell in planner.cells} == {"tiny": 32, "tiny_x2": 48}


def test_what_is_not_tuned_is_named(lab, tmp_path):
    assert whys(lab, tmp_path, regime="tuned") == [
        ("to be tuned", "first needs 8 trials, and 1 trial with half the steps")
    ]


def test_a_stale_cell_says_what_changed(lab, tmp_path, monkeypatch):
    plugin, data, store = tmp_path / "mine.py", fill(tmp_path / "data"), tmp_path / "store"
    shutil.copy(PLUGIN, plugin)
    asked = request_from_grid("demo", [plugin], data, True, "float32", methods="frozen", tasks="tiny")

    def why() -> list[str]:
        return [f"{row.state} {row.why}".strip() for row in survey(asked, store)]

    runner.run(asked, store, device="cpu", workers=1)
    assert why() == ["done"]
    plugin.write_text(plugin.read_text() + "\nCHANGED = 1\n")
    assert why() == ["stale changed since: plugin"]
    save(data / "small-test" / "0.png", draw([9]))
    assert why() == ["stale changed since: data, plugin"]
    shutil.copy(PLUGIN, plugin)
    other = replace(pretrained.card("ipt-nano"), sha256="0" * 64)
    monkeypatch.setattr(loading, "load", lambda network, sources: other)
    assert why() == ["stale changed since: weights, data"]


def test_a_cell_of_another_budget_or_seed_is_another_cell(lab, tmp_path):
    lab.finished(tmp_path)
    assert whys(lab, tmp_path) == [("done", "")]
    assert whys(lab, tmp_path, steps=3) == [("missing", "")]
    assert whys(lab, tmp_path, seeds="0,1") == [("done", ""), ("missing", "")]


def test_a_failed_cell_is_not_done(lab, tmp_path):
    lab.run(tmp_path, methods="broken")
    assert whys(lab, tmp_path, methods="broken") == [("failed", "")]


@pytest.fixture(scope="module")
def counts():
    """Count the parameters of each method on each backbone once for all grids."""
    known, real = dict[tuple[str, Method], int](), Planner.count

    def count(self: Planner, backbone: str, method: Method) -> int:
        if (backbone, method) not in known:
            known[backbone, method] = real(self, backbone, method)
        return known[backbone, method]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Planner, "count", count)
        yield


@pytest.mark.usefixtures("counts")
@pytest.mark.parametrize("name", sorted(path.stem for path in GRIDS.glob("*.json")))
def test_every_named_grid_can_be_planned(name, monkeypatch):
    """Each method accepts its options in the grids of the papers' ablations, on its backbone; no image is read."""
    monkeypatch.setattr(planning, "data_digest", lambda *_: "")
    monkeypatch.setattr(planning, "check_images", lambda *_: None)
    planner = Planner(request_from_grid(name, [], None, True, "float32"))
    cells = planner.cells
    assert len({(cell.backbone, cell.label, cell.task, cell.seed) for cell in cells}) == len(cells) > 0
    some = ("all", "demo", "reference", "uir-composition")  # in these some methods have no meaning on some tasks
    if name not in some:
        assert [str(cell) for cell in cells if planner.obstacle(cell)] == []


DROPS = '''
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from petlir.benchmark.method import Method


@dataclass(frozen=True)
class Drops(Method):
    """Dropout of torch's own behind the first feed-forward part."""

    share: float = 0.5
    name: ClassVar[str] = "drops"
    idea: ClassVar[str] = "Dropout."

    def adapt(self, backbone):
        block = next(iter(backbone.blocks()))
        block.mlp.after(nn.Sequential(nn.Dropout(self.share), nn.Linear(block.width, block.width)))
'''


def test_dropout_that_draws_on_the_device_puts_its_type_into_the_key(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "data_digest", lambda *_: "")
    monkeypatch.setattr(planning, "check_images", lambda *_: None)
    plugin = tmp_path / "drops.py"
    plugin.write_text(DROPS)
    monkeypatch.setattr(planning, "pick", lambda device: "cuda:1")
    asked = Request(
        "ipt-nano", "drops[share=0,0.5],adaptformer,lora", "denoise_30", "demo", context=context_of([plugin])
    )
    planner = Planner(asked)
    found = {cell.label: planner.plan(cell.at(1e-3)).parts.get("device") for cell in planner.cells}
    assert found == {"drops[share=0]": None, "drops": "cuda", "adaptformer": None, "lora": None}


@dataclass(frozen=True)
class Asking(Method):
    """A method whose `supports` raises an exception."""

    name = "asking"
    idea = "It raises when it is asked."

    def adapt(self, backbone: Backbone) -> None:
        """Do nothing; this is never called."""

    def supports(self, backbone: Backbone) -> str | None:
        """Raise an exception after printing a million characters."""
        sys.stdout.write("z" * 10**6)
        raise SystemExit(7)


def test_a_method_that_raises_when_it_is_asked_fails_alone(lab, tmp_path, monkeypatch, capsys):
    request = lab.request(methods="frozen")
    plugins = request.context.plugins
    changed = replace(
        plugins,
        methods={**plugins.methods, "asking": Asking},
        sources={**plugins.sources, "method:asking": plugins.sources["method:frozen"]},
    )
    monkeypatch.setattr(Context, "plugins", changed)
    outcome = runner.run(replace(request, methods="frozen,asking"), tmp_path, device="cpu", workers=1)
    assert outcome.states == {"done": 1, "failed": 1}
    assert "raised SystemExit: 7" in outcome.failed[0][1]
    out, err = capsys.readouterr()
    assert len(out) + len(err) < 10**6
