"""When septic stays were first known to be septic, and since when they were by what was known then.

The onset that a whole record tells is no moment to predict at: a prescription with a day and no time of day is known
when the day is over, and may then go with an older culture than the drugs that were given on it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from cohorts.records.base import Batch
from cohorts.records.sepsis.cohort import SEPSIS3, septic
from cohorts.records.transforms import take_units
from cohorts.records.window import Moment, Window

if TYPE_CHECKING:
    import pandas as pd

_MOMENT = "moment of sepsis"
_INSTANT = np.timedelta64(1, "s")  # times are compared by the second


def first_onsets(batch: Batch) -> "pd.Series[pd.Timestamp]":
    """Return the onset of each unit by what was known when it was first known to be septic, by Sepsis-3.

    One row a unit, RangeIndex, missing where it never was. What comes later than that changes nothing.
    """
    found = septic(batch, SEPSIS3)
    onset, known = found["onset"].copy(), found["known"].copy()
    rows = np.flatnonzero(known.notna())
    while len(rows):  # each round goes back to a suspicion that was known before, until there is none
        asked = take_units(batch, rows.tolist())
        before = septic(_until(asked, known.iloc[rows] - _INSTANT), SEPSIS3)
        earlier = (before["known"].to_numpy() < known.to_numpy()[rows]).nonzero()[0]
        rows = rows[earlier]
        onset.iloc[rows] = before["onset"].to_numpy()[earlier]
        known.iloc[rows] = before["known"].to_numpy()[earlier]
    return onset


def labelled(batch: Batch, name: str, times: "pd.Series[pd.Timestamp]") -> Batch:
    """Return a batch whose units have a label `name` with a time each, at which a window can cut."""
    told = times.dt.strftime("%Y-%m-%dT%H:%M:%S.%f").set_axis(batch.units.index)
    return replace(batch, units=batch.units.assign(**{f"label_{name}": told}))


def _until(batch: Batch, times: "pd.Series[pd.Timestamp]") -> Batch:
    """Return what of each unit was known at a time."""
    known, _ = Window(end=Moment(_MOMENT)).cut(labelled(batch, _MOMENT, times))
    return known
