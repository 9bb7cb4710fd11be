"""Test verification of submissions and stores: honest ones earn their levels, and changes are named."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.levels import adopt, origins
from petlir.benchmark.publishing.submit import submit
from petlir.benchmark.publishing.verify import Check, VerifiedCell, opened, verify
from petlir.benchmark.records.files import ADAPTER, RECORD
from petlir.benchmark.store import Store
from tests.helpers import forging
from tests.helpers.engine import PLUGIN, Lab, command
from tests.helpers.samples import finished_in


@pytest.fixture(scope="module")
def ran(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with a LoRA, a cell that requires it, and the frozen network, and a submission of this store."""
    root = tmp_path_factory.mktemp("ran")
    lab.run(root / "store", methods="lora[rank=2],follower,frozen", tasks="tiny")
    submit(root / "store", root / "a.zip", "someone", None, False)
    return root


@pytest.fixture
def archive(ran: Path) -> Path:
    """Return the path of the submission."""
    return ran / "a.zip"


@pytest.fixture
def unpacked(archive: Path, tmp_path: Path) -> Path:
    """Return a copy of the unpacked submission that a test may change."""
    with opened(archive) as folder:
        return shutil.copytree(folder, tmp_path / "unpacked")


@pytest.fixture
def store(ran: Path, tmp_path: Path) -> Path:
    """Return a copy of the store that a test may change."""
    return shutil.copytree(ran / "store", tmp_path / "store")


def check(lab: Lab, **changes: Any) -> Check:
    return replace(Check(lab.context(), "cpu", 2, 0, random.Random(0)), **changes)


def levels(found: list[VerifiedCell]) -> dict[str, str]:
    return {one.cell.partition("-s0")[0]: one.level for one in found}


def test_honest_cells_are_re_trained_with_what_they_require(lab, archive):
    with opened(archive) as folder:
        found = verify(folder, check(lab, retrain=1, draw=random.Random(1)))  # draws the first cell
    assert levels(found) == {"follower": "re-trained", "lora-rank=2": "re-trained", "frozen": "re-inferred"}
    assert [one.why for one in found] == ["", "it was not retrained", ""]


def another_image(folder: Path) -> None:
    path = next((forging.cell_in(folder) / "restored").rglob("*.png"))
    PIL.Image.open(path).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT).save(path)


def no_image(folder: Path) -> None:
    next((forging.cell_in(folder) / "restored").rglob("*.png")).unlink()


@pytest.mark.parametrize(
    ("change", "line"), [(another_image, "the record says psnr"), (no_image, "is missing, but the record")]
)
def test_what_was_changed_is_named_even_where_the_digests_were_made_anew(lab, unpacked, change, line):
    change(unpacked)
    with pytest.raises(PetlirError, match=r"was changed|is missing"):
        verify(unpacked, check(lab))
    forging.seal(unpacked)
    found = {one.cell.partition("-s0")[0]: one for one in verify(unpacked, check(lab))}
    assert (found["lora-rank=2"].level, line in found["lora-rank=2"].why) == ("", True)
    assert found["frozen"].level == "re-inferred"
    assert found["follower"].level == "re-scored", "it is believed no further than what it requires"


def test_a_file_that_is_not_listed_is_refused(lab, unpacked):
    path = next((forging.cell_in(unpacked) / "restored").rglob("*.png"))
    (path.parent / "more.png").write_bytes(path.read_bytes())
    with pytest.raises(PetlirError, match=r"more\.png is not listed"):
        verify(unpacked, check(lab))


def test_images_that_the_adapter_does_not_make_are_found_by_restoring(lab, unpacked):
    """Scores and images agree with each other, but another adapter produced them."""
    from safetensors.torch import load_file, save_file

    cell = forging.cell_in(unpacked)
    save_file({name: tensor * 50 for name, tensor in load_file(cell / ADAPTER).items()}, cell / ADAPTER)
    forging.reseal_adapter(cell)
    forging.seal(unpacked)
    found = {one.cell.partition("-s0")[0]: one for one in verify(unpacked, check(lab))}
    assert found["lora-rank=2"].why.startswith("the adapter restores")


def test_a_curve_that_training_does_not_give_is_not_re_trained(lab, unpacked):
    forging.edit(forging.cell_in(unpacked), lambda record: record["curve"][0].update(loss=1e-6))
    forging.seal(unpacked)
    found = {one.cell.partition("-s0")[0]: one for one in verify(unpacked, check(lab, retrain=3))}
    assert (found["lora-rank=2"].level, "in the loss at step 1" in found["lora-rank=2"].why) == ("re-inferred", True)
    assert found["follower"].level == "re-inferred"


def test_without_the_images_a_cell_stays_claimed_and_is_not_taken_over(lab, unpacked, tmp_path):
    found = verify(unpacked, check(lab, context=replace(lab.context(), data=str(tmp_path / "none"))))
    assert {verdict.level for verdict in found} == {"claimed"}
    assert all("missing" in verdict.why for verdict in found)
    assert adopt(unpacked, found, tmp_path / "into") == 0


def test_a_cell_that_lacks_what_it_requires_is_claimed(lab, unpacked):
    """The cell's key contains the key of the required cell and cannot be computed without it."""
    shutil.rmtree(forging.cell_in(unpacked))
    forging.seal(unpacked)
    found = {one.cell.partition("-s0")[0]: one for one in verify(unpacked, check(lab))}
    assert (found["follower"].level, "the cell requires" in found["follower"].why) == ("claimed", True)


def test_a_missing_plugin_is_asked_for_and_the_carried_one_never_runs(lab, unpacked, tmp_path):
    (source,) = unpacked.glob("plugins/*/tiny.py")
    text = source.read_text()
    source.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    forging.seal(unpacked)
    with pytest.raises(PetlirError, match=r"tiny\.py has the digest .*, but its path says "):
        verify(unpacked, check(lab))
    assert not (tmp_path / "ran").exists()
    source.write_text(text)
    forging.seal(unpacked)
    context = replace(lab.context(), plugin_files=())
    found = {one.cell.partition("-s0")[0]: one for one in verify(unpacked, check(lab, context=context))}
    assert (found["follower"].level, "name its file with --plugin" in found["follower"].why) == ("claimed", True)


def test_verified_cells_are_taken_over_once_with_their_level(lab, unpacked, tmp_path):
    found = verify(unpacked, check(lab))
    assert [adopt(unpacked, found, tmp_path / "into") for _ in range(2)] == [3, 0]
    known = origins(tmp_path / "into")
    assert {(origin["level"], origin["by"]) for origin in known.values()} == {("re-inferred", "someone")}
    records = list(Store(tmp_path / "into").records())
    assert set(known) == {record.key for record in records}
    assert {record.origin["level"] for record in records if record.origin} == {"re-inferred"}
    for record in finished_in(
        tmp_path / "into"
    ):  # only training again derives a curve, and no one else measured the submitter's times
        assert (record.curve, record.costs.exclusive, record.costs.energy_joules) == ([], False, None)
    assert [path.name for path in (tmp_path / "into").glob("plugins/*/*")] == ["tiny.py"]


def test_a_store_is_verified_too(lab, store):
    assert set(levels(verify(store, check(lab))).values()) == {"re-inferred"}


def without_images(store: Path) -> None:
    for cell in store.glob("cells/*/*/*"):
        shutil.rmtree(cell / "restored")


def test_a_store_that_keeps_no_images_is_restored_whole(lab, store):
    without_images(store)
    assert set(levels(verify(store, check(lab))).values()) == {"re-inferred"}
    forging.edit(forging.cell_in(store), lambda record: record["scores"][-1].update(psnr=46.0))
    found = {one.cell.partition("-s0")[0]: one for one in verify(store, check(lab))}
    assert (found["lora-rank=2"].level, "the record says psnr 46.0" in found["lora-rank=2"].why) == ("", True)


def test_restoring_again_allows_less_than_training_again_does(lab, store, monkeypatch):
    without_images(store)
    shift = 0.05
    monkeypatch.setattr("petlir.benchmark.publishing.verify.measured", lambda *of: 2 * shift)
    forging.edit(
        forging.cell_in(store), lambda record: record["scores"][-1].update(psnr=record["scores"][-1]["psnr"] + shift)
    )
    found = {one.cell.partition("-s0")[0]: one for one in verify(store, check(lab))}
    assert (found["lora-rank=2"].level, "the record says psnr" in found["lora-rank=2"].why) == ("", True)


def test_a_store_without_the_adapter_of_a_petl_method_is_not_whole(lab, store):
    (forging.cell_in(store) / ADAPTER).unlink()
    found = {one.cell.partition("-s0")[0]: one for one in verify(store, check(lab))}
    assert (found["lora-rank=2"].level, "is missing" in found["lora-rank=2"].why) == ("", True)


def no_adapter(store: Path) -> None:
    (forging.cell_in(store) / ADAPTER).unlink()


def another_adapter(store: Path) -> None:
    (forging.cell_in(store) / ADAPTER).write_bytes((forging.cell_in(store, "follower") / ADAPTER).read_bytes())


def no_source(store: Path) -> None:
    shutil.rmtree(store / "plugins")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (no_adapter, "adapter.safetensors is missing or does not match the record"),
        (another_adapter, "adapter.safetensors is missing or does not match the record"),
        (no_source, "name its file with --plugin"),
    ],
)
def test_what_cannot_be_verified_is_not_submitted(store, tmp_path, change: Callable[[Path], None], line):
    change(store)
    with pytest.raises(PetlirError, match=line):
        submit(store, tmp_path / "b.zip", "someone", None, False)
    assert not (tmp_path / "b.zip").exists()


def test_tuned_cells_carry_their_trials(lab, tmp_path):
    lab.run(tmp_path / "store", methods="lora[rank=2]", tasks="tiny", regime="tuned")
    submit(tmp_path / "store", tmp_path / "a.zip", "someone", None, False)
    with opened(tmp_path / "a.zip") as folder:
        assert len(list(folder.glob("tuning/**/*.json"))) == 9
        assert [(one.level, one.convergence) for one in verify(folder, check(lab))] == [("re-inferred", False)]
        forging.edit(forging.cell_in(folder), lambda record: record["convergence"].update(half_psnr=0.0, change=25.0))
        forging.seal(folder)
        (found,) = verify(folder, check(lab))
        assert (found.level, "convergence" in found.why) == ("", True)
        next(folder.glob("tuning/*/*.json")).write_text("[" * 100_000)
        forging.seal(folder)
        with pytest.raises(PetlirError, match="is not a trial"):
            verify(folder, check(lab))


def test_the_commands(lab, archive, capsys, tmp_path):
    given = ("--plugin", PLUGIN, "--data", lab.data, "--images", "1", "--device", "cpu")
    code, out, err = command(capsys, "verify", archive, *given, "--into", tmp_path / "into")
    assert (code, err) == (0, "")
    assert out.count("re-inferred") == 3
    code, out, err = command(capsys, "submit", tmp_path / "b.zip", "--by", "me", "--store", tmp_path / "into")
    assert (code, out.startswith("3 cells in")) == (0, True)
    code, out, err = command(capsys, "submit", tmp_path / "c.zip", "--by", "me", "--store", tmp_path / "empty")
    assert (code, "no finished cell" in err, (tmp_path / "c.zip").exists()) == (2, True, False)
    code, out, err = command(capsys, "verify", tmp_path / "nothing.zip", *given)
    assert (code, err.count("\n"), "does not exist" in err) == (2, 1, True)
    code, out, err = command(capsys, "verify", archive, *given[:-4], "--images", "0")
    assert (code, "--images" in err) == (2, True)
    with opened(archive) as folder:
        code, out, err = command(capsys, "merge", folder, "--into", tmp_path / "merged")
    assert (code, "is a submission" in err) == (2, True)


def test_one_damaged_cell_fails_the_command(lab, store, capsys):
    cell = forging.cell_in(store, "frozen")
    path = next((cell / "restored").rglob("*.png"))
    path.write_bytes(path.read_bytes()[:200])
    given = ("--plugin", PLUGIN, "--data", lab.data, "--device", "cpu", "--json")
    code, out, _ = command(capsys, "verify", store, *given)
    assert code == 1
    assert sorted(one["level"] for one in json.loads(out)) == ["", "re-inferred", "re-inferred"]
    assert json.loads((cell / RECORD).read_text())["state"] == "done"
