"""Tasks that a network has seen in pre-training, and similar tasks, given the heads or degradations that it learnt."""

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
"""The tasks covered by a synthetic degradation or a multi-task head; any other head is named after its task."""

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
"""Task → similar degradations or heads in pre-training, such as noise of another strength or colour, another kind of
blur, or upscaling without the additional degradation.

For a network that preserves the size, super-resolution counts as similar to `resize`, not as seen: such a network is
trained on images that were downscaled and enlarged again to full size, never on small images at a task's scale.
`low_light` is not similar to any degradation or head in pre-training.
"""


def seen(learnt: Iterable[str]) -> tuple[str, ...]:
    """Return the tasks (and heads) seen by a network that learnt these heads or synthetic degradations."""
    return tuple(dict.fromkeys(task for name in learnt for task in SEEN.get(name, (name,))))


def related(learnt: Iterable[str]) -> dict[str, str]:
    """Return task → a similar learnt head or degradation, for tasks that were not seen in pre-training."""
    known = list(learnt)
    near = {task: [name for name in names if name in known] for task, names in RELATED.items()}
    return {task: names[0] for task, names in near.items() if names and task not in seen(known)}
