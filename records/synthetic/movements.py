"""Where patients are and when: units, wards, services, and how long the body is held up by machines and drugs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from cohorts.records.synthetic.network import Flags, Floats, Ints, Streams, parameters
from cohorts.records.synthetic.stays import DAY, UNEXPLAINED, Stays, conditions
from cohorts.records.synthetic.tables import Tables, moments, picked

HOUR = 3_600
UNITS = ("MICU", "SICU", "CCU", "CSRU", "TSICU")
WARDS = {"MICU": 52, "SICU": 33, "CCU": 7, "CSRU": 14, "TSICU": 57}
FLOORS = (2, 3, 27, 29, 45, 55)
SECOND_ICU = 0.06  # share of stays that go back to intensive care


@dataclass(frozen=True)
class Window:
    """From when to when something runs in each stay, in seconds since 1970; both are 0 where it does not."""

    start: Ints
    end: Ints

    @property
    def runs(self) -> Flags:
        """Return in which stays it runs."""
        return self.end > self.start

    def share(self, times: Ints, stays: Ints) -> Flags:
        """Return which times lie within, each of the stay at its place."""
        return (times >= self.start[stays]) & (times < self.end[stays])


@dataclass(frozen=True)
class Movements:
    """The windows of each stay: intensive care, a ventilator, vasopressors, and the search for an infection."""

    unit: Ints  # place in UNITS
    icu: Window
    again: Window  # a second stay in intensive care
    ventilator: Window
    pressors: Window
    infection: Window

    def icu_stay(self, stays: Stays, times: Ints, rows: Ints) -> tuple[Ints, Flags]:
        """Return the ICUSTAY_ID of events of the stays at `rows`, and which of them are outside intensive care."""
        first, second = self.icu.share(times, rows), self.again.share(times, rows)
        return stays.number[rows] + 200_000 + 1_000_000 * second, ~(first | second)


def move(streams: Streams, stays: Stays) -> Movements:
    """Draw the windows of every stay."""
    rng, many = streams("movements"), len(stays)
    length = stays.discharged - stays.admitted
    ventilated, shock = stays.has("ventilated"), stays.has("shock")
    late = (rng.random(many) < 0.3) & ~ventilated & ~shock
    wait = np.where(late, rng.uniform(0.02, 0.5, many) * length, rng.uniform(0, 0.05, many) * length)
    start = stays.admitted + wait.astype(np.int64) // 60 * 60 + rng.integers(0, 60, many)
    icu_days = np.exp(rng.normal(0.65 + 0.5 * ventilated + 0.2 * stays.severity, 0.7))
    end = _until(start, icu_days, stays.discharged)
    end = np.where(stays.died & (rng.random(many) < 0.8), stays.discharged, end)
    icu = Window(start, end)
    tube = _window(rng, icu, ventilated, (0, 5), rng.normal(0.2 + 0.2 * stays.severity, 0.8), stays)
    pressors = _window(rng, icu, shock, (0, 10), rng.normal(-0.1 + 0.2 * stays.severity, 0.7), stays)
    from_start = rng.random(many) < 0.75
    search = stays.admitted + (
        np.where(from_start, rng.uniform(0, 0.5, many) * DAY, rng.uniform(0.1, 0.7, many) * length)
    ).astype(np.int64)
    return Movements(
        unit=_unit(rng, stays),
        icu=icu,
        again=_again(rng, icu, stays),
        ventilator=tube,
        pressors=pressors,
        infection=Window(search, _until(search, rng.uniform(3, 9, many), stays.discharged)),
    )


def write_movements(tables: Tables, streams: Streams, stays: Stays, where: Movements) -> None:
    """Write ICUSTAYS, TRANSFERS and SERVICES."""
    every = np.arange(len(stays))
    twice = every[where.again.runs]
    rows = np.concatenate([every, twice])
    start = np.concatenate([where.icu.start, where.again.start[twice]])
    end = np.concatenate([where.icu.end, where.again.end[twice]])
    order = np.lexsort((start, rows))
    rows, start, end = rows[order], start[order], end[order]
    number, _ = where.icu_stay(stays, start, rows)
    tables.add(
        "ICUSTAYS",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        ICUSTAY_ID=number,
        DBSOURCE="metavision",
        FIRST_CAREUNIT=picked(UNITS, where.unit[rows]),
        LAST_CAREUNIT=picked(UNITS, where.unit[rows]),
        FIRST_WARDID=_ward_of(where.unit[rows]),
        LAST_WARDID=_ward_of(where.unit[rows]),
        INTIME=moments(start),
        OUTTIME=moments(end),
        LOS=((end - start) / DAY).round(4),
    )
    _write_transfers(tables, streams("floors"), stays, where)
    _write_services(tables, streams("services"), stays)


def _until(start: Ints, days: Floats, latest: Ints) -> Ints:
    until: Ints = np.minimum(start + (days * DAY).astype(np.int64) // 60 * 60, latest)
    return until


def _window(
    rng: np.random.Generator,
    within: Window,
    runs: Flags,
    hours: tuple[float, float],
    days: Floats,
    stays: Stays,
) -> Window:
    """Draw a window within intensive care: `days` are logarithms; those who die are held up to the end, mostly."""
    start = within.start + (rng.uniform(*hours, len(runs)) * HOUR).astype(np.int64) // 60 * 60
    start = np.minimum(start, (within.start + within.end) // 2)
    end = np.minimum(_until(start, np.exp(days), within.end), within.end)
    end = np.where(
        stays.died & (within.end == stays.discharged) & (rng.random(len(runs)) < 0.7), within.end, end
    )
    return Window(np.where(runs, start, 0), np.where(runs, end, 0))


def _again(rng: np.random.Generator, icu: Window, stays: Stays) -> Window:
    room = stays.discharged - icu.end
    runs = (rng.random(len(stays)) < SECOND_ICU) & (room > 2 * DAY)
    start = icu.end + (room * rng.uniform(0.2, 0.5, len(stays))).astype(np.int64)
    end = _until(start, rng.uniform(0.5, 3, len(stays)), stays.discharged)
    return Window(np.where(runs, start, 0), np.where(runs, end, 0))


def _unit(rng: np.random.Generator, stays: Stays) -> Ints:
    heart = stays.of_any(["valve_surgery", "bypass_surgery"]) & stays.has("surgery")
    hurt = stays.of_any(["trauma", "head_injury"])
    ill = _principals(stays, ["acute_myocardial_infarction", "heart_failure", "other_arrhythmia", "arrest"])
    usual = np.select([heart, hurt, stays.has("surgery"), ill], [3, 4, 1, 2], 0)
    return np.where(rng.random(len(stays)) < 0.12, rng.integers(0, len(UNITS), len(stays)), usual)


def _principals(stays: Stays, names: Sequence[str]) -> Flags:
    return np.isin(stays.principal, [conditions().names.index(name) for name in names])


def _ward_of(unit: Ints) -> Ints:
    return np.array([WARDS[name] for name in UNITS])[unit]


def _write_transfers(tables: Tables, rng: np.random.Generator, stays: Stays, where: Movements) -> None:
    """Write each stay's way: a floor before intensive care where there is time, the unit, a floor, the door."""
    many = len(stays)
    floor = np.array(FLOORS)[rng.integers(0, len(FLOORS), (2, many))]
    unit = _ward_of(where.unit)
    ends = [  # from, to, ward (-1: none), and the unit (-1: a floor)
        (stays.admitted, where.icu.start, floor[0], np.full(many, -1)),
        (where.icu.start, where.icu.end, unit, where.unit),
        (
            where.icu.end,
            np.where(where.again.runs, where.again.start, stays.discharged),
            floor[1],
            np.full(many, -1),
        ),
        (where.again.start, where.again.end, unit, where.unit),
        (where.again.end, np.where(where.again.runs, stays.discharged, 0), floor[1], np.full(many, -1)),
        (stays.discharged, stays.discharged + HOUR, np.full(many, -1), np.full(many, -1)),
    ]
    start, end, ward, careunit = (np.stack([part[column] for part in ends], axis=1) for column in range(4))
    there = end - start >= HOUR // 2
    rows = np.repeat(np.arange(many), there.sum(axis=1))
    start, end, ward, careunit = start[there], end[there], ward[there], careunit[there]
    first, last = _edges(rows)
    before_ward, before_unit = np.roll(ward, 1), np.roll(careunit, 1)
    number, outside = where.icu_stay(stays, start, rows)
    names = [*UNITS, None]
    event = np.select([first, last], [0, 2], 1)
    tables.add(
        "TRANSFERS",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        ICUSTAY_ID=pa.array(number, mask=outside | last),
        DBSOURCE="metavision",
        EVENTTYPE=picked(["admit", "transfer", "discharge"], event),
        PREV_CAREUNIT=picked(names, np.where(first, -1, before_unit) % len(names)),
        CURR_CAREUNIT=picked(names, careunit % len(names)),
        PREV_WARDID=pa.array(before_ward, mask=first | (before_ward < 0)),
        CURR_WARDID=pa.array(ward, mask=ward < 0),
        INTIME=moments(start),
        OUTTIME=moments(end, missing=last),
        LOS=pa.array(((end - start) / HOUR).round(2), mask=last),
    )


def _edges(rows: Ints) -> tuple[Flags, Flags]:
    """Return which rows are the first of their stay, and which the last."""
    change = np.flatnonzero(np.diff(rows))
    first, last = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    first[0] = last[-1] = True
    first[change + 1] = last[change] = True
    return first, last


def _write_services(tables: Tables, rng: np.random.Generator, stays: Stays) -> None:
    served = parameters("places")["services"]
    names = sorted({name for names in served.values() for name in names})
    service = np.empty(len(stays), dtype=np.int64)
    for row, place in enumerate(stays.principal):
        kind = "usual" if place == UNEXPLAINED else conditions().names[place]
        service[row] = names.index(rng.choice(served.get(kind, served["usual"])))
    moves = rng.random(len(stays)) < 0.2
    rows = np.repeat(np.arange(len(stays)), 1 + moves)
    first, _ = _edges(rows)
    second = names.index("MED")
    tables.add(
        "SERVICES",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        TRANSFERTIME=moments(
            np.where(first, stays.admitted[rows], (stays.admitted[rows] + stays.discharged[rows]) // 2)
        ),
        PREV_SERVICE=picked([*names, None], np.where(first, len(names), service[rows])),
        CURR_SERVICE=picked(names, np.where(first, service[rows], second)),
    )
