"""Test forgeries that only a file's form or an additional entry reveals: each is named, and none reaches a store."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.archive import MANIFEST
from petlir.benchmark.publishing.levels import adopt
from petlir.benchmark.publishing.submit import submit
from petlir.benchmark.records import json_files
from petlir.benchmark.records.files import ADAPTER, RECORD
from petlir.benchmark.revisions.normalised import digest
from petlir.benchmark.store import Store
from tests.helpers import forging
from tests.helpers.forging import cell_of, verdicts

Record = dict[str, Any]


def rewrite(path: Path, change: Callable[[Record], object]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def table_of(place: int, **fields: Any) -> Callable[[Record], None]:
    return lambda record: record["scores"][place].update(fields)


def environment_of(**fields: Any) -> Callable[[Record], None]:
    return lambda record: record["environment"].update(fields)


def higher_ssim(record: Record) -> None:
    """Raise the SSIM of unrounded images by less than the tolerance of PSNR."""
    values = record["scores"][1]["values"]
    values["ssim"] = [value + 0.009 for value in values["ssim"]]


def overlaps_of(*holders: str) -> Callable[[Record], None]:
    named = {"set": "small-test", "role": "training", "shared": "images", "images": 1}
    return lambda record: record.update(overlap=[{**named, "holder": holder} for holder in holders])


STATED: dict[str, tuple[Callable[[Record], None], str]] = {
    "domain of a metric": (table_of(2, domain="procedural"), "the record says domain"),
    "unit of a metric": (table_of(2, units=["0", "x"]), "the record says unit"),
    "input of a metric": (table_of(2, inputs={"psnr": [9.0, 9.0]}), "the record says input"),
    "SSIM": (higher_ssim, "the record says ssim"),
    "overlap": (overlaps_of("small-train"), "overlap: small-test shares no images with the training set small-train"),
    "overlap of another set": (overlaps_of("DIV2K"), "overlap: small-test shares no images"),
    "overlap twice": (overlaps_of("x", "x"), "the record names an overlap twice"),
    "device": (environment_of(device="cpu\n"), "expected the device that the cell ran on"),
    "precision": (environment_of(precision="float128"), "precision: expected float32"),
    "environment": (environment_of(versions={"a": "1" * 20_000}), "environment: .* expected at most"),
}


@pytest.mark.parametrize(("change", "line"), STATED.values(), ids=STATED.keys())
def test_a_further_statement_is_derived(lab, forged, change, line):
    rewrite(forging.cell_in(forged) / RECORD, change)
    (found,) = verdicts(forged, lab)
    assert found.level == ""
    assert re.search(line, found.why), found.why


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda record: record.update(finished="2026-W01-1T00:00:00+00:00"), "finished: .* not of the form"),
        (lambda record: record.update(started="2026-01-01<00:00:00+00:00"), "started: .* not of the form"),
        (lambda record: record["scores"][0]["inputs"].update(lpips=[0.0, 0.0]), "inputs.lpips has no column in values"),
    ],
)
def test_a_record_of_another_form_is_refused(lab, forged, change, line):
    rewrite(forging.cell_in(forged) / RECORD, change)
    with pytest.raises(PetlirError, match=line):
        verdicts(forged, lab)


@pytest.mark.parametrize("shape", [[0, 2**63], [0, 2**62, 2**62]])
def test_a_shape_beyond_the_limits_of_torch_is_named(lab, forged, shape):
    cell = forging.cell_in(forged)
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    (cell / ADAPTER).write_bytes(struct.pack("<Q", len(header)) + header)
    forging.reseal_adapter(cell)
    (found,) = verdicts(forged, lab)
    assert (found.level, "adapter.safetensors is damaged" in found.why) == ("", True)


def another_seed(folder: Path, cell: Path) -> Path:
    """Give a cell another seed, and move its adapter's values a little."""
    forging.edit(cell, cell_of(seed=1))
    cell = forging.rekey(folder, cell, {"seed": "1"})
    torch.manual_seed(0)
    moved = {name: values + 1e-7 * torch.randn_like(values) for name, values in load_file(cell / ADAPTER).items()}
    save_file(moved, cell / ADAPTER)
    forging.reseal_adapter(cell)
    return cell


def test_a_nearly_equal_adapter_is_the_same_training(lab, forged):
    another_seed(forged, forging.copy(forging.cell_in(forged)))
    found = verdicts(forged, lab)
    assert [one.level for one in found] == ["", ""]
    assert all("one training run does not count as two" in one.why for one in found)


def test_one_training_does_not_count_as_two_in_two_archives(lab, honest, forged, tmp_path):
    into, told = tmp_path / "into", list[str]()
    assert adopt(honest, verdicts(honest, lab), into, told.append) == 1
    another_seed(forged, forging.cell_in(forged))
    found = verdicts(forged, lab)
    assert [one.level for one in found] == ["re-inferred"]
    assert adopt(forged, found, into, told.append) == 0
    assert ["one training run does not count as two" in line for line in told] == [True]
    assert len(Store(into).files()) == 1


def test_neither_a_reason_nor_a_source_that_no_check_covers_is_taken_over(lab, forged, tmp_path):
    invented = {"metric": "best", "better": "higher", "colour": "x", "library": "x", "unavailable": "perfect"}
    rewrite(forging.cell_in(forged) / RECORD, lambda record: record["metrics"].append(invented))
    text = "import os\n\nNUMBER = 3\n"
    stray = forged / "plugins" / digest(text)[:12] / "stray.py"
    stray.parent.mkdir()
    stray.write_text(text)
    assert adopt(forged, verdicts(forged, lab), tmp_path / "into") == 1
    (record,) = Store(tmp_path / "into").records()
    assert [metric.metric for metric in record.metrics] == ["psnr"]
    assert [path.name for path in (tmp_path / "into").glob("plugins/*/*")] == ["tiny.py"]


def pipe(folder: Path) -> None:
    """Add a pipe, named like a file of a trial, from which reading never ends."""
    (folder / "tuning" / ("a" * 64)).mkdir(parents=True)
    os.mkfifo(folder / "tuning" / ("a" * 64) / "0.1.json")


def linked_folder(folder: Path) -> None:
    outside = (folder / "cells").rename(folder.with_name("outside"))
    (folder / "cells").symlink_to(outside)


def two_sources(folder: Path) -> None:
    """Put a second file, with a different digest, beside the source of a plugin."""
    next(folder.glob("plugins/*/tiny.py")).with_name("another.py").write_text("NUMBER = 3\n")


def large_source(folder: Path) -> None:
    next(folder.glob("plugins/*/tiny.py")).write_text("#\n" * 2**20)


def large_trial(folder: Path) -> None:
    trial = folder / "tuning" / ("a" * 64) / "0.1.json"
    trial.parent.mkdir(parents=True)
    trial.write_text(" " * 100_000)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (pipe, r"0\.1\.json is a device or a pipe"),
        (linked_folder, "cells is a link"),
        (two_sources, r"another\.py has the digest"),
        (large_source, r"tiny\.py has 2,097,152 bytes; expected at most"),
        (large_trial, r"0\.1\.json is not a trial of a learning rate: it is"),
    ],
)
def test_a_file_of_another_kind_or_size_is_refused(lab, forged, monkeypatch, change, line):
    monkeypatch.setattr(json_files, "LARGEST", 50_000)
    change(forged)
    with pytest.raises(PetlirError, match=line):
        verdicts(forged, lab)


@pytest.mark.parametrize("stated", [{"by": "me\nre-trained"}, {"tuning": " "}, {"used_test_data": "no"}])
def test_a_manifest_of_another_form_is_refused(lab, forged, stated):
    rewrite(forged / MANIFEST, lambda manifest: manifest.update(stated))
    with pytest.raises(PetlirError, match=f"not a valid petlir-submission/1 manifest: {next(iter(stated))}"):
        verdicts(forged, lab)


def test_a_submitter_without_a_name_is_one_line(forged, tmp_path):
    shutil.copytree(forged, tmp_path / "store")
    with pytest.raises(PetlirError, match="--by ''"):
        submit(tmp_path / "store", tmp_path / "a.zip", "", None, False)
    assert not (tmp_path / "a.zip").exists()
