"""The worst values of a window, and of the 24 h before every hour: all that the scores ask for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from cohorts.records.base import Batch
from cohorts.records.scores import breathing, coma, infusions, pressure, urine
from cohorts.records.scores.about import about_patients
from cohorts.records.scores.measured_rows import DoneRows, MeasuredRows
from cohorts.records.scores.observed import ALWAYS, HOUR, NEVER, Floats, Ints, Observed, seconds, together

if TYPE_CHECKING:
    import pandas as pd


class Worst(NamedTuple):
    """A column: which values it is the lowest (or highest) of."""

    of: str
    lowest: bool


LOWEST, HIGHEST = True, False
SOFA_INPUTS: Mapping[str, Worst] = {
    "pao2_fio2": Worst("pao2_fio2", LOWEST),  # mmHg, without invasive ventilation
    "pao2_fio2_invasive": Worst("pao2_fio2_invasive", LOWEST),  # with it
    "platelets": Worst("platelets", LOWEST),  # 10^9/L
    "bilirubin": Worst("bilirubin", HIGHEST),  # mg/dL
    "mean_pressure": Worst("mean_pressure", LOWEST),  # mmHg
    **{drug: Worst(drug, HIGHEST) for drug in infusions.DRUGS},  # mcg/kg/min
    "gcs": Worst("gcs", LOWEST),
    "creatinine": Worst("creatinine", HIGHEST),  # mg/dL
    "urine_24h": Worst("urine_24h", LOWEST),  # mL
}
"""What SOFA asks for."""
SAPSII_INPUTS: Mapping[str, Worst] = {
    "heart_rate_lowest": Worst("heart rate", LOWEST),  # /min
    "heart_rate_highest": Worst("heart rate", HIGHEST),
    "systolic_lowest": Worst("systolic blood pressure", LOWEST),  # mmHg
    "systolic_highest": Worst("systolic blood pressure", HIGHEST),
    "temperature": Worst("temperature", HIGHEST),  # degC
    "ventilated": Worst("ventilated", HIGHEST),  # 1 with a ventilator or mask, 0 where charting shows none
    "pao2_fio2_supported": Worst("pao2_fio2_supported", LOWEST),  # mmHg, with a ventilator or mask
    "urine_24h": Worst("urine_24h", LOWEST),
    "urea_nitrogen": Worst("urea nitrogen", HIGHEST),  # mg/dL
    "white_cells_lowest": Worst("white cells", LOWEST),  # 10^9/L
    "white_cells_highest": Worst("white cells", HIGHEST),
    "potassium_lowest": Worst("potassium", LOWEST),  # mmol/L
    "potassium_highest": Worst("potassium", HIGHEST),
    "sodium_lowest": Worst("sodium", LOWEST),  # mmol/L
    "sodium_highest": Worst("sodium", HIGHEST),
    "bicarbonate": Worst("bicarbonate", LOWEST),  # mmol/L
    "bilirubin": Worst("bilirubin", HIGHEST),
    "gcs": Worst("gcs", LOWEST),
}
"""What SAPS II asks for, besides age, kind of admission and chronic disease."""

_BACK = 24  # hours that a value counts
_COMPOSED = frozenset(
    {
        "pao2_fio2",
        "pao2_fio2_invasive",
        "pao2_fio2_supported",
        "ventilated",
        "mean_pressure",
        "gcs",
        "urine_24h",
    }
)


def worst_values(
    batch: Batch, start: "pd.Series[pd.Timestamp]", end: "pd.Series[pd.Timestamp]"
) -> "pd.DataFrame":
    """Return what the scores ask for, of each unit after `start` up to `end`, both in the order of the units.

    One row a unit, RangeIndex: the columns of SOFA_INPUTS and SAPSII_INPUTS, float64, NaN where nothing was seen, and
    `age`, `admission_kind` and `chronic_disease` (`about.py`). Of the admission described alone. A drug that ran in
    the window counts, also one that began before it.
    """
    import pandas as pd

    wanted = {**SOFA_INPUTS, **SAPSII_INPUTS}
    seen = observed(batch, wanted)
    first, last = seconds(start, ALWAYS), seconds(end, NEVER)
    found = {}
    for name, one in wanted.items():
        values = seen[one.of]
        within = (values.time <= last[values.unit]) & (values.until > first[values.unit])
        found[name] = _extremes(values.unit[within], values.value[within], len(batch), lowest=one.lowest)
    return pd.concat([pd.DataFrame(found), about_patients(batch, end)], axis=1)


def hourly_worst(seen: Mapping[str, Observed], began: Ints, hours: Ints) -> "pd.DataFrame":
    """Return what SOFA asks for in the 24 h up to every hour: one row for each of hours 0 to `hours` of each unit.

    `began` and `hours` are (units,); hour 0 is at `began`, seconds since 1970. A unit with -1 hours has no row.
    """
    import pandas as pd

    lengths = np.where(hours < 0, 0, hours + _BACK)  # the 23 hours before hour 0 as well
    first = np.cumsum(lengths) - lengths
    total = int(lengths.sum())
    place = np.arange(total) - np.repeat(first, lengths)
    found = {}
    for name, one in SOFA_INPUTS.items():
        row, value = _by_hour(seen[one.of], began, lengths, first)
        hourly = _extremes(row, value, total, lowest=one.lowest)
        found[name] = _rolled(hourly, np.fmin if one.lowest else np.fmax)[place >= _BACK - 1]
    return pd.DataFrame(found)


def observed(batch: Batch, wanted: Mapping[str, Worst]) -> Mapping[str, Observed]:
    """Return the values that some columns are found among, by the name of what is measured."""
    plain = frozenset(one.of for one in wanted.values()) - _COMPOSED - frozenset(infusions.DRUGS)
    composed = breathing.MEASURES | coma.MEASURES | urine.MEASURES | infusions.MEASURES | pressure.MEASURES
    measured = MeasuredRows(batch, plain | composed)
    procedures = DoneRows(batch, "bedside procedure")
    breaths = breathing.breathing(measured, procedures)
    charted = [measured.of("heart rate"), procedures.stretches(np.ones(len(procedures.unit), np.bool_))]
    return {
        **{name: measured.of(name) for name in plain},
        **infusions.infusions(measured, DoneRows(batch, "input"), len(batch)),
        "pao2_fio2": breaths.unaided,
        "pao2_fio2_invasive": breaths.invasive,
        "pao2_fio2_supported": breaths.supported,
        "ventilated": together(breaths.ventilated, *(one.with_values(np.zeros(len(one))) for one in charted)),
        "mean_pressure": pressure.mean_pressure(measured),
        "gcs": coma.coma(measured),
        "urine_24h": urine.urine_of_a_day(measured, first_icu(batch).began),
    }


class IcuStay(NamedTuple):
    """The first stay in intensive care of each unit's admission, seconds since 1970, (units,); NEVER where missing."""

    began: Ints
    ended: Ints


def first_icu(batch: Batch) -> IcuStay:
    """Find it."""
    stays = DoneRows(batch, "icu stay")
    order = np.lexsort((stays.stop, stays.time))[::-1]
    began, ended = np.full(len(batch), NEVER), np.full(len(batch), NEVER)
    began[stays.unit[order]] = stays.time[order]
    ended[stays.unit[order]] = seconds(stays.rows["stop"], NEVER)[order]
    return IcuStay(began, ended)


def _extremes(row: Ints, value: Floats, rows: int, *, lowest: bool) -> Floats:
    """Return the lowest or highest value of each row, (rows,), NaN where it has none."""
    none = np.inf if lowest else -np.inf
    found = np.full(rows, none)
    (np.minimum if lowest else np.maximum).at(found, row, value)
    return np.where(found == none, np.nan, found)


def _by_hour(values: Observed, began: Ints, lengths: Ints, first: Ints) -> tuple[Ints, Floats]:
    """Return the rows of the hours that values lie in, and the values, what lasts once for each of its hours."""
    since = began[values.unit]
    start = -((since - values.time) // HOUR) + _BACK - 1  # an hour ends with the moment that it is named by
    end = -((since - values.until) // HOUR) + _BACK - 1
    last = lengths[values.unit] - 1
    start, end = np.maximum(start, 0), np.minimum(end, last)
    times = np.maximum(end - start + 1, 0)
    begins = np.cumsum(times) - times
    hour = np.arange(int(times.sum())) - np.repeat(begins - start, times)
    return np.repeat(first[values.unit], times) + hour, np.repeat(values.value, times)


def _rolled(hourly: Floats, worse: np.ufunc) -> Floats:
    """Return the worst of 24 rows up to each: of 2, 4, 8 and 16, each made of two of the ones before, and of 24."""
    rolled, width = hourly, 1
    for more in (1, 2, 4, 8, 8):
        rolled = worse(rolled, np.concatenate([np.full(more, np.nan), rolled[:-more]])[: len(rolled)])
        width += more
    return rolled
