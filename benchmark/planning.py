"""From a selection in words to cells, and what is left to do of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch

from benchmark import cell as cells
from benchmark import grid, weights
from benchmark.adaptation import adapt
from benchmark.backbone import Backbone
from benchmark.bench import Bench
from benchmark.cell import Cell
from benchmark.costs import count
from benchmark.errors import PetlirError
from benchmark.images.catalogue import image_set
from benchmark.method import Method
from benchmark.records import RECORD, Store, read_record
from benchmark.track import track

SAME = ("track", "regime", "steps", "batch_size", "patch")
"""What two records of one folder name must share to be of one cell."""
PAPER_RATE = 1e-4
"""AdamW's rate in the AdaptIR paper, for every method."""


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        backbones: names with commas, `*` for all.
        methods: e.g. `lora[rank=4,8],adapter,*@250k`.
        tasks: names with commas, `*` for all.
        track: `demo`, `open` or `paper`.
        seeds: e.g. `0,1,2`.
        steps: optimiser steps; None for the track's.
        regime: `tuned` or `paper`; None for the track's.
        bench: plugins and images.
    """

    backbones: str
    methods: str
    tasks: str
    track: str
    seeds: str = "0"
    steps: int | None = None
    regime: str | None = None
    bench: Bench = field(default_factory=Bench)


@dataclass(frozen=True)
class Planned:
    """A cell, what decides its result, and why it cannot be done, if it cannot.

    Attributes:
        cell: the cell.
        parts: the ingredients of its key.
        obstacle: why the combination has no meaning.
        fault: why no learning rate could be chosen for it.
    """

    cell: Cell
    parts: dict[str, str]
    obstacle: str | None
    fault: str | None = None

    @property
    def key(self) -> str:
        """The cell's content key."""
        return cells.key(self.parts)


class Planner:
    """Turns a request into cells; reads names, weights and digests, and runs nothing."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.track = track(request.track)
        self.plugins = request.bench.plugins
        self._digests: dict[str, str] = {}
        self._backbones: dict[str, Backbone] = {}

    @cached_property
    def cells(self) -> list[Cell]:
        """Every cell of the request; the learning rates of the tuned ones are not chosen yet."""
        tasks = grid.choose("task", self.request.tasks, self.plugins.tasks)
        if "*" in grid.split(self.request.tasks):
            tasks = [name for name in tasks if self.request.track in self.plugins.tasks[name].data]
        for name in tasks:
            self.plugins.task(name).on(self.request.track)
        found, seeds = [], grid.seeds(self.request.seeds)
        for backbone in grid.choose("backbone", self.request.backbones, self.plugins.backbones):
            methods = grid.methods(self.request.methods, self.plugins.methods, partial(self._resize, backbone))
            for task in tasks:
                for method in methods:
                    found += [self._cell(backbone, method, task, seed) for seed in (seeds if method.trains else [0])]
        return found

    def _cell(self, backbone: str, method: Method, task: str, seed: int) -> Cell:
        steps = self.request.steps or self.track.steps
        regime = (self.request.regime or self.track.regime) if method.trains else "none"
        if regime not in ("tuned", "paper", "none"):
            raise PetlirError(f"regime {regime!r} is unknown; valid: tuned, paper")
        return Cell(
            backbone=backbone,
            method=method.name,
            options=method.options(),
            label=method.label,
            task=task,
            track=self.request.track,
            seed=seed,
            regime=regime,
            rate=PAPER_RATE if regime == "paper" else None,
            steps=steps if method.trains else 0,
            batch_size=self.track.batch_size,
            patch=self.network(backbone).window or self.track.patch,
        )

    def method(self, cell: Cell) -> Method:
        """The cell's method."""
        return grid.restored(self.plugins.method(cell.method), cell.options)

    def network(self, backbone: str) -> Backbone:
        """The backbone without weights, for its shape; must not be changed."""
        if backbone not in self._backbones:
            with torch.device("meta"):
                self._backbones[backbone] = self.plugins.build(backbone)
        return self._backbones[backbone]

    def count(self, backbone: str, method: Method) -> int:
        """Trainable parameters of a method on a backbone."""
        with torch.device("meta"):
            fresh = self.plugins.build(backbone)
            return count(adapt(fresh, method, list(fresh.heads)[-1], 0).backbone).trainable

    def _resize(self, backbone: str, method: Method, size: str) -> Method:
        total = count(self.network(backbone)).total
        if method.supports(self.network(backbone)) is not None:
            return method
        return grid.solve(method, grid.target(size, total), partial(self.count, backbone))

    def obstacle(self, cell: Cell) -> str | None:
        """Why the cell's combination has no meaning, or None."""
        method = self.method(cell)
        return method.supports(self.network(cell.backbone)) or method.applies(self.plugins.task(cell.task))

    def plan(self, cell: Cell) -> Planned:
        """The cell with what decides its result."""
        task = self.plugins.task(cell.task)
        obstacle = self.obstacle(cell)
        heads = self.method(cell).heads(self.network(cell.backbone), task) if obstacle is None else ()
        names = (f"backbone:{cell.backbone}", f"method:{cell.method}", f"task:{cell.task}")
        parts = cells.ingredients(
            cell,
            weights=self._weights(cell.backbone),
            data=self._data(cell.task),
            plugin=self.plugins.source_digest(*names),
            heads=heads,
            protocols=task.protocols,
        )
        return Planned(cell, parts, obstacle)

    def changed(self, planned: Planned, store: Store) -> str:
        """Which ingredients differ from those of the newest record of the same cell."""
        folders = sorted(predecessors(planned, store), key=lambda folder: (folder / RECORD).stat().st_mtime)
        before = read_record(folders[-1] / RECORD)["ingredients"]
        names = [name for name, value in planned.parts.items() if before.get(name) != value]
        return f"changed since: {', '.join(names)}"

    def _weights(self, backbone: str) -> str:
        if backbone not in self._digests:
            self._digests[backbone] = weights.verified(backbone)[0].sha256
        return self._digests[backbone]

    def _data(self, task: str) -> str:
        data = self.plugins.task(task).on(self.request.track)
        names = dict.fromkeys((data.train, data.validation, *data.tests))
        for name in names:
            if name not in self._digests:
                self._digests[name] = image_set(name).digest(self.request.bench.root)
        return cells.digest([self._digests[name] for name in names])


def state(planned: Planned, store: Store) -> str:
    """`done`, `failed`, `stale` or `missing`."""
    folder = store.find(planned.key)
    if folder is not None:
        return "failed" if read_record(folder / RECORD)["state"] in ("failed", "out-of-memory") else "done"
    return "stale" if any(True for _ in predecessors(planned, store)) else "missing"


def predecessors(planned: Planned, store: Store) -> Iterator[Path]:
    """Folders of records of the same cell, made from other ingredients."""
    probe = {"cell": planned.cell.plain(), "key": "0" * 64}
    pattern = store.cell_folder(probe)
    for path in sorted(pattern.parent.glob(f"{pattern.name.removesuffix('-00000000')}-*/{RECORD}")):
        then, now = read_record(path)["cell"], planned.cell.plain()
        if path.parent.name[-8:] != planned.key[:8] and all(then[name] == now[name] for name in SAME):
            yield path.parent
