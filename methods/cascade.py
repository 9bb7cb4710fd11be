"""Nothing is trained: the backbone's own heads, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.errors import unknown
from petlir.benchmark.method import Method
from petlir.benchmark.task import Task


@dataclass(frozen=True)
class Cascade(Method):
    """A hybrid degradation undone step by step by frozen heads, e.g. first denoise, then enlarge.

    It asks whether a hybrid task needs training at all, so it stands beside every method that trains on one.
    """

    name = "cascade"
    idea = "The frozen network's own heads one after the other, e.g. denoise, then enlarge."
    reference = True
    trains = False

    def adapt(self, backbone: Backbone) -> None:
        """Leave `backbone` alone."""

    def supports(self, backbone: Backbone) -> str | None:
        """A cascade needs two heads at least; names for the same weights are one."""
        heads = {frozenset(map(id, backbone.tunable(head))) for head in backbone.heads}
        return f"{backbone.name} has a single head" if len(heads) < 2 else None

    def applies(self, task: Task) -> str | None:
        """A cascade needs a task that other tasks undo one after the other."""
        return None if len(task.undo) > 1 else f"{task.name} is no sequence of single tasks"

    def heads(self, backbone: Backbone, task: Task) -> tuple[str, ...]:
        """The head of each part of `task`, in order.

        Raises:
            PetlirError: no head of the backbone is for a part.
        """
        heads = tuple(backbone.task_heads.get(part, part) for part in task.undo)
        for head in heads:
            if head not in backbone.heads:
                raise unknown(f"head of {backbone.name}", head, backbone.heads)
        return heads
