"""Test that the examples in CONTRIBUTING.md work as printed there."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from jinja2 import FileSystemLoader

from petlir.benchmark.cells.context import _plugins
from petlir.benchmark.contract import POINTS, check, target_of
from petlir.benchmark.contract.backbone_points import BACKBONE_POINTS
from petlir.benchmark.contract.toy_model import SMALL
from petlir.benchmark.images import catalogue
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import find
from petlir.benchmark.runs import runner
from petlir.benchmark.runs.planning.request import request_from_grid
from petlir.benchmark.store import Store
from petlir.reports import pages, site
from petlir.reports.site import write_report
from petlir.reports.templating import HERE, templates
from tests.helpers.engine import PLUGIN, command, draw, save
from tests.reports.stores import smoke_records, write_store

GUIDE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
BLOCK = {name: re.compile(rf"```{name}\n(.*?)```", re.DOTALL) for name in ("python", "toml", "jinja")}


def example(language: str, mark: str) -> str:
    """Among the code blocks of a language, return the only one that contains `mark`."""
    (code,) = (code for code in BLOCK[language].findall(GUIDE.read_text(encoding="utf-8")) if mark in code)
    return str(code)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that writes the Python example containing `mark` to a file of the given name."""

    def write(name: str, mark: str) -> Path:
        file = tmp_path / name
        file.write_text(example("python", mark), encoding="utf-8")
        return file

    return write


TOKENS_AND_MAPS = ("ipt", "nafnet")
FAMILIES = [pytest.param(one, marks=[] if one in TOKENS_AND_MAPS else pytest.mark.long) for one in SMALL]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["ChannelGain", "ConvAdapter"])
def test_the_example_methods_keep_the_contract(written, name, family):
    method = target_of(f"{written('mine.py', f'class {name}')}:{name}")
    assert isinstance(method, Method)
    assert [finding for finding in check(method, SMALL[family]) if not finding.passed] == []


@pytest.mark.parametrize("mark", ["class ChannelGain", "class ConvAdapter"])
def test_the_example_methods_are_short(mark):
    assert len(example("python", mark).splitlines()) <= 40


def test_without_a_map_the_example_convolution_is_told_to_use_one(written):
    file = written("mine.py", "class ConvAdapter")
    file.write_text(file.read_text().replace("OnMap(convolution, block.layout)", "convolution"))
    method = target_of(f"{file}:ConvAdapter")
    assert isinstance(method, Method)
    details = [finding.detail for finding in check(method, SMALL["ipt"]) if not finding.passed]
    assert details and all("OnMap(module, block.layout)" in detail and "\n" not in detail for detail in details)
    assert [finding for finding in check(method, SMALL["nafnet"]) if not finding.passed] == []


def test_the_example_backbone_keeps_its_contract_as_the_guide_says(written, capsys):
    file = written("plain_net.py", "class PlainNet")
    code, out, _ = command(capsys, "contract", f"{file}:PlainNet")
    assert (code, out.count("ok "), out.count("FAIL")) == (0, len(BACKBONE_POINTS), 0)


def test_a_method_is_tried_on_the_example_backbone_as_the_guide_says(written, capsys):
    file = written("plain_net.py", "class PlainNet")
    code, out, _ = command(capsys, "contract", "adapter", "-b", "plain-net", "--plugin", file)
    assert (code, out.count("ok   plain-net: ")) == (0, len(POINTS))
    code, _, err = command(capsys, "contract", "adapter", "-b", "plain-nett", "--plugin", file)
    assert code == 2 and "did you mean 'plain-net'?" in err and err.count("\n") == 1


def test_the_example_metric_is_the_slope_of_a_ramp(written):
    """The error increases by 0.01 per pixel to the right and is constant from top to bottom."""
    metric = find([written("gradient_error.py", "class GradientError")]).metrics["gradient-error"]()
    clean = torch.rand(2, 3, 8, 10)
    assert metric(clean + 0.01 * torch.arange(10), clean) == pytest.approx(0.01, abs=1e-6)
    assert metric(clean, clean) == 0


def test_the_example_metric_scores_folders_as_the_guide_says(written, tmp_path, capsys):
    file = written("gradient_error.py", "class GradientError")
    clean = draw([0], 24, 28)
    for folder, image in (("clean", clean), ("restored", clean // 2)):
        save(tmp_path / folder / "a.png", image)
    given = ("score", tmp_path / "restored", tmp_path / "clean", "--metrics", "gradient-error,psnr")
    told = json.loads(command(capsys, *given, "--plugin", file, "--json")[1])
    own, psnr = told["metrics"]
    error = (clean // 2).astype(float) - clean
    expected = sum(np.abs(np.diff(error, axis=axis)).mean() for axis in (0, 1)) / 255
    assert (own["better"], own["unavailable"], own["library"][:8]) == ("lower", None, "outside:")
    assert own["mean"] == pytest.approx(expected, abs=1e-6)
    assert psnr["mean"] == pytest.approx(told["mean"]["psnr"])


def test_the_example_metric_is_added_to_finished_cells_and_shown_in_the_report(lab, written, tmp_path):
    file, store = written("gradient_error.py", "class GradientError"), tmp_path / "store"

    def values(metrics: str) -> tuple[int, dict[str, list[float]]]:
        asked = replace(lab.request(methods="frozen", metrics=metrics), context=context)
        outcome = runner.run(asked, store, device="cpu", workers=1)
        (record,) = Store(store).records()
        return outcome.worked, {
            metric.metric: [score.value for score in record.measured(metric.metric)] for metric in record.metrics
        }

    context = lab.context(plugin_files=(str(PLUGIN), str(file)))
    assert values("") == (1, {})
    worked, found = values("gradient-error")
    assert worked == 0 and all(value > 0 for value in found["gradient-error"])
    assert "gradient-error" in (write_report(store, tmp_path / "report").parent / "conditions.html").read_text()
    file.write_text(file.read_text().replace("error = restored - clean", "error = 2 * (restored - clean)"))
    context = lab.context(plugin_files=(str(PLUGIN), str(file)))
    _plugins.cache_clear()
    doubled = values("gradient-error")[1]["gradient-error"]
    assert doubled == pytest.approx([2 * value for value in found["gradient-error"]])


def test_the_example_image_set_is_found_in_each_layout(tmp_path, monkeypatch):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "drizzle.toml").write_text(example("toml", "[Drizzle]"), encoding="utf-8")
    for name in "abc":
        for side, seed in (("dry", 0), ("wet", 1)):
            save(tmp_path / "one" / "Drizzle" / name / f"{side}.png", draw([seed], 8, 9))
        for side, seed in (("clean", 0), ("rain", 1)):
            save(tmp_path / "two" / "drizzle" / f"{side}-{name}.png", draw([seed], 8, 9))
    monkeypatch.setattr(catalogue, "SETS", tmp_path / "sets")
    catalogue._sets.cache_clear()
    try:
        entry = catalogue.image_set("Drizzle")
        for data in ("one", "two"):
            samples = [found.read() for found in entry.index(tmp_path / data)]
            assert [sample.name for sample in samples] == ["a", "b", "c"]
            assert all((sample.clean != sample.degraded).any() for sample in samples)
    finally:
        catalogue._sets.cache_clear()


def test_the_example_page_is_in_the_report_and_in_every_navigation(tmp_path, monkeypatch):
    for folder, file, code in (
        ("pages", "runs.py", example("python", "def pages(")),
        ("templates", "runs.html.j2", example("jinja", "<h1>Runs</h1>")),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(code, encoding="utf-8")
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(tmp_path / "pages")])
    made = templates()
    made.loader = FileSystemLoader([HERE / "templates", tmp_path / "templates"])
    monkeypatch.setattr(site, "templates", lambda: made)
    store, out = write_store(tmp_path / "store", smoke_records(), images=False), tmp_path / "out"
    try:
        write_report(store, out)
        assert re.search(r"<li>lora: \d+</li>", (out / "runs.html").read_text())
        assert all('runs.html">Runs</a>' in (out / name).read_text() for name in ("index.html", "costs.html"))
    finally:
        sys.modules.pop("petlir.reports.pages.runs", None)
    monkeypatch.setattr(pages, "__path__", pages.__path__[:-1])
    write_report(store, out)
    assert not (out / "runs.html").exists()


@pytest.fixture
def fog(written) -> Path:
    """Write the guide's task to a plugin file."""
    file: Path = written("fog.py", "Task(")
    return file


def test_the_example_task_is_none_of_the_built_in_ones(fog):
    assert "fog" in find([fog]).tasks.keys() - find().tasks.keys()


def test_the_example_task_degrades_a_folder_as_the_guide_says(fog, tmp_path, capsys):
    """All pixel values follow one straight line through white: contrast lost by fog is added as white light."""
    image = draw([0], 48, 64)
    save(tmp_path / "clean" / "a.png", image)
    given = ("degrade", "fog", tmp_path / "clean", tmp_path / "out", "--plugin", fog)
    assert command(capsys, *given)[0] == 0
    foggy = read_image(tmp_path / "out" / "a.png").astype(float)
    slope, offset = np.polyfit(image.ravel().astype(float), foggy.ravel(), 1)
    assert 0.7 <= slope <= 0.85
    assert offset == pytest.approx((1 - slope) * 255, abs=0.2)
    assert np.abs(foggy - (slope * image + offset)).max() <= 0.7


def test_the_example_task_runs_as_the_guide_says(lab, fog, tmp_path):
    asked = request_from_grid(
        "demo", [fog], None, True, "float32",
        backbones="nafnet-nano", methods="frozen", tasks="fog[fog=slight,dense]",
    )  # fmt: skip
    outcome = runner.run(asked, tmp_path / "store", device="cpu", workers=1)
    assert outcome.states == {"done": 2}
    records = list(Store(tmp_path / "store").records())
    assert {record.cell.task for record in records} == {"fog", "fog[fog=dense]"}
    assert {record.cell.simulated for record in records} == {"simulated fog"}
    slight, dense = (
        fmean(score.input or 0.0 for score in record.rows())
        for record in sorted(records, key=lambda record: len(record.cell.task))
    )
    assert slight > dense + 2
