"""What was measured, hour by hour: a cell for each stay, step and variable that has a value.

A step is some hours long; the last one ends with the window. What was measured last before the first step has a cell
at step -1: it is what was known when the series began.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from cohorts.records.measured.measures import load_measures
from cohorts.records.measured.naming import measure_names

if TYPE_CHECKING:
    import pandas as pd

BEFORE = -1  # the step of what was measured before
STATISTICS = ("first", "min", "max", "mean", "sd", "count", "since")
_BODY = ("weight", "height", "body mass index")  # static: encoders/sepsis/statics.py

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


@cache
def variables() -> tuple[str, ...]:
    """Return the measures that have series."""
    return tuple(name for name in load_measures() if name not in _BODY)


@dataclass(frozen=True)
class Cells:
    """Cells in the order of stay, variable and step: all three (m,) int32; `values` (m, 7) float32 as in STATISTICS.

    `since` is how many hours before the end of the step the last value was measured. `steps` is how many there are, of
    `step_h` hours each.
    """

    stay: Ints
    variable: Ints
    step: Ints
    values: Floats
    steps: int
    step_h: int

    @property
    def ago_h(self) -> Floats:
        """Return how many hours before the window's end each cell's last value was measured, (m,)."""
        return self.values[:, STATISTICS.index("since")] + (self.steps - 1 - self.step) * np.float32(
            self.step_h
        )

    def take(self, rows: npt.NDArray[np.intp], many: int) -> "Cells":
        """Return the cells of the stays at `rows`, each once, which are numbered anew; there are `many` now."""
        place = np.full(many, -1, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        kept = place[self.stay] >= 0
        order = np.lexsort((self.step[kept], self.variable[kept], place[self.stay[kept]]))
        return Cells(
            place[self.stay[kept]][order],
            self.variable[kept][order],
            self.step[kept][order],
            self.values[kept][order],
            self.steps,
            self.step_h,
        )

    def between(self, first: int, last: int) -> "Cells":
        """Return the cells of the stays from `first` to before `last`, which are numbered from 0."""
        kept = slice(*np.searchsorted(self.stay, [first, last]).tolist())
        return replace(self.chosen(kept), stay=self.stay[kept] - np.int32(first))

    def chosen(self, kept: npt.NDArray[np.bool_ | np.intp] | slice) -> "Cells":
        """Return some cells, (m,)."""
        places = (self.stay[kept], self.variable[kept], self.step[kept])
        return Cells(*places, self.values[kept], self.steps, self.step_h)

    @classmethod
    def join(cls, parts: Sequence["Cells"], many: Sequence[int]) -> "Cells":
        """Return the cells of several lots of stays, at least one, as one; `many` is how many stays each lot has."""
        first = np.cumsum([0, *many[:-1]])
        return cls(
            np.concatenate([part.stay + np.int32(start) for part, start in zip(parts, first, strict=True)]),
            np.concatenate([part.variable for part in parts]),
            np.concatenate([part.step for part in parts]),
            np.concatenate([part.values for part in parts]),
            parts[0].steps,
            parts[0].step_h,
        )


def cells_of(
    measurements: "pd.DataFrame",
    units: Sequence[str],
    end: "pd.Series[pd.Timestamp]",
    hours: int,
    step_h: int,
) -> Cells:
    """Return the cells of `units`, whose windows end at `end`, in order, out of a batch's measurements."""
    import pandas as pd

    stay = pd.Index(units).get_indexer(pd.Index(measurements["unit_id"]))
    variable = pd.Index(variables()).get_indexer(pd.Index(measure_names(measurements)))
    value = measurements["value"].to_numpy(np.float64)
    ends = end.to_numpy("datetime64[us]")[stay] if len(units) else np.zeros(len(stay), "datetime64[us]")
    before_h = (ends - measurements["time"].to_numpy("datetime64[us]")) / np.timedelta64(3600, "s")
    # What is later than the window is not known yet; a missing time compares false.
    known = np.flatnonzero((stay >= 0) & (variable >= 0) & np.isfinite(value) & (before_h >= 0))
    steps = hours // step_h
    step = steps - 1 - np.floor_divide(before_h[known], step_h).astype(np.int64)
    rows = _Rows(stay[known], variable[known], np.maximum(step, BEFORE), value[known], before_h[known])
    order = np.lexsort((-rows.before_h, rows.step, rows.variable, rows.stay))
    return _summed(rows.take(order), step_h, steps)


def _summed(rows: "_Rows", step_h: int, steps: int) -> Cells:
    """Return a cell for each run of rows of one stay, variable and step; rows are sorted by them and by time."""
    last = rows.ends()
    rows = rows.take(np.flatnonzero((rows.step != BEFORE) | last))  # of what was before, the last value alone
    ends = np.flatnonzero(rows.ends())
    starts = np.r_[0, ends[:-1] + 1] if len(ends) else ends
    at, count = rows.step[ends], (ends - starts + 1).astype(np.float64)
    made = np.zeros((len(ends), len(STATISTICS)))
    if len(ends):
        mean = np.add.reduceat(rows.value, starts) / count
        squares = np.square(rows.value - np.repeat(mean, count.astype(np.int64)))
        made[:, 0] = rows.value[starts]
        made[:, 1] = np.minimum.reduceat(rows.value, starts)
        made[:, 2] = np.maximum.reduceat(rows.value, starts)
        made[:, 3] = mean
        made[:, 4] = np.sqrt(np.add.reduceat(squares, starts) / count)
        made[:, 5] = count
        made[:, 6] = rows.before_h[ends] - (steps - 1 - at) * step_h
    stay, variable, step = (one.astype(np.int32) for one in (rows.stay[ends], rows.variable[ends], at))
    return Cells(stay, variable, step, made.astype(np.float32), steps, step_h)


@dataclass(frozen=True)
class _Rows:
    """Measurements of stays, (n,) each: `before_h` is hours before the window's end."""

    stay: npt.NDArray[np.int64]
    variable: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    before_h: npt.NDArray[np.float64]

    def take(self, rows: npt.NDArray[np.intp]) -> "_Rows":
        """Return some rows, (m,)."""
        return _Rows(
            self.stay[rows], self.variable[rows], self.step[rows], self.value[rows], self.before_h[rows]
        )

    def ends(self) -> npt.NDArray[np.bool_]:
        """Return which rows are the last of their stay, variable and step, (n,)."""
        last = np.ones(len(self.stay), dtype=bool)
        keys = (self.stay, self.variable, self.step)
        last[:-1] = np.any([one[1:] != one[:-1] for one in keys], axis=0)
        return last
