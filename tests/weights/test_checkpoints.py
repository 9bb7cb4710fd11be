"""Test checkpoint files of every format: they are loaded completely, or refused with a reason in one line."""

from __future__ import annotations

import json
import os
import pickle
import random
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from petlir.benchmark import backbones
from petlir.benchmark.contract.toy_model import tiny
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.weights import checkpoints
from petlir.benchmark.weights.checkpoints import load, lookalikes, read

State = dict[str, Tensor]


def other() -> State:
    """Return the weights of a tiny network, changed from their initial values."""
    network = tiny()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.25)
    return network.official_state_dict()


def refusal(path: Path) -> str:
    """Check that a file is refused without changing the network, and return the error line."""
    network = tiny()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(PetlirError) as caught:
        load(network, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


WRAPPERS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params": {"stale": torch.ones(1)}, "params_ema": state},
    "lightning": lambda state: {"epoch": 3, "state_dict": OrderedDict(state), "optimizer_states": [{"lr": 0.1}]},
    "model": lambda state: {"model": state, "optimizer": {}},
}


@pytest.mark.parametrize("prefix", ["", "module.", "net.", "module.net."])
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("legacy", [False, True])
def test_every_wrapper_and_prefix_comes_through(tmp_path, wrapper, prefix, legacy):
    state = other()
    wrapped = WRAPPERS[wrapper]({prefix + key: tensor for key, tensor in state.items()})
    torch.save(wrapped, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    network = tiny()
    load(network, tmp_path / "a.pth")
    loaded = network.official_state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_safetensors_are_known_by_their_content(tmp_path, name):
    state = other()
    save_file({f"module.{key}": tensor.contiguous() for key, tensor in state.items()}, tmp_path / name)
    found = read(tmp_path / name)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in state.items())


def write(path: Path, *, make: str) -> bytes:
    if make == "safetensors":
        save_file({key: tensor.contiguous() for key, tensor in other().items()}, path)
    else:
        torch.save({"params": other()}, path, _use_new_zipfile_serialization=make == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("make", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off(tmp_path, make, share):
    path = tmp_path / "a.pth"
    content = write(path, make=make)
    path.write_bytes(content[: int(len(content) * share)])
    assert "is truncated" in refusal(path)


class Code:
    """An object that runs a command when it is unpickled carelessly."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("bare_pickle", [False, True])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path, bare_pickle):
    path, witness = tmp_path / "a.pth", tmp_path / "it-ran"
    content = {**other(), "code": Code(witness)}
    if bare_pickle:
        path.write_bytes(pickle.dumps(Code(witness), 2))
    else:
        torch.save(content, path)
    line = refusal(path)
    assert not witness.exists()
    if not bare_pickle:
        assert "holds posix.system, which is not a tensor and was not run" in line
    torch.load(path, weights_only=False) if not bare_pickle else pickle.loads(path.read_bytes())
    assert witness.exists()  # what another loader would have done


def test_arguments_saved_along_are_named(tmp_path):
    torch.save({"state_dict": other(), "hyper_parameters": Namespace(lr=1)}, tmp_path / "a.ckpt")
    assert "holds argparse.Namespace, which is not a tensor" in refusal(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"epoch": 3, "weights": {"a": torch.ones(1)}}, "epoch: int, weights: dict"),
        ({"params": {}}, "nothing"),
        ({}, "nothing"),
        (torch.ones(3), "Tensor"),
        ([torch.ones(3)], "list"),
        ({"a": torch.ones(1), "step": 7}, "step: int"),
    ],
)
def test_a_torch_file_without_weights(tmp_path, content, found):
    torch.save(content, tmp_path / "a.pth")
    assert f"holds {found} instead of weights; expected a safetensors or torch file" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", b"\x89PNG\r\n\x1a\n" + bytes(64), b"PK\x03\x04" + bytes(99)]
)
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    assert "truncated, damaged or not a checkpoint; expected a safetensors or torch file" in refusal(tmp_path / "a.pth")


def test_a_missing_file_and_a_folder(tmp_path):
    assert refusal(tmp_path / "none.pth").endswith("cannot be read: No such file or directory")
    assert refusal(tmp_path).endswith("cannot be read: Is a directory")


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return a valid file of each format."""
    folder = tmp_path_factory.mktemp("sound")
    return {make: write(folder / make, make=make) for make in ("zip", "legacy", "safetensors")}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=100, deadline=None)
@given(place=st.floats(0, 1), value=st.integers(0, 255), make=st.sampled_from(["zip", "legacy", "safetensors"]))
def test_whatever_is_wrong_is_one_line(tmp_path_factory, contents, place, value, make):
    """One byte is changed anywhere: the file is read, or refused in one line; no other exception is raised."""
    path = tmp_path_factory.mktemp("one") / "a.pth"
    content = bytearray(contents[make])
    content[min(int(place**4 * len(content)), len(content) - 1)] = value
    path.write_bytes(bytes(content))
    try:
        read(path)
    except PetlirError as error:
        assert "\n" not in str(error)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."]),
)
def test_noise_is_one_line(tmp_path_factory, noise, start):
    path = tmp_path_factory.mktemp("noise") / "a.pth"
    path.write_bytes(start + noise)
    with pytest.raises(PetlirError) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_wrong_prefix_names_both_sides(tmp_path):
    torch.save({f"backbone.{key}": tensor for key, tensor in other().items()}, tmp_path / "a.pth")
    line = refusal(tmp_path / "a.pth")
    assert "weights for ipt-tiny: missing " in line
    torch.save({"net.a": torch.ones(1), "a": torch.zeros(1)}, tmp_path / "b.pth")
    assert "holds 'a' twice, with and without a prefix" in refusal(tmp_path / "b.pth")


def test_a_missing_an_unexpected_and_a_misshapen_key(tmp_path):
    state, random_numbers = other(), random.Random(0)
    lost, added, bent = random_numbers.sample(sorted(key for key in state if "in_proj" not in key), 3)
    for change, said in (
        ({key: tensor for key, tensor in state.items() if key != lost}, f"missing {lost}"),
        (state | {f"{added}x": state[added]}, f"unexpected {added}x"),
        (
            state | {bent: state[bent][None]},
            f"{bent} is {(1, *state[bent].shape)}, expected {tuple(state[bent].shape)}",
        ),
    ):
        torch.save(change, tmp_path / "a.pth")
        assert said in refusal(tmp_path / "a.pth")


def shapes(path: Path) -> State:
    """Return the official keys and shapes, which were written down from the authors' networks."""
    return {key: torch.empty(shape, device="meta") for key, shape in json.loads(path.read_text()).items()}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("ipt", "ipt"),
        ("edt_SRx4_EDTB_Div2kFlickr2K", "edt-b"),
        ("edt_SRx4_EDTT_Div2kFlickr2K", "edt-t"),
        ("edt_SRx2_EDTS_Div2kFlickr2K", "edt-s built with heads=('sr_x2',)"),
        ("edt_SRx2_EDTL_Div2kFlickr2K", "edt-l built with heads=('sr_x2',)"),
        ("edt_SRx2x3x4_EDTB_ImageNet200K", "edt-b built with heads=('sr_x2', 'sr_x3', 'sr_x4')"),
        ("edt_DNg15_EDTB_D4", "edt-b built with heads=('denoise_15',)"),
        ("edt_DRls_EDTB_ImageNet200K", "edt-b built with heads=('derain_light',)"),
        ("nafnet32", "nafnet-32"),
        ("nafnet64", "nafnet-64"),
        ("nafnet32_gopro", "nafnet-32-gopro"),
        ("nafnet64_gopro", "nafnet-64-gopro"),
        ("restormer", "restormer"),
        ("restormer_biasfree", "restormer-biasfree"),
    ],
)
def test_official_weights_are_recognised_by_their_shapes(shared, file, name):
    assert lookalikes(shapes(shared / "goldens" / "state_dicts" / f"{file}_state_dict.json")) == [name]


def test_a_network_for_one_task_is_recognised():
    with torch.device("meta"):
        one = backbones.build("ipt", heads=("sr_x4",)).official_state_dict()
    assert lookalikes(one) == ["ipt built with heads=('sr_x4',)"]


def test_another_variant_is_named(tmp_path):
    torch.save(backbones.build("ipt-nano", heads=("sr_x3",)).official_state_dict(), tmp_path / "a.pth")
    line = refusal(tmp_path / "a.pth")
    assert line.endswith("; it looks like ipt-nano built with heads=('sr_x3',)")
    load(backbones.build("ipt-nano", heads=("sr_x3",)), tmp_path / "a.pth")


def test_what_nobody_knows_looks_like_nothing():
    assert lookalikes({"a": torch.ones(3)}) == []


def test_on_the_meta_device_weights_are_only_tried(tmp_path):
    torch.save(other(), tmp_path / "a.pth")
    with torch.device("meta"):
        network = tiny()
    load(network, tmp_path / "a.pth")
    assert all(parameter.is_meta for parameter in network.parameters())
    torch.save({"a": torch.ones(3)}, tmp_path / "a.pth")
    with pytest.raises(PetlirError, match="missing"):
        load(network, tmp_path / "a.pth")


def test_wrappers_are_looked_for_in_order(tmp_path):
    states = {name: {"a": torch.full((1,), float(place))} for place, name in enumerate(checkpoints.WRAPPERS)}
    for place, name in enumerate(checkpoints.WRAPPERS):
        torch.save(dict(reversed(states.items())), tmp_path / "a.pth")
        assert read(tmp_path / "a.pth")["a"].item() == place
        del states[name]
