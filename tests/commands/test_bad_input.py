"""Test bad input: one line says what, where and what was expected; the exit code is 2; no file is left incomplete."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from petlir.benchmark import writing
from petlir.benchmark.cells import adapted_model
from petlir.benchmark.store import Store
from petlir.benchmark.weights import cards, loading
from tests.helpers.engine import PLUGIN, ROOT, Lab, command, draw, fill, save


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def refused(lab: Lab, store: Path, capsys: pytest.CaptureFixture[str]):
    """Return a function that runs a command, expects exit code 2, one line and no store, and returns the line."""

    def ask(*arguments: str | Path, data: Path = lab.data) -> str:
        asked: list[str | Path] = ["-t", "tiny", "-m", "frozen", "--device", "cpu", "--data", data, "--store", store]
        asked += ["--plugin", PLUGIN, "--no-report", *arguments]
        code, _, err = command(capsys, "run", *asked)
        lines = [line for line in err.splitlines() if not re.match(r"\[\d+/\d+\] ", line)]
        assert (code, len(lines)) == (2, 1), err
        assert not store.exists()
        return lines[0]

    return ask


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-m", "lroa"], "petlir: unknown method 'lroa'; did you mean 'lora'?"),
        (["-t", "sr_x5"], "petlir: unknown task 'sr_x5'; did you mean 'sr_x4'?"),
        (["-b", "ipt-nan"], "petlir: unknown backbone 'ipt-nan'; did you mean 'ipt-nano'?"),
        (["--track", "dmeo"], "petlir: unknown track 'dmeo'; did you mean 'demo'?"),
        (["-m", "lora[rnk=4]"], "petlir: unknown option of lora 'rnk'; did you mean 'rank'?"),
        (["-m", "lora[rank=four]"], "petlir: lora[rank]='four' is of the wrong type; expected int"),
        (["-m", "lora[rank=0]"], "petlir: lora: rank is 0, expected a positive whole number"),
        (["-m", "adaptformer[dropout=2]"], "petlir: adaptformer: dropout is 2, expected 0 <= dropout < 1"),
        (["--regime", "tuend", "-m", "lora"], "petlir: regime 'tuend' is unknown; valid: tuned, paper"),
        (["--grid", "dem"], "petlir: unknown grid 'dem'; did you mean 'demo'?"),
        (["--seeds", "one"], "petlir: --seeds 'one': expected whole numbers separated by commas, e.g. 0,1,2"),
        (["--precision", "float8"], "petlir: unknown precision 'float8'; did you mean 'float32'?"),
        (["--device", "tpu"], "petlir: device 'tpu' is not available; valid: auto, cpu"),
        (["-t", "pairs"], "petlir: task 'pairs' is incomplete; expected pairs:DIR"),
        (["-t", "pairs:/nowhere"], "petlir: /nowhere is missing; expected a folder of pairs, {train,validation,test}/"),
        (["-t", "pars:/nowhere"], "petlir: unknown task 'pars:/nowhere'; "),
        (["--plugin", "none.py"], "petlir: plugin file "),
        (["--steps", "0"], "petlir: Invalid value for '--steps': "),
        (["--steps", "many"], "petlir: Invalid value for '--steps': "),
        (["--setps", "3"], "petlir: No such option: --setps"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_name_or_option(refused, arguments, line):
    assert refused(*arguments).startswith(line)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["lsit"], "petlir: No such command 'lsit'"),
        (["list", "method"], "petlir: unknown list 'method'; did you mean 'methods'?"),
        (["params", "-m", "lroa"], "petlir: unknown method 'lroa'; did you mean 'lora'?"),
        (["params", "-b", "itp"], "petlir: unknown backbone 'itp'; did you mean 'ipt'?"),
        (["degrade", "sr_x5", "in", "out"], "petlir: unknown task 'sr_x5'; did you mean 'sr_x4'?"),
        (["degrade", "sr_x4", "none", "out"], "petlir: none is not a folder"),
        (["restore", "none.png", "out", "--bicubic", "2"], "petlir: none.png cannot be read"),
        (["restore", "in", "out"], "petlir: restore needs exactly one of --adapter"),
        (["score", "none", "none"], "petlir: none is not a folder"),
        (["score", "none", "none", "--protocol", "y-corp4"], "petlir: "),
        (["report", "--store", "none"], "petlir: store none holds no records; run `petlir run --store none` first"),
        (["contract", "lroa"], "petlir: unknown method 'lroa'; did you mean 'lora'?"),
        (["claims", "AdaptRI"], "petlir: unknown paper 'AdaptRI'; did you mean 'AdaptIR'?"),
        (["claims", "--store", "none"], "petlir: store none holds no records; run `petlir run --store none` first"),
        (["contract", "none.py:Mine"], "petlir: plugin file none.py does not exist"),
        (["new", "taks", "mine"], "petlir: unknown kind 'taks'; did you mean 'task'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_command_says_what_is_wrong(monkeypatch, tmp_path, capsys, arguments, line):
    monkeypatch.chdir(tmp_path)
    code, out, err = command(capsys, *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith(line)
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_is_missing(refused, tmp_path):
    assert refused(data=tmp_path / "nowhere").startswith(f"petlir: {tmp_path}/nowhere")


def test_a_data_folder_that_is_empty(refused, tmp_path):
    for name in ("small-train", "small-validation", "small-test"):
        (tmp_path / "data" / name).mkdir(parents=True)
    assert re.search(r"data/[\w-]+ holds no image", refused(data=tmp_path / "data"))


def pairs(root: Path) -> Path:
    for part in ("train", "test"):
        for side in ("clean", "degraded"):
            for number in range(2):
                save(root / part / side / f"{number}.png", draw([len(part), number], 64, 64))
    return root


def test_pairs_that_do_not_match_in_name(refused, tmp_path):
    mine = pairs(tmp_path / "mine")
    (mine / "test/degraded/1.png").rename(mine / "test/degraded/2.png")
    line = refused("-t", f"pairs:{mine}")
    assert f"{mine}/test/clean/1.png, {mine}/test/degraded/2.png (2 images) have no partner: partners must have" in line


def test_pairs_that_do_not_match_in_count(refused, tmp_path):
    mine = pairs(tmp_path / "mine")
    (mine / "train/clean/0.png").unlink()
    assert f"{mine}/train/degraded/0.png has no partner" in refused("-t", f"pairs:{mine}")


def test_two_folders_of_one_name_and_content(refused, tmp_path):
    one, two = pairs(tmp_path / "one/mine"), pairs(tmp_path / "two/mine")
    assert "two tasks are called pairs:mine-" in refused("-t", f"pairs:{one},pairs:{two}")


def test_pairs_that_do_not_match_in_size(refused, tmp_path):
    mine = pairs(tmp_path / "mine")
    save(mine / "test/degraded/1.png", draw([1], 60, 64))
    assert "test/degraded/1.png is 64×60 pixels and its clean image" in refused("-t", f"pairs:{mine}")


def deep(path: Path) -> None:
    PIL.Image.fromarray(np.full((56, 64), 40_000, np.uint16)).save(path)


def with_alpha(path: Path) -> None:
    pixels = PIL.Image.fromarray(draw([1], 56, 64)).convert("RGBA")
    pixels.putalpha(99)
    pixels.save(path)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: path.write_bytes(b"not an image"), "is not a readable image"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "is not a readable image"),
        (deep, "has more than 8 bits per channel; expected 8-bit RGB or greyscale"),
        (with_alpha, "has an alpha channel that is not opaque; expected RGB or greyscale"),
    ],
    ids=["no image", "cut off", "16 bit", "alpha"],
)
def test_an_image_that_cannot_be_used(refused, tmp_path, spoil, what):
    data = fill(tmp_path / "data")
    spoil(data / "small-test/1.png")
    line = refused(data=data)
    assert line.startswith(f"petlir: {data}/small-test/1.png {what}")


def test_a_greyscale_image_becomes_three_equal_channels(lab, tmp_path):
    data = fill(tmp_path / "data")
    PIL.Image.fromarray(draw([1], 56, 64)[..., 0]).save(data / "small-test/1.png")
    assert Lab(data, lab.executor).run(tmp_path / "store", methods="frozen").states == {"done": 1}
    (path,) = (tmp_path / "store/images/demo/tiny").glob("*/small-test/clean/1.png")
    with PIL.Image.open(path) as stored:
        red, green, blue = stored.split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()


def test_a_training_image_smaller_than_a_crop(refused, tmp_path):
    data = fill(tmp_path / "data")
    save(data / "small-train/0.png", draw([1], 40, 64))
    line = refused("-m", "lora,frozen", data=data)
    assert line == "petlir: training crops are 48×48, but the training image small-train/0 is only 64×40"


def test_a_test_image_that_the_window_of_ssim_does_not_fit(refused, tmp_path):
    mine = pairs(tmp_path / "mine")
    for side in ("clean", "degraded"):
        save(mine / "test" / side / "1.png", draw([1], 10, 64))
    line = refused("-t", f"pairs:{mine}", "-m", "lora")
    assert line.startswith(f"petlir: {mine}/test/clean/1.png: SSIM under rgb@tiles-48 needs 11×11 pixels")


def test_a_corrupt_weight_file(refused, monkeypatch, tmp_path):
    shutil.copytree(cards.SHIPPED, tmp_path / "weights")
    path = tmp_path / "weights" / "ipt-nano.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(loading, "load", partial(loading.load, folder=tmp_path / "weights"))
    assert refused().startswith(f"petlir: weight file {path} is damaged or a different file: sha256 ")


def test_weights_that_spoil_during_a_run_fail_their_cell(lab, monkeypatch, tmp_path):
    monkeypatch.setattr(adapted_model, "load", partial(loading.load, folder=tmp_path))
    outcome = lab.run(tmp_path / "store", methods="frozen")
    assert outcome.failed[0][1].startswith("no weights are shipped for backbone 'ipt-nano'; expected ipt-nano.json in ")


def test_nan_in_training_fails_its_cell_only(lab, store, capsys):
    asked = ["-t", "tiny", "-m", "diverging,frozen", "--steps", "2", "--plugin", PLUGIN, "--data", lab.data]
    code, out, err = command(capsys, "run", *asked, "--store", store, "--regime", "paper", "--no-report")
    assert code == 1
    assert "1 done, 1 failed" in out
    assert "diverging · tiny · seed 0: the loss is nan at step 0 of 2 (learning rate 0.0001)" in out
    assert "Traceback" not in err


@pytest.mark.parametrize("after", range(0, 12, 3))
def test_a_full_disk(lab, store, capsys, monkeypatch, after):
    """The disk is full after `after` files: one line is printed, no failure is recorded, the next call continues."""
    left = [after]

    def replace(path: Path, content: bytes, flush: bool) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content, flush)

    real = writing._replace
    asked = ["-t", "tiny", "-m", "lora,frozen", "--steps", "2", "--plugin", PLUGIN, "--data", lab.data]
    asked += ["--store", store, "--regime", "paper", "--no-report", "--device", "cpu"]
    with monkeypatch.context() as full:
        full.setattr(writing, "_replace", replace)
        code, _, err = command(capsys, "run", *asked)
    (line,) = (line for line in err.splitlines() if line.startswith("petlir: "))
    assert code == 2
    assert re.fullmatch(r"petlir: cannot write .*: No space left on device; any previous file is unchanged", line)
    assert "Traceback" not in err
    assert all(record.state == "done" for record in Store(store).records())
    assert [path for path in store.glob("**/*") if path.suffix == ".part" or path.name.startswith(".")] == []
    assert command(capsys, "run", *asked)[0] == 0
    assert len(Store(store).files()) == 2


def test_a_file_that_outgrows_the_disk_is_not_half_written(tmp_path):
    """Here the operating system itself refuses the write."""
    code = f"""
import resource
from pathlib import Path
from petlir.benchmark.errors import Unwritable
from petlir.benchmark.writing import write_bytes
path = Path({str(tmp_path)!r}) / "file"
write_bytes(path, b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(path, b"new" * 1000)
except Unwritable as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout.startswith(f"cannot write {tmp_path / 'file'}: ")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_store_that_is_a_file(refused, lab, store, capsys):
    store.write_text("mine")
    asked = ["-t", "tiny", "-m", "frozen", "--plugin", PLUGIN, "--data", lab.data, "--store", store]
    code, _, err = command(capsys, "run", *asked, "--no-report")
    assert (code, err) == (2, f"petlir: the store {store} is not a folder; expected a folder\n")
    assert store.read_text() == "mine"


def test_without_a_data_folder_the_line_says_how_to_name_it(lab, store, capsys, monkeypatch):
    monkeypatch.delenv("PETLIR_DATA", raising=False)
    code, _, err = command(capsys, "run", "-t", "tiny", "-m", "frozen", "--plugin", PLUGIN, "--store", store)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "PETLIR_DATA" in err


def test_what_is_not_applicable_is_named_with_the_reason(lab, store, capsys):
    asked = ["-t", "tiny", "-m", "lora[sites=qurey]", "--seeds", "0,1", "--device", "cpu", "--data", lab.data]
    code, out, _ = command(capsys, "run", *asked, "--store", store, "--plugin", PLUGIN, "--no-report")
    assert code == 0
    (told,) = (line for line in out.splitlines() if "not applicable" in line)
    assert re.fullmatch(r"ipt-nano · lora\[sites=qurey\] · tiny: not applicable: .*qurey.*", told)


def test_a_record_of_another_place_is_not_mirrored(capsys, tmp_path):
    """A track named like a path must not make MLflow write outside the store."""
    from tests.reports.stores import record, write_store

    store = write_store(tmp_path / "store", [record("lora", "sr_x4")], images=False)
    path = next(store.rglob("record.json"))
    path.write_text(path.read_text().replace('"demo"', '"../../x"'))
    code, _, err = command(capsys, "sync", "--store", store)
    assert (code, "cell.track" in err) == (1, True)
    assert [one.name for one in tmp_path.iterdir()] == ["store"]
