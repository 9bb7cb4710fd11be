"""The model of a cell: the pre-trained backbone, adapted by the cell's method and moved to a compute device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cell import Cell
from petlir.benchmark.cells.context import Context
from petlir.benchmark.cells.job import Job
from petlir.benchmark.degradation import seed_of
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.grid import restored as restored_method
from petlir.benchmark.images.patches import MixedSampler, PatchSampler, Sampler
from petlir.benchmark.images.prepare import fresh_noise
from petlir.benchmark.method import Method, PriorResults
from petlir.benchmark.records.files import ADAPTER, RECORD, read_record
from petlir.benchmark.restoration.restore import to_batch
from petlir.benchmark.scoring.fields_of_view import views
from petlir.benchmark.store import Store
from petlir.benchmark.task import Task
from petlir.benchmark.training.adaptation import Adapted, adapt
from petlir.benchmark.weights.cards import Card
from petlir.benchmark.weights.loading import load


@dataclass(frozen=True)
class AdaptedModel:
    """The method, the task and the adapted network of a cell; the network is on a compute device.

    Attributes:
        adaptation_seconds: time in seconds to apply the method to the backbone, including any passes over images.
    """

    cell: Cell
    method: Method
    task: Task
    heads: tuple[str, ...]
    card: Card
    adapted: Adapted
    adaptation_seconds: float

    @property
    def network(self) -> Backbone:
        """The adapted backbone."""
        return self.adapted.backbone

    @property
    def views(self) -> tuple[str, ...]:
        """The fields of view with which the network is evaluated."""
        return views(self.network, self.method, self.cell.patch)


def prepare(job: Job, device: str, stored: Mapping[str, Tensor] | None = None) -> AdaptedModel:
    """Load the pre-trained backbone and apply the cell's method.

    Args:
        job: the job, with the cell and the folders of the cells that this cell requires.
        device: the device to which the model is moved.
        stored: the cell's trained parameters, which the caller will load into the model, or None if the cell is
            untrained.

    Raises:
        PetlirError: a required cell has no result, or the backbone's weights differ from the weights in the cell's key.
    """
    cell, context = job.cell, job.context
    method = restored_method(context.plugins.method(cell.method), cell.options)
    task = context.plugins.task(cell.task)
    backbone = context.plugins.build(cell.backbone)
    card = load(backbone, sources=context.sources)
    _check_weights(card, job)
    heads = method.heads(backbone, task)
    seed = seed_of("init", cell.method, task.name, cell.seed)
    needs = [backbone.head_for(context.plugins.task(need.task)) for need in method.requires(cell)]
    known = replace(_prior(job, heads[-1], device, stored), heads=tuple(needs))
    backbone.to(device)
    started = monotonic()
    adapted = adapt(backbone, method, heads[-1], seed, known)
    return AdaptedModel(cell, method, task, heads, card, adapted, monotonic() - started)


def finished(folder: Path, context: Context, device: str) -> AdaptedModel:
    """Load the trained network of a finished cell, and set the network to evaluation mode.

    Raises:
        PetlirError: the folder has no record, the cell did not finish, or the adapter does not fit the backbone.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    record = read_record(folder / RECORD)
    if record.state != "done":
        raise PetlirError(f"{folder} holds a cell in state {record.state!r}; expected a finished cell")
    path = folder / ADAPTER
    try:
        stored = load_file(path) if path.exists() or record.digests.adapter else {}
    except (SafetensorError, FileNotFoundError) as error:
        raise PetlirError(f"adapter {path} is missing or damaged: {error}") from error
    job = Job("cell", record.cell.request(), context, Store(folder), weights=record.digests.weights)
    model = prepare(job, device, stored)
    model.adapted.load(stored)
    model.adapted.eval()
    return model


def _check_weights(card: Card, job: Job) -> None:
    """Raise an error if the backbone's weights differ from those with which the cell was planned or trained."""
    expected = job.parts.get("weights", job.weights)
    if card.sha256 != expected:
        name = job.cell.backbone
        raise PetlirError(
            f"this cell was trained from different weights of {name}: sha256 {expected[:12]}…, but the weights found "
            f"have {card.sha256[:12]}…; name the cell's weights with --weights {name}=FILE"
        )


def _prior(job: Job, head: str, device: str, stored: Mapping[str, Tensor] | None) -> PriorResults:
    """Return the trained parameters of the cells that the job's cell requires, and functions that supply images."""

    def batch(task: str, index: int) -> tuple[Tensor, Tensor]:
        degraded, clean = sampler(job.cell.on(task), job.context).batch(index)
        return degraded.to(device), clean.to(device)

    def validation() -> list[tuple[Tensor, Tensor]]:
        pairs = job.context.validation(job.cell.task, job.cell.track)
        return [(to_batch(pair.degraded, device), to_batch(pair.clean, device)) for pair in pairs]

    def images(task: str) -> Iterator[tuple[Tensor, Tensor]]:
        found = job.context.plugins.task(task)
        for name in [part.label for part in found.parts] or [task]:
            yield from whole_images(job.cell.on(name), job.context, device)

    adapters = () if stored is not None else tuple(_adapter(job.store, job.store.root / need) for need in job.needs)
    return PriorResults(adapters, batch, job.cell.task, head, stored, validation, images)


def _adapter(store: Store, folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    record = read_record(store.fetch(folder / RECORD))
    if record.state != "done":
        raise PetlirError(f"the required cell {folder.name} has no result: {record.reason}")
    adapter: dict[str, Tensor] = load_file(store.fetch(folder / ADAPTER))
    return adapter


def whole_images(cell: Cell, context: Context, device: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each training image of a cell, uncropped and degraded like a test image, together with its clean image."""
    noise = fresh_noise(context.plugins.task(cell.task), cell.track)
    for place, (prepared, clean) in enumerate(context.training(cell.task, cell.track, cell.seed)):
        degraded = noise.perturbed(prepared, seed_of(cell.task, place, cell.seed)) if noise else prepared
        yield to_batch(degraded, device), to_batch(clean, device)


def sampler(cell: Cell, context: Context, device: torch.device | str = "cpu") -> Sampler:
    """Return the sampler of training batches, which depend on the task and the seed but not on the method."""
    task = context.plugins.task(cell.task)
    if task.parts:
        parts = [sampler(cell.on(part.label), context, device) for part in task.parts]
        return MixedSampler(parts, seed_of("mixture", task.name, cell.seed))
    return PatchSampler(
        context.training(cell.task, cell.track, cell.seed),
        scale=task.scale,
        patch=cell.patch,
        batch_size=cell.batch_size,
        perturb=fresh_noise(task, cell.track),
        seed=seed_of("order", task.name, cell.seed),
        device=device,
    )
