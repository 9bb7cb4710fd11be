"""Pre-trained weights: where they are, what they have seen, and that they are unharmed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.backbone import Backbone
from benchmark.errors import PetlirError
from benchmark.records import write_bytes
from benchmark.task import Task

SHIPPED = Path(__file__).parent / "backbones" / "weights"


@dataclass(frozen=True)
class Card:
    """What is known of a weight file; kept beside it as `NAME.json`.

    Attributes:
        sha256: of the file.
        pretrained_on: the tasks that the network has seen, e.g. `sr_x4`.
        related: task → the seen task that it resembles.
        images: what it was trained on.
        recipe: the options of the recipe.
        licence: of the weights.
    """

    sha256: str
    pretrained_on: tuple[str, ...]
    related: Mapping[str, str]
    images: str
    recipe: Mapping[str, float]
    licence: str = "Apache-2.0"

    def transfer(self, task: Task) -> str:
        """Whether the network has `seen` this task, one `related` to it, or neither (`unseen`)."""
        if task.name in self.pretrained_on:
            return "seen"
        return "related" if task.name in self.related else "unseen"

    def write(self, path: Path) -> None:
        """Write the card as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def card(name: str, folder: Path = SHIPPED) -> Card:
    """The card of the weights of backbone `name`.

    Raises:
        PetlirError: there is none, or it is no card.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise PetlirError(f"no weights are shipped for backbone {name!r}; expected {path.name} in {folder}")
    try:
        values = json.loads(path.read_text())
        return Card(**{**values, "pretrained_on": tuple(values["pretrained_on"])})
    except (ValueError, KeyError, TypeError) as error:
        raise PetlirError(f"{path} is no card of weights: {error!r}; expected what `petlir pretrain` writes") from error


def load(backbone: Backbone, folder: Path = SHIPPED) -> Card:
    """Put the shipped weights into `backbone`, and return their card.

    Raises:
        PetlirError: there are none, or the file is not the one that its card describes.
    """
    from safetensors.torch import load as parse

    known, content = verified(backbone.name, folder)
    backbone.load_official(parse(content))
    return known


def verified(name: str, folder: Path = SHIPPED) -> tuple[Card, bytes]:
    """The card and the content of a weight file, which is the one that its card describes.

    Raises:
        PetlirError: it is not.
    """
    known = card(name, folder)
    path = folder / f"{name}.safetensors"
    content = path.read_bytes() if path.is_file() else b""
    found = hashlib.sha256(content).hexdigest()
    if found != known.sha256:
        raise PetlirError(
            f"weight file {path} is damaged or not the shipped one: sha256 {found[:12]}…, expected {known.sha256[:12]}…"
        )
    return known, content


def save(backbone_state: Mapping[str, object], path: Path) -> str:
    """Write a state dict as safetensors, whole or not at all; returns the sha256 of the file."""
    from safetensors.torch import save as serialise

    content = serialise(dict(backbone_state))
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()
