"""Laboratory values by day of the admission: for every person the mean of a day's values."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.history.scan import Told, rows_of
from cohorts.records.codes.concepts.laboratory import item_of
from cohorts.records.kept.reading import Kept

ITEMS = (
    "creatinine",
    "urea nitrogen",
    "sodium",
    "potassium",
    "bicarbonate",
    "chloride",
    "glucose",
    "lactate",
    "haemoglobin",
    "white cells",
    "platelets",
    "bilirubin",
    "INR",
    "albumin",
    "magnesium",
    "phosphate",
)
"""The items whose courses are told, by the names of the map `laboratory`."""
DAYS = 7
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Course:
    """An item in its unit: `values` (people, 7) float32 are the means of each day's values, NaN where there is none.

    `others`: the share of the item's values that are in other units, which no table converts, and don't count.
    """

    item: str
    uom: str
    values: Values
    others: float

    def __str__(self) -> str:
        """Return the item with its unit."""
        return self.item if self.uom in ("", "1") else f"{self.item}, {self.uom}"


def courses_of(kept: Kept, people: pd.DataFrame, told: Told) -> list[Course]:
    """Return the courses of the items that were measured in the first days of the people's described admissions."""
    sums: dict[tuple[str, str], _Sums] = {}
    columns = ("name", "loinc", "uom", "time", "value")
    for rows in rows_of(kept, people, ("laboratory",), columns, told):
        which, distinct = rows.coded("name", "loinc", "uom")
        items = [(_item(name, loinc), uom or "") for name, loinc, uom in distinct]
        value = rows.batch.column("value").to_numpy(zero_copy_only=False)
        day = np.floor(rows.hours(people["admitted"]) / 24)
        known = np.array([bool(item) for item, _ in items])[which]
        mine = np.flatnonzero(known & ~np.isnan(value) & (day >= 0) & (day < DAYS))
        mine = mine[np.argsort(which[mine], kind="stable")]
        for rows_of_one in np.split(mine, np.flatnonzero(np.diff(which[mine])) + 1) if len(mine) else ():
            item = items[which[rows_of_one[0]]]
            own = sums.setdefault(item, _Sums.of(len(people)))
            own.add(rows.person[rows_of_one] * DAYS + day[rows_of_one].astype(np.int64), value[rows_of_one])
    return [_course(item, sums) for item in ITEMS if any(name == item for name, _ in sums)]


class _Sums(NamedTuple):
    """Sums and counts of values, by person and day, (people x 7,)."""

    total: Values
    many: npt.NDArray[np.uint16]

    @classmethod
    def of(cls, people: int) -> "_Sums":
        return cls(np.zeros(people * DAYS, np.float32), np.zeros(people * DAYS, np.uint16))

    def add(self, place: npt.NDArray[np.int64], value: npt.NDArray[np.float64]) -> None:
        """Add values at their places."""
        places, which = np.unique(place, return_inverse=True)
        self.total[places] += np.bincount(which.reshape(-1), value).astype(np.float32)
        self.many[places] += np.bincount(which.reshape(-1)).astype(np.uint16)


def _course(item: str, sums: Mapping[tuple[str, str], _Sums]) -> Course:
    """Return an item's course in the unit that most of its values have."""
    in_units = {uom: own for (name, uom), own in sums.items() if name == item}
    many = {uom: int(own.many.sum()) for uom, own in in_units.items()}
    uom = max(many, key=lambda one: many[one])
    with np.errstate(invalid="ignore"):
        values = in_units[uom].total / in_units[uom].many
    others = 1 - many[uom] / sum(many.values())
    return Course(item, uom, values.astype(np.float32).reshape(-1, DAYS), others)


@cache
def _item(name: str | None, loinc: str | None) -> str:
    found = item_of(name or "", loinc or "")
    return found if found in ITEMS else ""
