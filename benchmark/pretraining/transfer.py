"""From what a network learnt in pre-training to the tasks that it has seen, and those that resemble one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SEEN: Mapping[str, tuple[str, ...]] = {
    "noise": ("denoise_30", "denoise_50"),
    "camera noise": ("sidd",),
    "rain": ("derain_light", "derain_heavy"),
    "derain": ("derain_light", "derain_heavy"),
    "resize": (),
    "gaussian blur": (),
    "motion blur": ("deblur",),
    "jpeg": ("jpeg",),
}
"""Which tasks a synthetic degradation, or a head for several tasks, covers; any other head is named after its task."""

RELATED: Mapping[str, tuple[str, ...]] = {
    "sr_x2": ("resize",),
    "sr_x3": ("resize",),
    "sr_x4": ("resize",),
    "denoise_30": ("denoise_25",),
    "derain_light": ("derain_heavy",),
    "rain_noise": ("rain", "derain", "derain_heavy"),
    "sidd": ("denoise_30", "denoise_25", "noise"),
    "deblur": ("gaussian blur",),
    "hybrid_lr4_noise30": ("sr_x4", "resize"),
    "hybrid_lr4_jpeg30": ("sr_x4", "resize"),
}
"""What a task resembles: noise of another strength or colour, blur of another kind, enlargement without its further
degradation.

Super-resolution resembles `resize` only: a network that keeps the size was shown images at their own, never a task's
factor on its own. `low_light` resembles nothing here.
"""


def seen(learnt: Iterable[str]) -> tuple[str, ...]:
    """The tasks (and heads) that a network which learnt these heads or synthetic degradations has seen."""
    return tuple(dict.fromkeys(task for name in learnt for task in SEEN.get(name, (name,))))


def related(learnt: Iterable[str]) -> dict[str, str]:
    """Task → what of the learnt it resembles; without the tasks that were seen."""
    known = list(learnt)
    near = {task: [name for name in names if name in known] for task, names in RELATED.items()}
    return {task: names[0] for task, names in near.items() if names and task not in seen(known)}
