"""Hospitals as projects ship and cut them: whatever is left is read, and what is lost is told."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cohorts.records import partition
from cohorts.records.base import Batch, Report, Unit
from cohorts.records.shards import Shard
from cohorts.records.sources import open_source
from small_hospitals import mimic3

Read = Callable[..., tuple[Batch, Report]]
LEFT_OUT = "of admissions that the admissions' table does not have"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return how to read a small source: its only batch, and its report."""

    def read_it(name: str, path: Path, **more: Any) -> tuple[Batch, Report]:
        work = tmp_path / "work"
        with open_source(name, path, work_dir=work, quarantine_file=work / "bad.csv", **more) as source:
            (batch,) = source.batches()
            return batch, source.report

    return read_it


# Cohorts cut by admission

OF_ABSENT = {
    "DIAGNOSES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,4019\n1,11,1,4280",
    "PROCEDURES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,0066\n1,11,1,9604",
    "PRESCRIPTIONS": "SUBJECT_ID,HADM_ID,DRUG\n1,10,Insulin\n1,11,Heparin",
    "NOTEEVENTS": "SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT\n"
    "1,10,2164-10-24,,Nursing,,pt stable\n1,11,2164-10-24,,Nursing,,pt worse",
    "LABEVENTS": "SUBJECT_ID,HADM_ID,ITEMID,CHARTTIME,VALUENUM,VALUEUOM\n"
    "1,10,50912,2164-10-24,1.1,mg/dL\n1,11,50912,2164-10-24,9.9,mg/dL",
    "ICUSTAYS": "SUBJECT_ID,HADM_ID,LOS\n1,10,1.5\n1,11,9.5",
}


@pytest.mark.parametrize("unit", Unit)
def test_rows_of_admissions_that_were_cut_away_are_left_out_and_counted(
    tmp_path: Path, read: Read, unit: Unit
) -> None:
    whole, _ = read("mimic3", mimic3(tmp_path / "whole"), unit=unit)
    cut, report = read("mimic3", mimic3(tmp_path / "cut", **OF_ABSENT), unit=unit)
    assert report.quarantined == {}
    assert report.left_out == {f"rows of {table} {LEFT_OUT}": 1 for table in OF_ABSENT}
    known = cut.units["unit_id"] == cut.units["unit_id"].iloc[0]
    pd.testing.assert_frame_equal(cut.units[known], whole.units[known])
    assert cut.codes["code"].tolist() == ["4019", "Insulin", "0066"]
    assert (len(cut.notes), len(cut.measurements)) == (1, 1)


@pytest.mark.parametrize("part_bytes", [partition.PART_BYTES, 20])
def test_a_row_of_an_admission_of_another_patient_is_bad(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    """Also where the other patient's rows lie in another part, or in another shard."""
    rows = "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,20,1,4019\n2,10,1,0389\n1,99,1,4280\n2,20,1,0389"
    folder = mimic3(tmp_path / "tables", DIAGNOSES_ICD=rows)
    monkeypatch.setattr(partition, "PART_BYTES", part_bytes)
    bad: list[str] = []
    for number in (1, 2):
        file = tmp_path / f"bad{number}.csv"
        with open_source(
            "mimic3",
            folder,
            work_dir=tmp_path,
            quarantine_file=file,
            max_bad_share=1,
            shard=Shard(number, 2),
        ) as source:
            list(source.batches())
        bad += _rows(file) if file.exists() else []
    assert sorted(bad) == [f"DIAGNOSES_ICD {row} an admission of another patient" for row in (1, 2)]


def _rows(file: Path) -> list[str]:
    with file.open(newline="") as stream:
        return [f"{row['table']} {row['row']} {row['reason']}" for row in csv.DictReader(stream)]
