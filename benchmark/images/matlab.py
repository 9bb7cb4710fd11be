"""Blocks of images in MATLAB files, as in SIDD: one uint8 array, images × blocks × height × width × 3.

Both formats of `.mat` files are read: versions up to 7 with SciPy, and version 7.3, which is HDF5 with reversed axes,
with h5py.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from petlir.benchmark.degradation import Image
from petlir.benchmark.errors import PetlirError

if TYPE_CHECKING:
    from h5py import File

FAULTS = (OSError, ValueError, TypeError, KeyError, EOFError, IndexError, zlib.error)
"""Exceptions that scipy and h5py raise for a file that is truncated or of another format."""


@dataclass(frozen=True)
class BlockReader:
    """One block of a MATLAB file, read on demand; see `petlir.benchmark.images.imageset.Reader`."""

    path: Path
    row: int
    block: int

    @property
    def where(self) -> str:
        """The file and the indices of the block, counted from 0."""
        return f"{self.path}[{self.row}, {self.block}]"

    @property
    def stamp(self) -> str:
        """The location of the block, and the size and modification time of the file."""
        status = self.path.stat()
        return f"{self.where} {status.st_size} {status.st_mtime_ns}"

    def __call__(self) -> Image:
        """Return the pixels; the whole file is read once, for all its blocks."""
        image: Image = _blocks(self.path, self.path.stat().st_mtime_ns)[self.row, self.block]
        return image


def blocks(path: Path, rows: Sequence[str]) -> Iterator[tuple[tuple[str, str], BlockReader]]:
    """Yield each block of a file, with the name of its image and the block's number, which starts at 01.

    Raises:
        PetlirError: the file cannot be read, has no array of the file's name, or the array has an unexpected shape or
            dtype.
    """
    shape, kind = _shape(path)
    if len(shape) != 5 or shape[0] != len(rows) or shape[-1] != 3 or kind != "uint8":
        found = f"{'×'.join(map(str, shape))} of {kind}"
        raise PetlirError(f"{path} is {found}; expected {len(rows)} × blocks × height × width × 3 of uint8")
    for row, name in enumerate(rows):
        for block in range(shape[1]):
            yield (name, f"{block + 1:02d}"), BlockReader(path, row, block)


def _shape(path: Path) -> tuple[tuple[int, ...], str]:
    """Return the shape (in MATLAB's axis order) and dtype of the array named after the file, without reading values."""
    if _is_hdf5(path):
        with _hdf5(path) as file:
            found = {name: (tuple(reversed(array.shape)), str(array.dtype)) for name, array in file.items()}
    else:
        from scipy.io import whosmat

        try:
            found = {name: (tuple(shape), kind) for name, shape, kind in whosmat(path)}
        except FAULTS as error:
            raise PetlirError(f"{path} is not a readable .mat file: {error}") from error
    if path.stem not in found:
        raise PetlirError(f"{path} holds {', '.join(found) or 'nothing'}; expected the array {path.stem}")
    return found[path.stem]


@lru_cache(maxsize=2)
def _blocks(path: Path, changed: int) -> NDArray[np.uint8]:
    """Read the whole array of a file; the arrays of the last two files, e.g. clean and noisy, are kept in memory."""
    try:
        if _is_hdf5(path):
            with _hdf5(path) as file:
                array = np.asarray(file[path.stem]).transpose()
        else:
            from scipy.io import loadmat

            array = loadmat(path, variable_names=[path.stem])[path.stem]
    except FAULTS as error:
        raise PetlirError(f"{path} is not a readable .mat file: {error}") from error
    whole: NDArray[np.uint8] = np.ascontiguousarray(array)
    return whole


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(10).startswith((b"MATLAB 7.3", b"\x89HDF"))


def _hdf5(path: Path) -> File:
    try:
        import h5py
    except ImportError:
        raise PetlirError(f"{path} is of version 7.3; reading it needs h5py: pip install 'petlir[mat]'") from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise PetlirError(f"{path} is not a readable .mat file: {error}") from error
