"""Implement `petlir pretrain`: train, then write the weights and their card."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from time import monotonic

import torch

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.diffusion import LatentDiffusion
from petlir.benchmark.degradation import Image
from petlir.benchmark.devices import pick
from petlir.benchmark.errors import PetlirError, counted
from petlir.benchmark.images.catalogue import image_set
from petlir.benchmark.images.imageset import pixels_digest
from petlir.benchmark.images.walking import images_in
from petlir.benchmark.plugins import Plugins
from petlir.benchmark.pretraining import autoencoder
from petlir.benchmark.pretraining.images import dead_leaves, photographs
from petlir.benchmark.pretraining.loop import Batches, Recipe, train
from petlir.benchmark.pretraining.recipes import all_but, choose, learnt, training_batches
from petlir.benchmark.pretraining.scores import card_scores
from petlir.benchmark.pretraining.start import fresh
from petlir.benchmark.pretraining.transfer import related, seen
from petlir.benchmark.weights import cards, loading

EVERY = 250
"""The number of steps between two progress lines, and between two checkpoints."""


def pretrain_backbone(
    plugins: Plugins,
    recipe_name: str | None,
    name: str | None,
    out: Path,
    *,
    images: Path | None = None,
    steps: int | None = None,
    data: Path | None = None,
    device: str = "auto",
    without: str = "",
    only: str = "",
) -> Iterator[str]:
    """Pre-train a backbone, write it to `out`, and yield progress lines.

    Args:
        plugins: the available backbones, and the tasks on which the weights are scored.
        recipe_name: `multitask`, `prod` or `self-supervised`, or None for the backbone's default recipe.
        name: name of the backbone, or None for the recipe's default backbone.
        out: output folder for weights (`NAME.safetensors`), card (`NAME.json`) and checkpoint (`NAME.checkpoint`).
        images: folder of photographs, or None to generate dead-leaves images.
        steps: number of optimiser steps, or None for the default.
        data: folder of the image sets Set5 and BSD100, on which the weights are also scored.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        without: heads or degradations of the recipe to omit, separated by commas.
        only: heads or degradations of the recipe to keep, separated by commas; empty keeps all.

    Raises:
        PetlirError: a name is unknown, both `without` and `only` are given, the recipe does not fit the backbone,
            images cannot be read, or `out` is not writable.
    """
    kind, name, rate = choose(recipe_name, name)
    if without and only:
        raise PetlirError("--without and --only are both given; expected only one of them")
    network = fresh(plugins, name, Recipe.seed)
    if only:
        without = all_but(only, kind, network)
    recipe = Recipe(
        kind,
        steps or Recipe.steps,
        rate=rate,
        source=images.name if images else Recipe.source,
        without=", ".join(filter(None, (word.strip() for word in without.split(",")))),
    )
    learnt(network, recipe)
    network.to(pick(device))
    if images is not None:
        images_in(images)
    _make(out)
    yield (
        f"pre-training {name} with the recipe {kind}: {counted(recipe.steps, 'step')} of {recipe.batch_size} crops "
        f"from {described(recipe)}"
    )
    clean = _clean(recipe, images, plugins, data)
    batches = training_batches(network, clean, recipe)
    if isinstance(network, LatentDiffusion):
        autoencoder.start(network, clean)
        yield f"training the autoencoder of {name} on clean images, then the whole network"
        with autoencoder.reconstructing(network):
            first = out / f"{name}.autoencoder.checkpoint"
            yield from _trained(network, recipe, autoencoder.clean(batches), first)
    yield from _trained(network, recipe, batches, out / f"{name}.checkpoint")
    yield f"written: {publish(network, recipe, plugins, out, data)}"


def _clean(recipe: Recipe, folder: Path | None, plugins: Plugins, data: Path | None) -> list[Image]:
    if folder is None:
        return dead_leaves(recipe.images, recipe.seed)
    return photographs(folder, recipe.images, recipe.seed, held_out(plugins, data))


def held_out(plugins: Plugins, data: Path | None) -> dict[str, str]:
    """Return digest → name of the clean test images of all tasks: bundled images, and images in `data`."""
    names = {name for task in plugins.tasks.values() for use in task.data.values() for name in use.tests}
    found: dict[str, str] = {}
    for name in sorted(names):
        with contextlib.suppress(PetlirError):  # a missing set cannot leak into training
            found |= {pixels_digest(sample.clean): f"{name}/{sample.name}" for sample in image_set(name).samples(data)}
    return found


def _trained(network: Backbone, recipe: Recipe, batches: Batches, checkpoint: Path) -> Iterator[str]:
    losses: list[float] = []
    since = monotonic()
    for step, loss in train(network, batches, recipe, checkpoint, EVERY):
        losses.append(loss)
        if (step + 1) % EVERY == 0:
            pace = (monotonic() - since) / len(losses)
            yield f"step {step + 1} of {recipe.steps}: loss {fmean(losses):.4f}, {pace:.3f} s per step"
            losses, since = [], monotonic()


def publish(network: Backbone, recipe: Recipe, plugins: Plugins, out: Path, data: Path | None) -> Path:
    """Write the weights of `network` and their card with scores, and return the weight file."""
    path = out / f"{network.name}.safetensors"
    taught = learnt(network, recipe)
    scores = card_scores(network, plugins, data)
    state = {key: tensor.contiguous().cpu() for key, tensor in network.official_state_dict().items()}
    cards.Card(
        sha256=loading.save(state, path),
        pretrained_on=seen(taught),
        related=related(taught),
        images=described(recipe),
        recipe=asdict(recipe),
        device=_device(network),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        scores=scores,
        sets=() if recipe.source == Recipe.source else None,
    ).write(out / f"{network.name}.json")
    return path


def described(recipe: Recipe) -> str:
    """Describe the clean images of a recipe."""
    if recipe.source == Recipe.source:
        return f"{recipe.images} dead leaves images of 256×256 (petlir.benchmark.images.procedural), no photographs"
    return f"{recipe.images} patches of 256×256 of the photographs in {recipe.source}"


def _device(network: Backbone) -> str:
    device = next(network.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' if threads > 1 else ''}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PetlirError(f"cannot write to {folder}: {error.strerror}") from error
