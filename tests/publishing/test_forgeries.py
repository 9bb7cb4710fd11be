"""Forgeries whose digests and keys were made anew: none earns a level, and none is taken into a store."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from safetensors.torch import load_file, save_file

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.levels import adopt, origins
from petlir.benchmark.publishing.submit import submit
from petlir.benchmark.publishing.verify import Check, VerifiedCell, opened, verify
from petlir.benchmark.records.files import ADAPTER, RECORD
from tests.helpers import forging
from tests.helpers.engine import Lab, laboratory

Record = dict[str, Any]


@pytest.fixture(scope="module")
def lab(small_images: Path) -> Iterator[Lab]:
    """The engine, for all tests of this file."""
    with laboratory(small_images) as found:
        yield found


@pytest.fixture(scope="module")
def honest(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked submission of one cell, with an unrounded protocol and a metric beside its own."""
    root = tmp_path_factory.mktemp("honest")
    lab.run(root / "store", methods="lora[rank=2]", tasks="tiny", protocols="rgb-float", metrics="psnr")
    submit(root / "store", root / "a.zip", "someone", None, False)
    with opened(root / "a.zip") as folder:
        return shutil.copytree(folder, root / "submission")


@pytest.fixture
def forged(honest: Path, tmp_path: Path) -> Path:
    """A copy of the submission to be changed."""
    return shutil.copytree(honest, tmp_path / "forged")


def verdicts(folder: Path, lab: Lab, **changes: Any) -> list[VerifiedCell]:
    forging.seal(folder)
    return verify(folder, replace(Check(lab.context(), "cpu", 1, 0, random.Random(0)), **changes))


def test_what_is_honest_is_believed(lab, forged):
    assert [(one.level, one.why) for one in verdicts(forged, lab)] == [("re-inferred", "it was not trained again")]


def cell_of(**fields: Any) -> Callable[[Record], None]:
    return lambda record: record["cell"].update(fields)


def costs_of(**fields: Any) -> Callable[[Record], None]:
    return lambda record: record["costs"].update(fields)


def score_of(protocol: str = "rgb@tiles-48", **fields: Any) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        last = [row for row in record["scores"] if row["protocol"] == protocol][-1]
        last.update(fields)

    return change


def exchanged(record: Record) -> None:
    """One protocol's score of an image for a second one of another: every image is scored, and no score is lost."""
    rounded = [
        row for row in record["scores"] if row["protocol"].endswith("@tiles-48") and "float" not in row["protocol"]
    ]
    record["scores"].remove(rounded[0])
    record["scores"].append(dict(rounded[1]))


def converged(record: Record) -> None:
    record["convergence"] = {"psnr": 30.0, "half_psnr": 30.0, "change": 0.0}


def accumulated(record: Record) -> None:
    record["cell"]["accumulation"] = {"parts": 2, "batch_statistics": True}


def curve_of(place: int, **fields: Any) -> Callable[[Record], None]:
    return lambda record: record["curve"][place].update(fields)


def metric_of(**fields: Any) -> Callable[[Record], None]:
    return lambda record: record["metrics"][0].update(fields)


STATED: dict[str, tuple[Callable[[Record], None], str]] = {
    "label": (cell_of(label="lora"), "the record says label"),
    "heads": (cell_of(heads=["denoise_50", "sr_x4"]), "the record says heads"),
    "no protocols": (cell_of(protocols=[]), "the record says protocols"),
    "another headline": (cell_of(protocols=["rgb-float@tiles-48", "rgb@tiles-48"]), "the record says protocols"),
    "transfer": (cell_of(transfer="seen"), "the record says transfer"),
    "degradation": (cell_of(degradation="GaussianNoise(sigma=50)"), "the record says degradation"),
    "simulated": (cell_of(simulated="simulated camera noise"), "the record says simulated"),
    "column's note": (cell_of(data_label="real photographs"), "the record says data_label"),
    "reference": (cell_of(reference=True), "the record says reference"),
    "regime": (cell_of(regime="tuned"), "another rate"),
    "no rate": (cell_of(learning_rate=None), "the record says learning_rate None"),
    "rate": (cell_of(learning_rate=3e-3), "the record says learning_rate"),
    "batch": (cell_of(batch_size=64), "the record says batch_size"),
    "huge patch": (cell_of(patch=10**6), "the record says patch"),
    "accumulation": (accumulated, "batch_statistics"),
    "rank as text": (cell_of(options={"rank": "2", "alpha": 1.0}), "wrong type"),
    "rank as a list": (cell_of(options={"rank": [2], "alpha": 1.0}), "wrong type"),
    "unknown option": (cell_of(options={"rank": 2, "best": True}), "options of lora do not fit"),
    "few options": (cell_of(options={"rank": 2}), "the record says options"),
    "smoke": (lambda record: record.update(smoke=False), "the record says smoke"),
    "converged": (converged, "convergence: no rate was tuned"),
    "trainable": (costs_of(trainable=1), "the record says trainable 1"),
    "stored bytes": (costs_of(stored_bytes=1), "the record says stored_bytes 1"),
    "total": (costs_of(total=10**9), "the record says total"),
    "FLOPs": (costs_of(flops_per_step=1), "the record says flops_per_step 1"),
    "bytes for backward": (costs_of(saved_for_backward_bytes=1), "the record says activations"),
    "merged": (costs_of(merged=False, merged_inference_seconds_per_megapixel=None), "the record says merged"),
    "required seconds": (costs_of(required_seconds=3.0), "the record says required_seconds"),
    "curve steps": (curve_of(0, step=5), "the record says curve steps"),
    "curve rate": (curve_of(0, learning_rate=1.0), "learning rate of step 1 1.0"),
    "validation": (curve_of(-1, validation_psnr=46.0), "the record says validation_psnr 46.0"),
    "score": (score_of(psnr=46.0), "the record says psnr 46.0"),
    "perfect score": (score_of(psnr="inf"), "the record says psnr inf"),
    "SSIM": (score_of(ssim=0.99), "the record says ssim 0.99"),
    "unrounded score": (score_of("rgb-float@tiles-48", psnr=46.0), "the record says psnr 46.0"),
    "input score": (score_of(input_psnr=1.0), "the record says input_psnr 1.0"),
    "domain": (score_of(domain="procedural"), "the record says domain"),
    "unit": (score_of(unit="another scene"), "the record says unit"),
    "a score twice, another not at all": (exchanged, "the record scores other images than"),
    "metric": (metric_of(values=[]), "expected one value for each test image"),
    "better": (metric_of(better="lower"), "the record says better"),
    "predictions": (lambda record: record["digests"].update(predictions="0" * 64), "the record says predictions"),
    "weights": (lambda record: record["digests"].update(weights="0" * 64), "the record says weights"),
    "test images": (lambda record: record["digests"].update(data="0" * 64), "the digest of its test images"),
    "device": (lambda record: record["environment"].update(device="none"), "would put it in every table"),
    "date": (lambda record: record.update(finished="2999-01-01T00:00:00+00:00"), "or in the future"),
    "key": (lambda record: record.update(key="0" * 64), "its key is not the digest"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "line"), STATED.values(), ids=STATED.keys())
def test_what_a_record_states_is_derived(lab, forged, change, line):
    forging.edit(forging.cell_in(forged), change)
    (found,) = verdicts(forged, lab)
    assert found.level == ""
    assert re.search(line, found.why), found.why


def key_of_another(folder: Path) -> None:
    """The cell takes the place of one that was not run yet."""
    forging.rekey(folder, forging.cell_in(folder), {"seed": "7"})


def no_components(folder: Path) -> None:
    cell = forging.cell_in(folder)
    forging.rekey(folder, cell, dict.fromkeys(json.loads((cell / RECORD).read_text())["key_components"]))


def another_budget(folder: Path) -> None:
    cell = forging.cell_in(folder)
    forging.edit(cell, cell_of(steps=100))
    forging.edit(cell, lambda record: record["curve"].clear())
    forging.rekey(folder, cell, {"budget": "100 × 4 × 48"})


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
    """An adapter of a larger rank, whose cell is called one of rank 2."""
    cell = forging.cell_in(folder)
    tensors = {name: tensor.repeat(2, *[1] * (tensor.ndim - 1)) for name, tensor in load_file(cell / ADAPTER).items()}
    save_file(tensors, cell / ADAPTER)
    forging.reseal_adapter(cell)


def huge_rank(folder: Path) -> None:
    """A rank whose factors would take petabytes."""
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
    """No adapter, so that the frozen network seems to have been trained."""
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
    "key of a cell that was not run": (key_of_another, "its key has another seed"),
    "no key components": (no_components, "its key has another"),
    "budget": (another_budget, "the record says curve steps"),
    "folder": (another_folder, "it is stored as"),
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
        (another_engine, "claimed", "its key names another engine than there is here"),
        (tuned_without_trials, "re-scored", "the trials of its learning rate are not in the submission"),
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
    assert all("one training does not count as two" in one.why for one in found)


def test_a_tampered_twin_inherits_nothing(lab, forged):
    twin = forging.copy(forging.cell_in(forged))
    forging.edit(twin, score_of(psnr=46.0))
    found = verdicts(forged, lab)
    assert [one.level for one in found] == ["", ""]
    assert all("another cell has its key" in one.why for one in found)
    assert adopt(forged, found, forged.parent / "into") == 0
    assert origins(forged.parent / "into") == {}


def test_an_overlap_is_not_left_out(lab, tmp_path):
    lab.run(tmp_path / "store", methods="frozen", tasks="leaky", allow_overlap=True)
    check = Check(lab.context(), "cpu", 1, 0, random.Random(0))
    assert [one.level for one in verify(tmp_path / "store", check)] == ["re-inferred"]
    for left in (None, []):
        forging.edit(
            forging.cell_in(tmp_path / "store", "frozen"), lambda record, left=left: record.update(overlap=left)
        )
        (found,) = verify(tmp_path / "store", check)
        assert (found.level, "leaves out that small-test shares images" in found.why) == ("", True), found.why


def test_the_untrained_counts_once(lab, tmp_path):
    lab.run(tmp_path / "store", methods="frozen", tasks="tiny")
    cell = forging.cell_in(tmp_path / "store", "frozen")
    forging.edit(cell, cell_of(seed=1))
    forging.rekey(tmp_path / "store", cell, {"seed": "1"})
    (found,) = verify(tmp_path / "store", Check(lab.context(), "cpu", 1, 0, random.Random(0)))
    assert (found.level, "seed 0 is the only one" in found.why) == ("", True), found.why


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
    with pytest.raises(PetlirError, match="is not a petlir-record/1 record"):
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
