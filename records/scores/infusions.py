"""Infusions of dopamine, dobutamine, epinephrine and norepinephrine, in mcg/kg/min."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from cohorts.records.codes.concepts.drugs import ingredients_of_name
from cohorts.records.scores.measured_rows import DoneRows, MeasuredRows
from cohorts.records.scores.observed import Floats, Marks, Observed

DRUGS = ("dopamine", "dobutamine", "epinephrine", "norepinephrine")
MEASURES = frozenset({"weight"})
LEAST_RATE = 1e-6  # mcg/kg/min: it ran, and how fast is not known; the least points of the drug
_BY_WEIGHT, _WHOLE = "mcg/kg/min", "mg/hour"
_PER_MIN = 1_000 / 60  # mcg/min in a mg/hour


def infusions(measured: MeasuredRows, inputs: DoneRows, units: int) -> Mapping[str, Observed]:
    """Return the rates of each drug while it ran; one without an end counts when it began.

    Rates by the hour or minute (`mg/hour` in a batch, whatever a source writes) become rates by kilogram by the first
    weight charted in the admission. Where there is none, or in another unit, LEAST_RATE stands for what is not known.
    """
    names = inputs.named(DRUGS, _drug)
    known = names.notna().to_numpy(bool)
    rate = _rates(inputs, _weights(measured, units))
    found = {}
    for drug in DRUGS:
        marks: Marks = known & (names == drug).to_numpy(bool) & (rate > 0)
        found[drug] = _ended(inputs, marks, rate)
    return found


def _drug(words: str) -> str:
    """Return which of the drugs an infusion's name tells, "" where it tells none."""
    return next((one for one in ingredients_of_name(words) if one in DRUGS), "")


def _ended(inputs: DoneRows, marks: Marks, rate: Floats) -> Observed:
    ran = inputs.stretches(marks, rate)
    has_end = inputs.rows["stop"].notna().to_numpy(bool)[marks]
    return Observed(ran.unit, ran.time, np.where(has_end, ran.until, ran.time), ran.value)


def _weights(measured: MeasuredRows, units: int) -> Floats:
    """Return the first weight of each unit, kg, (units,); NaN without one."""
    weights = measured.of("weight").sorted()
    found = np.full(units, np.nan)
    found[weights.unit[::-1]] = weights.value[::-1]
    return found


def _rates(inputs: DoneRows, weights: Floats) -> npt.NDArray[np.float64]:
    rate = inputs.rows["rate"].to_numpy(np.float64)
    uom = inputs.rows["rate_uom"].fillna("")
    by_weight, whole = ((uom == one).to_numpy(bool) for one in (_BY_WEIGHT, _WHOLE))
    converted = np.where(whole, rate * _PER_MIN / weights[inputs.unit], np.where(by_weight, rate, np.nan))
    return np.where(np.isnan(converted) & (rate > 0), LEAST_RATE, converted)
