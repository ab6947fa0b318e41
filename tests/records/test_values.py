"""Cells as hospitals write them: what is read is what was meant, and what can't be known is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.errors import SourceError
from cohorts.harness.evaluate.retrieval.grades import Judged
from cohorts.harness.evaluate.retrieval.population import Population
from cohorts.records.base import Batch, Unit
from cohorts.records.sources.registry import open_source
from cohorts.records.tables.times import Dates, read_times
from command_line import ok, refused
from small_hospitals import Read

ADMISSIONS = "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG"
NOTES = "SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT"
NO_CODES = dict.fromkeys(("DIAGNOSES_ICD", "PROCEDURES_ICD"), "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE") | {
    "PRESCRIPTIONS": "SUBJECT_ID,HADM_ID,DRUG"
}
COLUMNS = {"id": "id", "text": "text", "time": "time"}


def notes_csv(folder: Path, *rows: str) -> Path:
    file = folder / "notes.csv"
    file.write_text("\n".join(["id,text,time", *rows]) + "\n")
    return file


def joined(tables: dict[str, list[str]]) -> dict[str, str]:
    return {name: "\n".join(rows) for name, rows in tables.items()}


def hospital(folder: Path, **tables: str) -> Path:
    """Write a MIMIC-III of one patient; a table is given as its header and rows."""
    known = {
        "PATIENTS": "SUBJECT_ID,GENDER,DOB\n1,F,2094-03-05",
        "ADMISSIONS": f"{ADMISSIONS}\n1,10,2164-10-23 21:09:00,2164-10-25 21:09:00,EMERGENCY,0",
        "DIAGNOSES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,4019",
        "PROCEDURES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,0066",
        "PRESCRIPTIONS": "SUBJECT_ID,HADM_ID,DRUG\n1,10,Insulin",
        "NOTEEVENTS": f"{NOTES}\n1,10,2164-10-24,,Nursing,,pt stable",
    }
    folder.mkdir(exist_ok=True)
    for name, content in (known | tables).items():
        (folder / f"{name}.csv").write_text(content + "\n")
    return folder


def reasons(folder: Path) -> set[str]:
    """Return why rows were bad."""
    return set(pd.read_csv(folder / "work" / "bad.csv")["reason"])


def seen(batch: Batch) -> list[str]:
    return batch.notes["time"].astype("str").tolist()


# Times


@pytest.mark.parametrize(
    ("written", "time", "zoned"),
    [
        ("2018-08-03", "2018-08-03 00:00:00", False),
        ("2018-08-03 22:20", "2018-08-03 22:20:00", False),
        ("2018-08-03T22:20:52", "2018-08-03 22:20:52", False),
        ("2018-08-03 22:20:52.5", "2018-08-03 22:20:52.500000", False),
        ("2018-08-03 22:20:52,123456789", "2018-08-03 22:20:52.123456", False),
        ("20180803", "2018-08-03 00:00:00", False),
        ("20180803T222052", "2018-08-03 22:20:52", False),
        ("20180803222052", "2018-08-03 22:20:52", False),
        ("20180803222052.25-0500", "2018-08-03 22:20:52.250000", True),
        ("2018-8-3 9:05", "2018-08-03 09:05:00", False),
        ("2018/08/03 22:20:52", "2018-08-03 22:20:52", False),
        ("2018", "2018-01-01 00:00:00", False),
        ("2018-08", "2018-08-01 00:00:00", False),
        ("2018-08-03 10:20:52 PM", "2018-08-03 22:20:52", False),
        ("2018-08-03 12:20 a.m.", "2018-08-03 00:20:00", False),
        ("2018-08-03T22:20:52Z", "2018-08-03 22:20:52", True),
        ("2018-08-03T22:20:52.000z", "2018-08-03 22:20:52", True),
        ("2018-08-03 22:20:52+00:00", "2018-08-03 22:20:52", True),
        ("2018-08-03 22:20:52-05", "2018-08-03 22:20:52", True),
        ("2018-08-03T22:20+0530", "2018-08-03 22:20:00", True),
        ("20180803T222052Z", "2018-08-03 22:20:52", True),
        ("2018-08-03 22:20:52 +0000 UTC", "2018-08-03 22:20:52", True),
        ("2018-08-03 10:20:52 PM EST", "2018-08-03 22:20:52", True),
        ("2018-08-03T22:20:52+02:00[Europe/Berlin]", "2018-08-03 22:20:52", True),
        ("2018-08-03 12:20:52 America/New_York", "2018-08-03 12:20:52", True),
        ("1818-08-03", "1818-08-03 00:00:00", False),
        ("3018-08-03T00:00:00Z", "3018-08-03 00:00:00", True),
    ],
)
def test_a_time_is_the_clock_as_it_was_written(written: str, time: str, zoned: bool) -> None:
    plain = "2150-01-01 00:00:00"
    for dates in Dates:
        times = read_times(pd.Series([plain, written, None], dtype="str"), dates)
        assert times.values.isna().tolist() == [False, False, True]
        assert [str(one) for one in times.values[:2]] == [plain, time]
        assert times.zoned.tolist() == [False, zoned, False]


@pytest.mark.parametrize(
    "written",
    [
        "now",
        "today",
        "yesterday",
        "2018-02-30",
        "2018-13-01",
        "2018-08-03 25:00",
        "2018-08-03 13:00 PM",
        "2018-08-03 0:10 AM",
        "2018-08-03-05",
        "20180803 101",
        "3/5/94",
        "03-05-94 10:00",
        "1584230400",
        "1612010203",
        "911012101010",
        "1612010203000",
        "43893",
        "٢٠١٨-٠٨-٠٣",
        "2018-08-03 10:00 " + "T" * 5_000 + "!",
    ],
)
def test_what_is_no_time_is_never_made_one(written: str) -> None:
    for dates in Dates:
        assert read_times(pd.Series([written], dtype="str"), dates).values.isna().all()


@pytest.mark.parametrize(
    "written", ["03/05/2018 1:07 PM", "3.5.2018 13:07", "03-05-2018T13:07:00", "3/5/2018, 13:07"]
)
def test_which_of_day_and_month_comes_first_is_said(written: str) -> None:
    read = {dates: read_times(pd.Series([written], dtype="str"), dates).values[0] for dates in Dates}
    assert pd.isna(read[Dates.ISO])
    assert str(read[Dates.DAY_FIRST]) == "2018-05-03 13:07:00"
    assert str(read[Dates.MONTH_FIRST]) == "2018-03-05 13:07:00"


def test_a_thirteenth_month_is_no_reason_to_turn_a_date_round() -> None:
    times = read_times(pd.Series(["15/03/2018", "03/15/2018"], dtype="str"), Dates.MONTH_FIRST)
    assert [str(one) for one in times.values] == ["NaT", "2018-03-15 00:00:00"]


def test_times_with_and_without_a_zone_stand_in_one_column(tmp_path: Path, read: Read) -> None:
    rows = ("a,third,2150-01-03T08:00:00Z", "a,first,2150-01-01", "a,second,2150-01-02 09:00:00-05:00")
    batch, report = read("notes-csv", notes_csv(tmp_path, *rows), columns=COLUMNS)
    assert batch.notes["text"].tolist() == ["first", "second", "third"]
    assert seen(batch) == ["2150-01-01 00:00:00", "2150-01-02 09:00:00", "2150-01-03 08:00:00"]
    assert report.quarantined == {}
    assert report.warnings == [
        "notes.csv: 2 rows have times with a zone; the clock is kept as written and the zone dropped"
    ]


def test_parquet_times_keep_the_clock_of_their_zone(tmp_path: Path, read: Read) -> None:
    utc = pd.Series(pd.to_datetime(["2018-01-15 12:00", "2018-07-15 12:00"], utc=True))
    pq.write_table(
        pa.table({"id": [1, 1], "text": ["winter", "summer"], "time": utc.dt.tz_convert("America/New_York")}),
        tmp_path / "notes.parquet",
    )
    batch, report = read("notes-csv", tmp_path / "notes.parquet", columns=COLUMNS)
    assert seen(batch) == ["2018-01-15 07:00:00", "2018-07-15 08:00:00"]
    assert report.warnings[0].startswith("notes.parquet: 2 rows have times with a zone")


def test_times_with_a_zone_in_every_table_of_a_hospital(tmp_path: Path, read: Read) -> None:
    folder = hospital(
        tmp_path / "tables",
        PATIENTS="SUBJECT_ID,GENDER,DOB\n1,F,2094-10-24T00:00:00Z",
        ADMISSIONS=f"{ADMISSIONS}\n1,10,2164-10-23 23:00:00-05:00,2164-10-25 23:00:00,EMERGENCY,0",
        NOTEEVENTS=f"{NOTES}\n1,10,2164-10-24,2164-10-24T08:30:00+01:00,Nursing,,pt stable",
    )
    batch, report = read("mimic3", folder)
    (unit,) = batch.units.to_dict("records")
    assert (unit["age"], unit["stay_days"]) == (
        69.0,
        2.0,
    )  # the day before the birthday, by the hospital's clock
    assert seen(batch) == ["2164-10-24 08:30:00"]
    assert report.quarantined == {}
    assert sum("times with a zone" in warning for warning in report.warnings) == 3


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("ingest --dry-run", "15/03/2018"),
        ("fit --out out", "15.03.2018 10:00"),
        ("ingest --collection c", "3-15-2018"),
    ],
)
def test_dates_of_an_unknown_order_are_refused_with_the_option_that_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, written: str
) -> None:
    monkeypatch.chdir(tmp_path)
    notes_csv(tmp_path, f"a,some text,{written}")
    told = refused(f"{command} --source notes-csv --path notes.csv --columns id=id,text=text,time=time")
    assert "--dates day-first or --dates month-first" in told
    assert written not in told


def test_a_century_that_is_lost_is_no_matter_of_order(tmp_path: Path, read: Read) -> None:
    file = notes_csv(tmp_path, "a,some text,3-5-94 0:00", "b,some text,31-12-94 0:00")
    for dates in Dates:
        with pytest.raises(SourceError, match="the century and the order"):
            read("notes-csv", file, columns=COLUMNS, dates=dates)


@pytest.mark.parametrize(("dates", "month"), [(Dates.DAY_FIRST, "05"), (Dates.MONTH_FIRST, "04")])
def test_dates_are_read_in_the_order_that_was_said(
    tmp_path: Path, read: Read, dates: Dates, month: str
) -> None:
    folder = hospital(
        tmp_path / "tables",
        NOTEEVENTS=f"{NOTES}\n1,10,04/05/2164,04/05/2164 10:00 PM,Nursing,,one\n1,10,04/05/2164,,Nursing,,two\n"
        + "\n".join(["1,10,2164-10-24,,Nursing,,ISO is read beside it"] * 20)
        + "\n1,10,13/13/2164,,Nursing,,bad in any order",
    )
    batch, report = read("mimic3", folder, dates=dates)
    day = {"05": "04", "04": "05"}[month]
    assert seen(batch)[:2] == [f"2164-{month}-{day} 00:00:00", f"2164-{month}-{day} 22:00:00"]
    assert report.counts["notes"] == 22
    assert report.quarantined == {"NOTEEVENTS": 1}


def test_a_few_dates_of_an_unknown_order_are_bad_rows_that_name_the_option(
    tmp_path: Path, read: Read
) -> None:
    rows = ("a,fever,2018-05-04", "a,cough,04/05/2018", "a,pain,2018-05-06")
    batch, _ = read("notes-csv", notes_csv(tmp_path, *rows), columns=COLUMNS, max_bad_share=0.5)
    assert batch.notes["text"].tolist() == ["fever", "pain"]
    assert reasons(tmp_path) == {
        "time is not a date like 2164-10-23 21:09:00; for 23/10/2164 and 10/23/2164 say which comes first, day or month"
    }


def test_files_read_in_another_way_are_another_source(tmp_path: Path) -> None:
    file = notes_csv(tmp_path, "a,some text,2018-04-05", "b,more text,2018-04-05")

    def fingerprint(**more: Any) -> str:
        more = {"columns": COLUMNS} | more
        source = open_source(
            "notes-csv", file, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv", **more
        )
        with source:
            return source.fingerprint

    ways: list[dict[str, Any]] = [
        {},
        {"dates": Dates.DAY_FIRST},
        {"dates": Dates.MONTH_FIRST},
        {"labels": ["time"]},
        {"columns": {"id": "id", "text": "text"}},
        {"columns": {"id": "text", "text": "id", "time": "time"}},
    ]
    assert len({fingerprint(**way) for way in ways}) == len(ways)
    assert fingerprint(dates=Dates.ISO, columns=dict(reversed(COLUMNS.items()))) == fingerprint()


def test_a_run_is_not_resumed_with_dates_in_another_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notes_csv(tmp_path, *(f"{n},fever and cough with chest pain {n},04/05/2018" for n in range(30)))
    command = "ingest --source notes-csv --path notes.csv --columns id=id,text=text,time=time --encoder word2vec:dim=8"
    ok(f"{command} --dates day-first")
    assert "source" in refused(f"{command} --dates month-first --resume")


# Whole numbers, flags, numbers


def as_floats(folder: Path, table: str, *columns: str) -> None:
    """Write columns as a program does that has read whole numbers as floats."""
    file = next(folder.rglob(f"{table}.csv*"))
    frame = pd.read_csv(file, dtype="str")
    frame[list(columns)] = frame[list(columns)] + ".0"
    frame.to_csv(file, index=False)


def mimic4(folder: Path, **tables: str) -> Path:
    """Write the `hosp` of a MIMIC-IV of one patient, with its dictionary."""
    known = {
        "patients": "subject_id,gender,anchor_age,anchor_year\n1,F,60,2164",
        "admissions": "subject_id,hadm_id,admittime,dischtime,admission_type,hospital_expire_flag\n"
        "1,10,2164-10-23 21:09:00,2164-10-25 21:09:00,EMERGENCY,0",
        "diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,10,1,I10,10\n1,10,2,0389,9",
        "procedures_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,10,1,0066,9",
        "prescriptions": "subject_id,hadm_id,drug\n1,10,Insulin",
        "d_icd_diagnoses": "icd_code,icd_version,long_title\nI10,10,Hypertension",
        "d_labitems": "itemid,label\n50912,Creatinine",
        "labevents": "subject_id,hadm_id,itemid,charttime,valuenum,valueuom\n1,10,50912,2164-10-24 08:00:00,1.1,mg/dL",
    }
    (folder / "hosp").mkdir(parents=True)
    for name, content in (known | tables).items():
        (folder / "hosp" / f"{name}.csv").write_text(content + "\n")
    return folder


def test_whole_numbers_that_went_through_floats_are_the_same_numbers(tmp_path: Path, read: Read) -> None:
    expected, _ = read("mimic4", mimic4(tmp_path / "whole"))
    floats = mimic4(tmp_path / "floats")
    ids = ("subject_id", "hadm_id")
    as_floats(floats, "patients", "subject_id", "anchor_age", "anchor_year")
    as_floats(floats, "admissions", *ids, "hospital_expire_flag")
    as_floats(floats, "diagnoses_icd", *ids, "seq_num", "icd_version")
    as_floats(floats, "procedures_icd", *ids, "seq_num", "icd_version")
    as_floats(floats, "d_icd_diagnoses", "icd_version")
    as_floats(floats, "d_labitems", "itemid")
    as_floats(floats, "labevents", *ids, "itemid")
    batch, report = read("mimic4", floats)
    for frame in ("units", "codes", "measurements"):
        pd.testing.assert_frame_equal(getattr(batch, frame), getattr(expected, frame))
    assert batch.units["principal_title"].tolist() == ["Hypertension"]
    assert report.quarantined == {}


def test_an_identifier_is_a_whole_number_however_many_zeros_follow(tmp_path: Path, read: Read) -> None:
    good = ["10", "10.0", "10.00", "10.", " 10 "]
    bad = ["10.5", "1e+01", "10,0", "-10", "10.0.0", "٢", "ten", "10.0e0"]
    rows = [f'1,"{written}",1,4019' for written in (*good, *bad)]
    folder = hospital(
        tmp_path / "tables", DIAGNOSES_ICD="\n".join(["SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE", *rows])
    )
    batch, report = read("mimic3", folder, max_bad_share=0.9)
    assert batch.codes.loc[batch.codes["kind"] == "diagnosis", "admission_id"].tolist() == ["10"] * len(good)
    assert report.quarantined == {"DIAGNOSES_ICD": len(bad)}
    assert reasons(tmp_path) == {"hadm_id is not a whole number"}


def test_a_version_that_icd_does_not_have_is_not_blamed_on_the_code(tmp_path: Path, read: Read) -> None:
    rows = "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,10,1,I10,10\n1,10,2,0389,11\n1,10,3,0389,"
    _, report = read("mimic4", mimic4(tmp_path / "tables", diagnoses_icd=rows), max_bad_share=0.9)
    assert report.quarantined == {"diagnoses_icd": 2}
    assert reasons(tmp_path) == {"icd_version is neither 9 nor 10"}


YES, NO = ["1", "1.0", "TRUE", "True", "t", "Y", "yes"], ["0", "0.0", "FALSE", "False", "f", "N", "no"]


def test_flags_are_read_as_databases_write_them(tmp_path: Path, read: Read) -> None:
    patients, admissions, notes = ["SUBJECT_ID,GENDER,DOB"], [ADMISSIONS], [NOTES]
    for number, flag in enumerate([*YES, *NO, ""], start=10):
        patients.append(f"{number},F,2094-03-05")
        admissions.append(f"{number},1{number},2164-10-23,,E,{flag}")
        notes.append(f"{number},,2164-10-24,,N,{flag},a note")
    rows = {"PATIENTS": patients, "ADMISSIONS": admissions, "NOTEEVENTS": notes}
    batch, report = read("mimic3", hospital(tmp_path / "tables", **NO_CODES, **joined(rows)))
    died = batch.units["died"].astype("object").tolist()
    assert died == [True] * len(YES) + [False] * len(NO) + [pd.NA]
    assert batch.notes["unit_id"].tolist() == [str(n) for n in range(10 + len(YES), 11 + len(YES) + len(NO))]
    assert report.left_out == {"rows of NOTEEVENTS marked as errors (ISERROR)": len(YES)}
    assert report.quarantined == {}


def test_a_flag_that_is_none_is_bad_and_no_patient_alive(tmp_path: Path, read: Read) -> None:
    rows = f"{ADMISSIONS}\n1,10,2164-10-23,,E,0\n1,11,2164-12-23,,E,died\n1,12,2164-12-24,,E,2"
    _, report = read("mimic3", hospital(tmp_path / "tables", ADMISSIONS=rows), max_bad_share=0.9)
    assert report.quarantined == {"ADMISSIONS": 2}
    assert reasons(tmp_path) == {"hospital_expire_flag is neither 0 nor 1"}


def test_a_value_is_a_finite_number_or_bad(tmp_path: Path, read: Read) -> None:
    bad = ["inf", "-Infinity", "1e400", "7,4", "7.4 mg", "0x10", "1_000"]
    rows = [f'1,10,50912,2164-10-24,"{written}",mg/dL' for written in (*bad, "7.4e0", " 7.4")]
    labs = "\n".join(["subject_id,hadm_id,itemid,charttime,valuenum,valueuom", *rows])
    batch, report = read("mimic4", mimic4(tmp_path / "tables", labevents=labs), max_bad_share=0.9)
    assert batch.measurements["value"].tolist() == [7.4, 7.4]
    assert report.quarantined == {"LABEVENTS": len(bad)}


# Identifiers of notes-csv, which are text


def test_ids_that_went_through_floats_are_told_and_are_the_same_patients(tmp_path: Path, read: Read) -> None:
    rows = ("105.0,one,", "105,two,", "1.10,three,", "1.1,four,", "v1.0,five,", "1.00,six,", "7,seven,")
    batch, report = read("notes-csv", notes_csv(tmp_path, *rows), columns=COLUMNS)
    assert set(batch.units["patient_id"]) == {"105", "1.10", "1.1", "v1.0", "1.00", "7"}
    assert set(batch.notes.loc[batch.notes["unit_id"] == "105", "text"]) == {"one", "two"}
    assert report.warnings == ["notes.csv: 1 rows have an id like 105.0, which is read as 105"]


def test_ids_whose_digits_a_spreadsheet_has_lost_are_never_one_patient(tmp_path: Path, read: Read) -> None:
    lost = ("1.23E+11,one,", "1.23E+11,another,", "1e+16,a third,", "-4.5e+05,a fourth,")
    kept = ("1e5,five,", "4E10,six,", "a1.2E+10,seven,")
    file = notes_csv(tmp_path, *lost, *kept)
    batch, report = read("notes-csv", file, columns=COLUMNS, max_bad_share=0.9)
    assert set(batch.units["patient_id"]) == {"1e5", "4E10", "a1.2E+10"}
    assert report.quarantined == {"notes.csv": len(lost)}
    assert reasons(tmp_path) == {"id has lost digits, as 105000000001 does in 1.05E+11"}


def test_judgements_that_went_through_floats_are_of_the_same_patients(tmp_path: Path) -> None:
    file = tmp_path / "judged.csv"
    file.write_text("patient,other,grade\n105.0, 7.0 ,2\n")
    population = Population(["7", "105"], np.arange(2), ["c"], np.ones((2, 1), np.bool_), {})
    judged = Judged(file, population)
    assert (judged.first.tolist(), judged.second.tolist()) == ([1], [0])


# Missing values

MARKS = [r"\N", "NULL", "(null)", "<null>", "NaN", "nan", "NaT", "<NA>", "  ", ""]
FURTHER = ["NA", "N/A", "n/a", "#N/A", "None", "null", "-", "--", ".", "?"]


def test_what_says_that_nothing_is_there_is_missing_in_every_kind_of_column(
    tmp_path: Path, read: Read
) -> None:
    marks = [*MARKS, *FURTHER]
    admissions = [ADMISSIONS, "1,10,2164-10-23,2164-10-25,EMERGENCY,0"]
    codes, notes = ["SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE"], [NOTES]
    labs = ["SUBJECT_ID,HADM_ID,ITEMID,CHARTTIME,VALUENUM,VALUEUOM"]
    for number, mark in enumerate(marks, start=100):
        admissions.append(f"1,{number},2164-10-23,{mark},EMERGENCY,{mark}")
        codes += [f"1,{number},1,{mark}", f"1,{number},{mark},4019"]
        notes.append(f"1,{mark},{mark},{mark},Nursing,{mark},stable")
        labs.append(f"1,{mark},50912,{mark},{mark},mg/dL")
    rows = {"ADMISSIONS": admissions, "DIAGNOSES_ICD": codes, "NOTEEVENTS": notes, "LABEVENTS": labs}
    folder = hospital(tmp_path / "tables", **joined(rows))
    batch, report = read("mimic3", folder)
    assert report.quarantined == {}
    assert report.left_out == {"rows of DIAGNOSES_ICD without a code": len(marks)}
    assert report.counts["diagnoses"] == report.counts["notes"] == report.counts["measurements"] == len(marks)
    assert batch.codes.loc[batch.codes["kind"] == "diagnosis", "rank"].isna().all()
    for frame in (batch.notes, batch.measurements):
        assert frame[["admission_id", "time"]].isna().all(axis=None)
    assert batch.measurements["value"].isna().all()
    stays, _ = read("mimic3", folder, unit=Unit.ADMISSION)
    marked = stays.units[stays.units["admission_id"] != "10"]
    assert len(marked) == len(marks)
    assert marked[["stay_days", "died"]].isna().all(axis=None)


def test_in_text_what_no_text_can_be_is_missing(tmp_path: Path, read: Read) -> None:
    patients, admissions, notes = ["SUBJECT_ID,GENDER,DOB"], [ADMISSIONS], [NOTES]
    drugs = ["SUBJECT_ID,HADM_ID,DRUG", "10,110,Insulin"]
    for number, mark in enumerate(MARKS, start=10):
        patients.append(f"{number},{mark},2094-03-05")
        admissions.append(f"{number},1{number},2164-10-23,,{mark},0")
        drugs.append(f"{number},1{number},{mark}")
        notes += [f"{number},,2164-10-24,,{mark},,stable", f"{number},,2164-10-24,,Nursing,,{mark}"]
    rows = {"PATIENTS": patients, "ADMISSIONS": admissions, "NOTEEVENTS": notes, "PRESCRIPTIONS": drugs}
    batch, report = read("mimic3", hospital(tmp_path / "tables", **NO_CODES | joined(rows)))
    assert len(batch) == len(MARKS)
    assert batch.units[["sex", "admission_type"]].isna().all(axis=None)
    assert batch.codes["code"].tolist() == ["Insulin"]
    assert batch.notes["text"].tolist() == ["stable"] * len(MARKS)
    assert batch.notes["category"].isna().all()
    assert report.left_out == {
        "rows of NOTEEVENTS without text": len(MARKS),
        "rows of PRESCRIPTIONS without a code": len(MARKS),
    }
    assert report.quarantined == {}


def test_an_id_that_says_that_nothing_is_there_is_no_patient(tmp_path: Path, read: Read) -> None:
    rows = [f"{mark},whose note is this,2150-01-01" for mark in (*MARKS, *FURTHER)]
    batch, report = read(
        "notes-csv", notes_csv(tmp_path, *rows, "none,cough,"), columns=COLUMNS, max_bad_share=1
    )
    assert batch.units["patient_id"].tolist() == ["none"]
    assert report.quarantined == {"notes.csv": len(rows)}
    assert reasons(tmp_path) == {"id is missing"}


def test_notes_and_labels_that_are_words_stay(tmp_path: Path, read: Read) -> None:
    file = tmp_path / "notes.csv"
    rows = (f"{n},{word},{word},2150-01-01" for n, word in enumerate(FURTHER, start=10))
    file.write_text("\n".join(["id,text,ward,time", *rows]) + "\n")
    batch, _ = read("notes-csv", file, columns=COLUMNS, labels=["ward"])
    assert batch.notes["text"].tolist() == batch.units["label_ward"].tolist() == FURTHER


# Empty notes


def test_empty_notes_are_left_out_and_counted_and_no_bad_rows(tmp_path: Path, read: Read) -> None:
    rows = ("a,,2150-01-01", 'a,"  \n",', r"b,\N,", "a,fever,2150-01-02", ",whose,2150-01-01")
    batch, report = read("notes-csv", notes_csv(tmp_path, *rows), columns=COLUMNS, max_bad_share=0.2)
    assert batch.units["patient_id"].tolist() == ["a"]
    assert batch.notes["text"].tolist() == ["fever"]
    assert report.left_out == {"rows of notes.csv without text": 3}
    assert report.quarantined == {"notes.csv": 1}
    assert report.counts == {"patients": 1, "notes": 1}


def test_a_file_of_empty_notes_has_nobody_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notes_csv(tmp_path, *(f"{n},,2150-01-01" for n in range(9)))
    told = refused("ingest --source notes-csv --path notes.csv --columns id=id,text=text,time=time")
    assert "lsa finds no word in the notes of this source" in told
