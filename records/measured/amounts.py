"""Amounts and rates of what is given, and how long what is done takes, each kind in one unit: whole columns at once.

`amounts.csv` has one row a unit: a number written in it is `scale` times as many of the unit `in`. `written` are its
spellings as `as_written` gives them: MIMIC's MetaVision writes `mcg/kg/min` and `mEq./hour`, its CareVue `mcgkgmin` and
`Uhr`. Masses by kilogram and others stay apart, and so do masses, volumes, units of activity, mEq and mmol: from one to
another it takes a weight, a concentration or a substance. What is not in the table stays as it is (`dose`).

Sources: definitions alone. Spellings: the tables of MIMIC-III's and MIMIC-IV's demonstrations, and the concepts of
MIT-LCP/mimic-code on vasopressors (mimic-iii/concepts/durations, as of August 2026).
"""

from collections.abc import Mapping
from fractions import Fraction
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.records.measured.one_system import encoded
from cohorts.records.measured.packaged import read_rows
from cohorts.records.measured.units import as_written

_AMOUNTS = {"value": "uom", "rate": "rate_uom"}


def amounts_in_one_system(events: pa.Table) -> pa.Table:
    """Return events with `value` in the unit of `uom`, and `rate` in that of `rate_uom`, from one system of units.

    The two are float64, their units text or dictionaries of text; all may be null.
    """
    for number, uom in _AMOUNTS.items():
        events = _in_one_system(events, number, uom)
    return events


def _in_one_system(events: pa.Table, number: str, uom: str) -> pa.Table:
    column = events.column(uom).combine_chunks()
    places, spelt = encoded(column)
    found = [_units().get(as_written(one), (one, 1.0)) for one in spelt]
    if [unit for unit, _ in found] == spelt:
        return events
    numbers = pc.multiply(events.column(number), pa.array(np.array([scale for _, scale in found])[places]))
    uoms = pa.array([unit for unit, _ in found], pa.string()).take(pa.array(places)).cast(column.type)
    for name, made in ((number, numbers), (uom, uoms)):
        events = events.set_column(events.column_names.index(name), name, made)
    return events


@cache
def _units() -> Mapping[str, tuple[str, float]]:
    """Return the unit that stands for each spelling, and how many of it one is."""
    return {
        spelling: (row["in"], float(Fraction(row["scale"])))
        for row in read_rows("amounts.csv")
        for spelling in row["written"].split()
    }
