"""Suspected infection: antibiotics and cultures that belong together.

A culture that is followed by a systemic antibiotic within 72 h, or an antibiotic that is followed by a culture within
24 h; infection is suspected from the earlier of the two on. Sources: Seymour et al., JAMA 2016;315:762-74; Singer et
al., JAMA 2016;315:801-10; mimic-code (suspicion_of_infection.sql, antibiotic.sql).

Times at midnight are days without a time of day, as all prescriptions of MIMIC-III have them. Where one of the two has
only a day, they belong together where the culture's day is one of the three before the antibiotic's, that day, or the
one after it. Such a day counts from its beginning; but where the other of the two has a time on that day, that time is
taken.

All specimens count, also screening swabs (MRSA), as in mimic-code. Antibiotics are drugs of `batch.codes` and infusions
of `batch.events` whose ingredients are penicillins, cephalosporins, carbapenems or other antibacterials; what goes into
eyes, ears, nose or lungs, on the skin or into a catheter is not systemic (mimic-code keeps what is inhaled). Of
antifungals none counts: mimic-code takes amphotericin and anidulafungin.
"""

import re
from typing import TYPE_CHECKING

import numpy as np
from cohorts.records.base import Batch
from cohorts.records.codes.concepts.drugs import ingredients_of_name, ingredients_of_ndc
from cohorts.records.codes.drug_classes import class_of
from cohorts.records.scores.measured_rows import DoneRows, places_of
from cohorts.records.scores.observed import HOUR, NEVER, Ints, Marks, keyed, seconds

if TYPE_CHECKING:
    import pandas as pd

CLASSES = frozenset({"penicillins", "cephalosporins", "carbapenems", "other antibacterials"})
_DAY = 24 * HOUR
_BEFORE, _AFTER = 3 * _DAY, _DAY  # of the antibiotic, a culture may be
# Of MIMIC: eyes (OU, OS, OD), ears (AU, AS, AD), skin, nose, lungs, vagina, irrigation, locks of catheters, skin tests.
_LOCAL = "OU OS OD AU AS AD TP TOPICAL NU IH NEB NEBU INHALATION VG IRR DWELL ID"
_ELSEWHERE = frozenset(_LOCAL.split())
_ELSEWHERE_TOLD = r"\b(?:eyes?|ears?|ophth\w*|otic|nasal|topical|inhal\w*|vaginal|intradermal)\b"
_NOT_TREATMENT = r"cream|desensiti[sz]ation|oph?th|ointment|enema|\bgel\b|\bdrops\b|\block\b"


def suspicions(batch: Batch) -> "pd.DataFrame":
    """Return every suspicion of infection in the admissions described, one row an antibiotic that a culture belongs to.

    Columns `unit` (place among the units, int64), `antibiotic`, `culture` and `suspected` (int64, seconds since 1970),
    sorted by unit, `suspected`, `antibiotic` and `culture`. Of several cultures the earliest counts.
    """
    import pandas as pd

    unit, given = _antibiotics(batch)
    cultures = DoneRows(batch, "culture")
    taken = _earliest(unit, given, cultures)
    rows = taken > NEVER
    unit, given, taken = unit[rows], given[rows], taken[rows]
    found = pd.DataFrame(
        {"unit": unit, "antibiotic": given, "culture": taken, "suspected": _from(given, taken)}
    )
    return found.drop_duplicates().sort_values(
        ["unit", "suspected", "antibiotic", "culture"], ignore_index=True
    )


def _earliest(unit: Ints, given: Ints, cultures: DoneRows) -> Ints:
    """Return the earliest culture that belongs to each antibiotic, (n,); NEVER without one."""
    is_day, day = _is_day(given), given - given % _DAY
    dated = _is_day(cultures.time)
    # Between two times hours count; where either is a day, days.
    to_times = _first_between(
        cultures,
        ~dated,
        unit,
        np.where(is_day, day - _BEFORE, given - _BEFORE),
        np.where(is_day, day + _AFTER + _DAY - 1, given + _AFTER),
    )
    to_days = _first_between(cultures, dated, unit, day - _BEFORE, day + _AFTER)
    late = np.iinfo(np.int64).max
    found = np.minimum(np.where(to_times > NEVER, to_times, late), np.where(to_days > NEVER, to_days, late))
    return np.where(found == late, NEVER, found)


def _first_between(cultures: DoneRows, of: Marks, unit: Ints, start: Ints, end: Ints) -> Ints:
    """Return the first of some cultures from `start` to `end`, (n,); NEVER without one."""
    order = np.argsort(keyed(cultures.unit[of], cultures.time[of]), kind="stable")
    time = np.append(cultures.time[of][order], NEVER)
    key = keyed(cultures.unit[of], cultures.time[of])[order]
    place = np.searchsorted(key, keyed(unit, start))
    there = (place < len(key)) & (np.append(key, 0)[place] <= keyed(unit, end))
    return np.where(there, time[place], NEVER)


def _from(given: Ints, taken: Ints) -> Ints:
    """Return the earlier of two times; on one day, a time goes before the day alone."""
    same_day = given // _DAY == taken // _DAY
    one_is_a_day = _is_day(given) != _is_day(taken)
    return np.where(same_day & one_is_a_day, np.maximum(given, taken), np.minimum(given, taken))


def _is_day(times: Ints) -> Marks:
    return np.asarray(times % _DAY == 0, np.bool_)


def over(times: Ints) -> Ints:
    """Return when times were over: a day without a time of day at its end."""
    return np.where(_is_day(times), times + _DAY, times)


def _antibiotics(batch: Batch) -> tuple[Ints, Ints]:
    """Return the unit and the time of each systemic antibiotic."""
    drugs = batch.codes[(batch.codes["kind"] == "drug").to_numpy(bool)]
    drugs = drugs[_antibacterial(drugs) & _systemic(drugs)]
    inputs = DoneRows(batch, "input")
    told = inputs.rows.assign(system="name", code=inputs.rows["name"].fillna(""), ndc=None)
    marks = _antibacterial(told)
    unit = np.concatenate([places_of(batch, drugs), inputs.unit[marks]])
    time = np.concatenate([seconds(drugs["time"], NEVER), inputs.time[marks]])
    kept = (unit >= 0) & (time > NEVER)
    return unit[kept], time[kept]


def _antibacterial(rows: "pd.DataFrame") -> Marks:
    """Return which rows are of an antibacterial drug, by their words and, where these tell none, by the NDC."""
    import pandas as pd

    words = rows["name"].fillna(rows["code"]).fillna("")
    by_name, names = pd.factorize(words)
    by_ndc, codes = pd.factorize(rows["ndc"])
    of_name = [ingredients_of_name(one) for one in names]
    named = np.array([bool(one) for one in of_name], np.bool_)[by_name]
    found = np.array([_is_antibacterial(one) for one in of_name], np.bool_)[by_name]
    unnamed = ~named & (by_ndc >= 0)
    asked = np.unique(by_ndc[unnamed])
    is_one = np.zeros(len(codes) + 1, np.bool_)
    is_one[asked] = [_is_antibacterial(ingredients_of_ndc(codes[one])) for one in asked]
    treats = np.array([not _other_use(one) for one in names], np.bool_)[by_name]
    return (found | (unnamed & is_one[by_ndc])) & treats


def _is_antibacterial(ingredients: tuple[str, ...]) -> bool:
    return any(class_of(one) in CLASSES for one in ingredients)


def _other_use(words: str) -> bool:
    return re.search(_NOT_TREATMENT, words, re.IGNORECASE) is not None


def _systemic(drugs: "pd.DataFrame") -> Marks:
    """Return which drugs go to the whole body, by their route; one without a route does."""
    import pandas as pd

    which, routes = pd.factorize(drugs["route"].fillna(""))
    local = [
        one.upper().strip() in _ELSEWHERE or re.search(_ELSEWHERE_TOLD, one, re.IGNORECASE) is not None
        for one in routes
    ]
    return ~np.array(local, np.bool_)[which]
