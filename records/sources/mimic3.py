"""MIMIC-III v1.4: tables in one folder, ICD-9 only. Source: Johnson et al., 2016, doi:10.13026/C2XW26."""

import pandas as pd
from cohorts.records.sources import mimic
from cohorts.records.sources.mimic import Wanted
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


class Mimic3(mimic.Layout):
    """The layout of a folder with MIMIC-III's tables."""

    name = "mimic3"
    patients = Wanted("patients", _PATIENTS, _patients)
    others = (
        Wanted("codes", Table("DIAGNOSES_ICD", _ICD9, mimic.RANK), _diagnoses),
        Wanted("codes", Table("PROCEDURES_ICD", _ICD9, mimic.RANK), _procedures, "no procedures"),
        Wanted("codes", _DRUGS, mimic.drugs, "no drugs"),
        Wanted("notes", _NOTES, _notes, "no notes"),
    )
    titles = _TITLES
    icd_column = "icd9_code"
    other = "icd_code", "mimic4"
