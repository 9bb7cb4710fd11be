"""Test that any grid, record, lease, archive, weight file or folder is accepted, or refused in one line."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from functools import cache, partial
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from petlir.benchmark import grid
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.executors.slurm import options
from petlir.benchmark.images.catalogue import image_set, names
from petlir.benchmark.images.pairs import PairFolder
from petlir.benchmark.plugins import Plugins, find
from petlir.benchmark.publishing.archive import MANIFEST, unpack
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.store import Store, leases
from petlir.benchmark.store.index import Index
from petlir.benchmark.store.process import Process
from petlir.benchmark.weights import checkpoints
from tests.fuzz.edits import altered, damaged, in_a_folder, refused_in_a_line
from tests.helpers.samples import failed, record

many = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def plugins() -> Plugins:
    return find()


WORDS = ["lora", "adapt*", "*", "peft:*", "rank", "size", "=", ",", ";", "[", "]", "@", "20k", "0.6%", "-1", "1e9",
         "1e999", "nan", "none", "true", " ", "ssf", "colora", "budget", "fact", "vpt", "moe", "sr_x4", "noise",
         "pairs:", "denoise_30", "first:", "hybrid_lr4_noise30", "rounded", "0", "1", "2", "9" * 30, "\n"]  # fmt: skip
GRIDS = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=14).map("".join)


@many
@given(text=GRIDS)
def test_grids(text):
    def resize(method: Any, size: str) -> Any:
        assert grid.target(size, 840_462) >= 0
        return method

    valid = plugins()
    refused_in_a_line(lambda: grid.methods(text, valid.methods, resize))
    refused_in_a_line(lambda: grid.tasks(text, valid.tasks, "demo"))
    refused_in_a_line(lambda: grid.task(text, valid.tasks))
    refused_in_a_line(lambda: grid.choose("backbone", text, valid.backbones))
    refused_in_a_line(lambda: grid.seeds(text))
    refused_in_a_line(lambda: options(text))


VALID = [json.loads(json.dumps(one)) for one in (record(), failed())]


@many
@given(content=st.sampled_from(VALID).flatmap(altered).map(lambda plain: json.dumps(plain).encode())
       | st.sampled_from(VALID).flatmap(lambda plain: damaged(json.dumps(plain).encode())) | st.binary())  # fmt: skip
@in_a_folder
def test_records(folder, content):
    path = folder / "cells/a/b/c-s0-01234567" / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = refused_in_a_line(lambda: read_record(path))
    index = Index.from_store(Store(folder))
    assert len(index.heads) + len(index.problems) == 1
    assert all("\n" not in line for line in index.problems)
    if found is not None:
        assert found.cell.request().label == found.cell.label
        assert [head.key for head in index.heads] == [found.key]


@many
@given(content=st.binary() | damaged(leases.LeaseInfo("k", "t", Process.this(), "now").content))
@in_a_folder
def test_leases(folder, content):
    blobs = folder / "leases"
    blobs.mkdir(exist_ok=True)
    (blobs / "k.1").write_bytes(content)
    standing = Store(folder).leases
    assert len(standing.standing()) <= 1
    assert standing.free("k") in (True, False)


@cache
def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(MANIFEST, "{}", zipfile.ZIP_DEFLATED)
        file.writestr("cells/a/b/c/record.json", "{}" * 99, zipfile.ZIP_DEFLATED)
        file.writestr("cells/a/b/c/restored/Set5/a.png", b"png")
    return buffer.getvalue()


NAMES = st.lists(st.sampled_from(["cells", "a", "..", ".", "/", "\\", "record.json", "restored", ".png", "~", "\0"])
                 | st.text(max_size=3), max_size=7).map("/".join)  # fmt: skip


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(MANIFEST, b"{}")
        for name in draw(st.lists(NAMES.filter(bool), max_size=4)):
            file.writestr(zipfile.ZipInfo(name), draw(st.binary(max_size=50)))
    return buffer.getvalue()


@many
@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(content=st.builds(archive).flatmap(damaged) | archives() | st.binary())
@in_a_folder
def test_archives(folder, content):
    path, out = folder / "a.zip", folder / "out"
    path.write_bytes(content)
    refused_in_a_line(lambda: unpack(path, out))
    assert {found.name for found in folder.iterdir()} <= {"a.zip", "out"}, "nothing leaves the folder"
    shutil.rmtree(out, ignore_errors=True)


@cache
def weights() -> tuple[bytes, ...]:
    state = {name: tensor.detach().clone() for name, tensor in tiny().official_state_dict().items()}
    few = dict(list(state.items())[:3])
    files = [save(few)]
    for content in (few, {"params": few, "epoch": 3}):
        for new in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=new)
            files.append(buffer.getvalue())
    return tuple(files)


@cache
def network() -> Any:
    return tiny()


@many
@pytest.mark.filterwarnings("ignore")
@given(content=st.builds(weights).flatmap(st.sampled_from).flatmap(damaged) | st.binary())
@in_a_folder
def test_weights(folder, content):
    path = folder / "a.pth"
    path.write_bytes(content)
    refused_in_a_line(lambda: checkpoints.load(network(), path))


@cache
def image(side: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full((side, side, 3), 99, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PARTS = st.sampled_from(["train", "test", "val", "TRAIN", "noisy", "clean", "LQ", "GT", "input", "target", "x4", "Set5",
                         "LR_x4", "HR", "rain", "norain", "kodak", "BSD100", "SIDD", "DIV2K", "images"])  # fmt: skip
FILES = st.sampled_from(
    [
        "1.png",
        "2.png",
        "1_noisy.png",
        "1_clean.png",
        "rain-001.png",
        "norain-001.png",
        "1x4.png",
        "1.PNG",
        "a.txt",
        ".hidden.png",
        "Thumbs.db",
        "set.hub",
    ]
) | st.text("a1._- é\n", min_size=1)
OWN = [name for name in names() if not name.startswith(("photographs", "leaves"))]
CONTENT = st.sampled_from([8, 16, 32]).map(image) | st.binary(max_size=20) | damaged(b"hub:a/b@c")


@many
@given(tree=st.lists(st.tuples(st.lists(PARTS, max_size=3), FILES, CONTENT), max_size=8), name=st.sampled_from(OWN))
@in_a_folder
def test_folders(folder, tree, name):
    root = folder / "data"
    root.mkdir()
    for parts, file, content in tree:
        path = root.joinpath(*parts, file)
        if file not in (".", "..") and not path.exists() and not any(p.is_file() for p in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    pairs = PairFolder(root)
    refused_in_a_line(lambda: pairs.scale)
    for part in ("train", "validation", "test"):
        refused_in_a_line(partial(_read, lambda part=part: pairs.index(part, 1)))
    refused_in_a_line(partial(_read, lambda: image_set(name).index(root)))
    refused_in_a_line(partial(_read, lambda: image_set("folder:train").index(root)))
    shutil.rmtree(root)


def _read(index: Any) -> None:
    for entry in index():
        entry.read()
