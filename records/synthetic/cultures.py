"""MICROBIOLOGYEVENTS: what was sent, what grew, and what it resists."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from cohorts.records.synthetic.movements import HOUR, Movements
from cohorts.records.synthetic.network import Floats, Ints, Streams, Things, chosen, parameters, share_of
from cohorts.records.synthetic.stays import DAY, Stays, features_of_stays
from cohorts.records.synthetic.tables import Tables, midnights, moments, picked

NO_TIME = 0.1  # share of cultures of which the day alone is known


@dataclass(frozen=True)
class Cultures:
    """What was sent: the stay, the kind, when, and the organism that grew (-1 for none)."""

    rows: Ints
    kind: Ints
    times: Ints
    organism: Ints


@cache
def kinds() -> Things:
    """Return the kinds of cultures."""
    return Things(parameters("cultures")["cultures"], features_of_stays())


@cache
def organisms() -> list[str]:
    """Return the names of what may grow."""
    return list(parameters("cultures")["organisms"])


def culture(streams: Streams, stays: Stays, where: Movements) -> Cultures:
    """Draw the cultures of every stay: the first about the search for an infection, the others later."""
    rng = streams("cultures")
    rows, kind = np.nonzero(kinds().draw(rng, stays.features))
    more = rng.poisson(np.array([one["many"] - 1 for one in kinds().about])[kind])
    part = np.repeat(np.arange(len(rows)), 1 + more)
    rows, kind = rows[part], kind[part]
    begin = where.infection.start[rows] - rng.integers(0, 4, len(rows)) * HOUR // 2
    later = np.concatenate([[0], part[1:] == part[:-1]]).astype(np.int64)
    times = begin + later * (rng.exponential(1.5, len(rows)) * DAY).astype(np.int64)
    times = np.clip(times, stays.admitted[rows] - 2 * HOUR, stays.discharged[rows] - HOUR) // 60 * 60
    order = np.lexsort((kind, times, rows))
    rows, kind, times = rows[order], kind[order], times[order]
    return Cultures(rows, kind, times, _grown(rng, stays, rows, kind))


def write_cultures(tables: Tables, streams: Streams, stays: Stays, sent: Cultures) -> None:
    """Write MICROBIOLOGYEVENTS: one row where nothing grew or nothing was tested, else one for each antibiotic."""
    rng = streams("susceptibilities")
    names, about = organisms(), parameters("cultures")
    numbers = about["antibiotics"]
    tested = [list(about["organisms"][name]["tested"].items()) or [(None, 0.0)] for name in names] + [
        [(None, 0.0)]
    ]
    many = np.array([len(one) for one in tested])
    place = np.repeat(np.arange(len(sent.rows)), many[sent.organism])
    which = np.arange(len(place)) - np.searchsorted(place, place)
    flat = [pair for one in tested for pair in one]
    at = (np.cumsum(many) - many)[sent.organism[place]] + which
    against = np.array([numbers.get(name, 0) for name, _ in flat])[at]
    resists = rng.random(len(place)) < np.array([share for _, share in flat])[at]
    organism, kind, rows, times = sent.organism[place], sent.kind[place], sent.rows[place], sent.times[place]
    grew = organism >= 0
    tables.add(
        "MICROBIOLOGYEVENTS",
        len(place),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        CHARTDATE=midnights(times),
        CHARTTIME=moments(times, missing=(rng.random(len(sent.rows)) < NO_TIME)[place]),
        SPEC_ITEMID=np.array([one["item"] for one in kinds().about])[kind],
        SPEC_TYPE_DESC=picked(kinds().names, kind),
        ORG_ITEMID=pa.array(
            np.array([one["item"] for one in about["organisms"].values()])[organism], mask=~grew
        ),
        ORG_NAME=picked([*names, None], organism % (len(names) + 1)),
        ISOLATE_NUM=pa.array(np.ones(len(place), dtype=np.int64), mask=~grew),
        AB_ITEMID=pa.array(against, mask=against == 0),
        AB_NAME=picked([name for name, _ in flat], at),
        INTERPRETATION=pa.compute.if_else(
            pa.array(against == 0), pa.scalar(None, pa.string()), picked(["S", "R"], resists.astype(int))
        ),
    )


def _grown(rng: np.random.Generator, stays: Stays, rows: Ints, kind: Ints) -> Ints:
    """Return what grew in each culture."""
    grown = np.full(len(rows), -1, dtype=np.int64)
    lot: Floats = rng.random(len(rows))
    for place, one in enumerate(kinds().about):
        here = np.flatnonzero(kind == place)
        odds = np.full(len(here), one["grows"])
        for name, added in one.get("raises", {}).items():
            odds += added * stays.has(name)[rows[here]]
        what = np.array([organisms().index(name) for name in one["organisms"]])
        drawn = what[chosen(rng, list(one["organisms"].values()), len(here))]
        grown[here] = np.where(lot[here] < share_of(odds), drawn, -1)
    return grown
