"""Hospitals of a few patients: MIMIC's, each table as its header and rows (None leaves one out), and one's own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cohorts.records.base import Batch, Report
from cohorts.records.sources.partitioned import PartitionedSource

Read = Callable[..., tuple[Batch, Report]]  # the fixture `read`
OpenOwn = Callable[..., PartitionedSource]  # the fixture `open_own`
_MIMIC3: dict[str, str | None] = {
    "PATIENTS": "SUBJECT_ID,GENDER,DOB\n1,F,2094-03-05\n2,M,2100-01-01",
    "ADMISSIONS": "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,DEATHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG\n"
    "1,10,2164-10-23 21:09:00,2164-10-25 21:09:00,,EMERGENCY,0\n"
    "2,20,2165-01-01 10:00:00,2165-01-03 10:00:00,2165-01-03 09:00:00,ELECTIVE,1",
    "DIAGNOSES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,4019\n2,20,1,0389",
    "PROCEDURES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,0066",
    "PRESCRIPTIONS": "SUBJECT_ID,HADM_ID,DRUG\n1,10,Insulin",
    "NOTEEVENTS": "SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT\n"
    "1,10,2164-10-24,2164-10-24 08:00:00,Nursing,,pt stable\n2,20,2165-01-02,,Nursing,1,another's",
    "LABEVENTS": "SUBJECT_ID,HADM_ID,ITEMID,CHARTTIME,VALUE,VALUENUM,VALUEUOM\n"
    "1,10,50912,2164-10-24 08:00:00,1.1,1.1,mg/dL\n1,10,50912,2164-10-24 09:00:00,NEG,,",
    "ICUSTAYS": "SUBJECT_ID,HADM_ID,ICUSTAY_ID,INTIME,OUTTIME,LOS\n"
    "1,10,100,2164-10-23 21:10:00,2164-10-25 09:10:00,1.5",
    "D_ICD_DIAGNOSES": "ICD9_CODE,SHORT_TITLE,LONG_TITLE\n4019,Hypertension NOS,Hypertension",
    "D_LABITEMS": "ITEMID,LABEL\n50912,Creatinine",
}
_HOSP: dict[str, str | None] = {
    "patients": "subject_id,gender,anchor_age,anchor_year\n1,F,60,2164",
    "admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,hospital_expire_flag\n"
    "1,10,2164-10-23 21:09:00,2164-10-25 21:09:00,,EMERGENCY,0",
    "diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,10,1,I10,10",
    "procedures_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,10,1,0066,9",
    "prescriptions": "subject_id,hadm_id,drug\n1,10,Insulin",
    "d_icd_diagnoses": "icd_code,icd_version,long_title\nI10,10,Hypertension",
    "d_labitems": "itemid,label\n50912,Creatinine",
    "labevents": "subject_id,hadm_id,itemid,charttime,value,valuenum,valueuom\n"
    "1,10,50912,2164-10-24 08:00:00,1.1,1.1,mg/dL",
}
_ICU: dict[str, str | None] = {
    "icustays": "subject_id,hadm_id,stay_id,intime,outtime,los\n"
    "1,10,100,2164-10-23 21:10:00,2164-10-25 09:10:00,1.5"
}

_OF_ICU = ("icustays", "chartevents", "outputevents", "inputevents", "procedureevents")


def mimic3(folder: Path, **tables: str | None) -> Path:
    """Write a MIMIC-III of two patients: one dead, one of 48 hours with a stay in intensive care."""
    return _write(folder, _MIMIC3 | tables)


def mimic4(folder: Path, **tables: str | None) -> Path:
    """Write a MIMIC-IV of one patient, in `hosp` and `icu`."""
    _write(folder / "hosp", _HOSP | {name: tables[name] for name in tables if name not in _OF_ICU})
    _write(folder / "icu", _ICU | {name: tables[name] for name in tables if name in _OF_ICU})
    return folder


def without_column(folder: Path, table: str, *columns: str) -> None:
    """Take columns out of a table that has neither quotes nor commas in its cells."""
    (file,) = folder.rglob(f"{table}.csv")
    rows = [line.split(",") for line in file.read_text().splitlines()]
    kept = [place for place, name in enumerate(rows[0]) if name not in columns]
    assert len(kept) == len(rows[0]) - len(columns)
    file.write_text("".join(",".join(row[place] for place in kept) + "\n" for row in rows))


def _write(folder: Path, tables: dict[str, str | None]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tables.items():
        if content is not None:
            (folder / f"{name}.csv").write_text(content + "\n")
    return folder


def told(report: Report) -> list[str]:
    """Return what was told of a small hospital, less the one line on tables that none of them has."""
    return [warning for warning in report.warnings if not warning.startswith("Not there, and not known: ")]


OWN_TABLES_PAGE = Path(__file__).resolve().parents[1] / "docs" / "tables.md"


class Own(NamedTuple):
    """A folder of tables, and the mapping that declares them."""

    folder: Path
    mapping: Path

    def replace(self, old: str, new: str) -> None:
        """Change the mapping, where it stands once."""
        text = self.mapping.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        self.mapping.write_text(text.replace(old, new), encoding="utf-8")

    def __str__(self) -> str:
        return f"--source tables --path {self.folder} --mapping {self.mapping}"


def worked_example(folder: Path) -> Own:
    """Write the example of the page below a folder."""
    blocks = re.findall(
        r'^```\w+ title="([^"]+)"\n(.*?)^```',
        OWN_TABLES_PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    tables, mapping = folder / "hospital", folder / "hospital.toml"
    tables.mkdir(parents=True)
    for name, text in blocks:
        (mapping if name == mapping.name else tables / name).write_text(text, encoding="utf-8")
    return Own(tables, mapping)
