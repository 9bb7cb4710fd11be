"""Pre-trained weights: where they are, what they have seen, and that they are unharmed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.backbone import Backbone
from benchmark.errors import PetlirError
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
    """The card of the weights of backbone `name`."""
    path = folder / f"{name}.json"
    if not path.is_file():
        raise PetlirError(f"no weights are shipped for backbone {name!r}; expected {path.name} in {folder}")
    values = json.loads(path.read_text())
    values["pretrained_on"] = tuple(values["pretrained_on"])
    return Card(**values)


def load(backbone: Backbone, folder: Path = SHIPPED) -> Card:
    """Put the shipped weights into `backbone`, and return their card.

    Raises:
        PetlirError: there are none, or the file is not the one that its card describes.
    """
    from safetensors.torch import load as parse

    known = card(backbone.name, folder)
    path = folder / f"{backbone.name}.safetensors"
    content = path.read_bytes() if path.is_file() else b""
    found = hashlib.sha256(content).hexdigest()
    if found != known.sha256:
        raise PetlirError(
            f"weight file {path} is damaged or not the shipped one: sha256 {found[:12]}…, expected {known.sha256[:12]}…"
        )
    backbone.load_official(parse(content))
    return known


def save(backbone_state: Mapping[str, object], path: Path) -> str:
    """Write a state dict as safetensors, whole or not at all; returns the sha256 of the file."""
    from safetensors.torch import save as serialise

    content = serialise(dict(backbone_state))
    temporary = path.with_suffix(".part")
    temporary.write_bytes(content)
    temporary.replace(path)
    return hashlib.sha256(content).hexdigest()
