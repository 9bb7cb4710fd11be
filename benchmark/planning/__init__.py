"""From a selection in words to cells, and what is left to do of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from petlir.benchmark import cell as cells
from petlir.benchmark import grid, weights
from petlir.benchmark.adaptation import adapt
from petlir.benchmark.audit import guard
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.bench import Bench
from petlir.benchmark.cell import Cell
from petlir.benchmark.costs import count
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.prepare import data_digest
from petlir.benchmark.method import Method
from petlir.benchmark.skeleton import without_memory
from petlir.benchmark.sources import network_of
from petlir.benchmark.store import Store
from petlir.benchmark.store.index import Head, Index
from petlir.benchmark.track import track
from petlir.benchmark.views import scored_as, views
from petlir.benchmark.weights import Card

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
        protocols: ids with commas, beyond the tasks' own.
        metrics: names of pyiqa's metrics with commas.
        bench: plugins and images.
    """

    backbones: str
    methods: str
    tasks: str
    track: str
    seeds: str = "0"
    steps: int | None = None
    regime: str | None = None
    protocols: str = ""
    metrics: str = ""
    bench: Bench = field(default_factory=Bench)


@dataclass(frozen=True)
class Planned:
    """A cell, what decides its result, and why it cannot be done, if it cannot.

    Attributes:
        cell: the cell.
        parts: the ingredients of its key.
        obstacle: why the combination has no meaning.
        fault: why no learning rate could be chosen for it.
        needs: the cells that it requires.
    """

    cell: Cell
    parts: dict[str, str]
    obstacle: str | None
    fault: str | None = None
    needs: tuple[Planned, ...] = ()

    @cached_property
    def key(self) -> str:
        """The cell's content key."""
        return cells.key(self.parts)

    @property
    def ids(self) -> list[str]:
        """The ids of the protocols that it is scored under as it is worked on."""
        return self.parts["protocols"].split()

    def folder(self, store: Store) -> Path:
        """Where `store` keeps the cell."""
        return store.cell_folder({"cell": self.cell.plain(), "key": self.key})


@dataclass(frozen=True)
class _Common:
    """What a cell shares with the same of other seeds and rates: why it has no meaning, and ingredients of its key."""

    obstacle: str | None
    weights: str
    data: str
    plugin: str
    heads: tuple[str, ...]
    protocols: tuple[str, ...]

    def parts(self, cell: Cell, needs: tuple[Planned, ...]) -> dict[str, str]:
        known = {name: value for name, value in vars(self).items() if name != "obstacle"}
        return cells.ingredients(cell, needs=tuple(need.key for need in needs), **known)


class Planner:
    """Turns a request into cells; reads names, weights and digests, and runs nothing."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.track = track(request.track)
        self.plugins = request.bench.plugins
        self._cards: dict[str, Card] = {}
        self._data_digests: dict[str, str] = {}
        self._backbones: dict[str, Backbone] = {}
        self._missed: list[str] = []
        self._shared: dict[tuple[object, ...], _Common] = {}

    @cached_property
    def cells(self) -> list[Cell]:
        """Every cell of the request; the learning rates of the tuned ones are not chosen yet."""
        tasks = [task.label for task in grid.tasks(self.request.tasks, self.plugins.tasks, self.request.track)]
        found, seeds = [], grid.seeds(self.request.seeds)
        for backbone in grid.choose("backbone", self.request.backbones, self.request.bench.backbones):
            methods = grid.methods(self.request.methods, self.plugins.methods, partial(self._resize, backbone))
            for task in tasks:
                for method in methods:
                    first = self._cell(backbone, method, task, seeds[0])
                    own = [replace(first, seed=seed) for seed in seeds]
                    found += own if method.trains or method.requires(own[0]) else [replace(own[0], seed=0)]
        return found

    @property
    def missed(self) -> list[str]:
        """A line for each method that could not be made as large as asked for."""
        return self._missed if self.cells else []

    def _cell(self, backbone: str, method: Method, task: str, seed: int) -> Cell:
        steps = self.request.steps or self.plugins.task(task).on(self.request.track).steps or self.track.steps
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
            patch=self._patch(backbone, task),
        )

    def _patch(self, backbone: str, task: str) -> int:
        network, found = self.network(backbone), self.plugins.task(task)
        return self.track.patch if network.applies(found) else network.patch(network.head_for(found), self.track.patch)

    def required(self, cell: Cell) -> list[Cell]:
        """The cells that must be finished before `cell`, their learning rates not chosen yet."""
        needs = self.method(cell).requires(cell)
        return [self._cell(need.backbone, self.method(need), need.task, need.seed) for need in needs]

    def method(self, cell: Cell) -> Method:
        """The cell's method."""
        return grid.restored(self.plugins.method(cell.method), cell.options)

    def network(self, backbone: str) -> Backbone:
        """The backbone without weights, for its shape; must not be changed."""
        if backbone not in self._backbones:
            with without_memory():
                self._backbones[backbone] = self.plugins.build(backbone)
        return self._backbones[backbone]

    def count(self, backbone: str, method: Method) -> int:
        """Trainable parameters of a method on a backbone."""
        with without_memory():
            fresh = self.plugins.build(backbone)
            return count(adapt(fresh, method, list(fresh.heads)[-1], 0).backbone).trainable

    def _resize(self, backbone: str, method: Method, size: str) -> Method:
        total = count(self.network(backbone)).total
        if method.supports(self.network(backbone)) is not None:
            return method
        found, note = grid.sized(method, size, total, partial(self.count, backbone))
        self._missed += filter(None, [note])
        return found

    def obstacle(self, cell: Cell) -> str | None:
        """Why the cell's combination has no meaning, or None."""
        return self._common(cell).obstacle

    def check(self) -> None:
        """Raise PetlirError where a name, weights or images of the request are wrong."""
        for cell in self.cells:
            self._common(cell)

    def _common(self, cell: Cell) -> _Common:
        kind = (cell.backbone, cell.method, cell.label, cell.task, cell.patch)
        if kind not in self._shared:
            self._shared[kind] = self._look(cell)
        return self._shared[kind]

    def _look(self, cell: Cell) -> _Common:
        network, method, task = self.network(cell.backbone), self.method(cell), self.plugins.task(cell.task)
        reasons = (network.applies(task), method.supports(network), method.applies(task))
        obstacle = next(filter(None, reasons), task.reserved if method.trains else None)
        names = (f"backbone:{network_of(cell.backbone)}", f"method:{cell.method}", f"task:{task.name}")
        return _Common(
            obstacle=obstacle,
            weights=self.weights(cell.backbone),
            data=self._data(cell.task),
            plugin=self.plugins.source_digest(*names),
            heads=method.heads(network, task) if obstacle is None else (),
            protocols=scored_as(task.protocols, views(network, method, cell.patch)),
        )

    def plan(self, cell: Cell, needs: tuple[Planned, ...] = ()) -> Planned:
        """The cell with what decides its result, the cells that it requires included."""
        obstacle, parts = self.obstacle(cell), self._common(cell).parts(cell, needs)
        lost = next((need for need in needs if need.obstacle is not None), None)
        if obstacle is None and lost is not None:
            obstacle = f"it requires {lost.cell}, which is not applicable: {lost.obstacle}"
        fault = next((f"it requires {need.cell}: {need.fault}" for need in needs if need.fault is not None), None)
        return Planned(cell, parts, obstacle, fault, needs)

    def changed(self, planned: Planned, index: Index) -> str:
        """Which ingredients differ from those of the newest record of the same cell."""
        newest = max(predecessors(planned, index), key=lambda head: head.finished)
        names = [name for name, value in planned.parts.items() if newest.ingredients.get(name) != value]
        return f"changed since: {', '.join(names)}"

    def weights(self, backbone: str) -> str:
        """The digest of the backbone's pre-trained weights, which are tried on its shape first."""
        return self._card(backbone).sha256

    def _card(self, backbone: str) -> Card:
        if backbone not in self._cards:
            self._cards[backbone] = weights.load(self.network(backbone), sources=self.request.bench.sources)
        return self._cards[backbone]

    def refuse_overlap(self) -> None:
        """Refuse cells whose test images are in what they are fitted to, unless the user allows it.

        Raises:
            PetlirError: names the first such image, and where it is.
        """
        bench = self.request.bench
        if not bench.allow_overlap:
            cells = {(cell.backbone, cell.label, cell.task): cell for cell in self.cells}
            cards = {cell.backbone: self._card(cell.backbone) for cell in cells.values()}
            guard.refuse(list(cells.values()), self.plugins, cards, bench.root)

    def ground(self, cell: Cell) -> str:
        """What a learning rate is chosen on: the weights and, behind the task of a family, the user's own images."""
        weights = self.weights(cell.backbone)
        own = cell.task.partition(":")[0] in self.plugins.families
        return cells.digest([weights, self._data(cell.task)]) if own else weights

    def _data(self, task: str) -> str:
        if task not in self._data_digests:
            found, bench = self.plugins.task(task), self.request.bench
            self._data_digests[task] = data_digest(found, self.request.track, bench.root)
        return self._data_digests[task]


def state(planned: Planned, index: Index) -> str:
    """`done`, `failed`, `stale` or `missing`."""
    head = index.find(planned.key)
    if head is not None:
        return "failed" if head.retried else "done"
    return "stale" if any(True for _ in predecessors(planned, index)) else "missing"


def with_needs(planned: Iterable[Planned]) -> list[Planned]:
    """Each cell once, and before it the cells that it requires."""
    found: dict[str, Planned] = {}
    for one in planned:
        for each in (*with_needs(one.needs), one):
            found.setdefault(each.key, each)
    return list(found.values())


def predecessors(planned: Planned, index: Index) -> Iterator[Head]:
    """The records of the same cell, made from other ingredients."""
    now = vars(planned.cell)
    for head in index.beside(planned.folder(index.store)) if index.heads else ():
        if head.key != planned.key and all(head.cell[name] == now[name] for name in SAME):
            yield head
