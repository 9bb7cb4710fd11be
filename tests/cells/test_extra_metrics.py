"""Test extra metrics on finished cells and extra protocols on stored images; nothing is trained again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from skimage.io import imsave
from skimage.metrics import peak_signal_noise_ratio

from petlir.benchmark.cells.rescoring import check_stored_images, rescored, through, ways
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.protocol import protocol, protocols
from petlir.benchmark.records.files import ADAPTER, RECORD
from petlir.benchmark.records.schema import Done
from petlir.benchmark.records.scores import tabulated
from petlir.benchmark.store import Store
from petlir.benchmark.training import loop
from petlir.reports.export import table
from petlir.reports.frame import load
from petlir.reports.site import write_report
from tests.helpers.engine import Lab, command
from tests.helpers.samples import typed
from tests.helpers.version_1 import flat, version_1


def record_of(store: Path) -> dict[str, Any]:
    (path,) = Store(store).files()
    return version_1(json.loads(path.read_text()))


def folder_of(store: Path) -> Path:
    (path,) = Store(store).files()
    return path.parent


def rows(record: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [row for row in record["scores"] if row["protocol"] == name]


@pytest.fixture
def store(lab: Lab, tmp_path: Path) -> Path:
    """Return a store with one trained cell, scored under `rgb@tiles-48`."""
    return lab.finished(tmp_path / "store", methods="lora[rank=2]")


@pytest.fixture
def _untrained(store, monkeypatch):
    """Forbid training once the store contains its cell."""

    def fit(*_: object, **__: object) -> None:
        raise AssertionError("a finished cell was trained again")

    monkeypatch.setattr(loop, "fit", fit)


def test_rescoring_under_its_own_protocol_gives_the_record(store):
    record = record_of(store)
    done = typed(record)
    assert isinstance(done, Done)
    assert [way.way for way in ways(done, Store(store))] == ["@tiles-48"]
    rows = rescored(done, Store(store), [protocol("rgb@tiles-48")])
    assert flat(tabulated(rows)) == record["scores"]


def test_stored_images_that_changed_are_not_scored(store):
    done = typed(record_of(store))
    assert isinstance(done, Done)
    for side in ("clean", "degraded", "restored"):
        path = next(path for path in sorted(store.rglob("*.png")) if side in path.parts)
        before = path.read_bytes()
        imsave(path, 255 - read_image(path), check_contrast=False)
        with pytest.raises(PetlirError, match=r"changed since scoring: (input_)?psnr under rgb@tiles-48 is "):
            rescored(done, Store(store), [protocol("y@tiles-48")])
        with pytest.raises(PetlirError, match="changed since scoring"):
            check_stored_images(done, Store(store))
        path.write_bytes(before)
    check_stored_images(done, Store(store))


@pytest.mark.usefixtures("_untrained")
def test_protocols_are_added_to_a_finished_cell(lab, store):
    before, adapter = record_of(store), (folder_of(store) / ADAPTER).read_bytes()
    outcome = lab.run(store, methods="lora[rank=2]", protocols="y,rgb-float,rgb+x8")
    after = record_of(store)
    assert (outcome.worked, outcome.failed) == (0, [])
    assert after["cell"]["protocols"] == ["rgb@tiles-48", "y@tiles-48", "rgb-float@tiles-48", "rgb@tiles-48+x8"]
    assert {name: after[name] for name in ("key", "curve", "costs", "digests", "key_components")} == {
        name: before[name] for name in ("key", "curve", "costs", "digests", "key_components")
    }
    assert rows(after, "rgb@tiles-48") == before["scores"]
    assert (folder_of(store) / ADAPTER).read_bytes() == adapter
    assert not list((store / "work").iterdir())
    for plain, floating, eight in zip(
        *(rows(after, name) for name in ("rgb@tiles-48", "rgb-float@tiles-48", "rgb@tiles-48+x8")), strict=True
    ):
        assert 0 < abs(plain["psnr"] - floating["psnr"]) < 0.1
        image = read_image(folder_of(store) / "restored@tiles-48+x8" / eight["set"] / f"{eight['image']}.png")
        clean = read_image(next(store.glob(f"images/demo/tiny/*/{eight['set']}/clean/{eight['image']}.png")))
        assert eight["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, image), abs=1e-9)


@pytest.mark.usefixtures("_untrained")
def test_what_is_there_already_is_not_measured_again(lab, store):
    for _ in range(2):
        lab.run(store, methods="lora[rank=2]", protocols="y")
        record = record_of(store)
        assert len(record["scores"]) == 2 * len(rows(record, "rgb@tiles-48"))
    assert len(lab.executor.worked) == 1


def test_a_run_from_scratch_gives_what_a_later_one_adds(lab, store, tmp_path):
    lab.run(store, methods="lora[rank=2]", protocols="y,rgb+x8")
    lab.run(tmp_path / "anew", methods="lora[rank=2]", protocols="y,rgb+x8")
    assert record_of(store)["scores"] == record_of(tmp_path / "anew")["scores"]


@pytest.mark.usefixtures("_untrained")
def test_a_cell_whose_test_images_changed_keeps_its_record(lab, store):
    path = folder_of(store) / RECORD
    record = record_of(store)
    record["digests"]["data"] = "0" * 64
    path.write_text(json.dumps(record))
    before = path.read_bytes()
    outcome = lab.run(store, methods="lora[rank=2]", protocols="rgb+x8")
    assert "test images that differ" in outcome.failed[0][1]
    assert path.read_bytes() == before


def test_unknown_names_are_refused_before_anything_runs(lab, tmp_path):
    with pytest.raises(PetlirError, match="did you mean 'y-crop4'"):
        lab.run(tmp_path / "store", protocols="ycrop4")
    pytest.importorskip("pyiqa", exc_type=ImportError)
    with pytest.raises(PetlirError, match="did you mean 'fsim'"):
        lab.run(tmp_path / "store", metrics="fsimm")
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("_untrained")
def test_metrics_stand_in_the_record_with_their_direction(lab, store):
    pytest.importorskip("pyiqa", exc_type=ImportError)
    lab.run(store, methods="lora[rank=2]", metrics="gmsd,ms_ssim")
    found = {metric["metric"]: metric for metric in record_of(store)["metrics"]}
    images = [(row["set"], row["image"]) for row in record_of(store)["scores"]]
    assert [(value["set"], value["image"]) for value in found["gmsd"]["values"]] == images
    assert (found["gmsd"]["better"], found["gmsd"]["unavailable"]) == ("lower", None)
    assert found["gmsd"]["colour"].startswith("luma")
    assert found["ms_ssim"]["values"] == [] and found["ms_ssim"]["unavailable"]  # the images are too small for it


def test_a_lens_adds_columns_and_changes_no_record(store):
    before = (folder_of(store) / RECORD).read_bytes()
    (seen,) = load(store, extra_protocols=protocols("y-crop4,rgb"))
    assert set(seen.protocols) == {"rgb@tiles-48", "y-crop4@tiles-48"}
    assert "y-crop4@tiles-48" in table(store, "csv", protocols("y-crop4"))
    page = write_report(store, store / "report", protocols("y-crop4")).read_text()
    assert "<code>y-crop4@tiles-48</code>" in page
    assert (folder_of(store) / RECORD).read_bytes() == before


def test_a_lens_names_what_it_cannot_see(store):
    lines: list[str] = []
    records = list(Store(store).records())
    with pytest.raises(PetlirError, match="rgb-float scores images before rounding"):
        through(protocols("rgb-float"), records, Store(store), lines.append)
    (plain,) = through(protocols("rgb+x8"), records, Store(store), lines.append)
    assert (plain.scores, lines) == (records[0].scores, [])
    next((folder_of(store) / "restored").rglob("*.png")).unlink()
    (plain,) = through(protocols("y"), records, Store(store), lines.append)
    assert plain.scores == records[0].scores
    assert len(lines) == 1 and "cannot be read" in lines[0]


def test_the_commands(lab, store, capsys):
    code, out, err = command(capsys, "export", "--store", store, "--extra-protocols", "y")
    assert (code, "y@tiles-48" in out, err) == (0, True, "")
    code, _, err = command(capsys, "report", "--store", store, "--extra-protocols", "z")
    assert (code, "unknown protocol 'z'" in err) == (2, True)
    code, _, err = command(capsys, "report", "--store", store, "--extra-protocols", "rgb-float")
    assert (code, err.count("\n")) == (2, 1)
