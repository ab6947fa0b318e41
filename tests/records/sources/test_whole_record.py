"""All that MIMIC tells of a patient: how admissions ended, what was given, measured, grown and done, and when."""

from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.records.base import Unit
from cohorts.records.tables.times import Dates
from small_hospitals import Read, mimic3, mimic4

CHARTED = """SUBJECT_ID,HADM_ID,ITEMID,CHARTTIME,VALUE,VALUENUM,VALUEUOM,ERROR
1,10,220045,2164-10-24 08:00:00,80,80,bpm,0
1,10,211,2164-10-24 07:00:00,75,75,BPM,
1,10,223761,2164-10-24 08:00:00,98.6,98.6,?F,0
1,10,220045,2164-10-24 09:00:00,800,800,bpm,0
1,10,220045,2164-10-24 10:00:00,81,81,bpm,1
1,10,723,2164-10-24 08:00:00,1.0 ET/Trach,1,,0
1,10,999999,not a time,x,not a number,,0
2,10,220045,2164-10-24 08:00:00,82,82,bpm,0"""
INPUTS = """SUBJECT_ID,HADM_ID,STARTTIME,ENDTIME,ITEMID,AMOUNT,AMOUNTUOM,RATE,RATEUOM,STATUSDESCRIPTION
1,10,2164-10-24 08:00:00,2164-10-24 10:00:00,221906,4.8,mg,0.1,mcg/kg/min,FinishedRunning
1,10,2164-10-24 08:00:00,2164-10-24 09:00:00,221906,9.9,mg,0.1,mcg/kg/min,Rewritten"""
OLD_INPUTS = """SUBJECT_ID,HADM_ID,CHARTTIME,ITEMID,AMOUNT,AMOUNTUOM,RATE,RATEUOM
1,10,2164-10-24 07:30:00,30120,,,0.05,mcgkgmin"""
CULTURES = """SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,SPEC_ITEMID,SPEC_TYPE_DESC,ORG_ITEMID,ORG_NAME,AB_ITEMID,AB_NAME,\
INTERPRETATION
1,10,2164-10-24,,70012,BLOOD CULTURE,80002,ESCHERICHIA COLI,90004,AMPICILLIN,R
1,10,2164-10-24,,70012,BLOOD CULTURE,80002,ESCHERICHIA COLI,90012,GENTAMICIN,S
1,10,2164-10-24,2164-10-24 12:00:00,70079,URINE,,,,,"""
DRUGS = """SUBJECT_ID,HADM_ID,STARTDATE,ENDDATE,DRUG,NDC,DOSE_VAL_RX,DOSE_UNIT_RX,ROUTE
1,10,2164-10-24 00:00:00,2164-10-26 00:00:00,Vancomycin,00338355248,1-2,g,IV
1,10,,,Insulin,,,,"""
NAMES = "ITEMID,LABEL\n220045,Heart Rate\n221906,Norepinephrine\n30120,Levophed-k"


def rows(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """Return the cells of some columns, None where nothing is, times as texts."""
    picked = frame[list(columns)].copy()
    for name in picked.select_dtypes("datetime"):
        picked[name] = picked[name].dt.strftime("%m-%d %H:%M")
    return [tuple(row) for row in picked.astype("object").where(picked.notna(), None).itertuples(index=False)]


def test_of_charts_the_listed_items_are_read_in_one_system_of_units(tmp_path: Path, read: Read) -> None:
    batch, report = read(
        "mimic3", mimic3(tmp_path / "iii", CHARTEVENTS=CHARTED, D_ITEMS=NAMES), max_bad_share=1
    )
    charted = batch.measurements[batch.measurements["kind"] == "vital"]
    assert rows(charted, "time", "item", "code", "value", "uom") == [
        ("10-24 07:00", "211", "211", 75.0, "/min"),
        ("10-24 08:00", "223761", "223761", 37.0, "degC"),
        ("10-24 08:00", "723", "723", 0.0, "points"),  # intubated: what is not spoken counts 0
        ("10-24 08:00", "Heart Rate", "220045", 80.0, "/min"),
    ]
    assert report.rows["CHARTEVENTS"] == 8
    assert report.quarantined == {"CHARTEVENTS": 2}  # an impossible rate, an admission of another patient
    assert report.left_out["rows of CHARTEVENTS marked as errors (ERROR)"] == 1
    assert report.counts["vital signs"] == 4


def test_what_was_given_and_grown_has_its_time_and_its_admission(tmp_path: Path, read: Read) -> None:
    tables = {"INPUTEVENTS_MV": INPUTS, "INPUTEVENTS_CV": OLD_INPUTS, "MICROBIOLOGYEVENTS": CULTURES}
    batch, report = read("mimic3", mimic3(tmp_path / "iii", **tables, PRESCRIPTIONS=DRUGS, D_ITEMS=NAMES))
    assert rows(
        batch.events, "admission_id", "kind", "code", "name", "time", "stop", "value", "uom", "result"
    ) == [
        ("10", "icu stay", None, None, "10-23 21:10", "10-25 09:10", 1.5, "day", None),
        ("10", "culture", "70012", "BLOOD CULTURE", "10-24 00:00", None, None, None, "ESCHERICHIA COLI"),
        (
            "10",
            "susceptibility",
            "90004",
            "AMPICILLIN against ESCHERICHIA COLI",
            "10-24 00:00",
            *[None] * 3,
            "R",
        ),
        (
            "10",
            "susceptibility",
            "90012",
            "GENTAMICIN against ESCHERICHIA COLI",
            "10-24 00:00",
            *[None] * 3,
            "S",
        ),
        ("10", "input", "30120", "Levophed-k", "10-24 07:30", None, None, None, None),
        ("10", "input", "221906", "Norepinephrine", "10-24 08:00", "10-24 10:00", 4.8, "mg", None),
        ("10", "culture", "70079", "URINE", "10-24 12:00", None, None, None, None),
    ]
    rates = batch.events[batch.events["kind"] == "input"]
    assert rows(rates, "rate", "rate_uom") == [(0.05, "mcg/kg/min"), (0.1, "mcg/kg/min")]
    assert report.left_out["rows of INPUTEVENTS_MV that were rewritten"] == 1
    drugs = batch.codes[batch.codes["kind"] == "drug"]
    assert rows(drugs, "code", "time", "stop", "route", "dose", "dose_uom", "ndc") == [
        ("Vancomycin", "10-24 00:00", "10-26 00:00", "IV", "1-2", "g", "00338355248"),
        ("Insulin", None, None, None, None, None, None),
    ]


ADMISSIONS = (
    "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,DEATHTIME,ADMISSION_TYPE,DISCHARGE_LOCATION,EDREGTIME,EDOUTTIME,"
    "HOSPITAL_EXPIRE_FLAG\n"
    "1,10,2164-10-23 21:00:00,2164-10-25 21:00:00,,EMERGENCY,HOME,2164-10-23 18:00:00,2164-10-23 20:00:00,0\n"
    "1,11,2164-11-01 10:00:00,2164-11-03 10:00:00,,EMERGENCY,SNF,,,0\n"
    "2,20,2165-01-01 10:00:00,2165-01-03 10:00:00,2165-01-03 09:00:00,ELECTIVE,DEAD/EXPIRED,,,1\n"
    "2,21,2165-01-03 12:00:00,2165-01-03 13:00:00,,ORGAN DONOR,,,,0"
)


def test_every_admission_tells_how_it_ended_and_what_came_after(tmp_path: Path, read: Read) -> None:
    people = "SUBJECT_ID,GENDER,DOB,DOD\n1,F,2094-03-05,2165-08-12\n2,M,2100-01-01,"
    folder = mimic3(tmp_path / "iii", PATIENTS=people, ADMISSIONS=ADMISSIONS)
    batch, _ = read("mimic3", folder)
    ended = batch.admissions
    assert rows(ended, "unit_id", "admission_id", "discharge_location", "emergency_from", "emergency_to") == [
        ("1", "10", "HOME", "10-23 18:00", "10-23 20:00"),
        ("1", "11", "SNF", None, None),
        ("2", "20", "DEAD/EXPIRED", None, None),
        ("2", "21", None, None, None),
    ]
    assert rows(ended, "died", "died_at", "death", "readmitted", "last_contact", "followed_until") == [
        (False, None, "08-12 00:00", "11-01 10:00", "11-03 10:00", "02-01 10:00"),
        (False, None, "08-12 00:00", None, "11-03 10:00", "02-01 10:00"),
        # The account of a donor is no return, and no contact.
        (True, "01-03 09:00", "01-03 09:00", None, "01-03 10:00", "04-03 13:00"),
        (True, None, "01-03 09:00", None, "01-03 10:00", "04-03 13:00"),
    ]
    by_admission, _ = read("mimic3", folder, unit=Unit.ADMISSION)
    assert by_admission.admissions["unit_id"].tolist() == by_admission.units["unit_id"].tolist()
    assert by_admission.admissions["readmitted"].equals(ended["readmitted"])


def test_mimic4_follows_patients_for_a_year_after_the_last_discharge(tmp_path: Path, read: Read) -> None:
    people = "subject_id,gender,anchor_age,anchor_year,dod\n1,F,60,2164,"
    batch, _ = read("mimic4", mimic4(tmp_path / "iv", patients=people))
    (alive,) = batch.admissions["followed_until"].dt.strftime("%Y-%m-%d %H:%M")
    assert alive == "2165-10-25 21:09"
    assert batch.admissions["death"].isna().all()
    batch, _ = read("mimic4", mimic4(tmp_path / "dead", patients=people + "2164-12-24"))
    assert rows(batch.admissions, "death", "followed_until") == [("12-24 00:00", "12-24 00:00")]


def test_reference_ranges_of_mimic4_and_procedures_with_their_day(tmp_path: Path, read: Read) -> None:
    labs = (
        "labevent_id,subject_id,hadm_id,itemid,charttime,value,valuenum,valueuom,ref_range_lower,ref_range_upper,flag\n"
        "1,1,10,50912,2164-10-24 08:00:00,1.6,1.6,mg/dL,0.4,1.1,abnormal"
    )
    done = "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version\n1,10,1,2164-10-24,0066,9"
    batch, _ = read("mimic4", mimic4(tmp_path / "iv", labevents=labs, procedures_icd=done))
    assert rows(batch.measurements, "item", "value", "low", "high", "flag") == [
        ("Creatinine", 1.6, 0.4, 1.1, "abnormal")
    ]
    procedures = batch.codes[batch.codes["kind"] == "procedure"]
    assert rows(procedures, "code", "time") == [("0066", "10-24 00:00")]


def test_tables_that_a_spreadsheet_saved_are_left_out_unless_their_dates_are_told(
    shared_data: Path, read: Read
) -> None:
    _, report = read("mimic4", shared_data / "mimic4-demo")
    left = [warning for warning in report.warnings if "is left out" in warning]
    assert [warning.split()[0] for warning in left] == ["outputevents", "procedureevents"]
    batch, report = read("mimic4", shared_data / "mimic4-demo", dates=Dates.MONTH_FIRST)
    assert not any("is left out" in warning for warning in report.warnings)
    assert (report.rows["outputevents"], report.rows["procedureevents"]) == (9_362, 1_468)
    assert report.counts["outputs"] == 9_362
    assert (batch.measurements["kind"] == "output").sum() == 9_362


def test_a_rank_is_a_whole_number_as_before(tmp_path: Path, read: Read) -> None:
    rows = "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,10,2.4,I10,10\n1,10,1.2,0389,9\n1,10,,4280,9"
    batch, report = read("mimic4", mimic4(tmp_path / "tables", diagnoses_icd=rows))
    found = batch.codes[batch.codes["kind"] == "diagnosis"]
    assert found["code"].tolist() == ["0389", "I10", "4280"]
    assert found["rank"].tolist() == [1, 2, pd.NA]
    assert batch.units["principal_code"].tolist() == ["0389"]
    assert report.quarantined == {}
