"""Restoration quality of a network on the images of an analysis."""

from __future__ import annotations

from statistics import fmean

import torch

from petlir.benchmark.analysis.finished import Finished, Looked
from petlir.benchmark.backbone import Backbone
from petlir.benchmark.protocol import protocol
from petlir.benchmark.restoration.restore import restore, to_image
from petlir.benchmark.scoring.psnr_ssim import psnr


@torch.no_grad()
def quality(network: Backbone, cell: Finished, images: Looked) -> float:
    """Return the mean PSNR in dB of centre crops of a cell's test images, restored through the cell's output head."""
    degraded, clean = images[cell.task]
    rule = protocol(cell.record.cell.protocols[0])
    pairs = zip(restore(network, degraded, head=cell.head), clean, strict=True)
    return fmean(psnr(to_image(output[None]), to_image(whole[None]), rule) for output, whole in pairs)
