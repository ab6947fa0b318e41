"""Values by unit and time, as whole arrays: what the worst values of a window, or of every hour, are found among."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]
HOUR = 3_600  # seconds
NEVER, ALWAYS = -(2**35), 2**35 - 1  # seconds before and after all times that a record has
_SPAN = 2**37  # seconds that keep the times of two units apart


@dataclass(frozen=True)
class Observed:
    """Values of one kind: of the unit at place `unit`, from `time` until `until`, seconds since 1970; all (n,).

    What is measured at a moment has it as both. Rows are in no order.
    """

    unit: Ints
    time: Ints
    until: Ints
    value: Floats

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.value)

    @property
    def key(self) -> Ints:
        """Return the time, so that all times of a unit come before those of the next one."""
        return keyed(self.unit, self.time)

    def take(self, rows: Ints | Marks) -> "Observed":
        """Return some of them."""
        return Observed(self.unit[rows], self.time[rows], self.until[rows], self.value[rows])

    def sorted(self) -> "Observed":
        """Return them by unit and time; those of the same time in the order that they were in."""
        return self.take(np.argsort(self.key, kind="stable"))

    def with_values(self, values: Floats) -> "Observed":
        """Return them with other values."""
        return Observed(self.unit, self.time, self.until, values)


NOTHING = Observed(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def at(unit: Ints, time: Ints, value: Floats) -> Observed:
    """Return values of a moment."""
    return Observed(unit, time, time, value)


def together(*several: Observed) -> Observed:
    """Return all values of several, in this order."""
    return Observed(
        np.concatenate([one.unit for one in several]),
        np.concatenate([one.time for one in several]),
        np.concatenate([one.until for one in several]),
        np.concatenate([one.value for one in several]),
    )


def keyed(unit: Ints, time: Ints) -> Ints:
    """Return times that can be searched for in a `key`."""
    return unit * _SPAN + time


def seconds(times: "pd.Series[pd.Timestamp]", missing: int) -> Ints:
    """Return times as seconds since 1970, (n,); parts of a second are cut off."""
    values = times.to_numpy(dtype="datetime64[s]")
    return np.where(np.isnat(values), missing, values.astype(np.int64))


def covered(what: Observed, by: Observed) -> Marks:
    """Return which values lie within a stretch of `by`, both ends of it included."""
    if not len(by):
        return np.zeros(len(what), np.bool_)
    stretches = by.sorted()
    last_end = np.maximum.accumulate(keyed(stretches.unit, stretches.until))
    before = np.searchsorted(stretches.key, what.key, side="right") - 1
    return (before >= 0) & (last_end[np.maximum(before, 0)] >= what.key)


def last_before(what: Observed, of: Observed, most: int) -> Floats:
    """Return for each value the last of `of` (sorted) up to its time, at most `most` seconds old; NaN without one."""
    if not len(of):
        return np.full(len(what), np.nan)
    key = of.key
    place = np.searchsorted(key, what.key, side="right") - 1
    near = (place >= 0) & (key[np.maximum(place, 0)] >= what.key - most)
    return np.where(near, of.value[np.maximum(place, 0)], np.nan)
