"""What was coded, given and done: conditions of people, and when each drug and procedure was first used."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.history.scan import Told, rows_of
from cohorts.records.codes.concepts.base import NAME, NDC, normal
from cohorts.records.codes.concepts.built_in import open_maps
from cohorts.records.codes.phenotypes import load_phenotypes, phenotype_of
from cohorts.records.kept.reading import Kept

Numbers = npt.NDArray[np.int32]
Hours = npt.NDArray[np.float32]
DRUG, PROCEDURE = "drug", "procedure"
_BEDSIDE = "bedside procedure"
_LINE = re.compile(r"\d+ gauge")  # a line into a vein, which nearly everybody has


@dataclass(frozen=True)
class Conditions:
    """Whether a diagnosis of every phenotype stands in the record (n, names) bool, and who has any diagnosis (n,)."""

    names: tuple[str, ...]
    stated: npt.NDArray[np.bool_]
    coded: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Uses:
    """First uses: `person`, `item` and `hours` after the admission, NaN where that is not known, (m,) each.

    `items` are (kind, name): drugs by ingredient, procedures by category of CCS or as the ward's charts name them.
    """

    items: tuple[tuple[str, str], ...]
    person: Numbers
    item: Numbers
    hours: Hours

    def of_item(self, item: int) -> "Uses":
        """Return the uses of one item."""
        return self.chosen(self.item == item)

    def chosen(self, rows: npt.NDArray[np.bool_]) -> "Uses":
        """Return some of the uses, (m,)."""
        return replace(self, person=self.person[rows], item=self.item[rows], hours=self.hours[rows])

    def grouped(self, names: Sequence[tuple[str, str] | None]) -> "Uses":
        """Return the first uses by group of items: `names` has one for each item, None for those left out."""
        places = {name: at for at, name in enumerate(dict.fromkeys(one for one in names if one))}
        group = np.array([places[one] if one else -1 for one in names], np.int32)[self.item]
        mine = group >= 0
        return Uses(tuple(places), *first_of_each(self.person[mine], group[mine], self.hours[mine]))


def conditions_of(kept: Kept, people: pd.DataFrame, told: Told) -> Conditions:
    """Return the conditions that are coded for people, in the described admission or an earlier one of the unit."""
    names = tuple(one.name for one in load_phenotypes())
    place = {name: at for at, name in enumerate(names)}
    stated = np.zeros((len(people), len(names)), np.bool_)
    coded = np.zeros(len(people), np.bool_)
    for rows in rows_of(kept, people, ("diagnosis",), ("system", "code"), told, any_admission=True):
        which, values = rows.coded("system", "code")
        found = np.array([place.get(_phenotype(*value) or "", -1) for value in values])[which]
        coded[rows.person] = True
        stated[rows.person[found >= 0], found[found >= 0]] = True
    return Conditions(names, stated, coded)


def uses_of(kept: Kept, people: pd.DataFrame, told: Told) -> Uses:
    """Return when each drug and procedure was first used in the people's described admissions."""
    places: dict[tuple[str, str], int] = {}
    parts = [(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))]
    columns = ("kind", "system", "code", "name", "ndc", "time")
    for rows in rows_of(kept, people, (DRUG, PROCEDURE, _BEDSIDE), columns, told):
        which, values = rows.coded("kind", "system", "code", "name", "ndc")
        items = [[places.setdefault(one, len(places)) for one in _items(*value)] for value in values]
        many = np.array([len(one) for one in items])
        flat, starts = np.array(list(chain.from_iterable(items)), np.int32), np.cumsum(many) - many
        at = np.repeat(np.arange(len(which)), many[which])
        nth = np.arange(len(at)) - np.repeat(np.cumsum(many[which]) - many[which], many[which])
        # A day without a time begins before the admission.
        hours = np.maximum(rows.hours(people["admitted"]), 0).astype(np.float32)
        parts.append(
            first_of_each(rows.person[at].astype(np.int32), flat[starts[which[at]] + nth], hours[at])
        )
    person, item, hours = (np.concatenate(one) for one in zip(*parts, strict=True))
    return Uses(tuple(places), *first_of_each(person, item, hours))


def first_of_each(person: Numbers, item: Numbers, hours: Hours) -> tuple[Numbers, Numbers, Hours]:
    """Return every pair of person and item once, with the least of its hours."""
    order = np.lexsort((hours, item, person))  # NaN comes last
    person, item, hours = person[order], item[order], hours[order]
    new = np.ones(len(person), np.bool_)
    new[1:] = (person[1:] != person[:-1]) | (item[1:] != item[:-1])
    return person[new], item[new], hours[new]


@cache
def _phenotype(system: str | None, code: str | None) -> str | None:
    return phenotype_of(system, normal(system, code)) if system and code else None


@cache
def _maps() -> Any:
    return open_maps(["ccs", "ingredients"])


@cache
def _items(
    kind: str, system: str | None, code: str | None, name: str | None, ndc: str | None
) -> Sequence[tuple[str, str]]:
    """Return what a row is a use of: one item or several, each as (kind, name); a code that no map has is its own."""
    if kind == _BEDSIDE:
        bedside = (name or code or "").lower()
        return [(PROCEDURE, bedside)] if bedside and not _LINE.match(bedside) else []
    keys = [(NDC, ndc)] if kind == DRUG and ndc else []
    keys += [(system, code)] if system and code else []
    keys += [(NAME, name)] if kind == DRUG and name else []
    found = [(kind, one.title or one.code) for one in _maps().of(kind, keys)]
    called = name or (code if system == NAME else f"{system} {code}")
    return found or ([(kind, str(called).lower())] if code else [])
