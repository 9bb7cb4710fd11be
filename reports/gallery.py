"""The image gallery: degraded, restored and clean photographs, copied into the report, with their crops."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from PIL import Image, UnidentifiedImageError

from petlir.benchmark.records.files import headline_tables
from petlir.benchmark.records.groups import grouped
from petlir.benchmark.records.schema import Done, Record
from petlir.benchmark.scoring.registry import LEADING, METRICS, Score
from petlir.benchmark.store import Store
from petlir.benchmark.task import Task
from petlir.reports import kept_crops
from petlir.reports.crops import Contrast, CropBox, Pixels, contrast, crops
from petlir.reports.formats import decibel
from petlir.reports.titles import title

MOST_IMAGES = 12
"""The maximum number of photographs shown from each test set, which limits the size of the report."""


class Picture(TypedDict):
    """One version of a photograph: its path `src` from the site's root, its score as text, and its PSNR if finite."""

    label: str
    src: str
    score: str
    psnr: float | None


class Photograph(TypedDict):
    """All versions of a photograph, from the degraded image to the clean image.

    If the store holds only a crop of the photograph, `part` describes the crop; the scores are of the whole photograph.
    """

    set: str
    name: str
    part: str
    protocol: str
    width: int
    height: int
    pictures: list[Picture]
    crops: list[CropBox]
    contrast: Contrast | None


class Shown(TypedDict):
    """The photographs of one task that belong to one table of results."""

    group: str
    task: str
    title: str
    images: list[Photograph]


def gallery(records: Sequence[Record], store: Path, images: Path, tasks: dict[str, Task]) -> list[Shown]:
    """Copy the photographs and return their locations as JSON-compatible data for the inspector.

    Args:
        records: the records to show; of several seeds of a method, the lowest is used.
        store: the store with the images.
        images: the folder to copy the images into, beside the report's first page.
        tasks: the known tasks by name, for their titles.
    """
    found = []
    for group, task, mine in _tasks_with_images(records, store):
        shown = [_photograph(score, mine, store, images) for score in _photographs(mine)]
        if there := [image for image in shown if image]:
            found.append(Shown(group=group, task=task, title=title(task, tasks), images=there))
    return found


def keep_crops(records: Sequence[Record], store: Path, into: Path, most: int) -> int:
    """Write to another store crops of the photographs on which methods differ most; return the number of photographs.

    Args:
        records: the records of the store; of several seeds of a method, the lowest is used.
        store: the store with the images.
        into: the store into which the crops are written.
        most: the maximum number of photographs of each task.
    """
    kept = 0
    for _, _, mine in _tasks_with_images(records, store):
        found = []
        for score in _photographs(mine):
            # The stores may have different layouts of shared images.
            paths, targets = ([path for _, path, *_ in _sources(score, mine, root)] for root in (store, into))
            read = zip(targets, map(pixels, (store / path for path in paths)), strict=True)
            images = {target: shown for target, shown in read if shown is not None}
            restored = [index for index, path in enumerate(images) if "restored" in path.parts]
            if targets[-1] in images and (boxes := crops([*images.values()], restored, images[targets[-1]])):
                found.append((contrast([*images.values()], restored, boxes[0])["levels"], images, boxes[0]))
        for _, images, box in sorted(found, key=lambda one: -one[0])[:most]:
            kept_crops.write(into, images, box)
            kept += 1
    return kept


def _tasks_with_images(records: Sequence[Record], store: Path) -> Iterator[tuple[str, str, list[Record]]]:
    """Yield, for each group and task with stored images, the group's title, the task, and a record of each method."""
    for group, members in grouped(records).items():
        by_task: dict[str, list[Record]] = {}
        for record in members:
            if record.state == "done":
                by_task.setdefault(record.cell.task, []).append(record)
        for task, done in sorted(by_task.items()):
            mine = _first_seeds(done)
            if _has_images(mine, store):
                yield group.title, task, mine


def _has_images(records: Sequence[Record], store: Path) -> bool:
    """Return whether the store has images of the records' task; some stores hold only records."""
    cells, shared = Store(store), _shared(records, store)
    folders = (cells.cell_folder(record.cell, record.key) / "restored" for record in records)
    kept = store / kept_crops.FOLDER / shared
    return (store / shared).is_dir() or kept.is_dir() or any(folder.is_dir() for folder in folders)


def _first_seeds(records: Iterable[Record]) -> list[Record]:
    """Return one record of each method: the record with the lowest seed."""
    first: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: (r.cell.regime != "none", r.cell.label, r.cell.seed)):
        first.setdefault(record.cell.label, record)
    return list(first.values())


def _photographs(records: Sequence[Record]) -> list[Score]:
    """Return the headline scores of a task's photographs, for at most `MOST_IMAGES` photographs of each test set."""
    by_set: dict[str, dict[str, Score]] = {}
    for record in records:
        for table in headline_tables(record):
            for score in table.rows(LEADING) if table.domain == "photographs" else ():
                by_set.setdefault(score.set, {}).setdefault(score.image, score)
    return [score for images in by_set.values() for score in [*images.values()][:MOST_IMAGES]]


def _photograph(score: Score, records: Sequence[Record], store: Path, images: Path) -> Photograph | None:
    """Return the degraded, restored and clean versions of a photograph; None if fewer than two versions are stored."""
    sources = _sources(score, records, store)
    clean = sources[-1][1]
    place = "" if (store / clean).is_file() else kept_crops.find(store, clean)
    pictures = [
        (Picture(label=label, src=src, score=words, psnr=psnr), shown)
        for label, whole, words, psnr in sources
        if (src := _copy(store, kept_crops.crop_of(whole, place) if place else whole, images))
        and (shown := pixels(images.parent / src)) is not None
    ]
    if len(pictures) < 2:
        return None
    versions = [shown for _, shown in pictures]
    restored = [index for index, (one, _) in enumerate(pictures) if one["label"] not in ("degraded", "clean")]
    height, width = versions[-1].shape[:2]
    found = crops(versions, restored, versions[-1]) if pictures[-1][0]["label"] == "clean" else []
    return Photograph(
        set=score.set,
        name=score.image,
        part=f"{width}×{height} pixels at {place.removeprefix('@')}" if place else "",
        protocol=score.protocol or "",
        width=width,
        height=height,
        pictures=[one for one, _ in pictures],
        crops=found,
        contrast=contrast(versions, restored, found[0]) if found else None,
    )


def _sources(score: Score, records: Sequence[Record], store: Path) -> list[tuple[str, Path, str, float | None]]:
    """Return the label, the path in the store, the scores as text and the PSNR of each version of a photograph."""
    set_, name = score.set, score.image
    shared = _shared(records, store) / set_
    found = [(record, own) for record in records if (own := _scores(record, score))]
    given = {metric: one.input for metric, one in found[0][1].items() if one.input is not None}
    sources = [("degraded", shared / "degraded" / f"{name}.png", *_shown(given))]
    for record, own in found:
        folder = Store(store).cell_folder(record.cell, record.key).relative_to(store)
        reached = _shown({metric: one.value for metric, one in own.items()})
        sources.append((record.cell.label, folder / "restored" / set_ / f"{name}.png", *reached))
    return [*sources, ("clean", shared / "clean" / f"{name}.png", "", None)]


def _shared(records: Sequence[Record], store: Path) -> Path:
    """Return the folder of degraded and clean images, relative to the store."""
    done = next(record for record in records if isinstance(record, Done))
    return Store(store).shared_by(done).relative_to(store)


def _scores(record: Record, wanted: Score) -> dict[str, Score]:
    """Return a record's scores of one image, by metric."""
    tables = [table for table in record.tables if (table.set, table.protocol) == (wanted.set, wanted.protocol)]
    return {
        score.metric: score
        for table in tables
        for metric in METRICS
        for score in table.rows(metric)
        if score.image == wanted.image
    }


def _shown(values: Mapping[str, float]) -> tuple[str, float | None]:
    """Return the scores formatted as text, and the PSNR if it is finite."""
    psnr = values[LEADING]
    others = [f"{METRICS[name].title} {value:.3f}" for name, value in values.items() if name != LEADING]
    return ", ".join([f"{decibel(psnr)} dB", *others]), psnr if math.isfinite(psnr) else None


def _copy(store: Path, source: Path, images: Path) -> str:
    """Copy an image and return its path from the root of the site; empty if the store does not hold the image."""
    root, original = store.resolve(), (store / source).resolve()
    if not original.is_relative_to(root) or not original.is_file():
        return ""
    name = re.sub(r"[^A-Za-z0-9._/-]+", "-", original.relative_to(root).as_posix())
    target = images / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copyfile(original, target)
    return f"images/{name}"


def pixels(path: Path) -> Pixels | None:
    """Return the RGB values of an image file, H×W×3; None if the file cannot be read as an image."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError):
        return None
