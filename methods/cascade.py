"""Cascade: the backbone's own heads in sequence, without training."""

from __future__ import annotations

from dataclasses import dataclass

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.errors import unknown
from petlir.benchmark.method import Method
from petlir.benchmark.task import Task


@dataclass(frozen=True)
class Cascade(Method):
    """Frozen heads that undo a chain of degradations step by step, e.g. first by denoising, then by super-resolution.

    This baseline for methods trained on a hybrid task shows whether the task needs training at all.
    """

    name = "cascade"
    idea = "The frozen network's own heads one after the other, e.g. denoise, then enlarge."
    reference = True
    trains = False

    def adapt(self, backbone: Backbone) -> None:
        """Leave `backbone` unchanged."""

    def supports(self, backbone: Backbone) -> str | None:
        """Return a message if the backbone has a single head, else None; heads that share all weights count once."""
        heads = {frozenset(map(id, backbone.tunable(head))) for head in backbone.heads}
        return f"{backbone.name} has a single head" if len(heads) < 2 else None

    def applies(self, task: Task) -> str | None:
        """Return a message if the degradation of this task cannot be removed by a sequence of heads, otherwise None."""
        return (
            None
            if len(task.undo) > 1
            else f"cascade needs a task made of several degradations, and {task.name} has one"
        )

    def heads(self, backbone: Backbone, task: Task) -> tuple[str, ...]:
        """Return the head for each single task in `task.undo`, in order.

        Raises:
            PetlirError: the backbone has no head for one of the single tasks.
        """
        heads = tuple(backbone.task_heads.get(part, part) for part in task.undo)
        for head in heads:
            if head not in backbone.heads:
                raise unknown(f"head of {backbone.name}", head, backbone.heads)
        return heads
