"""INPUTEVENTS_MV and PROCEDUREEVENTS_MV: what runs in and what is done at the bedside in intensive care."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from cohorts.records.synthetic.movements import HOUR, Movements, Window
from cohorts.records.synthetic.network import Ints, Streams, Things, parameters
from cohorts.records.synthetic.orders import Orders, drugs
from cohorts.records.synthetic.stays import Stays, features_of_stays
from cohorts.records.synthetic.tables import Tables, moments, picked

MOST_PARTS = 5  # of what runs all the time: the rate is changed
REWRITTEN = 0.02  # share of rows that were written anew, and don't count


def write_inputs(tables: Tables, streams: Streams, stays: Stays, where: Movements, orders: Orders) -> None:
    """Write INPUTEVENTS_MV: orders that run by pump while the patient is in intensive care."""
    rng, pumps = streams("inputs"), parameters("care")["inputs"]
    names = list(pumps)
    place = np.full(int(orders.drug.max(initial=0)) + len(drugs().names) + 1, -1)
    place[[drugs().names.index(name) for name in names]] = np.arange(len(names))
    kind = place[orders.drug]
    begin = np.maximum(orders.start, where.icu.start[orders.rows])
    end = np.minimum(orders.end, where.icu.end[orders.rows])
    here = np.flatnonzero((kind >= 0) & (end - begin >= HOUR))
    times = np.array([one["times"] for one in pumps.values()])
    parts = np.clip(rng.poisson(times[kind[here]]), 1, MOST_PARTS)
    row = np.repeat(here, parts)
    part = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    length = (end[row] - begin[row]) // np.repeat(parts, parts)
    item, rows = kind[row], orders.rows[row]
    start = begin[row] + part * length
    runs = np.array(["rate" in one for one in pumps.values()])[item]
    stop = start + np.where(runs, length, 60)
    middle = np.array([one.get("rate", one.get("amount")) for one in pumps.values()], dtype=float)[item]
    rate = (middle * np.exp(rng.normal(0.15 * stays.severity[rows], 0.35))).round(3)

    per_hour = np.array([one.get("per_hour", 1.0) for one in pumps.values()])[item]
    amount = np.where(runs, rate * per_hour * (stop - start) / HOUR, rate).round(3)
    status = np.where(rng.random(len(row)) < REWRITTEN, 2, (part + 1 < np.repeat(parts, parts)) & runs)
    number, outside = where.icu_stay(stays, start, rows)
    tables.add(
        "INPUTEVENTS_MV",
        len(row),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        ICUSTAY_ID=pa.array(number, mask=outside),
        STARTTIME=moments(start),
        ENDTIME=moments(stop),
        ITEMID=np.array([one["item"] for one in pumps.values()])[item],
        AMOUNT=amount,
        AMOUNTUOM=picked([one["unit"] for one in pumps.values()], item),
        RATE=pa.array(rate, mask=~runs),
        RATEUOM=picked([one.get("rate_unit") for one in pumps.values()], item),
        STORETIME=moments(start + 600),
        CGID=14_000 + rows % 997,
        ORDERID=1_000_000 + row,
        LINKORDERID=1_000_000 + row,
        ORDERCATEGORYNAME=picked([one["order"] for one in pumps.values()], item),
        ORDERCOMPONENTTYPEDESCRIPTION="Main order parameter",
        ORDERCATEGORYDESCRIPTION=picked(["Drug Push", "Continuous Med"], runs.astype(int)),
        PATIENTWEIGHT=80.0,
        STATUSDESCRIPTION=picked(["FinishedRunning", "ChangeDose/Rate", "Rewritten"], status.astype(int)),
        ORIGINALAMOUNT=amount,
    )


def write_bedside(tables: Tables, streams: Streams, stays: Stays, where: Movements) -> None:
    """Write PROCEDUREEVENTS_MV: machines with their hours, lines, pictures and cultures."""
    rng = streams("bedside")
    about: dict[str, dict[str, Any]] = parameters("care")["bedside"]
    there = bedside().draw(rng, stays.features)
    parts: list[tuple[Ints, Ints, Ints, Ints]] = []
    for item, one in enumerate(about.values()):
        window = {"ventilator": where.ventilator, "icu": where.icu}[one["within"]]
        rows = np.flatnonzero(window.runs & (there[:, item] | (one["within"] == "ventilator")))
        start, end = _bedside_times(rng, one, window, rows)
        parts.append((rows, start, end, np.full(len(rows), item)))
    rows, start, end, items = (np.concatenate([part[column] for part in parts]) for column in range(4))
    order = np.lexsort((start, rows))
    rows, start, end, items = rows[order], start[order], end[order], items[order]
    lasts = np.array([one["lasts"] for one in about.values()])[items]
    number, outside = where.icu_stay(stays, start, rows)
    tables.add(
        "PROCEDUREEVENTS_MV",
        len(rows),
        SUBJECT_ID=stays.patient[rows],
        HADM_ID=stays.number[rows],
        ICUSTAY_ID=pa.array(number, mask=outside),
        STARTTIME=moments(start),
        ENDTIME=moments(end),
        ITEMID=np.array([one["item"] for one in about.values()])[items],
        VALUE=np.where(lasts, (end - start) // 60, 1),
        VALUEUOM=picked(["None", "min"], lasts.astype(int)),
        STORETIME=moments(end),
        CGID=14_000 + rows % 997,
        ORDERCATEGORYNAME=picked([one["order"] for one in about.values()], items),
        ORDERCATEGORYDESCRIPTION=picked(["Electrolytes", "Task"], lasts.astype(int)),
        STATUSDESCRIPTION="FinishedRunning",
    )


@cache
def bedside() -> Things:
    """Return what is done at the bedside."""
    return Things(parameters("care")["bedside"], features_of_stays())


def _bedside_times(
    rng: np.random.Generator, one: dict[str, Any], window: Window, rows: Ints
) -> tuple[Ints, Ints]:
    start, end = window.start[rows], window.end[rows]
    if one.get("at") == "end":
        return end - 60, end
    if one.get("at") == "start":
        return start, start + 60 if not one["lasts"] else end
    begin = start + (rng.uniform(0, 0.5, len(rows)) * (end - start)).astype(np.int64) // 60 * 60
    return begin, np.minimum(begin + one["hours"] * HOUR, end) if one["lasts"] else begin + 60
