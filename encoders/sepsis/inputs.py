"""What the network sees of stays: three arrays, each scaled and without gaps, and how long the sequences are."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from cohorts.encoders.sepsis.network import Tensors

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Inputs:
    """Of n stays: `static` (n, s), `series` (n, steps, c) and `notes` (n, notes, w) float32, `summary` (n, k) float32.

    A sequence begins at place 0, has `steps` or `many_notes` (n,) places, and zeros behind them; what lies there is
    never read. `summary` is what models without sequences see of the series: its variables over the whole window.
    """

    static: Floats
    series: Floats
    steps: Ints
    notes: Floats
    many_notes: Ints
    summary: Floats

    def __len__(self) -> int:
        """Return n."""
        return len(self.static)

    def take(self, rows: Rows) -> "Inputs":
        """Return those of the stays at `rows`, (m,)."""
        return Inputs(*(getattr(self, one.name)[rows] for one in fields(self)))

    def flat(self) -> Floats:
        """Return (n, columns) float32 for models without sequences: static, series over the window, mean of the notes.

        A stay without notes has zeros in the place of their mean.
        """
        there = np.arange(self.notes.shape[1]) < self.many_notes[:, None]
        mean = (self.notes * there[..., None]).sum(axis=1) / np.maximum(self.many_notes, 1)[:, None]
        return np.concatenate([self.static, self.summary, mean.astype(np.float32)], axis=1)

    def tensors(self, rows: Rows) -> "Tensors":
        """Return the inputs of the stays at `rows`, (m,), as tensors."""
        import torch
        from cohorts.encoders.sepsis.network import Tensors

        parts = (self.static, self.series, self.steps, self.notes, self.many_notes)
        return Tensors(*(torch.from_numpy(one[rows]) for one in parts))

    def parts(self, many: int) -> Iterator[Rows]:
        """Yield the places of all stays, `many` at once."""
        for start in range(0, len(self), many):
            yield np.arange(start, min(start + many, len(self)))
