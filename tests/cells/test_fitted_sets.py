"""Test the overlap audit: planted overlaps, the command, and the refusal of a run on test images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark.cells import overlap_guard as guard
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.overlaps.compare import compare
from petlir.benchmark.images.overlaps.traps import traps
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.store import Store
from petlir.benchmark.weights.cards import Card
from petlir.benchmark.weights.official import known
from petlir.reports.frame import load
from petlir.reports.tables import tables
from tests.helpers.engine import PLUGIN, command, draw, fill, save


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Return a data folder whose training set includes a test image, mirrored, cropped and saved as JPEG."""
    root = fill(tmp_path / "data")
    image = np.array(PIL.Image.open(root / "small-test" / "1.png"))
    PIL.Image.fromarray(image[5:, ::-1]).save(root / "small-train" / "copy.jpg", quality=80)
    return root


def test_traps_name_sets_of_the_catalogue():
    assert {("BSDS500-val", "BSD100"), ("BSDS500-train", "Rain100L"), ("LOLv1-train", "LOLv2-real-test")} <= set(
        traps()
    )
    for trap in traps().values():
        assert image_set(trap.holder).name != image_set(trap.held).name
        assert trap.shared in ("images", "scenes", "maybe")
        assert trap.statement and trap.source


def test_a_trap_is_named_without_the_images():
    (overlap,) = compare("CBSD68", "BSDS500-val", None).overlaps
    assert (overlap.shared, overlap.images) == ("images", 68)
    assert compare("BSDS100", "BSD100", None).overlaps[0].shared == "images"  # an alias of itself
    nothing = compare("Set5", "ImageNet", None)
    assert nothing.overlaps == ()
    assert nothing.unsearched == "ImageNet is not in the catalogue"
    assert "PETLIR_DATA is not set" in compare("Set5", "DIV2K", None).unsearched


def test_photographs_of_one_scene_are_no_copies(shared):
    root = shared / "datasets"
    assert compare("PolyU-test", "PolyU-train", root).overlaps == ()
    rain = compare("Rain100L", "Rain100H", root).overlaps
    assert [(overlap.shared, overlap.images) for overlap in rain] == [("images", 100)]


def test_pre_training_sets_are_named():
    sets = {one.file: one.sets for one in known()}
    assert sets["gaussian_color_denoising_sigma50.pth"] == ("DIV2K", "Flickr2K", "WED", "BSD400")
    assert sets["IPT_sr2.pt"] is None


def asked(root: Path, *more: str | Path) -> list[str | Path]:
    return ["--plugin", PLUGIN, "--data", root, "-t", "tiny", *more]


def test_the_command_names_image_place_and_relation(leaking, capsys):
    code, out, _ = command(capsys, "audit", *asked(leaking, "--track", "demo"))
    assert code == 1
    assert "LEAK   small-test against folder:small-train (training): 1 of 2 test images found in small-train" in out
    assert "1 in copy: all of it" in out.replace("the same image", "all of it")
    code, out, _ = command(capsys, "audit", *asked(leaking, "--track", "demo", "--json"))
    leak = next(line for line in json.loads(out) if line["overlaps"])
    assert leak["overlaps"][0]["found"][0]["found_in"] == "copy"


def test_the_command_is_content_with_clean_sets(small_images, capsys):
    code, out, _ = command(capsys, "audit", *asked(small_images, "--track", "demo"))
    assert (code, out.splitlines()[-1]) == (0, "3 pairs of sets: 0 leaks")


@pytest.mark.parametrize(("arguments", "line"), [
    (("-t", "nothing"), "unknown task 'nothing'"), (("--track", "opne"), "unknown track 'opne'; did you mean 'open'"),
    (("--data", "/nowhere"), "the data folder /nowhere is missing"), (("-t", "sr_x4"), "nothing could be searched"),
])  # fmt: skip
def test_bad_input_is_one_line(capsys, monkeypatch, arguments, line):
    monkeypatch.delenv("PETLIR_DATA", raising=False)
    code, _, err = command(capsys, "audit", *arguments)
    assert code == 2
    assert line in err
    assert err.count("\n") == 1


def test_an_unreadable_image_is_named(small_images, tmp_path, capsys):
    root = fill(tmp_path)
    (root / "small-train" / "torn.png").write_bytes((root / "small-train" / "0.png").read_bytes()[:200])
    code, _, err = command(capsys, "audit", *asked(root, "--track", "demo"))
    assert code == 2
    assert "torn.png is not a readable image" in err


def test_a_leaking_run_is_refused_unless_allowed(lab, leaking, tmp_path, capsys):
    store = tmp_path / "store"
    run = ["run", *asked(leaking, "-m", "frozen", "--store", store, "--device", "cpu", "--no-report")]
    code, _, err = command(capsys, *run)
    assert code == 2
    assert "test image small-test/1 is in folder:small-train (training) as copy" in err
    assert "--allow-overlap" in err
    assert not store.exists()
    assert command(capsys, *run, "--allow-overlap")[0] == 0
    (record,) = Store(store).records()
    expected = {"set": "small-test", "holder": "small-train", "role": "training", "shared": "images", "images": 1}
    assert record.overlap and [one.model_dump() for one in record.overlap] == [expected]
    (table,) = tables(load(store), {})
    assert [column.overlap for column in table.columns] == ["shares images with small-train (training)"]
    assert [row.overlap for row in table.rows] == [False, True]


def test_a_clean_run_says_that_it_was_audited(lab, tmp_path):
    lab.run(tmp_path, methods="frozen")
    assert next(Store(tmp_path).records()).overlap == []


def test_what_weights_were_pre_trained_on_is_looked_at(lab):
    request = lab.request(methods="frozen")
    (cell,) = Planner(request).cells
    card = Card("", (), {}, "", {}, sets=("folder:small-test",))
    with pytest.raises(
        PetlirError, match=r"test set small-test overlaps with folder:small-test \(pre-training of ipt-nano\)"
    ):
        guard.refuse([cell], request.context.plugins, {"ipt-nano": card}, request.context.root)


def test_exact_copies_are_allowed_too(lab, tmp_path, capsys):
    root = fill(tmp_path / "data")
    save(root / "small-train" / "copy.png", draw([2, 0], 56, 64))
    run = ["run", *asked(root, "-m", "lora", "--steps", "2", "--regime", "paper", "--store", tmp_path / "store")]
    options = ["--device", "cpu", "--no-report"]
    assert command(capsys, *run, *options)[0] == 2
    assert command(capsys, *run, *options, "--allow-overlap")[0] == 0
