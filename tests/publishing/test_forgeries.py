"""Test forgeries with recomputed digests and keys: none earns a level, and none is merged into a store."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from safetensors.torch import load_file, save_file

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.levels import adopt, origins
from petlir.benchmark.publishing.verify import Check, verify
from petlir.benchmark.records.files import ADAPTER, RECORD
from tests.helpers import forging
from tests.helpers.engine import BATCH
from tests.helpers.forging import cell_of, score_of, verdicts

Record = dict[str, Any]


def key_of_another(folder: Path) -> None:
    """Move the cell to the folder of a cell that has not been run."""
    forging.rekey(folder, forging.cell_in(folder), {"seed": "7"})


def no_components(folder: Path) -> None:
    cell = forging.cell_in(folder)
    forging.rekey(folder, cell, dict.fromkeys(json.loads((cell / RECORD).read_text())["key_components"]))


def another_budget(folder: Path) -> None:
    cell = forging.cell_in(folder)
    forging.edit(cell, cell_of(steps=100))
    forging.edit(cell, lambda record: record["curve"].clear())
    forging.rekey(folder, cell, {"budget": f"100 × {BATCH} × 48"})


def tuned_without_trials(folder: Path) -> None:
    cell = forging.cell_in(folder)
    forging.edit(cell, cell_of(regime="tuned"))
    forging.rekey(folder, cell, {"rate": "tuned 0.0001"})


def another_engine(folder: Path) -> None:
    forging.rekey(folder, forging.cell_in(folder), {"engine": "engine.training@99"})


def another_folder(folder: Path) -> None:
    cell = forging.cell_in(folder)
    cell.rename(cell.with_name("lora-s5-00000000"))


def larger_adapter(folder: Path) -> None:
    """Give a cell of rank 2 an adapter of a larger rank."""
    cell = forging.cell_in(folder)
    tensors = {name: tensor.repeat(2, *[1] * (tensor.ndim - 1)) for name, tensor in load_file(cell / ADAPTER).items()}
    save_file(tensors, cell / ADAPTER)
    forging.reseal_adapter(cell)


def huge_rank(folder: Path) -> None:
    """Claim a rank whose factors would take petabytes."""
    cell = forging.cell_in(folder)

    def change(record: Record) -> None:
        record["cell"]["options"]["rank"] = 10**12
        record["cell"]["label"] = f"lora[rank={10**12}]"

    forging.edit(cell, change)
    forging.rekey(folder, cell)


def damaged_adapter(folder: Path) -> None:
    cell = forging.cell_in(folder)
    (cell / ADAPTER).write_bytes((cell / ADAPTER).read_bytes()[:-8])
    forging.reseal_adapter(cell)


def no_adapter(folder: Path) -> None:
    """Remove the adapter, so that the frozen network seems to have been trained."""
    cell = forging.cell_in(folder)
    (cell / ADAPTER).unlink()
    forging.edit(cell, lambda record: record["digests"].update(adapter=None))


def damaged_image(folder: Path) -> None:
    path = sorted((forging.cell_in(folder) / "restored").rglob("*.png"))[0]
    path.write_bytes(path.read_bytes()[:200])


def small_image(folder: Path) -> None:
    path = sorted((forging.cell_in(folder) / "restored").rglob("*.png"))[0]
    PIL.Image.new("RGB", (8, 8)).save(path)


def more_images(folder: Path) -> None:
    path = sorted((forging.cell_in(folder) / "restored").rglob("*.png"))[0]
    shutil.copyfile(path, path.with_name("more.png"))


def more_ways(folder: Path) -> None:
    cell = forging.cell_in(folder)
    shutil.copytree(cell / "restored", cell / "restored@whole")


FILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "key of a cell that was not run": (key_of_another, "key components do not match the cell: seed"),
    "no key components": (no_components, "key components do not match the cell: "),
    "budget": (another_budget, "the record says curve steps"),
    "folder": (another_folder, "the cell's folder is called"),
    "adapter of another size": (larger_adapter, "but lora"),
    "rank beyond the adapter": (huge_rank, "but adapter.safetensors holds"),
    "damaged adapter": (damaged_adapter, "adapter.safetensors is damaged"),
    "no adapter": (no_adapter, "is missing"),
    "damaged image": (damaged_image, "is damaged"),
    "image of another size": (small_image, "is 8×8 pixels"),
    "image that no score names": (more_images, "is not an image that the record scores"),
    "way that no score names": (more_ways, "is not an image that the record scores"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "line"), FILED.values(), ids=FILED.keys())
def test_what_a_submission_holds_is_its_own(lab, forged, change, line):
    change(forged)
    (found,) = verdicts(forged, lab)
    assert (found.level, line in found.why) == ("", True), found.why


@pytest.mark.parametrize(
    ("change", "level", "line"),
    [
        (another_engine, "claimed", "key components do not match this installation: engine"),
        (tuned_without_trials, "re-scored", "the trials of the cell's learning rate are not in the submission"),
    ],
)
def test_what_cannot_be_derived_here_is_not_believed(lab, forged, change, level, line):
    change(forged)
    (found,) = verdicts(forged, lab)
    assert (found.level, line in found.why) == (level, True), found.why
    assert adopt(forged, [found], forged.parent / "into") == 0


def test_one_training_does_not_count_as_two(lab, forged):
    cell = forging.cell_in(forged)
    other = forging.copy(cell)
    forging.edit(other, cell_of(seed=1))
    other = forging.rekey(forged, other, {"seed": "1"})
    tensors = load_file(other / ADAPTER)
    save_file(dict(reversed(tensors.items())), other / ADAPTER, metadata={"seed": "1"})  # other bytes, the same values
    forging.reseal_adapter(other)
    found = verdicts(forged, lab)
    assert [one.level for one in found] == ["", ""]
    assert all("one training run does not count as two" in one.why for one in found)


def test_a_tampered_twin_inherits_nothing(lab, forged):
    twin = forging.copy(forging.cell_in(forged))
    forging.edit(twin, score_of(psnr=46.0))
    found = verdicts(forged, lab)
    assert [one.level for one in found] == ["", ""]
    assert all("another cell has the same key" in one.why for one in found)
    assert adopt(forged, found, forged.parent / "into") == 0
    assert origins(forged.parent / "into") == {}


def overlapping(found: list[dict[str, Any]] | None, record: Record) -> None:
    record["overlap"] = found


def test_an_overlap_is_not_left_out(lab, tmp_path):
    lab.run(tmp_path / "store", methods="frozen", tasks="leaky", allow_overlap=True)
    check = Check(lab.context(), "cpu", 1, 0, random.Random(0))
    assert [one.level for one in verify(tmp_path / "store", check)] == ["re-inferred"]
    none: list[dict[str, Any]] = []
    for left in (None, none):
        forging.edit(forging.cell_in(tmp_path / "store", "frozen"), partial(overlapping, left))
        (found,) = verify(tmp_path / "store", check)
        assert (found.level, "omits that small-test shares images" in found.why) == ("", True), found.why


def test_the_untrained_counts_once(lab, tmp_path):
    lab.run(tmp_path / "store", methods="frozen", tasks="tiny")
    cell = forging.cell_in(tmp_path / "store", "frozen")
    forging.edit(cell, cell_of(seed=1))
    forging.rekey(tmp_path / "store", cell, {"seed": "1"})
    (found,) = verify(tmp_path / "store", Check(lab.context(), "cpu", 1, 0, random.Random(0)))
    assert (found.level, "expected 0, since it trains nothing" in found.why) == ("", True), found.why


def test_no_images_no_level(lab):
    with pytest.raises(PetlirError, match="--images 0: expected at least 1"):
        Check(lab.context(), "cpu", 0, 0, random.Random(0))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda record: record["cell"].update(track="../../x"), "cell.track"),
        (lambda record: record["cell"].update(task="/x"), "cell.task"),
        (lambda record: record["scores"][0].update(image="../x"), "image"),
        (lambda record: record["scores"][0].update(set="a/../../x"), "set"),
        (lambda record: record["scores"][0].update(image="a\\b"), "image"),
    ],
)
def test_no_name_becomes_a_path_out_of_the_store(lab, forged, change, line):
    forging.edit(forging.cell_in(forged), change)
    with pytest.raises(PetlirError, match=line):
        verdicts(forged, lab)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"schema": ' * 100_000, '{"a":' * 300 + "1" + "}" * 300])
def test_deep_json_is_one_line(lab, forged, content):
    (forging.cell_in(forged) / RECORD).write_text(content)
    with pytest.raises(PetlirError, match="is not a petlir-record/2 record"):
        verdicts(forged, lab)


def test_deep_options_are_one_line(lab, forged):
    deep: object = 1
    for _ in range(150):
        deep = [deep]
    forging.edit(forging.cell_in(forged), cell_of(options={"rank": deep, "alpha": 1.0}))
    (found,) = verdicts(forged, lab)
    assert (found.level, "wrong type" in found.why, "\n" in found.why) == ("", True, False)


def test_a_file_of_no_cell_is_refused(lab, forged):
    shutil.copytree(forging.cell_in(forged), forged / "cells" / "ipt-nano" / "tiny" / "empty-s0-00000000")
    (forged / "cells" / "ipt-nano" / "tiny" / "empty-s0-00000000" / RECORD).unlink()
    with pytest.raises(PetlirError, match="belongs to no finished cell"):
        verdicts(forged, lab)
