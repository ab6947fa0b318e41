"""A few of many things, drawn by lot while they go by, each as likely.

Source: Vitter, 1985, Random sampling with a reservoir, algorithm R.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
Entries = tuple[npt.NDArray[np.int32], npt.NDArray[Any]]
"""Where a sparse row has numbers, and these."""


class Lot(Generic[T]):
    """At most so many `drawn`, of the `met` so far."""

    def __init__(self, most: int, seed: int) -> None:
        self.met = 0
        self.drawn: list[T] = []
        self._most, self._rng = most, np.random.default_rng(seed)

    def place(self) -> int | None:
        """Meet one more, and return the place in `drawn` that it takes, None where it is not drawn."""
        self.met += 1
        at = len(self.drawn) if self.met <= self._most else int(self._rng.integers(self.met))
        return at if at < self._most else None

    def put(self, place: int, one: T) -> None:
        """Put it into the place that `place` returned, last or in another's stead."""
        self.drawn[place : place + 1] = [one]


def draw_rows(
    lot: Lot[Entries], columns: npt.NDArray[np.int32], values: npt.NDArray[Any], ends: Sequence[int]
) -> None:
    """Draw from the rows of a sparse matrix that have an entry; those of row i stand from ends[i] to ends[i + 1]."""
    for start, end in pairwise(ends):
        place = lot.place() if start < end else None
        if place is not None:
            lot.put(place, (columns[start:end].copy(), values[start:end].copy()))


def as_matrix(rows: Sequence[Entries], column: npt.NDArray[np.int32], width: int) -> Any:
    """Return sparse rows as one matrix, scipy CSR (rows, width) float32, columns rising.

    `column` is that of every number by which the rows' entries go, -1 for one that is left out.
    """
    from scipy.sparse import csr_array

    columns = column[np.concatenate([np.zeros(0, np.int32), *(numbers for numbers, _ in rows)])]
    values = np.concatenate([np.zeros(0, np.float32), *(each for _, each in rows)]).astype(np.float32)
    stays = columns >= 0
    ends = np.concatenate([[0], np.cumsum(stays)])[np.cumsum([0, *(len(numbers) for numbers, _ in rows)])]
    made = csr_array((values[stays], columns[stays], ends), shape=(len(rows), width))
    made.sort_indices()
    return made
