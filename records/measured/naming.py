"""What is measured in the rows of a batch, by the names of `measures.csv`."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from cohorts.records.measured.measures import Measure, load_measures, measures_by_loinc
from cohorts.records.measured.mimic_items import mimic_items

if TYPE_CHECKING:
    import pandas as pd

_KEY = ("code", "loinc", "uom")
_PURE = ("points", "1")  # such a number may be written without a unit


def measure_names(measurements: "pd.DataFrame") -> "pd.Series[str]":
    """Return the measure of each row of a batch's measurements, (n,) in their index; missing where none is known.

    `code` is asked first as an item id of MIMIC, then `loinc`. Either counts only where `uom` is the measure's own
    unit, or missing for a pure number: the ids of another source, which may be the same, do no harm. A source has
    converted what it could (`records/measured`), so what is in another unit is of no known unit.
    """
    import pandas as pd

    names, places = named(measurements)
    return pd.Series([*names, None], dtype="str").take(places).set_axis(measurements.index)


def named(measurements: "pd.DataFrame") -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the measures that a batch's measurements have, and the place of each row's among them, (n,).

    A row without a measure has the place -1. Every combination of code, LOINC code and unit is looked up once.
    """
    import pandas as pd

    key = np.zeros(len(measurements), np.int64)
    cells = []
    for column in _KEY:
        places, values = pd.factorize(measurements[column], use_na_sentinel=False)
        key = key * max(1, len(values)) + places
        cells.append((places, [None if pd.isna(one) else str(one) for one in values]))
    which, _ = pd.factorize(key)
    first = np.zeros(int(which.max(initial=-1)) + 1, np.int64)
    first[which[::-1]] = np.arange(len(key))[::-1]
    texts = ([values[one] for one in places[first]] for places, values in cells)
    found = [_measure(*told) for told in zip(*texts, strict=True)]
    names = sorted({one.name for one in found if one})
    number = {name: place for place, name in enumerate(names)}
    return names, np.array([number[one.name] if one else -1 for one in found], np.int64)[which]


def _measure(code: str | None, loinc: str | None, uom: str | None) -> Measure | None:
    item = mimic_items().get(code or "")
    told = (load_measures().get(item.name) if item else None, measures_by_loinc().get(loinc or ""))
    return next((one for one in told if one and _fits(one, uom)), None)


def _fits(measure: Measure, uom: str | None) -> bool:
    return uom == measure.unit or (not uom and measure.unit in _PURE)
