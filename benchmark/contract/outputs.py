"""Contract points on outputs: their initial values, their dependencies, and the absence of side effects."""

from __future__ import annotations

import pickle
import random

import numpy as np
import torch
from torch import Tensor

from petlir.benchmark.contract.toy_model import CLOSE, ToyTrial, apart


def identity(trial: ToyTrial) -> str | None:
    """Check that the initial function equals the frozen network's if the method declares this."""
    if not trial.method.identity:
        return None
    distance = apart(trial.output(trial.adapted().backbone), trial.output(trial.network()))
    return None if distance <= 1e-6 else f"the output differs by {distance:.1e} before any training"


def mixed_precision(trial: ToyTrial) -> str | None:
    """Check that the method trains under autocast to bfloat16 with finite parameters and output."""
    adapted = trial.adapted()
    trial.train(adapted, mixed=True)
    lost = [name for name, parameter in adapted.trainable().items() if not parameter.isfinite().all()]
    if lost:
        return f"not finite after training in bfloat16: {', '.join(lost[:4])}"
    with torch.autocast("cpu", torch.bfloat16):
        finite = trial.output(adapted.backbone).isfinite().all()
    return None if finite else "the output in bfloat16 is not finite"


def repeats(trial: ToyTrial) -> str | None:
    """Check that equal seeds give equal weights, before and after training."""
    again = trial.adapted()
    if not _equal(again.state(), trial.adapted().state()):
        return "two networks of the same seed start apart"
    trial.train(again)
    return None if _equal(again.state(), trial.trained[0].state()) else "two trainings of the same seed end apart"


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def leaves_no_trace(trial: ToyTrial) -> str | None:
    """Check that global random states and settings stay unchanged."""
    network = trial.network()
    before = global_state()
    trial.put_on(network)
    trial.output(network)
    changed = [name for name, now in global_state().items() if now != before[name]]
    return f"it changes {', '.join(changed)}" if changed else None


def global_state() -> dict[str, object]:
    """Return the random states and settings of this process."""
    return {
        "numpy's global random numbers": pickle.dumps(np.random.get_state()),
        "Python's global random numbers": random.getstate(),
        "torch's global random numbers": torch.get_rng_state().numpy().tobytes(),
        "torch's default type": torch.get_default_dtype(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's threads": torch.get_num_threads(),
    }


def images_apart(trial: ToyTrial) -> str | None:
    """Check that an image's result in evaluation does not depend on the other images in the batch."""
    network = trial.trained[0].backbone.eval()
    with torch.no_grad():
        alone = torch.cat([network(image[None], trial.head) for image in trial.images])
    distance = apart(alone, trial.output(network))
    return None if distance <= CLOSE else f"an image alone differs by {distance:.1e} from the same in a batch"
