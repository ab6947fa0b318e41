"""The Glasgow Coma Scale at each time that some of it is charted, by the rule of mimic-code (gcs.sql).

Eye + verbal + motor. What is not charted is as at the time before it, where that is less than 6 h ago, and normal
(4, 5, 6) else. Of the intubated (verbal 0) 15 is assumed: it is not known what a sedated patient would do.
"""

import numpy as np
import numpy.typing as npt
from cohorts.records.scores.measured_rows import MeasuredRows
from cohorts.records.scores.observed import HOUR, Floats, Observed, at, together

_NORMAL = {"GCS eye": 4.0, "GCS verbal": 5.0, "GCS motor": 6.0}
_TOTAL = "GCS total"
MEASURES = frozenset({*_NORMAL, _TOTAL})
_CARRIED = 6 * HOUR
_BEST = 15.0


def coma(measured: MeasuredRows) -> Observed:
    """Return the coma scale, 3 to 15: as charted whole, or from its parts."""
    return together(measured.of(_TOTAL), _from_parts([measured.of(name) for name in _NORMAL]))


def _from_parts(parts: list[Observed]) -> Observed:
    every = together(*parts)
    _, first, which = np.unique(every.key, return_index=True, return_inverse=True)
    ends = np.cumsum([0, *map(len, parts)])
    charted = np.full((len(first), len(parts)), -np.inf)
    for column, part in enumerate(parts):
        np.maximum.at(charted[:, column], which[ends[column] : ends[column + 1]], part.value)
    charted[np.isinf(charted)] = np.nan
    unit, time = every.unit[first], every.time[first]
    return at(unit, time, _totals(charted, _before(charted, unit, time)))


def _before(charted: Floats, unit: npt.NDArray[np.int64], time: npt.NDArray[np.int64]) -> Floats:
    """Return the parts of the time before, (n, 3); missing where it is too long ago, or of another unit."""
    before = np.full_like(charted, np.nan)
    if len(charted) > 1:
        near = (unit[1:] == unit[:-1]) & (time[1:] - time[:-1] < _CARRIED)
        before[1:] = np.where(near[:, None], charted[:-1], np.nan)
    return before


def _totals(charted: Floats, before: Floats) -> Floats:
    verbal, verbal_before = charted[:, 1], before[:, 1]
    was_silent = verbal_before == 0  # what was charted of the intubated is not carried on
    carried = np.where(was_silent[:, None], np.nan, before)
    known = np.where(np.isnan(charted), carried, charted)
    total = np.where(np.isnan(known), [*_NORMAL.values()], known).sum(axis=1)
    silent = (verbal == 0) | (np.isnan(verbal) & was_silent)
    return np.where(silent, _BEST, total)
