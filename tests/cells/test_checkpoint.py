from __future__ import annotations

import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from petlir.benchmark.cells.checkpoint import set_aside_damaged
from petlir.benchmark.runs import runner
from petlir.benchmark.store import CHECKPOINT, Store
from tests.helpers.engine import interrupt, results

WHOLE = {
    "adapter": {"a": torch.ones(50)}, "optimizer": {}, "scaler": {}, "fit": {"step": 3, "curve": []}, "times": [0.1],
    "parts": 1,
}  # fmt: skip


def flipped(path: Path) -> bytes:
    """Return the archive with one byte of its tensor changed."""
    with zipfile.ZipFile(path) as archive:
        tensor = next(entry for entry in archive.infolist() if entry.filename.endswith("data/0"))
    content = bytearray(path.read_bytes())
    content[tensor.header_offset + 200] ^= 1
    return bytes(content)


DAMAGES = {
    "empty": lambda path: b"",
    "torn": lambda path: path.read_bytes()[:-100],
    "flipped": flipped,
    "text": lambda path: b"not an archive",
    "pickle": lambda path: pickle.dumps(print),
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "key" / CHECKPOINT
    path.parent.mkdir(parents=True)
    torch.save(WHOLE, path)
    return path


def test_a_whole_checkpoint_stays(checkpoint, caplog):
    before = checkpoint.read_bytes()
    set_aside_damaged(checkpoint)
    assert checkpoint.read_bytes() == before and not caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_with_one_line(damage, checkpoint, caplog):
    content = DAMAGES[damage](checkpoint)
    checkpoint.write_bytes(content)
    set_aside_damaged(checkpoint)
    aside = checkpoint.parent.with_name("key.damaged") / CHECKPOINT
    assert not checkpoint.exists() and aside.read_bytes() == content
    (line,) = caplog.messages
    assert str(checkpoint) in line and "training starts again" in line and str(aside) in line


@pytest.mark.parametrize("content", [[], {}, {**WHOLE, "adapter": 3}, {**WHOLE, "fit": {"what": 1}}, torch.ones(3)])
def test_a_checkpoint_of_something_else_is_set_aside(content, checkpoint):
    torch.save(content, checkpoint)
    set_aside_damaged(checkpoint)
    assert not checkpoint.exists()


def test_a_cell_with_a_damaged_checkpoint_is_trained_from_the_start(lab, tmp_path, monkeypatch):
    store = tmp_path / "store"
    asked = lab.request(steps=3)
    asked = replace(asked, context=replace(asked.context, checkpoint_seconds=0))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 2)
        runner.run(asked, store, device="cpu", workers=1)
    (checkpoint,) = store.glob(f"work/*/{CHECKPOINT}")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-50])
    assert lab.run(store, steps=3).states == {"done": 1}
    lab.finished(tmp_path / "undisturbed", steps=3)
    assert results(store) == results(tmp_path / "undisturbed")
    assert [name.partition(".")[2] for name in Store(store).scratch()] == ["damaged"]
