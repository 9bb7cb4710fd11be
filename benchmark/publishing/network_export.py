"""Export of a finished cell's network, in its evaluation form, to ONNX or `torch.export`, for tiles of one size.

petlir's networks cannot be exported for images of variable size. A small script next to the exported network cuts
images of any size into tiles of the exported size and blends the restored tiles as petlir does; for ONNX, the script
needs only numpy, Pillow and onnxruntime.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from petlir.benchmark.backbone import Backbone
from petlir.benchmark.cells.own_images import cell_folder, restorer
from petlir.benchmark.errors import FAULTS, PetlirError, told, unknown
from petlir.benchmark.publishing import tile_runner
from petlir.benchmark.restoration.restore import LEFT, TILE_OVERLAP, WINDOW_OVERLAP
from petlir.benchmark.training.adaptation import folded
from petlir.benchmark.writing import write_bytes, write_json

FILES = {"onnx": "network.onnx", "torch": "network.pt2"}
"""Export format → name of the network's file."""
DESCRIPTION, RUNNER = "network.json", "run.py"
TILE = 128
"""The default side of a tile, rounded up to a multiple of the network's padding."""
CLOSE = 1e-4
"""The largest accepted difference between the exported network and the original, on the scale 0..1."""


class OneHead(nn.Module):
    """A network whose head is fixed, so that it has one input and one output."""

    def __init__(self, network: Backbone, head: str) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, images: Tensor) -> Tensor:
        """Restore 1×3×T×T tiles in [0, 1]."""
        restored: Tensor = self.network(images, self.head)
        return restored


@dataclass(frozen=True)
class TileSize:
    """The tiles of an exported network; side and overlap are in pixels of the degraded image.

    `left` is the outer fraction of the overlap in which a tile is replaced by its neighbour.
    """

    side: int
    overlap: int
    left: float


def tile_size(network: Backbone, head: str, tile: int | None) -> TileSize:
    """Return the tile size of a network: its fixed window if it has one, otherwise the given side.

    Raises:
        PetlirError: the network does not take tiles of this side.
    """
    if network.window is not None:
        if tile not in (None, network.window):
            raise PetlirError(
                f"tile {tile} does not fit {network.name}, whose tiles are {network.window}×{network.window} pixels"
            )
        return TileSize(network.window, min(WINDOW_OVERLAP, network.window // 4), 0.0)
    multiple = network.multiple(head)
    side = tile or -(-TILE // multiple) * multiple
    if side < 1 or side % multiple:
        raise PetlirError(f"tile {side} does not fit {network.name}; expected a multiple of {multiple}")
    return TileSize(side, min(TILE_OVERLAP, side // 4), LEFT)


def export_network(
    cell: Path | str,
    out: Path,
    form: str = "onnx",
    tile: int | None = None,
    plugins: Sequence[Path] = (),
    weights: Sequence[str] = (),
) -> float:
    """Write a finished cell's network and a runner script to a new folder; return the largest error on a noise tile.

    The error is the absolute difference between the exported network and the original, on the scale 0..1.

    A method that can be merged completely is merged into the weights, as in evaluation.

    Args:
        cell: the cell's folder, or any value accepted by `petlir restore --adapter`.
        out: a new or empty folder.
        form: `onnx` or `torch`.
        tile: side of a tile in pixels of the degraded image; the default is the network's fixed window or, without
            one, 128 rounded up to a multiple of the network's padding.
        plugins: plugin files with which the cell was run.
        weights: the user's own pre-trained weights, each `NAME=SOURCE`.

    Raises:
        PetlirError: the network has several heads in sequence, cannot be exported or differs after export, or `out`
            contains files.
    """
    if form not in FILES:
        raise unknown("format", form, FILES)
    if form == "onnx":
        _check_installed()
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise PetlirError(f"{out} holds files; expected a new or empty folder")
    model = restorer(cell_folder(cell), "cpu", plugins, weights)
    if len(model.heads) > 1:
        raise PetlirError(f"{cell} restores images with the heads {' and then '.join(model.heads)}; expected one head")
    head, network = model.heads[0], model.network
    size = tile_size(network, head, tile)
    with folded(network):
        fixed = OneHead(network, head).eval()
        example = torch.rand(1, 3, size.side, size.side, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = fixed(example)
        out.mkdir(parents=True, exist_ok=True)
        path = out / FILES[form]
        found = _exported(fixed, example, path, form)
    difference = float((found - expected).abs().max())
    if not difference <= CLOSE:
        path.unlink()
        raise PetlirError(
            f"the {form} network of {model.cell.label} differs from the original by {difference:.2g}; "
            f"expected at most {CLOSE:g}"
        )
    described = {"scale": network.heads[head], "tile": size.side, "overlap": size.overlap, "left": size.left}
    write_json(out / DESCRIPTION, {"file": path.name, "label": str(model.cell), **described})
    write_bytes(out / RUNNER, Path(tile_runner.__file__).read_bytes())
    return difference


def _check_installed() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise PetlirError(f"export to ONNX needs {', '.join(missing)}; run pip install 'petlir[onnx]'")


def _exported(network: OneHead, example: Tensor, path: Path, form: str) -> Tensor:
    """Write the network, reload it and return its output for the example."""
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad():
            program = torch.export.export(network, (example,))
            if form == "torch":
                torch.export.save(program, path)
                restored: Tensor = torch.export.load(path).module()(example)
                return restored
            return _through_onnx(program, example, path)
    except FAULTS as error:
        path.unlink(missing_ok=True)
        raise PetlirError(f"{network.network.name} cannot be exported to {form}: {told(error)}") from error


def _through_onnx(program: torch.export.ExportedProgram, example: Tensor, path: Path) -> Tensor:
    import onnxruntime

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    exported = torch.onnx.export(program, dynamo=True, input_names=["images"], output_names=["restored"], verbose=False)
    assert exported is not None
    exported.save(str(path), external_data=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": example.numpy()})[0])
