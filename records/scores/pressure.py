"""The mean arterial pressure: as charted, or worked out where only its two ends are."""

import numpy as np
from cohorts.records.scores.measured_rows import MeasuredRows
from cohorts.records.scores.observed import Observed, together

_MEAN, _SYSTOLIC, _DIASTOLIC = "mean arterial pressure", "systolic blood pressure", "diastolic blood pressure"
MEASURES = frozenset({_MEAN, _SYSTOLIC, _DIASTOLIC})


def mean_pressure(measured: MeasuredRows) -> Observed:
    """Return the mean arterial pressure, mmHg: charted, else (systolic + 2 × diastolic) / 3 of one time.

    Where a mean is charted at that time, nothing is worked out. mimic-code takes charted means alone, which its source
    has with every reading.
    """
    charted = measured.of(_MEAN)
    systolic, diastolic = measured.of(_SYSTOLIC).sorted(), measured.of(_DIASTOLIC)
    diastolic = diastolic.take(diastolic.value > 0).sorted()
    _, high, low = np.intersect1d(systolic.key, diastolic.key, return_indices=True)
    pairs = systolic.take(high).with_values((systolic.value[high] + 2 * diastolic.value[low]) / 3)
    return together(charted, pairs.take(~np.isin(pairs.key, charted.key)))
