"""The Source seam: batches of whole patients, in constant memory.

A batch is columnar. `units` has one row per unit (a patient or an admission) and every other frame points
back to it by `unit_id`. Frames are sorted by `unit_id` in the order of `units`, then by time.

Times are local and have no zone. What a source does not tell is missing, and nothing stands in its place.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

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
ADMISSION_COLUMNS = {
    "unit_id": "str",
    "patient_id": "str",
    "admission_id": "str",
    "admitted": "datetime64[us]",
    "discharged": "datetime64[us]",
    "admission_type": "str",  # as the source has it
    "discharge_location": "str",  # as the source has it
    "emergency_from": "datetime64[us]",  # registered in the emergency department, where the admission began there
    "emergency_to": "datetime64[us]",  # left it
    "died": "boolean",  # in hospital, in this admission or, for accounts opened later, before it
    "died_at": "datetime64[us]",  # the time of a death in this admission
    "death": "datetime64[us]",  # of the patient, wherever it was; often a day without a time of day
    "readmitted": "datetime64[us]",  # when the patient's next admission began
    "last_contact": "datetime64[us]",  # the last time that the patient is known to have been in the hospital
    "followed_until": "datetime64[us]",  # up to when a death would be known; missing where the source does not tell
}
"""Columns of a batch's admissions: what they were, how they ended, and what came after them."""
CODE_COLUMNS = {
    "unit_id": "str",
    "admission_id": "str",
    "kind": "str",  # diagnosis, procedure or drug
    "system": "str",  # ICD-9, ICD-10, name (drugs by name), or a vocabulary: SNOMED, RxNorm, CPT4, …
    "code": "str",
    "name": "str",  # the code in words, where the source tells it beside the code
    "rank": "Int64",  # sequence number within the admission; 1 is principal
    "admitted": "datetime64[us]",  # when the admission began; missing without one
    "time": "datetime64[us]",  # when a drug was started or a procedure done; diagnoses have none
    "stop": "datetime64[us]",  # when a drug was stopped
    "route": "str",  # of a drug, as the source has it
    "dose": "str",  # of a drug, as the source has it: "1-2" is one
    "dose_uom": "str",
    "ndc": "str",  # National Drug Code of a drug, 11 digits
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
    "item": "str",  # by name, as the source's dictionary has it
    "time": "datetime64[us]",
    "value": "float64",  # in `uom`; in the one system of units of records/measured where the item is known to it
    "uom": "str",
    "kind": "str",  # laboratory, vital (chart) or output
    "code": "str",  # the source's number of the item
    "loinc": "str",
    "flag": "str",  # as the source has it: abnormal, delta
    "low": "float64",  # of the reference range, in `uom`
    "high": "float64",
}
"""Columns of a batch's measurements: laboratory values, vital signs, outputs such as urine."""
EVENT_COLUMNS = {
    "unit_id": "str",
    "admission_id": "str",
    "kind": "str",  # icu stay, transfer, service, bedside procedure, input, culture, susceptibility or drg
    "system": "str",  # of the code: MIMIC item, HCFA, APR, …; name where the code is a name
    "code": "str",  # what it was: the care unit, the service, the item, the specimen, the group
    "name": "str",  # the code in words, where the source has a dictionary
    "time": "datetime64[us]",
    "stop": "datetime64[us]",  # the end of what lasts: a stay, an infusion, ventilation
    "value": "float64",  # in `uom`, one for each kind (docs/units.md): an amount given, or minutes of a procedure
    "uom": "str",
    "rate": "float64",  # of an infusion, in `rate_uom`, as well
    "rate_uom": "str",
    "result": "str",  # the organism of a culture; S, I or R of a susceptibility
}
"""Columns of a batch's events: whatever else happened."""


FRAMES = frozenset({"notes", "measurements", "events"})
"""The frames of a batch that a reader may do without: what they are made of need not be read."""


@dataclass(frozen=True)
class Batch:
    """Whole patients: each of them stands in one batch only. Columns as in the constants of this module.

    `units` may have further columns `label_*` (labels that came with the source). A source without admissions, or
    without events, need not name them.
    """

    units: "pd.DataFrame"
    codes: "pd.DataFrame"
    notes: "pd.DataFrame"
    measurements: "pd.DataFrame"
    admissions: "pd.DataFrame" = field(default_factory=lambda: empty_frame(ADMISSION_COLUMNS))
    events: "pd.DataFrame" = field(default_factory=lambda: empty_frame(EVENT_COLUMNS))

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.units)

    def of_units(self) -> "dict[str, pd.DataFrame]":
        """Return the frames whose rows belong to units, by name: all but `units` itself."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "units"}


def empty_frame(columns: Mapping[str, str]) -> "pd.DataFrame":
    """Return a frame with these columns and no rows."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def typed(frame: "pd.DataFrame", columns: Mapping[str, str]) -> "pd.DataFrame":
    """Return the columns of a frame, each of its type; those that are not there are missing."""
    import pandas as pd

    made: dict[str, pd.Series] = {}
    for name, kind in columns.items():
        if name not in frame:
            made[name] = pd.Series(None, index=frame.index, dtype=kind)
        elif kind != "str":
            made[name] = frame[name].astype(kind)  # type: ignore[call-overload]
        elif isinstance(frame[name].dtype, pd.StringDtype):
            made[name] = frame[name]
        else:  # pandas before 3 would make words of missing texts
            made[name] = frame[name].astype("str").where(frame[name].notna())
    return pd.DataFrame(made, index=frame.index)


def joined_notes(batch: Batch) -> list[str]:
    """Return the notes of every unit as one text, "" where it has none."""
    own: defaultdict[str, list[str]] = defaultdict(list)
    for unit, text in zip(batch.notes["unit_id"].tolist(), batch.notes["text"].tolist(), strict=True):
        own[unit].append(text)
    return ["\n".join(own[unit]) for unit in batch.units["unit_id"].tolist()]


@dataclass
class Report:
    """What was read so far: `counts` are good rows by name, `quarantined` bad rows by table, `categories` of notes.

    `rows` are all rows read, by table, `selected` all that a SELECT made of them, by frame; `bytes_read` how many bytes
    went the `fast` way and the `strict` one.
    """

    counts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    selected: dict[str, int] = field(default_factory=dict)
    bytes_read: Counter[str] = field(default_factory=Counter)
    quarantined: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    categories: NoteCategories = field(default_factory=NoteCategories)
    share_read: float = 0.0  # of the pass under way, 0 to 1


@runtime_checkable
class Counts(Protocol):
    """A source that can be read and checked without making batches."""

    def counted(self) -> Iterator[int]:
        """Yield how many units each part has, while the report is filled. Raises SourceError."""
        ...


def counted(source: "Source") -> Iterator[int]:
    """Yield how many units each part has, or each batch of a source that can't do without making them."""
    return source.counted() if isinstance(source, Counts) else map(len, source.batches())


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
