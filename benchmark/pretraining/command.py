"""What `petlir pretrain` does: train, then write the weights and their card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmark import weights
from benchmark.backbones.ipt import IPT
from benchmark.devices import pick
from benchmark.errors import PetlirError
from benchmark.plugins import find
from benchmark.pretraining.multitask import DEGRADATIONS, Recipe, pretrain

SEEN = (*(head for head in DEGRADATIONS if head != "derain"), "derain_light", "derain_heavy")
RELATED = {
    "sidd": "denoise_30",
    "hybrid_lr4_noise30": "sr_x4",
    "hybrid_lr4_jpeg30": "sr_x4",
}


def pretrain_backbone(name: str, out: Path, steps: int | None, device: str) -> Iterator[str]:
    """Pre-train backbone `name` into `out`; yields lines on how it goes.

    Raises:
        PetlirError: there is no recipe for this backbone, or `out` cannot be written.
    """
    network = find().build(name)
    if not isinstance(network, IPT):
        raise PetlirError(f"there is no pre-training recipe for backbone {name!r}; expected an IPT")
    recipe = Recipe(steps=steps) if steps else Recipe()
    _make(out)
    yield f"pre-training {name}: {recipe.steps} steps of {recipe.batch_size} on {recipe.images} dead leaves images"
    network.to(pick(device))
    for step, loss in pretrain(network, recipe, out / f"{name}.checkpoint"):
        if (step + 1) % 250 == 0:
            yield f"step {step + 1}: loss {loss:.4f}"
    yield f"written: {publish(network, recipe, out)}"


def publish(network: IPT, recipe: Recipe, out: Path) -> Path:
    """Write the weights of `network` and their card; returns the weight file."""
    path = out / f"{network.name}.safetensors"
    state = {key: tensor.contiguous().cpu() for key, tensor in network.official_state_dict().items()}
    sha256 = weights.save(state, path)
    images = f"{recipe.images} dead leaves images of 256×256 (benchmark.images.procedural), no photographs"
    weights.Card(sha256, SEEN, RELATED, images, asdict(recipe)).write(out / f"{network.name}.json")
    return path


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PetlirError(f"cannot write to {folder}: {error.strerror}") from error
