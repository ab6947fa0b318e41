"""Cells as hospitals write them: what is read is what was meant, and what can't be known is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.errors import SourceError
from cohorts.records.base import Batch, Report
from cohorts.records.sources import open_source
from cohorts.records.times import Dates, read_times
from commands import ok, refused

Read = Callable[..., tuple[Batch, Report]]
COLUMNS = {"id": "id", "text": "text", "time": "time"}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return how to read a small source: its only batch, and its report."""

    def read_it(name: str, path: Path, **more: Any) -> tuple[Batch, Report]:
        work = tmp_path / "work"
        with open_source(name, path, work_dir=work, quarantine_file=work / "bad.csv", **more) as source:
            (batch,) = source.batches()
            return batch, source.report

    return read_it


def notes_csv(folder: Path, *rows: str) -> Path:
    file = folder / "notes.csv"
    file.write_text("\n".join(["id,text,time", *rows]) + "\n")
    return file


def hospital(folder: Path, **tables: str) -> Path:
    """Write a MIMIC-III of one patient; a table is given as its header and rows."""
    known = {
        "PATIENTS": "SUBJECT_ID,GENDER,DOB\n1,F,2094-03-05",
        "ADMISSIONS": "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG\n"
        "1,10,2164-10-23 21:09:00,2164-10-25 21:09:00,EMERGENCY,0",
        "DIAGNOSES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,4019",
        "PROCEDURES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,0066",
        "PRESCRIPTIONS": "SUBJECT_ID,HADM_ID,DRUG\n1,10,Insulin",
        "NOTEEVENTS": "SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT\n"
        "1,10,2164-10-24,,Nursing,,pt stable",
    }
    folder.mkdir(exist_ok=True)
    for name, content in (known | tables).items():
        (folder / f"{name}.csv").write_text(content + "\n")
    return folder


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
        ADMISSIONS="SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG\n"
        "1,10,2164-10-23 23:00:00-05:00,2164-10-25 23:00:00,EMERGENCY,0",
        NOTEEVENTS="SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT\n"
        "1,10,2164-10-24,2164-10-24T08:30:00+01:00,Nursing,,pt stable",
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
    "command", ["ingest --dry-run", "fit --out out", "train mlm --base clinicalbert --out out"]
)
@pytest.mark.parametrize("written", ["15/03/2018", "15.03.2018 10:00", "3-15-2018"])
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
        NOTEEVENTS="SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT\n"
        "1,10,04/05/2164,04/05/2164 10:00 PM,Nursing,,one\n1,10,04/05/2164,,Nursing,,two\n"
        + "\n".join(["1,10,2164-10-24,,Nursing,,ISO is read beside it"] * 20)
        + "\n1,10,13/13/2164,,Nursing,,bad in any order",
    )
    batch, report = read("mimic3", folder, dates=dates)
    day = {"05": "04", "04": "05"}[month]
    assert seen(batch)[:2] == [f"2164-{month}-{day} 00:00:00", f"2164-{month}-{day} 22:00:00"]
    assert report.counts["notes"] == 22
    assert report.quarantined == {"NOTEEVENTS": 1}


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
