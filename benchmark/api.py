"""The Python API beside the contracts: build networks, score images and run grids."""

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
        PetlirError: unknown backbone or option; the message suggests the nearest.
    """
    return find().build(name, **options)


def score(restored: AnyImage | str | Path, clean: AnyImage | str | Path, protocol: str = "y-crop4") -> dict[str, float]:
    """Score restored images against the clean ones.

    Args:
        restored: an image (H×W×3 uint8 or float in [0, 1], a PIL image, or N×3×H×W in [0, 1]), or a folder of images.
        clean: as `restored`; images in folders are paired by name.
        protocol: how two images are compared; `petlir list protocols` names those of the literature.

    Returns:
        `psnr` in dB, infinite for identical images, and `ssim`; averaged over several images.

    Raises:
        PetlirError: unsupported image type, shape or size, or unknown protocol.
    """
    rule = protocol_of(protocol)
    if isinstance(restored, str | Path) and isinstance(clean, str | Path):
        mean = score_folders(Path(restored), Path(clean), rule)["mean"]
        return {"psnr": float(mean["psnr"]), "ssim": mean["ssim"]}
    for side, what in ((restored, "restored"), (clean, "clean")):
        if isinstance(side, str | Path):
            raise PetlirError(f"{what} is the folder {side}, the other is an image; expected two images or two folders")
    pair = given(restored, "the restored image").batch, given(clean, "the clean image").batch
    return {metric.name: metric(*pair) for metric in (PSNR(rule), SSIM(rule))}


@dataclass(frozen=True)
class Run(Outcome):
    """The outcome of a run and its results."""

    def table(self) -> pd.DataFrame:
        """Return the results: a row for each method, task, image set and protocol.

        Each row holds the scores (PSNR in dB, and SSIM), the differences to the frozen network, to full fine-tuning
        and to the input, confidence intervals where there are enough seeds, and the costs of the method. A row without
        a score has a `state` and a `reason`.
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
    """Run a grid, as `petlir run` does: train and score what the store does not hold yet.

    Args:
        store: folder of the records, or a URL.
        grid: the named grid that fills in what is not chosen.
        backbones: names, as a list or with commas; `*` for all.
        methods: e.g. `"lora[rank=4,8],adapter@20k"`.
        tasks: names; `petlir list tasks` names them.
        track: `demo`, `open` or `paper`.
        seeds: e.g. `[0, 1, 2]`, or `"0,1,2"`.
        steps: optimiser steps; the track's own if left out.
        regime: `tuned`, or `paper`: AdamW at 1e-4 for all.
        data: folder of image sets.
        plugins: plugin files.
        weights: pre-trained weights, each `NAME=FILE` or `NAME=hub:OWNER/REPO@REVISION/FILE#sha256=HEX`.
        protocols: further protocols that images are scored under.
        metrics: further metrics, a plugin's or pyiqa's.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        workers: worker processes on the CPU, or on each GPU.
        allow_overlap: go on where test images are trained on; the records say so.

    Raises:
        PetlirError: a name, an option or a folder is wrong; nothing was run.
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
    """Return a selection as the command line spells it, separated by commas."""
    if values is None or isinstance(values, str):
        return values
    return str(values) if isinstance(values, int) else ",".join(map(str, values))
