"""A request for cells: a user's choices, completed from a named grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import cast

from petlir.benchmark import grid
from petlir.benchmark.cells.context import PRECISIONS, Context, context_of
from petlir.benchmark.errors import unknown
from petlir.benchmark.runs.planning.grid_file import SELECTION, SHARED, named, read_grid, write_grid


@dataclass(frozen=True)
class GridSelection:
    """A selection of backbones, methods and tasks, which are run in every combination.

    Attributes:
        backbones: comma-separated names, `*` for all.
        methods: comma-separated methods, e.g. `lora[rank=4,8],adapter,*@250k`.
        tasks: comma-separated names, `*` for all.
        seeds: comma-separated seeds, e.g. `0,1,2`.
        steps: optimiser steps; None for the default of the task or the track.
    """

    backbones: str
    methods: str
    tasks: str
    seeds: str = "0"
    steps: int | None = None


@dataclass(frozen=True)
class Request:
    """A user's request: one or several selections, and the settings for running them.

    Attributes:
        backbones: as in `GridSelection`.
        methods: as in `GridSelection`.
        tasks: as in `GridSelection`.
        track: `demo`, `open` or `paper`.
        seeds: as in `GridSelection`.
        steps: as in `GridSelection`.
        regime: `tuned` or `paper`; None for the default of the track.
        protocols: comma-separated protocol ids in addition to the tasks' protocols.
        metrics: comma-separated names of metrics.
        context: plugins and images.
        device: the device of the cells; relevant only to methods that draw random numbers on the device.
        also: the selections after the first.
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
    context: Context = field(default_factory=Context)
    device: str = "auto"
    also: tuple[GridSelection, ...] = ()

    @property
    def selections(self) -> tuple[GridSelection, ...]:
        """All selections, starting with the request's own."""
        return (GridSelection(self.backbones, self.methods, self.tasks, self.seeds, self.steps), *self.also)


def request_from_grid(
    name: str | Path,
    plugins: Sequence[Path],
    data: Path | None,
    deterministic: bool,
    precision: str,
    weights: Sequence[str] = (),
    *,
    allow_overlap: bool = False,
    save: Path | None = None,
    **chosen: object,
) -> Request:
    """Return the request for a user's choices, completed from a named grid or from a grid file in TOML or JSON.

    In a grid with several selections, a chosen task stays in the selections that list it; tasks that no selection
    lists are added to the first selection. Chosen methods, seeds and steps apply to all selections. If
    backbones are chosen, only the first selection is used. If `save` is given, the completed grid is written to the
    file `save` as TOML.

    Raises:
        PetlirError: the grid or precision is unknown, or the file of the grid is damaged.
    """
    path = name if isinstance(name, Path) else named(name)
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    given = {key: value for key, value in chosen.items() if value is not None}
    first, *also = _narrowed(read_grid(path), given)
    if save is not None:
        write_grid(save, [_part(one, SELECTION) for one in (first, *also)], _part(first, SHARED))
    tasks, context = context_of(plugins, data, weights, deterministic, precision).opening(str(first["tasks"]))
    whole = Request(**{**first, "tasks": tasks}, context=replace(context, allow_overlap=allow_overlap))  # type: ignore[arg-type]
    keys = [each.name for each in fields(GridSelection)]
    own = {key: getattr(whole, key) for key in keys}
    beside = ({key: one[key] for key in keys if key in one} for one in also)
    return replace(whole, also=tuple(GridSelection(**{**own, **one}) for one in beside))


def _part(values: Mapping[str, object], keys: Iterable[str]) -> dict[str, object]:
    return {key: values[key] for key in keys if key in values}


def _narrowed(asked: dict[str, object], given: Mapping[str, object]) -> list[dict[str, object]]:
    """Return a grid's selections with the user's choices applied; the first also contains the fields that all share."""
    selections = [asked, *cast("list[dict[str, object]]", asked.pop("also", []))]
    if "backbones" in given:
        selections = selections[:1]
    chosen = grid.split(str(given["tasks"])) if "tasks" in given else None
    if chosen is not None and len(selections) > 1:
        listed = [[task for task in chosen if task in grid.split(str(one["tasks"]))] for one in selections]
        listed[0] += [task for task in chosen if not any(task in tasks for tasks in listed)]
        selections = [
            {**asked, **one, "tasks": ",".join(tasks)} for one, tasks in zip(selections, listed, strict=True) if tasks
        ]
        given = {key: value for key, value in given.items() if key != "tasks"}
    everywhere = {key: value for key, value in given.items() if key in ("methods", "seeds", "steps")}
    return [{**selections[0], **given}, *({**one, **everywhere} for one in selections[1:])]
