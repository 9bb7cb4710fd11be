"""Prediction of the time and memory of cells from counted FLOPs and bytes and from the costs of finished cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from statistics import median

import torch

from petlir.benchmark.cell import Cell, digest
from petlir.benchmark.cells.train import PARTS
from petlir.benchmark.devices import memory, pick
from petlir.benchmark.records.recorded_costs import RecordedCosts
from petlir.benchmark.revisions import table
from petlir.benchmark.runs.planning import Planner
from petlir.benchmark.runs.planning.planned import Planned
from petlir.benchmark.runs.planning.sizes import Kept, Sizes, sizes_of
from petlir.benchmark.runs.planning.speed import training_speed
from petlir.benchmark.store.index import Index
from petlir.benchmark.weights.sources import network_of

BASE = 600 * 2**20
"""The bytes that a process needs before training: for torch and, on a GPU, for the CUDA context."""
OVERHEAD = 1.25
"""The assumed ratio of peak memory to counted memory until a cell has finished; temporary tensors are not counted."""


@dataclass(frozen=True)
class Prediction:
    """The predicted costs of a cell on a device.

    Attributes:
        seconds: time of training, validation and evaluation; None if unknown.
        bytes: peak memory of training; None if the memory cannot be counted.
        parted: peak memory of training if batches are split because they do not fit into memory.
    """

    seconds: float | None = None
    bytes: int | None = None
    parted: int | None = None

    def obstacle(self, capacity: int, device: str) -> str:
        """Return why the cell does not fit the device with whole batches, or "" if the cell fits."""
        if self.bytes is None or self.bytes <= capacity:
            return ""
        parts = f"its batches will be split into {PARTS} parts"
        too_large = "it will not fit even if split"
        fits = self.parted is not None and self.parted <= capacity
        return f"needs about {gib(self.bytes)}, {device} has {gib(capacity)}: {parts if fits else too_large}"


def gib(count: int) -> str:
    """Format bytes as GiB."""
    return f"{count / 2**30:.1f} GiB"


def capacity(device: str) -> tuple[int, str]:
    """Return the memory of a device in bytes, and the device's name in records."""
    if device.startswith("cuda"):
        found = torch.cuda.get_device_properties(device)
        return found.total_memory, found.name
    return memory(), "cpu"


class Predictor:
    """A predictor of the costs of a request's cells on a device.

    Args:
        planner: planner of the request.
        index: the store's records.
        device: as given with `--device`.
        counting: whether to count costs that are not in the cache, which takes about a second per cell; cells that
            differ only in seed or rate are counted once.
    """

    def __init__(self, planner: Planner, index: Index, device: str = "auto", *, counting: bool = True) -> None:
        self._planner, self._index, self._counting = planner, index, counting
        self.capacity, self.device = capacity(pick(device))
        self._kept = Kept()
        self._type = pick(device)
        self._found: dict[tuple[object, ...], Prediction] = {}
        self._speeds: dict[str, float] = {}

    def predict(self, planned: Planned) -> Prediction:
        """Return the prediction for a cell, which is the same for all cells that differ only in seed or rate."""
        kind = _kind(planned.cell)
        if kind not in self._found:
            self._found[kind] = replace(self.memory(planned), seconds=self._seconds(planned))
        return self._found[kind]

    def memory(self, planned: Planned) -> Prediction:
        """Predict only the memory of a cell; predicting the time may require timing a training step."""
        if (sizes := self._sizes(planned)) is None:
            return Prediction()
        parts = min(PARTS, planned.cell.batch_size)
        return Prediction(None, self._peak(sizes.bytes()), self._peak(sizes.bytes(1 / parts)))

    def close(self) -> None:
        """Write the counted costs to the cache."""
        self._kept.write()

    def lacking(self, planned: Iterable[Planned]) -> int:
        """Return the number of cells whose costs are not cached; cells that differ only in seed or rate count once."""
        kinds = {_kind(one.cell): one for one in planned if _trained(one)}
        return len({key for one in kinds.values() if (key := self._key(one)) not in self._kept})

    def _peak(self, known: int) -> int:
        return BASE + int(known * self._overhead)

    @cached_property
    def _overhead(self) -> float:
        """The median ratio of measured peak memory to counted memory, over finished cells on this type of device."""
        known = [
            memory.peak / (memory.weights + memory.gradients + memory.optimizer + memory.activations)
            for memory in (costs.memory for _, costs in self._finished)
            if memory.peak
        ]
        return float(median(known or [OVERHEAD]))

    @cached_property
    def _finished(self) -> list[tuple[Cell, RecordedCosts]]:
        return [
            (head.cell.request(), head.costs)
            for head in self._index.heads
            if isinstance(head.costs, RecordedCosts) and head.device == self.device
        ]

    @cached_property
    def _of_kind(self) -> Mapping[tuple[object, ...], list[RecordedCosts]]:
        found = defaultdict(list)
        for cell, costs in self._finished:
            found[_kind(cell)].append(costs)
        return found

    def _seconds(self, planned: Planned) -> float | None:
        """Return the median time of finished cells of the same kind (see `_kind`), or predict the time from FLOPs."""
        cell, sizes = planned.cell, self._sizes(planned)
        if not _trained(planned):
            return None
        if same := self._of_kind.get(_kind(cell)):
            return median(costs.training_seconds for costs in same) + median(_untrained(costs) for costs in same)
        if sizes is None:
            return None
        near = [(of, costs) for of, costs in self._finished if of.backbone == cell.backbone] or self._finished
        speeds = [
            work / costs.training_seconds
            for of, costs in near
            if (work := costs.flops_per_step * of.steps) and costs.training_seconds
        ]
        speed = median(speeds) if speeds else self._speed(cell)
        return cell.steps * sizes.flops / speed + median([_untrained(costs) for _, costs in near] or [0.0])

    def _speed(self, cell: Cell) -> float:
        """Return the FLOPs per second of a training step of the cell's backbone, measured once for each backbone."""
        if cell.backbone not in self._speeds:
            network = self._planner.plugins.build(cell.backbone)
            head = network.head_for(self._planner.plugins.task(cell.task))
            self._speeds[cell.backbone] = training_speed(network, head, cell.batch_size, cell.patch, self._type)
        return self._speeds[cell.backbone]

    def _sizes(self, planned: Planned) -> Sizes | None:
        if not _trained(planned):
            return None
        cell, key = planned.cell, self._key(planned)
        if key not in self._kept:
            if not self._counting:
                return None
            method, head = self._planner.method(cell), planned.parts["heads"].split()[-1]
            sizes = sizes_of(self._planner.plugins, cell.backbone, method, head, cell.batch_size, cell.patch)
            self._kept.add(key, sizes)
        return self._kept[key]

    @cache  # noqa: B019 - the predictor lives only as long as a command
    def _source(self, backbone: str, method: str) -> tuple[str, ...]:
        names = (f"backbone:{network_of(backbone)}", f"method:{method}")
        return (*self._planner.plugins.revisions(*names), *table.engine())

    def _key(self, planned: Planned) -> str:
        cell = planned.cell
        source, head = self._source(cell.backbone, cell.method), planned.parts["heads"].split()[-1]
        return digest([source, cell.backbone, dict(cell.options), head, cell.batch_size, cell.patch])


def _trained(planned: Planned) -> bool:
    """Return whether a cell can be trained: it has no obstacle, and it has heads, i.e. its method raised no error."""
    return planned.obstacle is None and bool(planned.parts["heads"])


def _kind(cell: Cell) -> tuple[object, ...]:
    """Return the fields that cells have in common if they differ only in seed or rate."""
    return cell.backbone, cell.label, cell.task, cell.track, cell.steps, cell.batch_size, cell.patch


def _untrained(costs: RecordedCosts) -> float:
    """Return the seconds of a cell that are not spent on training."""
    return costs.adaptation_seconds + costs.validation_seconds + costs.evaluation_seconds
