"""LABEVENTS, CHARTEVENTS and OUTPUTEVENTS: values by time, which follow what a stay has and worsen before death."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cohorts.records.synthetic.movements import HOUR, Movements
from cohorts.records.synthetic.network import Flags, Floats, Ints, Streams, Things, parameters
from cohorts.records.synthetic.orders import Orders, drugs
from cohorts.records.synthetic.plants.planting import Planted
from cohorts.records.synthetic.stays import DAY, Stays, features_of_stays
from cohorts.records.synthetic.tables import Tables, moments, picked

PEAK_DAYS = 1.5  # when what comes and goes is at its height, after admission
DYING_DAYS = 1.0  # over which the dying worsen
WHEN_DYING = 0.6  # how much of what comes and goes stays until death at least
SIGNS_AT = (0.2, *range(4, 50, 4), *range(54, 100, 6), *range(120, 700, 24))  # hours in intensive care
ERRORS = 0.002  # share of charted values that are marked as errors
NO_ANSWER = "No Response-ETT"  # of those with a tube in their throat


class Courses:
    """The courses of some items in a block's stays."""

    def __init__(self, streams: Streams, kind: str, stays: Stays, orders: Orders, planted: Planted) -> None:
        self._table: dict[str, dict[str, Any]] = parameters("courses")[kind]
        self._stays, self._planted, self._orders = stays, planted, orders
        self._rng = streams(f"{kind} between")
        self._persons = {name: self._rng.normal(size=len(stays)) for name in self._table}
        lasts, passes = _effects(kind)
        features = np.hstack([stays.features, orders.given[:, : len(drugs().names)]])
        self._lasts, self._passes = features @ lasts, features @ passes
        self._places = {name: place for place, name in enumerate(self._table)}

    def values(self, name: str, rows: Ints, times: Ints, noise: Floats) -> Floats:
        """Return the item's value at times of the stays at `rows`, rounded as it is written."""
        about, stays, place = self._table[name], self._stays, self._places[name]
        added = self._lasts[rows, place] + self._passes[rows, place] * self._height(
            rows, times, about.get("fades", 5.0)
        )
        added += about["between"] * self._persons[about.get("like", name)][rows]
        added += about.get("within", 0.0) * noise
        if "dying" in about:
            left = (stays.discharged[rows] - times) / DAY
            added += about["dying"] * stays.died[rows] * np.exp(-left / DYING_DAYS)
        value = about["mean"] * np.exp(added) if about.get("log") else about["mean"] + added
        value = value * self._planted.factor(name, rows, times)
        smallest = 10.0 ** -about["decimals"] if "low" in about or about.get("log") else -np.inf
        bounded: Floats = np.clip(value, about.get("least", smallest), about.get("most", np.inf))
        return bounded.round(about["decimals"]) + 0.0  # and no -0

    def _height(self, rows: Ints, times: Ints, fades: float) -> Floats:
        """Return how much of what comes and goes is there."""
        days = (times - self._stays.admitted[rows]) / DAY
        height = np.minimum(1.0, 0.6 + 0.4 * days / PEAK_DAYS) * np.exp(
            -np.maximum(0.0, days - PEAK_DAYS) / fades
        )
        return np.where(self._stays.died[rows], np.maximum(height, WHEN_DYING), height)


def write_labs(
    tables: Tables, streams: Streams, stays: Stays, orders: Orders, planted: Planted
) -> dict[str, Floats]:
    """Write LABEVENTS: panels at their days, with items that are missing now and then; return what notes may tell."""
    rng, courses = streams("labs"), Courses(streams, "labs", stays, orders, planted)
    drawn = panels().draw(rng, stays.features)
    table = parameters("courses")["labs"]
    for name, about in table.items():
        drawn[:, panels().names.index(about["panel"])] |= planted.measured(name)
    parts: list[tuple[Ints, Ints, Floats, Ints]] = []
    for place, (panel, about) in enumerate(zip(panels().names, panels().about, strict=True)):
        rows, times = _draws(rng, stays, drawn[:, place], about["days"])
        noises: dict[str, Floats] = {}
        for item, name in enumerate(table):
            if table[name]["panel"] != panel:
                continue
            noise = noises.setdefault(table[name].get("like", name), rng.normal(size=len(rows)))
            values = courses.values(name, rows, times, noise)
            kept = rng.random(len(rows)) >= about["loses"]
            parts.append((rows[kept], times[kept], values[kept], np.full(int(kept.sum()), item)))
    rows, times, values, items = _sorted(parts)
    low = np.array([one.get("low", -np.inf) for one in table.values()])[items]
    high = np.array([one.get("high", np.inf) for one in table.values()])[items]
    tables.add(
        "LABEVENTS",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        ITEMID=_items(table)[items],
        CHARTTIME=moments(times),
        VALUE=values,
        VALUENUM=values,
        VALUEUOM=picked([one["unit"] for one in table.values()], items),
        FLAG=picked([None, "abnormal"], (values < low) | (values > high)),
    )
    return _early_and_late(table, stays, rows, values, items)


def write_signs(
    tables: Tables, streams: Streams, stays: Stays, where: Movements, orders: Orders, planted: Planted
) -> dict[str, Floats]:
    """Write CHARTEVENTS: vital signs every few hours in intensive care, and body size once; return as `write_labs`."""
    rng, courses = streams("signs"), Courses(streams, "vitals", stays, orders, planted)
    sizes = Courses(streams, "sizes", stays, orders, planted)
    table = parameters("courses")["vitals"] | parameters("courses")["sizes"]
    rows, times = _in_intensive_care(rng, where, SIGNS_AT)
    tube = where.ventilator.share(times, rows)
    parts, noises = [], dict[str, Floats]()
    shared = rng.random(len(rows))
    for item, (name, about) in enumerate(parameters("courses")["vitals"].items()):
        kept = (shared if "GCS" in name else rng.random(len(rows))) < about.get("share", 0.97)
        kept &= tube if about.get("only") == "ventilated" else True
        noise = noises.setdefault(about.get("like", name), rng.normal(size=len(rows)))
        values = courses.values(name, rows, times, noise)
        parts.append((rows[kept], times[kept], values[kept], np.full(int(kept.sum()), item)))
    every = np.arange(len(stays))
    for item, name in enumerate(parameters("courses")["sizes"], start=len(parameters("courses")["vitals"])):
        kept = rng.random(len(stays)) < 0.8
        values = sizes.values(name, every, where.icu.start, np.zeros(len(stays)))
        parts.append((every[kept], where.icu.start[kept], values[kept], np.full(int(kept.sum()), item)))
    rows, times, values, items = _sorted(parts)
    number, outside = where.icu_stay(stays, times, rows)
    tables.add(
        "CHARTEVENTS",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        ICUSTAY_ID=pa.array(number, mask=outside),
        ITEMID=_items(table)[items],
        CHARTTIME=moments(times),
        STORETIME=moments(times + 900),
        CGID=14_000 + rows % 997,
        VALUE=_texts(table, items, values, where.ventilator.share(times, rows)),
        VALUENUM=values,
        VALUEUOM=picked([one["unit"] or None for one in table.values()], items),
        WARNING=0,
        ERROR=(rng.random(len(rows)) < ERRORS).astype(np.int64),
    )
    return _early_and_late(table, stays, rows, values, items)


def write_outputs(
    tables: Tables, streams: Streams, stays: Stays, where: Movements, orders: Orders, planted: Planted
) -> None:
    """Write OUTPUTEVENTS: what leaves the body, every few hours in intensive care."""
    rng, courses = streams("outputs"), Courses(streams, "outputs", stays, orders, planted)
    table = parameters("courses")["outputs"]
    there = Things(table, features_of_stays()).draw(rng, stays.features)
    parts = []
    for item, (name, about) in enumerate(table.items()):
        rows, times = _in_intensive_care(rng, where, [about["hours"] * count for count in range(1, 16)])
        rows, times = rows[there[rows, item]], times[there[rows, item]]
        values = courses.values(name, rows, times, rng.normal(size=len(rows)))
        parts.append((rows, times, values, np.full(len(rows), item)))
    rows, times, values, items = _sorted(parts)
    number, outside = where.icu_stay(stays, times, rows)
    tables.add(
        "OUTPUTEVENTS",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        ICUSTAY_ID=pa.array(number, mask=outside),
        CHARTTIME=moments(times),
        ITEMID=_items(table)[items],
        VALUE=values,
        VALUEUOM=picked([one["unit"] for one in table.values()], items),
        STORETIME=moments(times + 1_200),
        CGID=14_000 + rows % 997,
    )


@cache
def panels() -> Things:
    """Return the panels of laboratory values."""
    return Things(parameters("courses")["panels"], features_of_stays())


@cache
def _effects(kind: str) -> tuple[Floats, Floats]:
    """Return what features and drugs add to each item, (features + drugs, items): what lasts, what comes and goes."""
    table = parameters("courses")[kind]
    rows = {name: place for place, name in enumerate([*features_of_stays(), *drugs().names])}
    passing = set(parameters("conditions")["acute"])
    lasts, passes = np.zeros((len(rows), len(table))), np.zeros((len(rows), len(table)))
    for column, about in enumerate(table.values()):
        slopes = {name: about[name] for name in ("female", "severity") if name in about}
        for name, added in {**about["effects"], **slopes}.items():
            (passes if name in passing else lasts)[rows[name], column] = added
    return lasts, passes


def _draws(rng: np.random.Generator, stays: Stays, drawn: Flags, on: Sequence[float]) -> tuple[Ints, Ints]:
    """Return stays and times of a panel: soon after admission, then in the morning."""
    day = np.asarray(on)
    times = stays.admitted[:, None] + (day * DAY).astype(np.int64)
    jitter = rng.integers(0, 120, times.shape) * 60
    times = np.where(day >= 1, times // DAY * DAY + 5 * HOUR, times) + jitter
    rows, columns = np.nonzero(
        drawn[:, None] & (times < stays.discharged[:, None]) & (times >= stays.admitted[:, None])
    )
    return rows, times[rows, columns] // 60 * 60


def _in_intensive_care(
    rng: np.random.Generator, where: Movements, hours: Sequence[float]
) -> tuple[Ints, Ints]:
    rows, times = [], []
    for window in (where.icu, where.again):
        at = window.start[:, None] + (np.asarray(hours) * HOUR).astype(np.int64)
        at = (at + rng.integers(-20, 20, at.shape) * 60) // 60 * 60
        row, column = np.nonzero((at >= window.start[:, None]) & (at < window.end[:, None]))
        rows.append(row)
        times.append(at[row, column])
    return np.concatenate(rows), np.concatenate(times)


def _sorted(parts: Sequence[tuple[npt.NDArray[Any], ...]]) -> tuple[Ints, Ints, Floats, Ints]:
    """Return rows, times, values and items in the order of stays and times."""
    rows, times, values, items = (np.concatenate([part[column] for part in parts]) for column in range(4))
    order = np.lexsort((times, rows))
    return rows[order], times[order], values[order], items[order]


def _early_and_late(
    table: Iterable[str], stays: Stays, rows: Ints, values: Floats, items: Ints
) -> dict[str, Floats]:
    """Return each item's first and last value in every stay, (2, stays); NaN where there is none. Rows are by time."""
    told = {}
    for item, name in enumerate(table):
        here = items == item
        told[name] = np.full((2, len(stays)), np.nan)
        told[name][0, rows[here][::-1]] = values[here][::-1]
        told[name][1, rows[here]] = values[here]
    return told


def _items(table: Mapping[str, Mapping[str, Any]]) -> Ints:
    return np.array([one["item"] for one in table.values()])


def _texts(table: Mapping[str, Mapping[str, Any]], items: Ints, values: Floats, tube: Flags) -> pa.Array:
    """Return the values as they are charted: coma scales in words."""
    texts = pa.compute.cast(pa.array(values), pa.string())
    for item, (name, about) in enumerate(table.items()):
        if "texts" in about:
            here = items == item
            said = np.where(
                tube & (name == "GCS - Verbal Response"), len(about["texts"]), values.astype(np.int64) - 1
            )
            words = picked([*about["texts"], NO_ANSWER], np.where(here, said, 0))
            texts = pa.compute.if_else(pa.array(here), words, texts)
    return texts
