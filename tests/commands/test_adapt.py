"""Test `petlir adapt`, from two folders of pictures to an exported adapter that restores further pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from petlir.benchmark.devices import one_thread
from petlir.benchmark.images.reading import read_image
from petlir.benchmark.records.files import read_record
from petlir.benchmark.runs import search
from petlir.benchmark.store import Store
from petlir.benchmark.store.best import best
from tests.helpers.engine import PLUGIN, command, draw, interrupt, save

CHOSEN = ("-b", "nafnet-nano", "--steps", "2", "--device", "cpu", "--workers", "1")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Write ten pairs of images that differ by a constant."""
    for number in range(10):
        clean = draw([7, number], 48, 56) // 2
        save(tmp_path / "photos, my" / "clean" / f"{number}.png", clean)
        save(tmp_path / "photos, my" / "noisy" / f"{number}.png", clean + np.uint8(60))
    return tmp_path / "photos, my"


@pytest.fixture
def adapt(lab, capsys, tmp_path, pairs, monkeypatch):
    """Return the command on these pairs, limited to one learning rate and one doubling, so that it takes seconds."""
    monkeypatch.setattr(search, "PLACES", (2,))
    monkeypatch.setattr(search, "GAIN", 99.0)

    def ask(*arguments: str | Path) -> tuple[int, str, str]:
        asked = [*CHOSEN, "-m", "frozen,bitfit", "--store", tmp_path / "store", *arguments]
        return command(capsys, "adapt", pairs, *asked)

    return ask


def test_the_best_adapter_of_several_is_exported_and_restores(adapt, monkeypatch, tmp_path, pairs, capsys):
    monkeypatch.setattr(search, "PLACES", (2, 3))
    code, out, err = adapt("-m", "frozen,adapter,bitfit", "--out", tmp_path / "mine")
    assert code == 0, err
    store = Store(tmp_path / "store")
    records = {record.key: record for record in store.records()}
    winner = best(records.values())
    assert {record.cell.label for record in records.values()} == {"frozen", "adapter", "bitfit"}
    assert {record.cell.steps for record in records.values()} == {0, 8, 16} and winner
    exported = read_record(tmp_path / "mine" / "record.json")
    assert exported.key == winner.key
    gain = np.mean([score.value - (score.input or 0.0) for score in winner.rows() if score.protocol == "rgb@whole"])
    line = f"{winner.cell.label} after {winner.cell.steps} steps is {abs(gain):.2f} dB"
    assert line in out and "than the frozen network on photos, my-test." in out
    for chosen in (["--best", "--store", store.root], ["--adapter", tmp_path / "mine"]):
        assert command(capsys, "restore", pairs / "noisy", tmp_path / "out", *chosen)[0] == 0
        restored = read_image(tmp_path / "out" / "0.png")
        kept = read_image(store.cell_folder(winner.cell, winner.key) / "restored" / "photos, my-test" / "0.png")
        assert np.abs(restored.astype(int) - kept).max() <= 1


def test_it_continues_where_it_stopped_and_prints_json(adapt, lab):
    assert adapt()[0] == 0
    lab.executor.worked.clear()
    code, out, _ = adapt("--json")
    assert code == 0 and not lab.executor.worked
    found = json.loads(out)
    rows = {(row["method"], row["steps"]): row for row in found["results"]}
    given, frozen = rows["input", 0], rows["frozen", 0]
    assert frozen["over_input"]["value"] == pytest.approx(frozen["psnr"] - given["psnr"])
    low, value, high = (frozen["over_input"][end] for end in ("low", "value", "high"))
    assert low < value < high
    assert Path(found["adapter"]).is_dir() and found["answer"]


def test_a_dropped_alpha_channel_is_named_once(adapt, pairs):
    for folder in ("noisy", "clean"):
        image = read_image(pairs / folder / "3.png")
        opaque = np.full((*image.shape[:2], 1), 255, np.uint8)
        PIL.Image.fromarray(np.concatenate([image, opaque], axis=2)).save(pairs / folder / "3.png")
    code, out, _ = adapt()
    assert code == 0 and out.count(f"{pairs}: the opaque alpha channel of 2 images is dropped\n") == 1


def test_ctrl_c_keeps_the_best_so_far(adapt, monkeypatch, tmp_path):
    interrupt(monkeypatch, 8)  # a step that only the second cells reach
    code, out, _ = adapt()
    assert code == 0
    assert "after 8 steps is" in out
    assert {record.cell.steps for record in Store(tmp_path / "store").records()} <= {0, 8}


def test_ctrl_c_before_anything_is_finished(adapt, monkeypatch):
    interrupt(monkeypatch, 0)
    code, _, err = adapt()
    assert (code, err.splitlines()[-1]) == (
        1,
        "petlir: no adapter was finished before you stopped the run; run the same command again to continue",
    )


@pytest.mark.parametrize(
    ("trials", "first"), [(float("inf"), (2, 4)), (8.0, (2, 4)), (7.9, (2, 2)), (2.0, (2, 1)), (1.9, (1, 1))]
)
def test_the_first_cells_fit_into_the_time_left(trials, first):
    assert search.first_cells(2, trials) == first


def test_speed_is_measured_with_one_thread_as_workers_have():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_time_limit_ends_it(adapt, monkeypatch):
    class Now(search.TimeLimit):
        @property
        def left(self) -> float:
            return 0.05

    monkeypatch.setattr(search, "TimeLimit", Now)
    code, out, err = adapt("--minutes", "3")
    assert "the time is up" in out
    assert code == 1 and err.splitlines()[-1].startswith("petlir: no adapter was finished within 3 min")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--minutes", "0"], "petlir: --minutes 0: expected a finite number of minutes above 0"),
        (["--minutes", "nan"], "petlir: --minutes nan: expected"),
        (["-m", "frozen"], "petlir: nothing to train in -m frozen; expected a method such as lora"),
        (["-b", "nafnet-nan"], "petlir: unknown backbone 'nafnet-nan'; did you mean 'nafnet-nano'?"),
        (["--out", PLUGIN], f"petlir: {PLUGIN} is a file; expected a folder to export to"),
        (["--out", PLUGIN.parent], f"petlir: {PLUGIN.parent} holds other files; expected a new or empty folder"),
    ],
    ids=lambda value: " ".join(map(str, value))[:20] if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_writes_nothing(adapt, tmp_path, arguments, line):
    code, _, err = adapt(*arguments)
    assert (code, err.startswith(line)) == (2, True), err
    assert not (tmp_path / "store").exists()


def test_a_folder_without_pairs_is_told_the_accepted_names(capsys, tmp_path):
    (tmp_path / "before").mkdir()
    code, _, err = command(capsys, "adapt", tmp_path, "--store", tmp_path / "store")
    assert code == 2
    assert "holds no pairs" in err and "degraded, input, noisy" in err and "clean, target, gt" in err


def test_best_needs_one_task(lab, capsys, tmp_path, pairs):
    code, _, err = command(capsys, "restore", pairs / "noisy", tmp_path / "out", "--best", "--store", tmp_path / "none")
    assert (code, "holds no trained cell" in err) == (2, True)
    lab.run(tmp_path / "store", tasks="tiny,tiny_y", methods="bitfit")
    code, _, err = command(
        capsys, "restore", pairs / "noisy", tmp_path / "out", "--best", "--store", tmp_path / "store"
    )
    assert code == 2 and "choose one with --task" in err
