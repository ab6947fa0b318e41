"""The Source seam: batches of whole patients, in constant memory.

A batch is columnar. `units` has one row per unit (a patient or an admission) and every other frame points
back to it by `unit_id`. Frames are sorted by `unit_id` in the order of `units`, then by time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cohorts.records.notes.categories import NoteCategories

if TYPE_CHECKING:  # who only asks what a unit is called need not wait for it
    import pandas as pd


class Unit(StrEnum):
    """What one vector stands for."""

    PATIENT = "patient"
    ADMISSION = "admission"


UNIT_COLUMNS = {
    "unit_id": "str",
    "patient_id": "str",
    "admission_id": "str",  # the admission described; for unit=patient, the last one; missing without one
    "admitted": "datetime64[us]",  # the admission described
    "admission_type": "str",  # of the admission described, as the source has it; missing where unknown
    "stay_days": "float64",  # from its admission to its discharge; missing where either time is
    "admissions": "int64",  # admissions of the patient
    "age": "float64",  # years at the admission described; over 89 is 90.0
    "sex": "str",  # F, M or missing
    "died": "boolean",  # died in hospital, in any admission of the unit; missing where unknown
    "principal_system": "str",  # "ICD-9" or "ICD-10"
    "principal_code": "str",
    "principal_title": "str",  # missing where the source has no dictionary
}
"""Columns of a batch's units: one row per unit."""
CODE_COLUMNS = {
    "unit_id": "str",
    "admission_id": "str",
    "kind": "str",  # diagnosis, procedure or drug
    "system": "str",  # ICD-9, ICD-10 or name (drugs by name)
    "code": "str",
    "rank": "Int64",  # sequence number within the admission; 1 is principal
    "admitted": "datetime64[us]",  # when the admission began; missing without one
}
"""Columns of a batch's codes: diagnoses, procedures and drugs."""
NOTE_COLUMNS = {
    "unit_id": "str",
    "admission_id": "str",
    "category": "str",
    "time": "datetime64[us]",
    "text": "str",
}
"""Columns of a batch's notes."""
MEASUREMENT_COLUMNS = {
    "unit_id": "str",
    "admission_id": "str",
    "item": "str",
    "time": "datetime64[us]",
    "value": "float64",
    "uom": "str",
}
"""Columns of a batch's measurements."""


@dataclass(frozen=True)
class Batch:
    """Whole patients: each of them stands in one batch only. Columns as in the constants of this module.

    `units` may have further columns `label_*` (labels that came with the source).
    """

    units: "pd.DataFrame"
    codes: "pd.DataFrame"
    notes: "pd.DataFrame"
    measurements: "pd.DataFrame"

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.units)


def joined_notes(batch: Batch) -> list[str]:
    """Return the notes of every unit as one text, "" where it has none."""
    of_unit = batch.notes.groupby("unit_id")["text"].agg("\n".join)
    return of_unit.reindex(batch.units["unit_id"]).fillna("").tolist()


@dataclass
class Report:
    """What was read so far: `counts` are good rows by name, `quarantined` bad rows by table, `categories` of notes."""

    counts: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    categories: NoteCategories = field(default_factory=NoteCategories)
    share_read: float = 0.0  # of the pass under way, 0 to 1


class Source(Protocol):
    """Electronic health records of one hospital, read as often as needed, always in the same order."""

    name: str
    unit: Unit
    synthetic: bool
    report: Report

    @property
    def has_notes(self) -> bool:
        """Return whether it has notes, as its files tell when they are opened: all of them may be empty."""
        ...

    @property
    def has_codes(self) -> bool:
        """Return whether it has codes, as its files tell when they are opened."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return a hash of the source's kind, unit and files (hex)."""
        ...

    @property
    def work_dir(self) -> Path:
        """Return the folder for temporary files that hold what was read: the run's, which its next run sweeps."""
        ...

    def batches(self) -> Iterator[Batch]:
        """Yield every patient once, in a stable order. Raises SourceError."""
        ...
