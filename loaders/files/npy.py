"""A matrix of numbers as vectors: what it must be, and an npy file that holds one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Vectors
from cohorts.errors import InputError
from cohorts.loaders.files.checks import readable

_MAX_HEADER_BYTES = 10_000  # as numpy


def check_matrix(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise InputError for what is no matrix of numbers."""
    if len(shape) != 2 or shape[1] < 1:
        raise InputError(f"{path} holds an array of shape {shape}; vectors are a matrix (rows, dimensions).")
    if dtype.kind not in "fiu":
        kind = dtype if dtype.names is None else "several, each with a name"
        raise InputError(f"{path} holds values of type {kind}; vectors are numbers, float32 for example.")


def float32(values: npt.NDArray[Any]) -> Vectors:
    """Return a copy, (rows, dim) as given; what is too large for float32 becomes infinite, and the loader finds it."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float32)


class NpyVectors:
    """A matrix mapped into memory, not read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files: Sequence[Path] = (path,)
        matrix = self._map()
        check_matrix(path, matrix.shape, matrix.dtype)
        self.rows, self.dim = matrix.shape

    def pages(self, rows: int) -> Iterator[Vectors]:
        """Yield the vectors, (rows, dim) float32 at a time, the last page shorter."""
        with readable(self._path):
            matrix = self._map()
        for first in range(0, self.rows, rows):
            yield float32(matrix[first : first + rows])

    def _map(self) -> npt.NDArray[Any]:
        self._check_header_size()
        try:
            with np.errstate(over="ignore"):  # by a shape of nonsense, which is an error then
                return np.lib.format.open_memmap(self._path, mode="r")
        except ValueError as error:
            if "Python objects" in str(error):  # a pickle, which could run anything
                raise InputError(
                    f"{self._path} holds Python objects; save a matrix of floats, float32 for example."
                ) from None
            raise

    def _check_header_size(self) -> None:
        """Raise InputError for a header of more bytes than any has: numpy would read them all first."""
        with self._path.open("rb") as file:
            major, _ = np.lib.format.read_magic(file)
            size = int.from_bytes(file.read(2 if major == 1 else 4), "little")
        if size > _MAX_HEADER_BYTES:
            raise InputError(f"{self._path} is damaged: its header would have {size:,} bytes.")
