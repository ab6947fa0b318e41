"""The measurements and events of the admissions that a batch's units describe."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
from cohorts.records.base import Batch
from cohorts.records.measured.measures import load_measures
from cohorts.records.measured.mimic_items import mimic_items
from cohorts.records.measured.naming import named
from cohorts.records.scores.observed import ALWAYS, NEVER, Floats, Ints, Marks, Observed, at, seconds

if TYPE_CHECKING:
    import pandas as pd

MIMIC_ITEM = "MIMIC item"
_ABOVE_ZERO = (
    "heart rate",
    "systolic blood pressure",
    "mean arterial pressure",
)  # 0 is a cable that fell off


def places_of(batch: Batch, rows: "pd.DataFrame") -> Ints:
    """Return the place of each row's unit among a batch's units, (n,); -1 for another admission than described."""
    import pandas as pd

    by_unit, unit_ids = pd.factorize(rows["unit_id"])
    by_admission, admission_ids = pd.factorize(rows["admission_id"])
    place = {one: number for number, one in enumerate(batch.units["unit_id"])}
    among = {one: number for number, one in enumerate(admission_ids)}
    unit = np.array([*(place.get(one, -1) for one in unit_ids), -1], np.int64)[by_unit]
    described = np.array([*(among.get(one, -2) for one in batch.units["admission_id"]), -2], np.int64)
    return np.where(by_admission == described[unit], unit, -1)


class MeasuredRows:
    """The measurements of a batch by measure, those of the admissions described that have a time and a value."""

    def __init__(self, batch: Batch, names: frozenset[str]) -> None:
        there, which = named(batch.measurements)
        wanted = np.array([*(one in names for one in there), False])[which]
        rows = batch.measurements[wanted]
        unit, time = places_of(batch, rows), seconds(rows["time"], NEVER)
        value = rows["value"].to_numpy(np.float64)
        kept = (unit >= 0) & (time > NEVER) & ~np.isnan(value)
        self._all = at(unit[kept], time[kept], value[kept])
        self._laboratory = (rows["kind"] == "laboratory").to_numpy(bool)[kept]
        self._which = which[wanted][kept]
        self._number: Mapping[str, int] = {name: place for place, name in enumerate(there)}

    def of(self, name: str) -> Observed:
        """Return the values of a measure, in its unit; of pressures and the heart rate those above 0."""
        rows = self._rows(name)
        found = self._all.take(rows)
        return found.take(found.value > 0) if name in _ABOVE_ZERO else found

    def laboratory_last(self, name: str) -> Observed:
        """Return the values of a measure, those of the laboratory after all others."""
        rows = self._rows(name)
        return self._all.take(np.concatenate([rows[~self._laboratory[rows]], rows[self._laboratory[rows]]]))

    def _rows(self, name: str) -> Ints:
        if name not in load_measures():
            raise KeyError(name)
        number = self._number.get(name)
        return np.zeros(0, np.int64) if number is None else np.flatnonzero(self._which == number)


class DoneRows:
    """The events of one kind of a batch, those of the admissions described that have a time, by what they are."""

    def __init__(self, batch: Batch, kind: str) -> None:
        rows = batch.events[(batch.events["kind"] == kind).to_numpy(bool)]
        unit, time = places_of(batch, rows), seconds(rows["time"], NEVER)
        kept = (unit >= 0) & (time > NEVER)
        self.rows = rows[kept].reset_index(drop=True)
        self.unit, self.time = unit[kept], time[kept]
        self.stop = seconds(self.rows["stop"], ALWAYS)

    def named(self, names: Collection[str], read: Callable[[str], str]) -> "pd.Series[str]":
        """Return which of some names each row has, else missing.

        Items of MIMIC have those of `mimic_items.csv`; of others, `read` makes one of the words that the source has.
        """
        import pandas as pd

        of_mimic = self.rows["system"] == MIMIC_ITEM
        told = self.rows["code"].where(of_mimic, self.rows["name"].fillna(self.rows["code"]))
        key = told.fillna("").where(~of_mimic, "item " + told)
        which, words = pd.factorize(key)
        items = mimic_items()
        found = [
            items[one[5:]].name if one[5:] in items else "" if one.startswith("item ") else read(one)
            for one in words
        ]
        return pd.Series([one if one in names else None for one in found], dtype="str").take(which)

    def stretches(self, marks: Marks, value: Floats | None = None) -> Observed:
        """Return some rows as stretches; one without an end goes on."""
        unit, time = self.unit[marks], self.time[marks]
        worth = np.ones(len(unit)) if value is None else value[marks]
        return Observed(unit, time, np.maximum(self.stop[marks], time), worth)
