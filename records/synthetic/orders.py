"""PRESCRIPTIONS: which drugs a stay gets, and from when to when."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from cohorts.records.synthetic.movements import Movements, Window
from cohorts.records.synthetic.network import (
    Flags,
    Floats,
    Ints,
    Streams,
    Things,
    chosen,
    parameters,
    share_of,
)
from cohorts.records.synthetic.plants.planting import Planted
from cohorts.records.synthetic.stays import DAY, Stays, features_of_stays
from cohorts.records.synthetic.tables import Tables, midnights, picked

RARE = 1.2  # rare drugs of a stay, on average
AGAIN = 0.2  # share of orders that are written anew once
NO_END = 0.02  # share of orders whose end is not known


@dataclass(frozen=True)
class Orders:
    """The drugs of stays: `given` (n, drugs) by stay, and one row for each order, sorted by stay and start."""

    given: Flags
    rows: Ints
    drug: Ints
    start: Ints
    end: Ints

    def first(self, drug: int, many: int) -> Ints:
        """Return when each of `many` stays was first given a drug, -1 where it was not."""
        mine = self.drug == drug
        first = np.full(many, -1, dtype=np.int64)
        rows, at = np.unique(self.rows[mine], return_index=True)
        first[rows] = self.start[mine][at]
        return first


@cache
def drugs() -> Things:
    """Return the drugs that the hospital has; rare ones are not among them."""
    return Things(parameters("orders")["drugs"], features_of_stays())


def order(streams: Streams, stays: Stays, where: Movements, planted: Planted) -> Orders:
    """Draw what is ordered in every stay; drugs that are planted alone stand after the hospital's own."""
    rng = streams("drugs")
    odds = drugs().log_odds(stays.features)
    given = rng.random(odds.shape) < share_of(odds)
    given = planted.drugs(given)
    rows, drug = np.nonzero(given)
    start, end = _times(rng, rows, drug, stays, where)
    again = np.flatnonzero((rng.random(len(rows)) < AGAIN) & (stays.discharged[rows] - end > DAY))
    later = np.minimum(
        end[again] + (rng.exponential(1.5, len(again)) * DAY).astype(np.int64), stays.discharged[rows[again]]
    )
    rows, drug = np.concatenate([rows, rows[again]]), np.concatenate([drug, drug[again]])
    start = np.concatenate([start, later])
    end = np.concatenate([end, np.minimum(later + 2 * DAY, stays.discharged[rows[len(end) :]])])
    rows, drug, start, end = _with_rare(rng, rows, drug, start, end, stays, given.shape[1])
    ordered = np.lexsort((drug, start, rows))
    return Orders(given, rows[ordered], drug[ordered], start[ordered], end[ordered])


def write_orders(
    tables: Tables, streams: Streams, stays: Stays, where: Movements, orders: Orders, planted: Planted
) -> None:
    """Write PRESCRIPTIONS."""
    rng, rows, drug = streams("prescriptions"), orders.rows, orders.drug
    about = drugs().about
    rare = parameters("rare")["drugs"]
    spelled, offset, options = _spellings(planted)
    spelling = offset[drug] + (rng.random(len(rows)) * options[drug]).astype(np.int64)
    more = len(planted.planting.new_drugs) + len(rare)
    texts = {
        column: picked([*(one[key] for one in about), *[usual] * more], drug)
        for column, key, usual in (
            ("DOSE_VAL_RX", "dose", "1"),
            ("DOSE_UNIT_RX", "unit", "TAB"),
            ("ROUTE", "route", "PO"),
        )
    }
    number, outside = where.icu_stay(stays, orders.start, rows)
    name = picked(spelled, spelling)
    tables.add(
        "PRESCRIPTIONS",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        ICUSTAY_ID=pa.array(number, mask=outside),
        STARTDATE=midnights(orders.start),
        ENDDATE=midnights(orders.end, missing=rng.random(len(rows)) < NO_END),
        DRUG_TYPE=picked(["MAIN", "BASE"], np.isin(drug, _bases())),
        DRUG=name,
        DRUG_NAME_POE=name,
        DRUG_NAME_GENERIC=name,
        FORM_VAL_DISP="1",
        **texts,
    )


def _times(
    rng: np.random.Generator, rows: Ints, drug: Ints, stays: Stays, where: Movements
) -> tuple[Ints, Ints]:
    """Return from when to when each order runs, by its course."""
    begin, left = stays.admitted[rows], stays.discharged[rows]
    length, lot = left - begin, rng.random(len(rows))
    days = (np.exp(rng.normal(0.5, 0.6, len(rows))) * DAY).astype(np.int64)
    early = begin + (0.35 * lot * length).astype(np.int64)
    spans = {
        "home": (begin + (lot < 0.3) * np.minimum(DAY, length // 2), left),
        "stay": (early, left),
        "early": (early, early + days),
        "late": (begin + ((0.5 + 0.4 * lot) * length).astype(np.int64), left),
        "once": (early, early + DAY // 24),
        "infection": _within(where.infection, rows, begin, lot, 0.2),
        "ventilated": _within(where.ventilator, rows, early, lot, 0.2, early + days // 2),
        "shock": _within(where.pressors, rows, early, lot, 0.2, early + days // 2),
    }
    courses = [one["course"] for one in drugs().about]
    kinds = list(spans)
    kind = np.array(
        [kinds.index(name) for name in courses] + [kinds.index("stay")] * (int(drug.max(initial=0)) + 1)
    )[drug]
    start = np.select([kind == place for place in range(len(kinds))], [span[0] for span in spans.values()])
    end = np.select([kind == place for place in range(len(kinds))], [span[1] for span in spans.values()])
    start = np.minimum(start // 60 * 60, left - 60)
    return start, np.clip(end // 60 * 60, start + 60, left)


def _within(
    window: Window, rows: Ints, otherwise: Ints, lot: Floats, wait: float, ends: Ints | None = None
) -> tuple[Ints, Ints]:
    """Return a span that begins within the first part of a window; where there is none, another."""
    runs = window.runs[rows]
    start, end = window.start[rows], window.end[rows]
    start = start + (wait * lot * (end - start)).astype(np.int64)
    return np.where(runs, start, otherwise), np.where(
        runs, end, otherwise + 2 * DAY if ends is None else ends
    )


def _with_rare(
    rng: np.random.Generator, rows: Ints, drug: Ints, start: Ints, end: Ints, stays: Stays, first: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """Add orders of the long tail; its drugs stand from `first` on."""
    rare = np.repeat(np.arange(len(stays)), rng.poisson(RARE, len(stays)))
    which = chosen(rng, [1 / (5 + place) for place in range(len(parameters("rare")["drugs"]))], len(rare))
    begin = stays.admitted[rare] + (
        rng.uniform(0, 0.5, len(rare)) * (stays.discharged - stays.admitted)[rare]
    ).astype(np.int64)
    return (
        np.concatenate([rows, rare]),
        np.concatenate([drug, first + which]),
        np.concatenate([start, begin // 60 * 60]),
        np.concatenate([end, stays.discharged[rare]]),
    )


def _spellings(planted: Planted) -> tuple[list[str], Ints, Ints]:
    """Return every spelling, and where those of each drug begin and how many there are."""
    options = [one.get("spellings", [name]) for name, one in zip(drugs().names, drugs().about, strict=True)]
    options += [[name] for name in (*planted.planting.new_drugs, *parameters("rare")["drugs"])]
    counts = np.array([len(one) for one in options])
    return [name for one in options for name in one], np.cumsum(counts) - counts, counts


@cache
def _bases() -> list[int]:
    """Return the places of the fluids that others are given in."""
    return [
        drugs().names.index(name) for name in ("D5W", "NS", "SW", "Iso-Osmotic Dextrose", "LR", "D5 1/2NS")
    ]
