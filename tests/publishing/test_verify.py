"""Verification: what is honest earns its level, and what was changed is named."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.publishing.archive import MANIFEST, pack
from petlir.benchmark.publishing.levels import adopt, origins
from petlir.benchmark.publishing.submit import submit
from petlir.benchmark.publishing.verify import Check, VerifiedCell, opened, verify
from petlir.benchmark.records.files import ADAPTER, RECORD
from petlir.benchmark.store import Store
from petlir.benchmark.weights.sources import sha256
from tests.helpers.engine import PLUGIN, command


@pytest.fixture
def archive(lab, tmp_path: Path) -> Path:
    """A submission of a LoRA and of a cell that requires it."""
    lab.run(tmp_path / "store", methods="lora[rank=2],follower", tasks="tiny")
    submit(tmp_path / "store", tmp_path / "a.zip", "someone", None, False)
    return tmp_path / "a.zip"


def check(lab: Any, **changes: Any) -> Check:
    return replace(Check(lab.context(), "cpu", 2, 0, random.Random(0)), **changes)


def verdicts(source: Path, how: Check) -> list[VerifiedCell]:
    with opened(source) as folder:
        return verify(folder, how)


def changed(archive: Path, change: Callable[[Path], None], tmp_path: Path, *, sealed: bool = True) -> Path:
    """The archive after `change` of its unpacked folder; sealed: its manifest lists the new digests."""
    folder = tmp_path / "changed"
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    change(folder)
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    if sealed:
        listed = json.loads((folder / MANIFEST).read_text())
        listed["files"] = {name: sha256(path) for name, path in files.items() if name != MANIFEST}
        (folder / MANIFEST).write_text(json.dumps(listed))
    pack(files, tmp_path / "changed.zip")
    return tmp_path / "changed.zip"


def cell(folder: Path) -> Path:
    return next(path.parent for path in Store(folder).files() if "lora" in path.parent.name)


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads((cell(folder) / RECORD).read_text())
    change(record)
    (cell(folder) / RECORD).write_text(json.dumps(record))


def a_better_score(folder: Path) -> None:
    edit(folder, lambda record: record["scores"][0].update(psnr=record["scores"][0]["psnr"] + 0.01))


def a_score_dropped(folder: Path) -> None:
    edit(folder, lambda record: record["scores"].pop())


def another_image(folder: Path) -> None:
    path = next((cell(folder) / "restored").rglob("*.png"))
    PIL.Image.open(path).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT).save(path)


def no_image(folder: Path) -> None:
    next((cell(folder) / "restored").rglob("*.png")).unlink()


def no_adapter(folder: Path) -> None:
    (cell(folder) / ADAPTER).unlink()


def test_honest_cells_are_re_inferred_and_where_asked_re_trained(lab, archive):
    found = verdicts(archive, check(lab))
    assert [verdict.level for verdict in found] == ["re-inferred"] * 2
    again = verdicts(archive, check(lab, retrain=2))
    assert [(verdict.level, verdict.why) for verdict in again] == [("re-trained", "")] * 2


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (a_better_score, "the record says psnr"),
        (a_score_dropped, "scores other images than the test sets hold"),
        (another_image, "the record says psnr"),
        (no_image, "is missing; the record scores it"),
        (no_adapter, "adapter.safetensors is missing"),
    ],
)
def test_what_was_changed_is_named_even_where_the_digests_were_made_anew(lab, archive, tmp_path, change, line):
    found = verdicts(changed(archive, change, tmp_path), check(lab))
    tampered = [verdict for verdict in found if not verdict.level]
    assert len(tampered) == 1
    assert line in tampered[0].why
    with pytest.raises(PetlirError, match=r"was changed|is missing"):
        verdicts(changed(archive, change, tmp_path / "again", sealed=False), check(lab))


def test_a_file_that_is_not_listed_is_refused(lab, archive, tmp_path):
    def more(folder: Path) -> None:
        path = next((cell(folder) / "restored").rglob("*.png"))
        (path.parent / "more.png").write_bytes(path.read_bytes())

    with pytest.raises(PetlirError, match=r"more\.png is not listed"):
        verdicts(changed(archive, more, tmp_path, sealed=False), check(lab))


def test_images_that_the_adapter_does_not_make_are_found_by_restoring(lab, archive, tmp_path):
    """Scores and images agree, but come from another network: the frozen one's adapter is zero."""
    from safetensors.torch import load_file, save_file

    def weaker(folder: Path) -> None:
        adapter = load_file(cell(folder) / ADAPTER)
        save_file({name: tensor * 50 for name, tensor in adapter.items()}, cell(folder) / ADAPTER)
        edit(folder, lambda record: record["digests"].update(adapter=sha256(cell(folder) / ADAPTER)))

    found = verdicts(changed(archive, weaker, tmp_path), check(lab))
    assert next(verdict.why for verdict in found if not verdict.level).startswith("the adapter restores")


def test_without_the_images_a_cell_stays_claimed(lab, archive, tmp_path):
    found = verdicts(archive, check(lab, context=replace(lab.context(), data=str(tmp_path / "none"))))
    assert {verdict.level for verdict in found} == {"claimed"}
    assert all("missing" in verdict.why for verdict in found)


def test_a_cell_that_lacks_what_it_requires_is_not_trained_again(lab, archive, tmp_path):
    def alone(folder: Path) -> None:
        for path in sorted(cell(folder).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()

    (verdict,) = verdicts(changed(archive, alone, tmp_path), check(lab, retrain=1))
    assert (verdict.level, "it requires" in verdict.why) == ("re-inferred", True)


def test_verified_cells_are_taken_over_once_with_their_level(lab, archive, tmp_path):
    with opened(archive) as folder:
        found = verify(folder, check(lab))
        assert [adopt(folder, found, tmp_path / "into") for _ in range(2)] == [2, 0]
    known = origins(tmp_path / "into")
    assert {origin["level"] for origin in known.values()} == {"re-inferred"}
    assert {origin["by"] for origin in known.values()} == {"someone"}
    assert set(known) == {record.key for record in Store(tmp_path / "into").records()}


def test_the_commands(lab, archive, capsys, tmp_path):
    given = ("--plugin", PLUGIN, "--data", lab.data, "--images", "1", "--device", "cpu")
    code, out, err = command(capsys, "verify", archive, *given, "--into", tmp_path / "into")
    assert (code, err) == (0, "")
    assert out.count("re-inferred") == 2
    code, out, err = command(capsys, "submit", tmp_path / "b.zip", "--by", "me", "--store", tmp_path / "into")
    assert (code, out.startswith("2 cells in")) == (0, True)
    code, out, err = command(capsys, "submit", tmp_path / "c.zip", "--by", "me", "--store", tmp_path / "empty")
    assert (code, "no finished cell" in err, (tmp_path / "c.zip").exists()) == (2, True, False)
    code, out, err = command(capsys, "verify", tmp_path / "nothing.zip", *given)
    assert (code, err.count("\n"), "does not exist" in err) == (2, 1, True)
