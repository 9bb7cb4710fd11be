"""Pre-trained weights: their location, their integrity, and loading them into a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.errors import PetlirError, Unwritable
from petlir.benchmark.images.cache import cache_folder
from petlir.benchmark.weights import checkpoints, pypi
from petlir.benchmark.weights.cards import SHIPPED, Card, card
from petlir.benchmark.weights.official import Official, candidates
from petlir.benchmark.weights.sources import check_digest, fetch, sha256, untrained
from petlir.benchmark.writing import write_bytes


class Unavailable(PetlirError):
    """The failure to download weights; their card is available as `card`."""

    def __init__(self, line: str, card: Card) -> None:
        super().__init__(line)
        self.card = card


def load(backbone: Backbone, folder: Path = SHIPPED, sources: Mapping[str, str] = {}) -> Card:
    """Load pre-trained weights into `backbone`, either completely or not at all, and return their card.

    Args:
        backbone: the network; on the `meta` device only names and shapes are checked; a backbone named `NAME:none`
            keeps its random weights.
        folder: folder of the shipped weights.
        sources: the user's own weights, which take precedence; see `petlir.benchmark.weights.sources`.

    Raises:
        Unavailable: the weights cannot be downloaded from the source that the card names.
        PetlirError: there are no weights, they belong to another network, or the file does not match its card.
    """
    name = backbone.name
    if untrained(name):
        return _random(name)
    member = _in_wheel(name, folder, sources)
    if member is None:
        path = _verified(name, folder, sources)
        checkpoints.load(backbone, path)
        return _described(backbone, path, sha256(path))
    try:
        state = _tensors(member, backbone.derived)
    except PetlirError as error:
        if name in sources:
            raise
        raise Unavailable(f"weights of {name}: {error}", card(name, folder)) from error
    checkpoints.fill(backbone, state, str(member))
    return _described(backbone, Path(member.member), member.sha256) if name in sources else card(name, folder)


def digest(name: str, folder: Path = SHIPPED, sources: Mapping[str, str] = {}) -> str:
    """Return the SHA-256, as published, of the file that `load` would use for backbone `name`.

    Raises:
        PetlirError: the file is missing or does not match its card.
    """
    if untrained(name):
        return _random(name).sha256
    member = _in_wheel(name, folder, sources)
    return sha256(_verified(name, folder, sources)) if member is None else member.sha256


def _random(name: str) -> Card:
    """Return the card of the random weights that `Plugins.build` draws.

    The digest in this card depends only on the name, because the network's code is already part of a cell's key.
    """
    return Card(hashlib.sha256(name.encode()).hexdigest(), (), {}, "none: random weights", {"name": "none"}, sets=())


def _in_wheel(name: str, folder: Path, sources: Mapping[str, str]) -> pypi.WheelMember | None:
    """Return the wheel member that contains a backbone's weights, or None if the weights are not in a wheel.

    Raises:
        PetlirError: the card's source is invalid, or names a file whose digest differs from the card's.
    """
    if name in sources:
        return pypi.parse(sources[name]) if sources[name].startswith(pypi.SCHEME) else None
    known = card(name, folder)
    if not known.source:
        return None
    member = pypi.parse(known.source)
    if member.sha256 != known.sha256:
        raise PetlirError(f"the card of {name} names two files: sha256 {known.sha256[:12]}… and {known.source}")
    return member


def _tensors(member: pypi.WheelMember, derived: tuple[str, ...]) -> dict[str, Tensor]:
    """Read the weights from a file in a wheel, drop keys that end in one of `derived`, and cache the rest.

    The cached file is named after the digests of the original and of its own content.
    """
    folder = cache_folder() / "weights"
    for path in folder.glob(f"{member.sha256}-*.safetensors"):
        if path.stem.endswith(sha256(path)):
            return checkpoints.read(path)
    with TemporaryDirectory() as temporary:
        original = member.download(Path(temporary))
        try:
            check_digest(original, member.sha256, str(member))
        except PetlirError as error:
            raise PetlirError(f"{error}; {member.remedy('--force-reinstall')}") from error
        read = checkpoints.read(original)
    kept = {key: tensor for key, tensor in read.items() if not key.endswith(derived)}
    state = {key: tensor.clone(memory_format=torch.contiguous_format) for key, tensor in kept.items()}
    content = _serialised(state)
    with suppress(Unwritable):  # without a writable cache, later calls only take longer
        write_bytes(folder / f"{member.sha256}-{hashlib.sha256(content).hexdigest()}.safetensors", content)
    return state


def _verified(name: str, folder: Path, sources: Mapping[str, str]) -> Path:
    """Return the weight file of a backbone, checked against the file's card if there is one."""
    path = fetch(sources[name]) if name in sources else folder / f"{name}.safetensors"
    if name not in sources or _has_card(path):
        check_digest(path, card(path.stem, path.parent).sha256, f"weight file {path}")
    return path


def _has_card(path: Path) -> bool:
    """Return whether a weight file has a card; other JSON files with the same name do not count."""
    beside = path.with_suffix(".json")
    return beside.is_file() and '"sha256"' in beside.read_text(errors="replace")


def _described(backbone: Backbone, path: Path, sha256: str) -> Card:
    """Return the file's card or, if there is none, a card made from the official checkpoints that the file may be.

    If several checkpoints match, all their tasks count as seen, so that no seen task is reported as unseen.
    """
    if _has_card(path):
        return card(path.stem, path.parent)
    found = candidates(backbone, path, sha256)
    seen = tuple(dict.fromkeys(task for one in found for task in one.pretrained_on))
    related = {task: like for one in found for task, like in one.related.items() if task not in seen}
    licences = {one.licence for one in found}
    return Card(
        sha256=sha256,
        pretrained_on=seen,
        related=related,
        images=_images(found, path, sha256),
        recipe={},
        licence=licences.pop() if len(licences) == 1 else "not known",
        sets=_sets(found),
    )


def _sets(found: Sequence[Official]) -> tuple[str, ...] | None:
    """Return the union of the known training sets."""
    known = [one.sets for one in found if one.sets is not None]
    return tuple(dict.fromkeys(name for sets in known for name in sets)) if known else None


def _images(found: Sequence[Official], path: Path, sha256: str) -> str:
    if not found:
        return "not known"
    if found[0].identical(path, sha256):
        return found[0].images
    names = " or ".join(one.file for one in found)
    return f"{found[0].images if len(found) == 1 else 'not known'} (assumed to be {names} by shape, not by digest)"


def save(backbone_state: Mapping[str, object], path: Path) -> str:
    """Write a state dict as safetensors atomically, and return the SHA-256 of the file."""
    content = _serialised(backbone_state)
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def _serialised(state: Mapping[str, object]) -> bytes:
    from safetensors.torch import save as serialise

    content: bytes = serialise(dict(state))
    return content
