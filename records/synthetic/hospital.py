"""The synthetic hospital: invented patients in MIMIC-III's tables. Nothing in it has a clinical meaning.

Each admission has a principal condition and others beside it; codes, drugs, laboratory values and notes follow them.
What raises the risk of death shows in nursing, physician and discharge notes only. Patients are made in blocks, so
memory does not grow with their number, and notes are shuffled over blocks: the table is not sorted by patient.
"""

import csv
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

from cohorts.errors import InputError
from cohorts.private_files import open_private, private_folder, write_private
from cohorts.records.synthetic.admission import Admission
from cohorts.records.synthetic.notes import write_notes

MARKER = "SYNTHETIC.json"  # the readers look for it
GENERATOR_VERSION = 1
FIRST_PATIENT = 10_001
BLOCK_PATIENTS = 2_000
HELD_BACK = 0.5  # share of a block's notes that waits for the next block, so that patients' notes lie apart
SEVERE_ODDS = 0.12  # share of admissions that are severely ill beyond what their condition says

COLUMNS = {
    "PATIENTS": "SUBJECT_ID GENDER DOB DOD DOD_HOSP DOD_SSN EXPIRE_FLAG",
    "ADMISSIONS": "SUBJECT_ID HADM_ID ADMITTIME DISCHTIME DEATHTIME ADMISSION_TYPE ADMISSION_LOCATION "
    "DISCHARGE_LOCATION INSURANCE LANGUAGE RELIGION MARITAL_STATUS ETHNICITY EDREGTIME EDOUTTIME DIAGNOSIS "
    "HOSPITAL_EXPIRE_FLAG HAS_CHARTEVENTS_DATA",
    "DIAGNOSES_ICD": "SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE",
    "PROCEDURES_ICD": "SUBJECT_ID HADM_ID SEQ_NUM ICD9_CODE",
    "PRESCRIPTIONS": "SUBJECT_ID HADM_ID ICUSTAY_ID STARTDATE ENDDATE DRUG_TYPE DRUG DRUG_NAME_POE "
    "DRUG_NAME_GENERIC FORMULARY_DRUG_CD GSN NDC PROD_STRENGTH DOSE_VAL_RX DOSE_UNIT_RX FORM_VAL_DISP "
    "FORM_UNIT_DISP ROUTE",
    "LABEVENTS": "SUBJECT_ID HADM_ID ITEMID CHARTTIME VALUE VALUENUM VALUEUOM FLAG",
    "ICUSTAYS": "SUBJECT_ID HADM_ID ICUSTAY_ID DBSOURCE FIRST_CAREUNIT LAST_CAREUNIT FIRST_WARDID "
    "LAST_WARDID INTIME OUTTIME LOS",
    "NOTEEVENTS": "SUBJECT_ID HADM_ID CHARTDATE CHARTTIME STORETIME CATEGORY DESCRIPTION CGID ISERROR TEXT",
    "D_ICD_DIAGNOSES": "ICD9_CODE SHORT_TITLE LONG_TITLE",
    "D_ICD_PROCEDURES": "ICD9_CODE SHORT_TITLE LONG_TITLE",
    "D_LABITEMS": "ITEMID LABEL FLUID CATEGORY LOINC_CODE",
}

Row = tuple[Any, ...]


@dataclass(frozen=True)
class SynthReport:
    """How many rows of each table were written."""

    rows: Mapping[str, int]

    def __str__(self) -> str:
        return ", ".join(f"{table} {count:,}" for table, count in self.rows.items())


@cache
def hospital() -> dict[str, Any]:
    """Return what the hospital is made of, from `synth.toml`: conditions by name, background by code."""
    made = tomllib.loads(
        files("cohorts.records.synthetic").joinpath("hospital.toml").read_text(encoding="utf-8")
    )
    made["conditions"] = {one["name"]: one for one in made["conditions"]}
    made["background"] = {one["code"]: one for one in made["background"]}
    return made


def conditions() -> dict[str, dict[str, Any]]:
    """Return the conditions by name."""
    named: dict[str, dict[str, Any]] = hospital()["conditions"]
    return named


def synthesize(folder: Path, patients: int, seed: int) -> SynthReport:
    """Write the tables of `patients` invented patients; same seed, same bytes. Raises InputError."""
    if patients < 1:
        raise InputError(f"A hospital of {patients} patients can't be made; ask for at least 1.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; name a new or an empty folder.")
    private_folder(folder)
    about = {
        "synthetic": True,
        "what": "Invented patients, made by cohorts synth. No clinical meaning.",
        "generator_version": GENERATOR_VERSION,
        "patients": patients,
        "seed": seed,
    }
    write_private(folder / MARKER, json.dumps(about, indent=2) + "\n")
    with _Tables(folder) as tables:
        _write_dictionaries(tables)
        waiting: list[Row] = []
        for first in range(0, patients, BLOCK_PATIENTS):
            rng = Random(f"cohorts-synth/{GENERATOR_VERSION}/{seed}/{first}")
            for number in range(first, min(first + BLOCK_PATIENTS, patients)):
                waiting += _write_patient(tables, rng, FIRST_PATIENT + number)
            rng.shuffle(waiting)
            ready = int(len(waiting) * (1 - HELD_BACK))
            tables.add("NOTEEVENTS", waiting[:ready])
            del waiting[:ready]
        tables.add("NOTEEVENTS", waiting)
        return SynthReport(dict(tables.rows))


class _Tables:
    """The CSV files while they are written; numbers the rows of each."""

    def __init__(self, folder: Path) -> None:
        self.rows: Counter[str] = Counter(dict.fromkeys(COLUMNS, 0))
        self._stack = ExitStack()
        self._writers = {}
        for table, columns in COLUMNS.items():
            stream = self._stack.enter_context(open_private(folder / f"{table}.csv"))
            self._writers[table] = csv.writer(stream, lineterminator="\n")
            self._writers[table].writerow(["ROW_ID", *columns.split()])

    def add(self, table: str, rows: Iterable[Row]) -> None:
        writer = self._writers[table]
        for row in rows:
            self.rows[table] += 1
            writer.writerow((self.rows[table], *row))

    def __enter__(self) -> "_Tables":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _write_dictionaries(tables: _Tables) -> None:
    diagnoses = {code: title for one in conditions().values() for code, title in one["codes"]}
    diagnoses |= {code: one["title"] for code, one in hospital()["background"].items()}
    for table, titles in (
        ("D_ICD_DIAGNOSES", diagnoses),
        ("D_ICD_PROCEDURES", hospital()["procedure_titles"]),
    ):
        tables.add(table, ((code, title[:24], title) for code, title in sorted(titles.items())))
    items = hospital()["lab_items"].items()
    tables.add("D_LABITEMS", ((item, name, "Blood", "", "") for name, (item, _) in items))


def _write_patient(tables: _Tables, rng: Random, patient: int) -> list[Row]:
    """Write all of a patient but the notes, which are returned."""
    stays = _stays(rng, patient)
    notes: list[Row] = []
    for stay in stays:
        _write_stay(tables, rng, stay)
        notes += write_notes(rng, stay, hospital())
    first, last = stays[0], stays[-1]
    born = first.admitted - timedelta(days=first.age * 365.25 + rng.uniform(1, 364))
    if last.age > 89:
        born = first.admitted.replace(year=first.admitted.year - 300, day=1)  # as MIMIC-III hides the oldest
    died = _time(last.discharged) if last.died else ""
    tables.add("PATIENTS", [(patient, first.sex, _time(born, day=True), died, died, "", int(last.died))])
    return notes


def _stays(rng: Random, patient: int) -> list[Admission]:
    """Return the patient's admissions in order; death ends them."""
    usual = _principal(rng)
    about = conditions()[usual]
    sex = "F" if rng.random() < about["female"] else "M"
    age = round(min(98, max(18, rng.gauss(*about["age"]))))
    when = datetime(2100, 1, 1) + timedelta(minutes=rng.randrange(90 * 365 * 24 * 60))
    stays: list[Admission] = []
    for _ in range(rng.choices((1, 2, 3, 4), (0.8, 0.13, 0.05, 0.02))[0]):
        principal = usual if rng.random() < 0.75 or not stays else _principal(rng)
        stay = _stay(rng, patient, len(stays), when, principal, age, sex)
        stays.append(stay)
        if stay.died:
            break
        gap_days = rng.uniform(20, 300)
        when = stay.discharged + timedelta(days=gap_days)
        age = stays[0].age + (when - stays[0].admitted).days // 365
    return stays


def _principal(rng: Random) -> str:
    names = list(conditions())
    return rng.choices(names, [one["weight"] for one in conditions().values()])[0]


def _stay(
    rng: Random, patient: int, place: int, when: datetime, principal: str, age: int, sex: str
) -> Admission:
    about = conditions()[principal]
    severe = rng.random() < SEVERE_ODDS + about["death"]
    risk = about["death"] * 0.3 + (0.38 if severe else 0) + max(0, age - 70) * 0.0015
    days = max(0.6, rng.lognormvariate(1.6 + 0.3 * severe, 0.6))
    chronic = hospital()["background"].items()
    older = min(1.5, age / 60)
    return Admission(
        patient=patient,
        number=patient * 10 + place,
        admitted=when,
        discharged=when + timedelta(days=days),
        principal=principal,
        others=tuple(name for name, odds in about["with"].items() if rng.random() < odds),
        background=tuple(code for code, one in chronic if rng.random() < one["odds"] * older),
        severe=severe,
        died=rng.random() < risk,
        age=age,
        sex=sex,
    )


def _write_stay(tables: _Tables, rng: Random, stay: Admission) -> None:
    key = (stay.patient, stay.number)
    named = [stay.principal, *stay.others]
    admitted, discharged = _time(stay.admitted), _time(stay.discharged)
    died = discharged if stay.died else ""
    place = "DEAD/EXPIRED" if stay.died else rng.choice(["HOME", "HOME HEALTH CARE", "SNF", "REHAB"])
    kind = "ELECTIVE" if stay.principal == "other" and rng.random() < 0.5 else "EMERGENCY"
    reason = conditions()[stay.principal]["complaint"][0].upper()
    social = ("Medicare" if stay.age > 64 else "Private", "ENGL", "", "", "UNKNOWN/NOT SPECIFIED", "", "")
    ended = (reason, int(stay.died), 1)
    tables.add(
        "ADMISSIONS",
        [(*key, admitted, discharged, died, kind, "EMERGENCY ROOM ADMIT", place, *social, *ended)],
    )
    choices = [conditions()[name]["codes"] for name in named]
    codes = [rng.choices(options, _falling(options))[0][0] for options in choices] + list(stay.background)
    tables.add("DIAGNOSES_ICD", ((*key, rank, code) for rank, code in enumerate(codes, start=1)))
    procedures = [one for one in conditions()[stay.principal]["procedures"] if rng.random() < 0.7]
    tables.add("PROCEDURES_ICD", ((*key, rank, code) for rank, code in enumerate(procedures, start=1)))
    tables.add("PRESCRIPTIONS", _drugs(rng, stay, named))
    tables.add("LABEVENTS", _labs(rng, stay, named))
    days = (stay.discharged - stay.admitted).total_seconds() / 86_400
    unit = rng.choice(["MICU", "SICU", "CCU", "CSRU", "TSICU"])
    stayed = (stay.number, "synthetic", unit, unit, 1, 1, admitted, discharged, f"{days:.4f}")
    tables.add("ICUSTAYS", [(*key, *stayed)])


def _drugs(rng: Random, stay: Admission, named: list[str]) -> list[Row]:
    ordered = [drug for name in named for drug in conditions()[name]["drugs"] if rng.random() < 0.65]
    ordered += [drug for drug in hospital()["common"]["drugs"] if rng.random() < 0.3]
    start, end = _time(stay.admitted, day=True), _time(stay.discharged, day=True)
    key = (stay.patient, stay.number, stay.number)
    return [(*key, start, end, "MAIN", drug, drug, drug, *[""] * 9) for drug in dict.fromkeys(ordered)]


def _labs(rng: Random, stay: Admission, named: list[str]) -> list[Row]:
    """Return three draws of the common values and of those that the conditions shift."""
    usual: dict[str, list[float]] = dict(hospital()["common"]["labs"])
    for name in reversed(named):
        usual |= conditions()[name]["labs"]
    rows = []
    for draw in range(3):
        when = _time(stay.admitted + (stay.discharged - stay.admitted) * (draw / 3))
        for lab, (mean, deviation) in usual.items():
            value = f"{max(0.1, rng.gauss(mean, deviation)):.1f}"
            item, unit = hospital()["lab_items"][lab]
            rows.append((stay.patient, stay.number, item, when, value, value, unit, ""))
    return rows


def _falling(options: list[Any]) -> list[float]:
    return [1 / (1 + place) for place in range(len(options))]


def _time(when: datetime, *, day: bool = False) -> str:
    return when.strftime("%Y-%m-%d 00:00:00" if day else "%Y-%m-%d %H:%M:%S")
