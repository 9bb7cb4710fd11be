"""The pictures: degraded, restored and clean photographs, copied beside the page."""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmark.store import Store
from benchmark.task import Task
from reports.formats import decibel
from reports.frame import Record
from reports.groups import groups
from reports.titles import title

MOST_IMAGES = 12
"""Photographs of one set on the page; a set of a hundred would make it a download."""

Picture = dict[str, str]
"""`label`, `src` (relative to the page) and `score` in words."""


def gallery(records: Sequence[Record], store: Path, images: Path, tasks: dict[str, Task]) -> list[dict[str, Any]]:
    """Copy the photographs and say where they are, as plain data for the page's script.

    Args:
        records: what to show; of several seeds the first.
        store: where the images are.
        images: the folder, beside the page, that they are copied into.
        tasks: the tasks with a title.
    """
    found = []
    for group in groups(records):
        done = [record for record in group.select(records) if record["state"] == "done"]
        for task in sorted({record["cell"]["task"] for record in done}):
            mine = _first_seeds(record for record in done if record["cell"]["task"] == task)
            shown = [_image(score, mine, store, images) for score in _photographs(mine)]
            if shown := [image for image in shown if len(image["pictures"]) > 1]:
                found.append({"group": group.title, "task": task, "title": title(task, tasks), "images": shown})
    return found


def _first_seeds(records: Iterable[Record]) -> list[Record]:
    """One record a method: the lowest seed."""
    first: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: (r["cell"]["regime"] != "none", r["cell"]["label"], r["cell"]["seed"])):
        first.setdefault(record["cell"]["label"], record)
    return list(first.values())


def _photographs(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The photographs of a task under its first protocol, a few of each set."""
    by_set: dict[str, dict[str, dict[str, Any]]] = {}
    for score in (score for record in records for score in record["scores"]):
        if score["domain"] == "photographs":
            by_set.setdefault(score["set"], {}).setdefault(score["image"], score)
    return [score for images in by_set.values() for score in [*images.values()][:MOST_IMAGES]]


def _image(score: dict[str, Any], records: Sequence[Record], store: Path, images: Path) -> dict[str, Any]:
    """One photograph: degraded, what each method made of it, clean."""
    set_, name, protocol = score["set"], score["image"], score["protocol"]
    cell = records[0]["cell"]
    shared = Path("images", cell["track"], cell["task"], set_)
    sources = [("degraded", shared / "degraded" / f"{name}.png", _words(score, "input_"))]
    for record in records:
        folder = Store(store).cell_folder(record).relative_to(store)
        own = _score(record, set_, name, protocol)
        if own:
            label = record["cell"]["label"]
            sources.append((label, folder / "restored" / set_ / f"{name}.png", _words(own)))
    sources.append(("clean", shared / "clean" / f"{name}.png", ""))
    copied = [(label, _copy(store, source, images), words) for label, source, words in sources]
    pictures: list[Picture] = [{"label": a, "src": b, "score": c} for a, b, c in copied if b]
    width, height = _size(images.parent / pictures[-1]["src"]) if pictures else (1, 1)
    return {
        "set": set_,
        "name": name,
        "protocol": protocol,
        "width": width,
        "height": height,
        "pictures": pictures,
    }


def _score(record: Record, set_: str, name: str, protocol: str) -> dict[str, Any] | None:
    wanted = (set_, name, protocol)
    return next((s for s in record["scores"] if (s["set"], s["image"], s["protocol"]) == wanted), None)


def _words(score: dict[str, Any], prefix: str = "") -> str:
    return f"{decibel(float(score[prefix + 'psnr']))} dB, SSIM {score[prefix + 'ssim']:.3f}"


def _copy(store: Path, source: Path, images: Path) -> str:
    """The copy's place relative to the page; empty where the store has no such image of its own."""
    root, original = store.resolve(), (store / source).resolve()
    if not original.is_relative_to(root) or not original.is_file():
        return ""
    name = re.sub(r"[^A-Za-z0-9._/-]+", "-", original.relative_to(root).as_posix())
    target = images / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copyfile(original, target)
    return f"images/{name}"


def _size(path: Path) -> tuple[int, int]:
    """Width and height that a PNG file states, so that the page keeps room for it."""
    with path.open("rb") as file:
        width, height = struct.unpack(">16xII", file.read(24))
    return width, height
