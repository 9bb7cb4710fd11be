"""Checks of stored adapters: digests, and tensor shapes, which are compared before memory is allocated."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.cells.adapted_model import AdaptedModel
from petlir.benchmark.errors import FAULTS, PetlirError, told
from petlir.benchmark.method import Method, PriorResults
from petlir.benchmark.publishing.tampering import Tampered
from petlir.benchmark.records.files import ADAPTER
from petlir.benchmark.records.schema import Done
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.training.adaptation import Adapted, adapt
from petlir.benchmark.weights.sources import sha256

LARGEST_OPTION = 2**16
"""Integer options up to this value are checked by comparing tensor shapes; a larger value must not exceed the number of
stored parameters.
"""
NEAR = 0.01
"""The largest distance at which the adapters of two seeds count as equal, as a fraction of the learning rate.

Two seeds of every method differ by more than one learning rate after two steps.
"""
TYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "C64": torch.complex64,
}  # fmt: skip
"""The dtypes by their names in a safetensors file."""


def check_file(place: Path, record: Done) -> None:
    """Raise Tampered unless the digest of the adapter's file equals the digest in the record."""
    path = place / ADAPTER
    if (sha256(path) if path.is_file() else None) != record.digests.adapter:
        raise Tampered(f"{ADAPTER} is missing or does not match the record")


def shapes(place: Path) -> dict[str, Tensor]:
    """Return the tensors of a cell's adapter by name, on the `meta` device; without an adapter file, return {}.

    Raises:
        Tampered: the file is damaged, or contains a dtype that no adapter uses.
    """
    from safetensors import safe_open

    path = place / ADAPTER
    if not path.is_file():
        return {}
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            return {
                name: torch.empty(part.get_shape(), dtype=TYPES[part.get_dtype()], device="meta")
                for name, part in slices.items()
            }
    except FAULTS as error:  # torch raises errors of many types for shapes beyond its limits
        raise Tampered(f"{ADAPTER} is damaged: {told(error)}") from error


def check_options(place: Path, method: Method) -> None:
    """Raise Tampered if an integer option, such as a rank, exceeds `LARGEST_OPTION` and the number of stored values."""
    values = sum(tensor.numel() for tensor in shapes(place).values())
    for name, value in method.options().items():
        if isinstance(value, int) and abs(value) > max(values, LARGEST_OPTION):
            raise Tampered(f"{method.name}[{name}] is {value:.3g}, but {ADAPTER} holds {values} values")


def without_values(place: Path, record: Done, method: Method, planner: Planner) -> AdaptedModel:
    """Return a cell's adapted model on the `meta` device, with tensors of the shapes in the stored adapter.

    Raises:
        Tampered: the adapter's names, shapes or dtypes differ from the tensors that the method adds to the backbone.
    """
    cell, stored = record.cell.request(), shapes(place)
    task = planner.plugins.task(cell.task)
    card = planner.card(cell.backbone)
    try:
        with without_memory():
            backbone = planner.plugins.build(cell.backbone)
            heads = method.heads(backbone, task)
            prior = PriorResults(task=cell.task, head=heads[-1], stored=stored)
            adapted = adapt(backbone, method, heads[-1], 0, prior)
    except (PetlirError, NotImplementedError, *FAULTS) as error:
        raise Tampered(f"{ADAPTER} does not fit {record.cell.label}: {told(error)}") from error
    _check_fit(record, stored, tensors(adapted))
    return AdaptedModel(cell, method, task, heads, card, adapted, 0.0)


def tensors(adapted: Adapted) -> dict[str, Tensor]:
    """Return the tensors of an adapted network that a cell stores, without copying them."""
    buffers = dict(adapted.backbone.named_buffers())
    return {**adapted.trainable(), **{name: buffers[name] for name in adapted.own}}


def _check_fit(record: Done, stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name in sorted(stored.keys() | expected.keys()):
        pair = stored.get(name), expected.get(name)
        found, wanted = (f"{tuple(one.shape)} {one.dtype}" if one is not None else "missing" for one in pair)
        if found != wanted:
            raise Tampered(f"{ADAPTER}: {name} is {found:.120}, but {record.cell.label} has {wanted}")


def repeated(trained: Mapping[Path, Done]) -> dict[Path, Path]:
    """Return the cells whose adapter repeats the adapter of another cell, each with that other cell.

    Two adapters are equal if their tensors have equal names and values. Adapters of two seeds of a cell are also taken
    to be equal if they differ by at most `NEAR` learning rates. Damaged adapters are ignored.
    """
    found: dict[Path, Path] = {}
    contents: dict[str, Path] = {}
    seeds: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for place, record in trained.items():
        cell = record.cell
        before = seeds[cell.backbone, cell.label, cell.task, cell.track]
        with suppress(Tampered):
            if not shapes(place):
                continue
            limit = NEAR * (cell.learning_rate or 0.0)
            equal = contents.setdefault(_content(place), place)
            near = (one for one in before if trained[one].cell.seed != cell.seed and _distance(one, place) <= limit)
            if (other := equal if equal != place else next(near, None)) is not None:
                found[place] = other
                found.setdefault(other, place)
            before.append(place)
    return found


def repeats(other: Path) -> str:
    """Return the reason why a cell does not count if its adapter equals the adapter of the cell `other`."""
    return f"its adapter equals the adapter of {other.name}: one training run does not count as two"


def _distance(one: Path, other: Path) -> float:
    """Return the root mean square difference of two adapters' values; infinite if tensor names or shapes differ."""
    from safetensors import safe_open

    names, count, total = shapes(one), 0, 0.0
    if {name: tensor.shape for name, tensor in names.items()} != {
        name: tensor.shape for name, tensor in shapes(other).items()
    }:
        return math.inf
    with safe_open(one / ADAPTER, "pt") as first, safe_open(other / ADAPTER, "pt") as second:
        for name in names:
            change = first.get_tensor(name).to(torch.complex128) - second.get_tensor(name)  # of any dtype
            count, total = count + change.numel(), total + float(change.abs().square().sum())
    return math.sqrt(total / count) if count else 0.0


def _content(place: Path) -> str:
    """Return the digest of an adapter's tensor names and values, regardless of tensor order and file header."""
    from safetensors import safe_open

    digest = hashlib.sha256()
    with safe_open(place / ADAPTER, "pt") as file:
        for name in sorted(file.keys()):
            digest.update(name.encode() + file.get_tensor(name).reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
