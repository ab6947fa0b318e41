"""A small hospital in memory whose patients have codes, laboratory values, stays and admissions, for what is kept."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.errors import SourceError
from cohorts.records.base import (
    ADMISSION_COLUMNS,
    CODE_COLUMNS,
    EVENT_COLUMNS,
    MEASUREMENT_COLUMNS,
    NOTE_COLUMNS,
    UNIT_COLUMNS,
    Batch,
    Report,
    Unit,
)

NOTE = "Mrs Quillfeather was seen on the ward"
CODES = ("4019", "25000", "5849", "0389", "41401")


def frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a frame of the contract; what a row does not name is missing."""
    made = pd.DataFrame([dict(row) for row in rows], columns=list(columns), dtype=object)
    return made.astype(columns)


def ward_batch(patients: Mapping[str, float]) -> Batch:
    """Return patients by id, each with a laboratory value; two admissions, but the first patient has none."""
    units, codes, notes, measurements, admissions, events = ([] for _ in range(6))
    for number, (key, value) in enumerate(patients.items()):
        began = pd.Timestamp(2150, 1, 1 + number % 28)
        bare = value < 0
        last = None if bare else f"{key}2"
        about: dict[str, Any] = {"unit_id": key, "admission_id": last}
        units.append(
            about
            | {
                "patient_id": key,
                "age": 60.0 + number,
                "sex": "FM"[number % 2],
                "admissions": 0 if bare else 2,
            }
        )
        codes += [
            about | {"kind": "diagnosis", "system": "ICD-9", "code": CODES[number % 5], "rank": 1},
            about
            | {"kind": "drug", "system": "name", "code": "Insulin", "time": began, "dose": "1-2", "ndc": "0"},
        ]
        notes.append(about | {"text": f"{NOTE} {key}"})
        measurements.append(
            about
            | {"item": "Creatinine", "time": began, "value": value, "uom": "mg/dL", "kind": "laboratory"}
        )
        events.append(
            about | {"kind": "icu stay", "system": "name", "code": "MICU", "time": began, "stop": began}
        )
        for visit in () if bare else ("1", "2"):
            died = {"died": visit == "2", "admitted": began + pd.DateOffset(years=int(visit))}
            admissions.append({"unit_id": key, "patient_id": key, "admission_id": key + visit, **died})
    return Batch(
        units=frame(units, UNIT_COLUMNS),
        codes=frame(codes, CODE_COLUMNS),
        notes=frame(notes, NOTE_COLUMNS),
        measurements=frame(measurements, MEASUREMENT_COLUMNS),
        admissions=frame(admissions, ADMISSION_COLUMNS),
        events=frame(events, EVENT_COLUMNS),
    )


class Ward:
    """A source of such patients, `per` to a batch; it can't be read beyond `breaks_after` batches."""

    name, unit, synthetic, fingerprint, has_notes, has_codes = "ward", Unit.PATIENT, True, "ward", True, True

    def __init__(self, patients: Mapping[str, float], per: int = 4, breaks_after: int = 1_000) -> None:
        self.patients, self.per, self.breaks_after = patients, per, breaks_after
        self.report, self.work_dir = Report(), Path(tempfile.gettempdir())

    def batches(self) -> Iterator[Batch]:
        ids = list(self.patients)
        for number, start in enumerate(range(0, len(ids), self.per)):
            if number == self.breaks_after:
                raise SourceError("the disk of the tables is gone")
            yield ward_batch({key: self.patients[key] for key in ids[start : start + self.per]})
