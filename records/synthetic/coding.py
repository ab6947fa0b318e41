"""DIAGNOSES_ICD, PROCEDURES_ICD and DRGCODES: what coders write of a stay, with what they miss and mistake."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pyarrow as pa
from cohorts.records.synthetic.network import PERSON, Floats, Ints, Streams, Things, chosen, parameters
from cohorts.records.synthetic.plants.planting import Planted, Planting
from cohorts.records.synthetic.stays import UNEXPLAINED, Stays, conditions, features_of_stays
from cohorts.records.synthetic.tables import Tables, picked

CODED = 0.85  # how often a condition is written down, where nothing else is said
MISTAKEN = 0.015  # share of codes that are those of something else
RARE = 3.0  # rare diagnoses of a stay, on average
ORDER_NOISE = 0.6  # how freely the further diagnoses are put in order


def write_diagnoses(tables: Tables, streams: Streams, stays: Stays, planted: Planted) -> None:
    """Write DIAGNOSES_ICD: the principal diagnosis first, then the others, the acute mostly before the chronic."""
    rng = streams("diagnoses")
    things = conditions()
    has = stays.features[:, len(PERSON) :] > 0
    known = np.array([bool(one.get("codes")) for one in things.about])
    written = np.array([one.get("coded", CODED) for one in things.about])
    told = has & known & (rng.random(has.shape) < written)
    explained = stays.principal != UNEXPLAINED
    told[np.flatnonzero(explained), stays.principal[explained]] = False
    rows, columns = np.nonzero(told)
    chronic = columns < len(parameters("conditions")["chronic"])
    parts = [
        (np.arange(len(stays)), _principal_codes(rng, stays), np.full(len(stays), -1.0)),
        (rows, _codes(rng, columns, "codes"), rng.normal(0.4 * chronic, ORDER_NOISE) + 5),
        _rare(rng, len(stays)),
        _planted(planted),
    ]
    rows = np.concatenate([part[0] for part in parts])
    code = np.concatenate([part[1] for part in parts])
    order = np.lexsort((np.concatenate([part[2] for part in parts]), rows))
    rows, code = rows[order], _mistaken(rng, code[order])
    once = _first_of_each(rows, code)
    rows, code = rows[once], code[once]
    tables.add(
        "DIAGNOSES_ICD",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        SEQ_NUM=_rank(rows),
        ICD9_CODE=picked([*codes(), *new_codes(planted.planting)], code),
    )


def write_procedures(tables: Tables, streams: Streams, stays: Stays) -> None:
    """Write PROCEDURES_ICD."""
    rows, columns = np.nonzero(procedures().draw(streams("procedures"), stays.features))
    tables.add(
        "PROCEDURES_ICD",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        SEQ_NUM=_rank(rows),
        ICD9_CODE=picked(procedures().names, columns),
    )


def write_groups(tables: Tables, streams: Streams, stays: Stays) -> None:
    """Write DRGCODES: an APR group with its severity, and an MS group, for most stays."""
    rng = streams("groups")
    groups = parameters("places")["groups"]
    names = list(groups)
    place = np.array([names.index(name) if name in groups else 0 for name in _names(stays)])
    severity = np.clip(np.round(2.6 + stays.severity + rng.normal(0, 0.5, len(stays))), 1, 4).astype(np.int64)
    risk = np.clip(severity + rng.integers(-1, 2, len(stays)), 1, 4)
    rows = np.repeat(np.arange(len(stays)), 2)[rng.random(2 * len(stays)) < 0.9]
    refined = np.arange(len(rows)) == np.searchsorted(rows, rows)
    number = [f"{one[0]}{grade}" for one in groups.values() for grade in range(1, 5)] + [
        one[2] for one in groups.values()
    ]
    title = [one[1] for one in groups.values() for _ in range(4)] + [one[3] for one in groups.values()]
    at = np.where(refined, place[rows] * 4 + severity[rows] - 1, 4 * len(groups) + place[rows])
    tables.add(
        "DRGCODES",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        DRG_TYPE=picked(["MS", "APR "], refined.astype(int)),
        DRG_CODE=picked(number, at),
        DESCRIPTION=picked(title, at),
        DRG_SEVERITY=pa.array(severity[rows], mask=~refined),
        DRG_MORTALITY=pa.array(risk[rows], mask=~refined),
    )


@cache
def procedures() -> Things:
    """Return the procedures by their ICD-9 codes."""
    return Things(parameters("orders")["procedures"], features_of_stays())


@cache
def codes() -> list[str]:
    """Return every diagnosis code that coders may write, the rare ones last."""
    made = parameters("conditions")
    one_by_one = [*made["chronic"].values(), *made["acute"].values()]
    known = {code for one in one_by_one for code in (*one.get("codes", {}), *one.get("first", {}))}
    known |= set(made["unexplained"])
    return [*sorted(known), *parameters("rare")["diagnoses"]]


def new_codes(planting: Planting) -> list[str]:
    """Return the codes that are planted and that no coder of the hospital would write otherwise."""
    return [code for code in planting.titles if code not in _place_of()]


def _planted(planted: Planted) -> tuple[Ints, Ints, Floats]:
    rows, written = planted.diagnoses()
    places = {code: place for place, code in enumerate([*codes(), *new_codes(planted.planting)])}
    return rows, np.array([places[code] for code in written], dtype=np.int64), np.full(len(rows), 5.5)


def _names(stays: Stays) -> list[str]:
    names = conditions().names
    return ["usual" if place == UNEXPLAINED else names[place] for place in stays.principal.tolist()]


def _principal_codes(rng: np.random.Generator, stays: Stays) -> Ints:
    code = _drawn_codes(rng, parameters("conditions")["unexplained"], len(stays))
    there = stays.principal != UNEXPLAINED
    code[there] = _codes(rng, stays.principal[there], "first")
    return code


def _codes(rng: np.random.Generator, columns: Ints, kind: str) -> Ints:
    """Draw a code for each condition at its column; `first` are those of principal diagnoses."""
    drawn = np.empty(len(columns), dtype=np.int64)
    for column in np.unique(columns):
        about = conditions().about[column]
        here = columns == column
        drawn[here] = _drawn_codes(rng, about.get(kind) or about["codes"], int(here.sum()))
    return drawn


def _drawn_codes(rng: np.random.Generator, weights: Mapping[str, float], many: int) -> Ints:
    places = np.array([_place_of()[code] for code in weights])
    return places[chosen(rng, list(weights.values()), many)]


@cache
def _place_of() -> dict[str, int]:
    return {code: place for place, code in enumerate(codes())}


def _rare(rng: np.random.Generator, many: int) -> tuple[Ints, Ints, Floats]:
    """Draw diagnoses of the long tail: the further down the list, the rarer."""
    rare = len(parameters("rare")["diagnoses"])
    rows = np.repeat(np.arange(many), rng.poisson(RARE, many))
    drawn = chosen(rng, [1 / (5 + place) for place in range(rare)], len(rows))
    return rows, len(codes()) - rare + drawn, rng.normal(5.4, ORDER_NOISE, len(rows))


def _mistaken(rng: np.random.Generator, code: Ints) -> Ints:
    """Put another code in the place of some."""
    wrong = rng.random(len(code)) < MISTAKEN
    return np.where(wrong, rng.integers(0, len(codes()), len(code)), code)


def _first_of_each(rows: Ints, code: Ints) -> Ints:
    """Return the places of the first row of each pair of stay and code, in order."""
    _, first = np.unique(rows * 100_000 + code, return_index=True)
    return np.sort(first)


def _rank(rows: Ints) -> Ints:
    """Return the place of each row within its stay, from 1; the rows of a stay stand together."""
    return np.arange(len(rows)) - np.searchsorted(rows, rows) + 1
