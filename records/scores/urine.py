"""Urine of 24 h, by the rule of mimic-code (urine_output_rate.sql)."""

import numpy as np
from cohorts.records.scores.measured_rows import MeasuredRows
from cohorts.records.scores.observed import HOUR, Ints, Observed, at, keyed, together

_SIGNS = {"urine output": 1.0, "urine and bladder irrigation out": 1.0, "bladder irrigation in": -1.0}
MEASURES = frozenset(_SIGNS)
_BACK, _LEAST, _MOST, _DAY = 23 * HOUR, 22 * HOUR, 30 * HOUR, 24 * HOUR


def urine_of_a_day(measured: MeasuredRows, began: Ints) -> Observed:
    """Return mL of urine in 24 h at each time that urine is charted, from what was charted in the 23 h up to it.

    Each volume is of the time since the one before, the first one's since `began` (units,), the beginning of intensive
    care. Only where these times add up to 22 to 30 h is a volume known; it is told of 24 h. What irrigates the bladder
    is taken off.
    """
    charted = together(*(_signed(measured.of(name), sign) for name, sign in _SIGNS.items())).sorted()
    if not len(charted):
        return charted
    key, first, which = np.unique(charted.key, return_index=True, return_inverse=True)
    unit, time = charted.unit[first], charted.time[first]
    since = time - began[unit]
    since[1:] = np.where(unit[1:] == unit[:-1], time[1:] - time[:-1], since[1:])
    volume = np.concatenate([[0.0], np.cumsum(np.bincount(which, charted.value))])
    lasted = np.concatenate([[0], np.cumsum(np.maximum(since, 0))])
    start, end = np.searchsorted(key, keyed(unit, time - _BACK)), np.arange(len(key)) + 1
    of = lasted[end] - lasted[start]
    known = (of >= _LEAST) & (of <= _MOST)
    value = (volume[end] - volume[start])[known] / of[known] * _DAY
    return at(unit[known], time[known], value)


def _signed(volumes: Observed, sign: float) -> Observed:
    return volumes.with_values(sign * volumes.value)
