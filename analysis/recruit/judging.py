"""Whether each patient meets each criterion, as the records tell: met, not met, or unknown, and by which of them.

What the record has other rows of its kind beside is not met: a patient with diagnoses, and none of heart failure, has
none. Without any row of the kind nothing is known; a laboratory item that was not measured is not known either.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.recruit.profile import Criterion, span_of
from cohorts.analysis.recruit.records import NEVER, People, Records, Times, Whose
from cohorts.connectors.base import Connector
from cohorts.connectors.filters.conditions import All, AnyOf, Comparison, Contains, Filter, IsNull, Not, OneOf
from cohorts.connectors.filters.reading import parse_filter
from cohorts.errors import InputError
from cohorts.records.codes.concepts.applied import distinct_codes, distinct_items
from cohorts.records.codes.concepts.base import LABORATORY, LOINC, NAME, NDC
from cohorts.records.codes.concepts.drugs import Ingredients
from cohorts.records.codes.concepts.laboratory import item_of
from cohorts.records.codes.phenotypes import stating

UNKNOWN, MET, NOT_MET = 0, 1, 2
WORDS = {UNKNOWN: "unknown", MET: "met", NOT_MET: "not met"}
_COLUMNS: Mapping[str, Sequence[str]] = {
    "diagnosis": ("system", "code", "name"),
    "procedure": ("system", "code", "name"),
    "drug": ("system", "code", "ndc"),
    LABORATORY: ("name", "loinc", "value", "uom"),
}
Floats = npt.NDArray[np.float64]


@dataclass
class Judged:
    """One criterion for n patients: `status` (n,), and the latest row that tells: its time, words and value."""

    criterion: Criterion
    status: npt.NDArray[np.int8]
    time: Times
    value: Floats
    what: npt.NDArray[np.int32]
    words: list[str] = field(default_factory=list)
    unit: str = ""

    @classmethod
    def of(cls, criterion: Criterion, n: int) -> "Judged":
        """Return it with nothing known."""
        return cls(
            criterion,
            np.zeros(n, np.int8),
            np.full(n, NEVER),
            np.full(n, np.nan),
            np.full(n, -1, np.int32),
        )

    def see(self, whose: Whose, time: Times, what: Sequence[str], value: Floats | None = None) -> None:
        """Take rows that tell of a patient, and keep the latest of each; those without a time go before all others."""
        if not len(whose):
            return
        order = np.lexsort((time.astype("int64"), whose))
        last = order[np.flatnonzero(np.append(whose[order][1:] != whose[order][:-1], [True]))]
        mine = whose[last]
        later = (self.what[mine] < 0) | np.isnat(self.time[mine]) | (time[last] >= self.time[mine])
        last, mine = last[later], mine[later]
        self.time[mine] = time[last]
        known = {word: place for place, word in enumerate(self.words)}
        for row, patient in zip(last.tolist(), mine.tolist(), strict=True):
            place = known.setdefault(what[row], len(known))
            self.what[patient] = place
        self.words = list(known)
        if value is not None:
            self.value[mine] = value[last]


def judge(records: Records, connector: Connector, name: str, criteria: Sequence[Criterion]) -> list[Judged]:
    """Return what is known of each criterion. Raises InputError."""
    judged = [Judged.of(one, len(records.people)) for one in criteria]
    for one in judged:
        if one.criterion.where:
            _by_filter(one, records.people, connector, name)
    for kind in _COLUMNS:
        mine = [one for one in judged if _kind(one.criterion) == kind]
        if mine:
            _by_rows(mine, kind, records)
    return judged


def _kind(criterion: Criterion) -> str:
    if criterion.laboratory:
        return LABORATORY
    if criterion.drug:
        return "drug"
    return "" if criterion.where else "diagnosis" if criterion.phenotype else criterion.kind


def _by_filter(judged: Judged, people: People, connector: Connector, name: str) -> None:
    where = parse_filter(judged.criterion.where)
    empty = [IsNull(one) for one in dict.fromkeys(_fields(where))]
    passed, lacking = (
        frozenset(chain.from_iterable(connector.find(name, asked)))
        for asked in (where, empty[0] if len(empty) == 1 else AnyOf(tuple(empty)))
    )
    for place, units in enumerate(people.units):
        if not passed.isdisjoint(units):
            judged.status[place] = MET
        else:
            judged.status[place] = UNKNOWN if not lacking.isdisjoint(units) else NOT_MET


def _fields(where: Filter) -> Iterator[str]:
    match where:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _fields(part)
        case Not(part):
            yield from _fields(part)
        case Comparison(name) | OneOf(name) | Contains(name) | IsNull(name):
            yield name


def _by_rows(judged: Sequence[Judged], kind: str, records: Records) -> None:
    """Judge all criteria of one kind in one reading of its rows."""
    has_any = np.zeros(len(records.people), bool)
    measured: list[list[tuple[Whose, Times, Floats]]] = [[] for _ in judged]
    units: list[set[str]] = [set() for _ in judged]
    for whose, time, table in records.rows(kind, _COLUMNS[kind]):
        has_any[whose] = True
        frame = table.to_pandas()
        if kind == LABORATORY:
            told, which = distinct_items(frame.rename(columns={"name": "item"}).assign(kind=kind))
        for at, one in enumerate(judged):
            since = _since(one.criterion, records.people)
            in_time = np.ones(len(whose), bool) if since is None else time >= since[whose]
            if kind == LABORATORY:
                rows = in_time & _of_item(one.criterion, told)[which] & frame["value"].notna().to_numpy()
                rows &= _in_unit(one.criterion, frame["uom"], rows, units[at])
                measured[at].append((whose[rows], time[rows], frame["value"].to_numpy(np.float64)[rows]))
                continue
            rows = in_time & _stated(one.criterion, kind, frame)
            if rows.any():
                one.see(whose[rows], time[rows], _words(frame[rows]))
    for at, one in enumerate(judged):
        if kind == LABORATORY:
            _by_values(one, measured[at], units[at])
        else:
            one.status[:] = np.where(one.what >= 0, MET, np.where(has_any, NOT_MET, UNKNOWN))


def _since(criterion: Criterion, people: People) -> Times | None:
    """Return from when rows of each patient count."""
    if criterion.last is None:
        return None
    since: Times = people.until - np.timedelta64(span_of(criterion.last), "us")
    return since


def _stated(criterion: Criterion, kind: str, frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which rows are of the code, drug or phenotype."""
    if criterion.phenotype:
        return stating(frame.assign(kind=kind), [criterion.phenotype], implied=False).to_numpy(bool)
    if criterion.drug:
        told, which = distinct_codes(frame.assign(kind=kind))
        asked = _ingredients(criterion.drug)
        is_it = [bool(asked & set(_ingredients(*_keys(keys)))) for _, keys in told]
        return np.array(is_it, bool)[which]
    codes = frame["code"].fillna("").str.replace(".", "", regex=False).str.upper()
    unique = {code: code.startswith(criterion.codes) for code in codes.unique()}
    return codes.map(unique).to_numpy(bool)


def _keys(keys: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return name and NDC of a drug."""
    known = dict(keys)
    return known.get(NAME, "") or next((code for system, code in keys if system != NDC), ""), known.get(
        NDC, ""
    )


def _ingredients(name: str, ndc: str = "") -> frozenset[str]:
    """Return the ingredients of a drug; its name in lower case where none is known."""
    keys = [*([(NDC, ndc)] if ndc else []), *([(NAME, name)] if name else [])]
    found = frozenset(one.code for one in Ingredients().of("drug", keys))
    return found or frozenset({" ".join(name.lower().split())})


def _of_item(criterion: Criterion, told: Sequence[Any]) -> npt.NDArray[np.bool_]:
    """Return which of some items is the one asked for: by concept, or by name where that has none."""
    asked = item_of(criterion.laboratory)
    is_it = []
    for _, keys in told:
        known = dict(keys)
        item = item_of(known.get(NAME, ""), known.get(LOINC, ""))
        same = item == asked if asked else known.get(NAME, "").lower() == criterion.laboratory.lower()
        is_it.append(same)
    return np.array(is_it, bool)


def _in_unit(
    criterion: Criterion, uom: "pd.Series[str]", rows: npt.NDArray[np.bool_], seen: set[str]
) -> npt.NDArray[np.bool_]:
    """Return which rows are in the unit asked for, or all; the units of the item are collected in `seen`."""
    cells = uom.fillna("").to_numpy(str)
    seen |= set(np.unique(cells[rows]).tolist())
    return cells == criterion.unit if criterion.unit else np.ones(len(cells), bool)


def _words(frame: pd.DataFrame) -> list[str]:
    parts = [frame[name].fillna("") for name in ("system", "code", "name") if name in frame]
    return [
        " ".join(dict.fromkeys(part for part in row if part and part != "name"))
        for row in zip(*parts, strict=True)
    ]


def _by_values(judged: Judged, parts: Sequence[tuple[Whose, Times, Floats]], seen: set[str]) -> None:
    """Judge by the values of an item. Raises InputError where they are of several units, and none is named."""
    criterion = judged.criterion
    if not criterion.unit and len(seen) > 1:
        told = ", ".join(sorted(one or "no unit" for one in seen))
        raise InputError(
            f"{criterion.laboratory} stands in several units: {told}. Name the one that is meant, as unit of "
            f"{criterion.label!r}."
        )
    judged.unit = criterion.unit or next(iter(seen), "")
    if not parts:
        return
    whose, time, value = (np.concatenate([part[at] for part in parts]) for at in range(3))
    compared = np.ones(len(whose), bool)
    if criterion.changes:
        fits, compared = _changed(criterion, whose, time, value)
    else:
        fits = _bounded(criterion, value)
    label = [criterion.laboratory] * len(whose)
    judged.see(whose[compared], time[compared], label, value[compared])
    judged.status[whose[compared]] = NOT_MET
    again = Judged.of(criterion, len(judged.status))
    again.see(whose[fits], time[fits], label, value[fits])
    met = again.what >= 0
    judged.status[met] = MET
    for name in ("time", "value", "what"):
        getattr(judged, name)[met] = getattr(again, name)[met]


def _bounded(criterion: Criterion, value: Floats) -> npt.NDArray[np.bool_]:
    """Return which values lie within the bounds."""
    fits = np.ones(len(value), bool)
    if criterion.above is not None:
        fits &= value > criterion.above
    if criterion.below is not None:
        fits &= value < criterion.below
    return fits


def _changed(
    criterion: Criterion, whose: Whose, time: Times, value: Floats
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which values changed by enough from one before, and which have one before them to be compared with.

    Of values sorted by patient and time, each is compared with the one before it, then with that two before, and so on:
    as far as these are in time.
    """
    order = np.lexsort((time, whose))
    order = order[~np.isnat(time[order])]
    patient, when, height = whose[order], time[order], value[order]
    span = np.timedelta64(span_of(criterion.within), "us")
    fits, compared = np.zeros(len(whose), bool), np.zeros(len(whose), bool)
    now, back = np.arange(1, len(order)), 1
    while len(now):
        before = now - back
        now = now[(patient[now] == patient[before]) & (when[now] - when[before] <= span)]
        before = now - back
        compared[order[now[when[now] > when[before]]]] = True
        fits[order[now[(when[now] > when[before]) & _is_change(criterion, height[before], height[now])]]] = (
            True
        )
        back += 1
        now = now[now >= back]
    return fits, compared


def _is_change(criterion: Criterion, before: Floats, now: Floats) -> npt.NDArray[np.bool_]:
    if criterion.rise_percent is not None:
        return (before > 0) & (now >= before * (1 + criterion.rise_percent / 100))
    return (before > 0) & (now <= before * (1 - (criterion.fall_percent or 0) / 100))
