"""Lists of plugins, image sets and parameter counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from petlir.benchmark import grid
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.backbones.meta_device import without_memory
from petlir.benchmark.cells import learning_rate
from petlir.benchmark.cells.selection import COMMITTED, RateSelection
from petlir.benchmark.commands.lists import LIGHT, Row
from petlir.benchmark.costs import count
from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images import catalogue
from petlir.benchmark.images.digests import different, digests
from petlir.benchmark.images.imageset import HalfThere, ImageSet, Missing
from petlir.benchmark.method import Method
from petlir.benchmark.plugins import Plugins, find
from petlir.benchmark.statistics.convergence import NOT_TESTED
from petlir.benchmark.training.adaptation import adapt
from petlir.benchmark.weights import cards as weight_cards
from petlir.benchmark.weights.official import Official, known
from petlir.benchmark.weights.sources import in_folder


def _methods(files: Sequence[Path]) -> list[Row]:
    found = find(files).methods
    return [
        {"name": name, "about": method.idea, "paper": method.paper.title if method.paper else None}
        for name, method in sorted(found.items())
    ]


def _backbones(files: Sequence[Path]) -> list[Row]:
    plugins = find(files)
    return [_backbone_row(plugins, name) for name in sorted(plugins.backbones)]


def _backbone_row(plugins: Plugins, name: str) -> Row:
    try:
        network = _skeleton(plugins, name)
    except PetlirError as error:  # an extra is not installed
        return {"name": name, "about": str(error), "total": None, "heads": {}}
    total = count(network).total
    return {"name": name, "about": f"{total:,} parameters", "total": total, "heads": dict(network.heads)}


def _weights(_: Sequence[Path]) -> list[Row]:
    own = [{"name": name, "about": f"found: {path}", "source": path} for name, path in in_folder().items()]
    cards = {name: weight_cards.card(name) for name in weight_cards.shipped()}
    shipped = [
        {
            "name": name,
            "about": f"{'fetched' if card.source else 'shipped'}: {card.images}; {card.licence}",
            "source": card.source or str(weight_cards.SHIPPED / f"{name}.safetensors"),
        }
        for name, card in cards.items()
    ]
    used = {row["name"]: row for row in [*shipped, *own]}
    return [*used.values(), *map(_official, known())]


def _official(one: Official) -> Row:
    network = f"{one.backbone}[heads={','.join(one.heads)}]" if one.heads else one.backbone
    about = f"official, {network}: {one.title}; {one.images}; {one.licence}; get it: {one.source}"
    return {"name": one.file, "about": about, **asdict(one)}


def _convergence(_: Sequence[Path]) -> list[Row]:
    """Return the doubling tests of the learning rates that the project ships."""
    found = [
        (path.parent.name, selection)
        for path in sorted(COMMITTED.glob("*/*.json"))
        for selection in learning_rate.shipped(path).values()
    ]
    return [_tested(track, selection) for track, selection in found]


def _tested(track: str, selection: RateSelection) -> Row:
    cell, tested = selection.cell, selection.convergence
    row = {"backbone": cell["backbone"], "method": cell["label"], "task": cell["task"], "track": track}
    return {
        "name": " · ".join(row.values()),
        "about": str(selection),
        **row,
        "steps": cell["steps"],
        "rate": selection.rate,
        "trials": len(selection.trials),
        **(tested.to_dict() if tested else {}),
        "verdict": tested.verdict if tested else NOT_TESTED,
    }


LISTS: Mapping[str, Callable[[Sequence[Path]], list[Row]]] = {
    **LIGHT,
    "methods": _methods,
    "backbones": _backbones,
    "weights": _weights,
    "convergence": _convergence,
}
"""The lists that `petlir list` prints; each row has a name, a description and additional values for JSON output."""


def presence(root: Path | None) -> list[Row]:
    """Return each image set's state (there, different, incomplete, unreadable, missing) and the way to get the set."""
    return [_present(catalogue.image_set(name), root) for name in catalogue.names()]


def _present(images: ImageSet, root: Path | None) -> Row:
    told = {"source": images.source, "get": images.get, "mirrors": list(images.mirrors), "licence": images.licence}
    row = {"name": images.name, "expected": images.count, "count": None, "digest": None, **told}
    try:
        entries = images.index(root)
        found = digests(images.name, entries)
    except Missing:
        return row | {"state": "missing", "about": f"get it: {_how(images)}"}
    except HalfThere as error:
        return row | {"state": "incomplete", "about": str(error)}
    except PetlirError as error:
        return row | {"state": "unreadable", "about": str(error)}
    row |= {"count": len(entries), "digest": found.content}
    if images.known not in (None, found.content):
        return row | {"state": "different", "about": different(images, found)}
    checked = ", as in the catalogue" if images.known else "; the catalogue has no digest for comparison"
    return row | {"state": "there", "about": f"{len(entries)} images, digest {found.content[:12]}{checked}"}


def _how(images: ImageSet) -> str:
    """Return the command or page to get an image set, and the hub repositories that a file `SET.hub` may name."""
    page = f" ({images.source})" if images.get else ""
    hub = (
        f"; or write the name of a hub repository ({', '.join(images.mirrors)}) to the file {images.name}.hub"
        if images.mirrors
        else ""
    )
    return f"{images.get or images.source}{page}{hub}"


def _skeleton(plugins: Plugins, name: str) -> Backbone:
    """Build a backbone without allocating memory for its weights."""
    with without_memory():
        return plugins.build(name)


def parameters(backbone: str, methods: str, published: bool, files: Sequence[Path]) -> list[Row]:
    """Return the parameter counts of methods on a backbone, with the chosen options or with the papers' settings."""
    plugins = find(files)
    network = _skeleton(plugins, backbone)
    total = count(network).total
    measure = partial(_trainable, plugins, backbone)
    if published:
        names = grid.choose("method", methods, plugins.methods)
        settings = [setting for name in names for setting in plugins.methods[name].published(backbone)]
        return [
            _parameter_row(network, setting.method, measure) | {"published": setting.parameters, "note": setting.note}
            for setting in settings
        ]

    notes: dict[Method, str] = {}

    def resize(method: Method, size: str) -> Method:
        if method.supports(network) is not None:
            return method
        found, note = grid.sized(method, size, total, lambda one: measure(one)[0])
        notes[found] = note
        return found

    chosen = grid.methods(methods, plugins.methods, resize)
    return [_parameter_row(network, one, measure) | {"note": notes.get(one, "")} for one in chosen]


def _trainable(plugins: Plugins, backbone: str, method: Method) -> tuple[int, int, int]:
    """Return a method's number of trainable parameters, their size in bytes, and the total number of parameters."""
    with without_memory():
        network = plugins.build(backbone)
        every = dict(network.named_parameters())
        adapted = adapt(network, method, list(network.heads)[-1], 0)
    if method.tunes_backbone:  # published counts of full fine-tuning include every head
        tuned = sum(p.numel() for p in every.values())
        return tuned, tuned * 4, tuned
    size = count(network)
    return size.trainable, sum(p.nbytes for p in adapted.trainable().values()), size.total


def _parameter_row(network: Backbone, method: Method, measure: Callable[[Method], tuple[int, int, int]]) -> Row:
    row: Row = {"method": method.name, "label": method.label, "options": method.options()}
    reason = method.supports(network)
    trainable, stored, total = (None, None, count(network).total) if reason else measure(method)
    return row | {"trainable": trainable, "stored_bytes": stored, "total": total, "not_applicable": reason}
