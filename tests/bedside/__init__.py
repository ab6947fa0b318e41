"""Batches of a few patients in intensive care, each value, drug and event as it would be written, for scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from cohorts.records.base import (
    ADMISSION_COLUMNS,
    CODE_COLUMNS,
    EVENT_COLUMNS,
    MEASUREMENT_COLUMNS,
    NOTE_COLUMNS,
    UNIT_COLUMNS,
    Batch,
)
from cohorts.records.measured.measures import load_measures
from wards import frame

BEGAN = pd.Timestamp("2150-03-01 10:00")  # of intensive care


def at(hours: float) -> pd.Timestamp:
    """Return the time so many hours after intensive care began."""
    return BEGAN + pd.Timedelta(hours=hours)


def value(name: str, hours: float, number: float, unit: str = "1", **more: Any) -> dict[str, Any]:
    """Return a measurement by its LOINC code, or by a MIMIC item where it has none."""
    measure = load_measures()[name]
    told = {"loinc": measure.loinc[0]} if measure.loinc else {"code": _ITEMS[name]}
    about = {"unit_id": unit, "admission_id": unit, "item": name, "time": at(hours), "kind": "vital"}
    return {**about, "value": number, "uom": measure.unit, **told, **more}


_ITEMS = {
    "plateau pressure": "224696",
    "bladder irrigation in": "227488",
    "urine and bladder irrigation out": "227489",
}


def event(
    kind: str, hours: float, until: float | None = None, unit: str = "1", **more: Any
) -> dict[str, Any]:
    """Return an event."""
    about = {"unit_id": unit, "admission_id": unit, "kind": kind, "system": "MIMIC item", "time": at(hours)}
    return {**about, "stop": pd.NaT if until is None else at(until), **more}


def drug(words: str, hours: float, unit: str = "1", **more: Any) -> dict[str, Any]:
    """Return a drug by its name."""
    about = {"unit_id": unit, "admission_id": unit, "kind": "drug", "system": "name", "route": "IV"}
    return {**about, "code": words, "time": at(hours), **more}


def diagnosis(code: str, unit: str = "1", system: str = "ICD-9") -> dict[str, Any]:
    """Return a diagnosis."""
    return {"unit_id": unit, "admission_id": unit, "kind": "diagnosis", "system": system, "code": code}


def infusion(
    item: str, hours: float, until: float | None, rate: float, unit: str = "1", **more: Any
) -> dict[str, Any]:
    """Return what ran in, in mcg/kg/min."""
    told = {"code": item, "rate": rate, "rate_uom": "mcg/kg/min", **more}
    return event("input", hours, until, unit, **told)


def stay(hours: float = 0, until: float | None = 72, unit: str = "1") -> dict[str, Any]:
    """Return a stay in intensive care."""
    return event("icu stay", hours, until, unit, system="name", code="MICU")


def intensive_care(
    *,
    units: Sequence[Mapping[str, Any]] = ({},),
    codes: Sequence[Mapping[str, Any]] = (),
    measurements: Sequence[Mapping[str, Any]] = (),
    events: Sequence[Mapping[str, Any]] = (),
) -> Batch:
    """Return a batch of admissions with the ids 1, 2, …: of somebody of 50 years where nothing else is told."""
    people = []
    for number, told in enumerate(units, start=1):
        one = str(number)
        about = {"unit_id": one, "patient_id": one, "admission_id": one, "admitted": at(-2)}
        people.append({**about, "admissions": 1, "age": 50.0, "sex": "F", **told})
    return Batch(
        units=frame(people, UNIT_COLUMNS),
        codes=frame(codes, CODE_COLUMNS),
        notes=frame([], NOTE_COLUMNS),
        measurements=frame(measurements, MEASUREMENT_COLUMNS),
        admissions=frame([], ADMISSION_COLUMNS),
        events=frame(events, EVENT_COLUMNS),
    )
