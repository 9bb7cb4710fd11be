"""Planning: the cells of a request, and which of them remain to be processed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial

from torch.nn.modules.dropout import _DropoutNd

from petlir.benchmark import grid
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.cell import Cell, Common
from petlir.benchmark.cells import overlap_guard as guard
from petlir.benchmark.containment import contained
from petlir.benchmark.costs import count
from petlir.benchmark.devices import pick
from petlir.benchmark.errors import FAULTS, PetlirError, told
from petlir.benchmark.images.prepare import data_digest
from petlir.benchmark.method import Method
from petlir.benchmark.revisions import table
from petlir.benchmark.runs.planning.image_sizes import check_images
from petlir.benchmark.runs.planning.planned import Planned, predecessors
from petlir.benchmark.runs.planning.request import GridSelection, Request
from petlir.benchmark.scoring.fields_of_view import scored_as, views
from petlir.benchmark.store.index import Index
from petlir.benchmark.task import Task
from petlir.benchmark.track import track
from petlir.benchmark.training.adaptation import adapt
from petlir.benchmark.weights import loading
from petlir.benchmark.weights.cards import Card
from petlir.benchmark.weights.sources import network_of

PAPER_RATE = 1e-4
"""AdamW's learning rate in the AdaptIR paper, which uses it for every method."""


class Planner:
    """A planner of a request's cells; planning reads names, weights and digests, and trains nothing."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.track = track(request.track)
        self.plugins = request.context.plugins
        self._cards: dict[str, Card] = {}
        self._unavailable: dict[str, str] = {}
        self._data_digests: dict[str, str] = {}
        self._backbones: dict[str, Backbone] = {}
        self._missed: list[str] = []
        self._steps: dict[tuple[str, str, str], int | None] = {}
        self._shared: dict[tuple[object, ...], tuple[str | None, Common]] = {}
        self._broken: dict[tuple[object, ...], str] = {}
        self._checked: set[tuple[object, ...]] = set()

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells of the request; learning rates that need tuning are not chosen yet."""
        return [cell for one in self.request.selections for cell in self._selected(one)]

    def _selected(self, chosen: GridSelection) -> Iterator[Cell]:
        tasks = [task.label for task in grid.tasks(chosen.tasks, self.plugins.tasks, self.request.track)]
        seeds = grid.seeds(chosen.seeds)
        for backbone in grid.choose("backbone", chosen.backbones, self.request.context.backbones):
            methods = grid.methods(chosen.methods, self.plugins.methods, partial(self._resize, backbone))
            for task in tasks:
                for method in methods:
                    first = self.cell_of(backbone, method, task, seeds[0], chosen.steps)
                    own = [replace(first, seed=seed) for seed in seeds]
                    self._steps[_kind(first)] = chosen.steps
                    yield from own if method.trains or method.requires(own[0]) else [replace(own[0], seed=0)]

    @property
    def missed(self) -> list[str]:
        """A line for each method that cannot have the requested number of parameters."""
        return self._missed if self.cells else []

    def cell_of(self, backbone: str, method: Method, task: str, seed: int, steps: int | None) -> Cell:
        """Return a method's cell on the request's track; a learning rate that needs tuning is not chosen yet."""
        steps = steps or self.plugins.task(task).on(self.request.track).steps or self.track.steps
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
        """Return the cells that must be finished before `cell`; their learning rates are not chosen yet."""
        needs = self.method(cell).requires(cell)
        steps = self._steps.get(_kind(cell), self.request.steps)
        found = [self.cell_of(need.backbone, self.method(need), need.task, need.seed, steps) for need in needs]
        self._steps |= {_kind(need): steps for need in found}
        return found

    def method(self, cell: Cell) -> Method:
        """Return the cell's method."""
        return grid.restored(self.plugins.method(cell.method), cell.options)

    def network(self, backbone: str) -> Backbone:
        """Return the backbone as a network whose tensors have shapes but no values; callers must not modify it."""
        if backbone not in self._backbones:
            with without_memory():
                self._backbones[backbone] = self.plugins.build(backbone)
        return self._backbones[backbone]

    def count(self, backbone: str, method: Method) -> int:
        """Return the number of trainable parameters of a method on a backbone."""
        with without_memory():
            fresh = self.plugins.build(backbone)
            adapted = adapt(fresh, method, list(fresh.heads)[-1], 0)
        return count(adapted.backbone).trainable

    def _resize(self, backbone: str, method: Method, size: str) -> Method:
        total = count(self.network(backbone)).total
        if method.supports(self.network(backbone)) is not None:
            return method
        try:
            with contained():
                found, note = grid.sized(method, size, total, partial(self.count, backbone))
        except PetlirError:
            raise
        except FAULTS:  # an error in a plugin's code: its cells fail, with the reason
            return method
        self._missed += filter(None, [note])
        return found

    def obstacle(self, cell: Cell) -> str | None:
        """Return why the cell's backbone, method and task cannot be combined, or None if they can."""
        return self._common(cell)[0]

    def check(self) -> None:
        """Raise PetlirError if a name, the weights or the images of the request are invalid."""
        for cell in self.cells:
            self._common(cell)

    def _common(self, cell: Cell) -> tuple[str | None, Common]:
        """Return a cell's obstacle (see `obstacle`) and the key components that are independent of seed and rate."""
        kind = _combination(cell)
        if kind not in self._shared:
            self._shared[kind] = self._look(cell)
        return self._shared[kind]

    def _look(self, cell: Cell) -> tuple[str | None, Common]:
        network, method, task = self.network(cell.backbone), self.method(cell), self.plugins.task(cell.task)
        reserved = task.reserved if method.trains else None
        obstacle, lacking = reserved, None
        heads: tuple[str, ...] = ()
        seen: tuple[str, ...] = ()
        try:
            with contained():
                obstacle = network.applies(task) or method.supports(network) or method.applies(task) or reserved
                heads, lacking = _heads(method, network, task) if obstacle is None else ((), None)
                seen = views(network, method, cell.patch)
        except FAULTS as error:  # an error in a plugin's code: its cells fail, with the reason
            self._broken[_combination(cell)] = str(error) if isinstance(error, PetlirError) else told(error)
        else:
            if obstacle is None and lacking is None:
                self._check_images(cell, task, network, seen, cell.patch if method.trains else None)
        names = (f"backbone:{network_of(cell.backbone)}", f"method:{cell.method}", f"task:{task.name}")
        common = Common(
            options=method.changed(),
            weights=self.weights(cell.backbone),
            data=self._data(cell.task),
            plugin=self.plugins.revisions(*names),
            engine=self._engine,
            heads=heads,
            protocols=scored_as(task.protocols, seen),
            device="" if obstacle or lacking else self._device(cell, method),
        )
        return obstacle or lacking, common

    def _check_images(
        self, cell: Cell, task: Task, network: Backbone, seen: tuple[str, ...], patch: int | None
    ) -> None:
        """Raise PetlirError if an image of the task is too small or too large; skip a check that was made before."""
        kind = (cell.backbone, cell.task, seen, patch)
        if kind not in self._checked:
            root, extra = self.request.context.root, self.request.protocols
            check_images(task, self.request.track, root, network, seen, extra, patch)
            self._checked.add(kind)

    def _device(self, cell: Cell, method: Method) -> str:
        """Return the type of the device on which the method's own dropout draws masks; "" if the method has none."""
        ours = table.relative(self.plugins.sources[f"method:{cell.method}"]) is not None
        if (ours and ":" not in cell.method) or not method.trains:
            return ""
        try:
            with without_memory(), contained():
                fresh = self.plugins.build(cell.backbone)
                adapted = adapt(fresh, method, fresh.head_for(self.plugins.task(cell.task)), 0)
        except FAULTS:  # the cell itself will fail with the reason
            return ""
        drops = any(isinstance(module, _DropoutNd) and module.p > 0 for module in adapted.inserted)
        return pick(self.request.device).partition(":")[0] if drops else ""

    @cached_property
    def _engine(self) -> tuple[str, ...]:
        return table.engine()

    def plan(self, cell: Cell, needs: tuple[Planned, ...] = ()) -> Planned:
        """Return the cell with its key components, which also depend on the required cells `needs`."""
        obstacle, common = self._common(cell)
        parts = common.key_components(cell, tuple(need.key for need in needs))
        lost = next((need for need in needs if need.obstacle is not None), None)
        if obstacle is None and lost is not None:
            obstacle = f"it requires {lost.cell}, which is not applicable: {lost.obstacle}"
        fault = next((f"it requires {need.cell}: {need.fault}" for need in needs if need.fault is not None), None)
        return Planned(cell, parts, obstacle, self.unavailable(cell) or fault, needs)

    def changed(self, planned: Planned, index: Index) -> str:
        """Return a phrase that names the key components in which the cell differs from its newest record."""
        newest = max(predecessors(planned, index), key=lambda head: head.finished)
        names = [name for name, value in planned.parts.items() if newest.key_components.get(name) != value]
        return f"changed since: {', '.join(names)}"

    def weights(self, backbone: str) -> str:
        """Return the digest of the backbone's pre-trained weights, after checking that they fit the network."""
        return self.card(backbone).sha256

    def unavailable(self, cell: Cell) -> str | None:
        """Return the reason if the cell's weights cannot be fetched or its method fails; None otherwise."""
        self.card(cell.backbone)
        return self._unavailable.get(cell.backbone) or self._broken.get(_combination(cell))

    def card(self, backbone: str) -> Card:
        """Return the card of the backbone's pre-trained weights."""
        if backbone not in self._cards:
            try:
                found = loading.load(self.network(backbone), sources=self.request.context.sources)
            except loading.Unavailable as missing:
                found, self._unavailable[backbone] = missing.card, str(missing)
            self._cards[backbone] = found
        return self._cards[backbone]

    def refuse_overlap(self) -> None:
        """Raise an error if a cell's test images are also used to fit the cell, unless the user allows such overlaps.

        Raises:
            PetlirError: a test image is also a training, validation or pre-training image; the message names the first
                such image and the place where it was found.
        """
        context = self.request.context
        if not context.allow_overlap:
            cells = {(cell.backbone, cell.label, cell.task): cell for cell in self.cells}
            cards = {cell.backbone: self.card(cell.backbone) for cell in cells.values()}
            guard.refuse(list(cells.values()), self.plugins, cards, context.root)

    def selection_context(self, cell: Cell) -> str:
        """Return the digest of the context of a learning-rate selection: the cell's key without seed and rate."""
        needs = tuple(self.selection_context(need) for need in self.required(cell))
        return self._common(cell)[1].selection(cell, needs)

    def _data(self, task: str) -> str:
        if task not in self._data_digests:
            found, context = self.plugins.task(task), self.request.context
            self._data_digests[task] = data_digest(found, self.request.track, context.root)
        return self._data_digests[task]


def _heads(method: Method, network: Backbone, task: Task) -> tuple[tuple[str, ...], str | None]:
    """Return the heads that an image passes through, or no heads and the reason why a head is missing."""
    try:
        return method.heads(network, task), None
    except PetlirError as error:
        return (), str(error)


def _combination(cell: Cell) -> tuple[object, ...]:
    return cell.backbone, cell.method, cell.label, cell.task, cell.patch


def _kind(cell: Cell) -> tuple[str, str, str]:
    return cell.backbone, cell.label, cell.task
