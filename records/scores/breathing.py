"""Ventilation, and the ratio of the arterial oxygen pressure to the inspired fraction of oxygen.

Invasive ventilation is known from bedside procedures with their times, and from settings of a ventilator that are
charted, or told with a blood gas: from one of them to the next, at most 8 h later (the gap in mimic-code's
ventilation_durations for MIMIC-III), unless non-invasive ventilation is known to run.

A batch does not tell whether blood was arterial: a pO2 of venous blood counts as well, and makes lungs look worse than
they are.
"""

from typing import NamedTuple

import numpy as np
from cohorts.records.scores.measured_rows import DoneRows, MeasuredRows
from cohorts.records.scores.observed import (
    HOUR,
    Floats,
    Marks,
    Observed,
    covered,
    last_before,
    together,
)

SETTINGS = ("tidal volume set", "tidal volume", "plateau pressure", "respiratory rate set")
MEASURES = frozenset({"pO2", "FiO2", *SETTINGS})
INVASIVE, NON_INVASIVE = "invasive ventilation", "non-invasive ventilation"
_GAP, _FIO2_H = 8 * HOUR, 4


class Breathing(NamedTuple):
    """PaO2/FiO2 (mmHg) without invasive ventilation, with it, and with any; and when any ventilation ran, each 1.0."""

    unaided: Observed
    invasive: Observed
    supported: Observed
    ventilated: Observed


def breathing(measured: MeasuredRows, procedures: DoneRows) -> Breathing:
    """Find the ratios: by the fraction told with the gas, or the last one charted in the 4 h before it."""
    names = procedures.named({INVASIVE, NON_INVASIVE}, str.lower)
    tube = procedures.stretches((names == INVASIVE).to_numpy(bool))
    mask = procedures.stretches((names == NON_INVASIVE).to_numpy(bool))
    machine = _running(together(*(measured.of(name) for name in SETTINGS)))
    ratio = _ratios(measured)
    by_tube = covered(ratio, tube) | (covered(ratio, machine) & ~covered(ratio, mask))
    return Breathing(
        unaided=ratio.take(~by_tube),
        invasive=ratio.take(by_tube),
        supported=ratio.take(by_tube | covered(ratio, mask)),
        ventilated=together(tube, mask, machine),
    )


def _ratios(measured: MeasuredRows) -> Observed:
    pressure, fraction = measured.of("pO2"), measured.laboratory_last("FiO2").sorted()
    percent: Floats = last_before(pressure, fraction, _FIO2_H * HOUR)
    told: Marks = ~np.isnan(percent)
    return pressure.with_values(100 * pressure.value / percent).take(told)


def _running(settings: Observed) -> Observed:
    """Return from each setting to the next one where a ventilator runs on, each with the value 1."""
    ones = settings.sorted()
    goes_on = np.zeros(len(ones), np.bool_)
    goes_on[:-1] = (ones.unit[1:] == ones.unit[:-1]) & (ones.time[1:] - ones.time[:-1] <= _GAP)
    until = np.where(goes_on, np.append(ones.time[1:], 0), ones.time)
    return Observed(ones.unit, ones.time, until, np.ones(len(ones)))
