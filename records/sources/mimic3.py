"""MIMIC-III v1.4: tables in one folder, ICD-9 only. Source: Johnson et al., 2016, doi:10.13026/C2XW26."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from cohorts.records.base import Unit
from cohorts.records.sources import mimic
from cohorts.records.sources.admission_ids import AdmissionIds
from cohorts.records.sources.assemble import assemble
from cohorts.records.sources.folders import locate
from cohorts.records.sources.mimic import Wanted
from cohorts.records.sources.partitioned import Assembled, Feed, Frames
from cohorts.records.tables.columns import Kind, Table, Without

_PATIENTS = Table(
    "PATIENTS",
    {"subject_id": Kind.KEY, "gender": Kind.TEXT, "dob": Kind.TIME},
    optional={**mimic.SEX, "dob": Without("ages are not known")},
)
_ICD9 = {"subject_id": Kind.KEY, "hadm_id": Kind.KEY, "seq_num": Kind.NUMBER, "icd9_code": Kind.CODE_OR_NONE}
_DRUGS = Table("PRESCRIPTIONS", {"subject_id": Kind.KEY, "hadm_id": Kind.REFERENCE, "drug": Kind.TEXT})
_NOTES = Table(
    "NOTEEVENTS",
    {
        "subject_id": Kind.KEY,
        "hadm_id": Kind.REFERENCE,
        "chartdate": Kind.TIME_OR_NONE,
        "charttime": Kind.TIME_OR_NONE,
        "category": Kind.TEXT,
        "iserror": Kind.FLAG,
        "text": Kind.TEXT,
    },
    optional={
        "chartdate": Without("notes have the time of charttime alone, which many lack"),
        "charttime": Without("notes have a day and no time of day"),
        "category": Without("notes have no category"),
        "iserror": Without("notes that were marked as errors are not left out"),
    },
)
_TITLES = Table("D_ICD_DIAGNOSES", {"icd9_code": Kind.CODE, "long_title": Kind.TEXT}, mimic.TITLE)


class Mimic3:
    """The layout of a folder with MIMIC-III's tables."""

    name = "mimic3"

    def __init__(self, folder: Path, unit: Unit) -> None:
        self.unit = unit
        self._places = locate(folder, ["PATIENTS"])
        self.synthetic = mimic.is_synthetic(self._places.root)
        self.warnings = list(self._places.told)
        self._titles: dict[tuple[str, str], str] = {}
        self._admission_ids = AdmissionIds()

    def feeds(self) -> Iterator[Feed]:
        """Yield the files to read. Raises SourceError where one is missing."""
        mimic.refuse_other(self._places, "icd9_code", "icd_code", "mimic4")
        self._titles = mimic.read_titles(self._places, _TITLES, "icd9_code", self.warnings)
        labels = mimic.read_labels(self._places, self.warnings)
        wanted = (
            Wanted("patients", _PATIENTS, _patients),
            Wanted("admissions", mimic.ADMISSIONS, mimic.admissions(self._admission_ids)),
            Wanted("codes", Table("DIAGNOSES_ICD", _ICD9, mimic.RANK), _diagnoses),
            Wanted("codes", Table("PROCEDURES_ICD", _ICD9, mimic.RANK), _procedures, "no procedures"),
            Wanted("codes", _DRUGS, mimic.drugs, "no drugs"),
            Wanted("notes", _NOTES, _notes, "no notes"),
            Wanted("measurements", mimic.LABS, mimic.measurements(labels), "no measurements"),
            Wanted("stays", mimic.STAYS, mimic.stays, "no stays"),
        )
        yield from mimic.feeds(self._places, wanted, self.warnings)

    def assemble(self, frames: Frames) -> Assembled:
        """Turn all rows of some patients into a batch."""
        return assemble(frames, self.unit, self._titles, self._admission_ids)


def _patients(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={**mimic.IDS, "dob": "born"}).assign(sex=mimic.sex(frame["gender"]))


def _diagnoses(frame: pd.DataFrame) -> pd.DataFrame:
    return mimic.codes(frame, "diagnosis", "ICD-9", frame["icd9_code"])


def _procedures(frame: pd.DataFrame) -> pd.DataFrame:
    return mimic.codes(frame, "procedure", "ICD-9", frame["icd9_code"])


def _notes(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns=mimic.IDS).assign(
        category=frame["category"].str.strip(),  # MIMIC-III writes "Physician "
        time=frame["charttime"].fillna(frame["chartdate"]),
        is_error=frame["iserror"].fillna(False).astype("bool"),
    )
