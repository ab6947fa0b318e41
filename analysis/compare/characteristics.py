"""Table 1: who the groups are, with standardised mean differences and the shares that are not known."""

from collections.abc import Iterable, Sequence
from math import nan

import numpy as np
import pandas as pd
from cohorts.analysis.compare.cells import classes, number, share
from cohorts.analysis.compare.figures import Figure, Figures
from cohorts.analysis.compare.groups import Group
from cohorts.analysis.compare.small_cells import SmallCells
from cohorts.analysis.history.care import Conditions
from cohorts.analysis.history.courses import Course

TABLE, BALANCE = "characteristics", "balance"
BEFORE, AFTER = "before", "after"
_NUMBERS = {"age": "age, years"}
_CLASSES = {"earlier": "earlier admissions", "sex": "sex", "admission_type": "admission type"}
_FAR = 0.1
_EARLIER = ["none", "1", "2", "3 or more"]  # a mean would tell of the few who have many


def characteristics(
    people: pd.DataFrame,
    groups: Sequence[Group],
    conditions: Conditions,
    courses: Sequence[Course],
    cells: SmallCells,
) -> Figures:
    """Yield who the groups are: people, their conditions (coded by the end of the stay), the first day's values."""
    yield from _people(people, groups, cells)
    for name, stated in zip(conditions.names, conditions.stated.T, strict=True):
        told = np.where(conditions.coded, stated, nan)
        yield from share(TABLE, name.replace("_", " "), {one.name: told[one.places] for one in groups}, cells)
    for course in courses:
        first = {one.name: course.values[one.places, 0].astype(np.float64) for one in groups}
        yield from number(TABLE, f"{course}, first day", first, cells)


def balanced(
    people: pd.DataFrame, before: Sequence[Group], after: Sequence[Group], cells: SmallCells
) -> Figures:
    """Yield the `smd` of what patients were matched by, before and after; these stand in place of a group."""
    for when, pair in ((BEFORE, before), (AFTER, after)):
        for told in _people(people, pair, cells, more={"year": "year of admission"}):
            if told["measure"] == "smd":
                yield {**told, "sheet": BALANCE, "group": when}


def still_apart(balance: Iterable[Figure]) -> list[str]:
    """Return, to be said, in what matched groups still differ: by a standardised mean difference above 0.1."""
    far = [
        one["item"]
        for one in balance
        if one["group"] == AFTER and not one["text"] and abs(one["value"]) > _FAR
    ]
    return (
        [f"after the match the groups still differ in {', '.join(far)} (SMD above {_FAR:g})"] if far else []
    )


def _people(
    people: pd.DataFrame, groups: Sequence[Group], cells: SmallCells, more: dict[str, str] | None = None
) -> Figures:
    for column, item in (_NUMBERS | (more or {})).items():
        values = people[column].to_numpy(dtype=np.float64, na_value=nan)
        yield from number(TABLE, item, {one.name: values[one.places] for one in groups}, cells)
    for column, item in _CLASSES.items():
        levels = _earlier(people[column]) if column == "earlier" else people[column].astype("str")
        yield from classes(TABLE, item, {one.name: levels.iloc[one.places] for one in groups}, cells)


def _earlier(many: "pd.Series[float]") -> "pd.Series[str]":
    return many.clip(upper=3).map(dict(enumerate(_EARLIER)), na_action="ignore")
