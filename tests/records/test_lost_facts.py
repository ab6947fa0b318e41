"""What tables lose on their way to us, zeros of codes and deaths, is noticed and never read as something else."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.base import Batch, Report, Unit
from cohorts.records.sources.registry import open_source


def read(
    name: str, folder: Path, unit: Unit = Unit.PATIENT, max_bad_share: float = 0.9
) -> tuple[pd.DataFrame, Report]:
    """Return the units of a source and its report."""
    work = folder.parent / "work"
    source = open_source(
        name,
        folder,
        unit=unit,
        work_dir=work,
        quarantine_file=work / "bad.csv",
        max_bad_share=max_bad_share,
    )
    with source:
        batches: list[Batch] = list(source.batches())
        return pd.concat([batch.units for batch in batches]), source.report


# Zeros of codes


def plainly(codes: "pd.Series[str]") -> "pd.Series[str]":
    """Do to a column of codes what reading them as numbers does, cell by cell as a spreadsheet does it."""
    return codes.map(lambda code: str(int(code)) if str(code).isdigit() else code)


def copied(folder: Path, target: Path) -> Path:
    """Copy what the codes need of real data to where a test may change it."""
    big = shutil.ignore_patterns("LABEVENTS*", "labevents*", "icu", "micro*", "omr*", "transfers*")
    shutil.copytree(folder, target, copy_function=shutil.copyfile, ignore=big)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for drugs in target.rglob("*rescriptions.csv*" if (target / "hosp").is_dir() else "PRESCRIPTIONS*"):
        pd.read_csv(drugs, dtype=str, nrows=9).to_csv(drugs, index=False)
    return target


def change(file: Path, column: str, how: Callable[["pd.Series[str]"], "pd.Series[str]"]) -> None:
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    (name,) = [one for one in table.columns if one.lower() == column]
    table[name] = how(table[name])
    table.to_csv(file, index=False)


TABLES = [
    (
        "mimic3",
        "PROCEDURES_ICD.csv",
        "icd9_code",
        "PROCEDURES_ICD: none of 506 ICD-9 codes begins with a zero",
    ),
    (
        "mimic3",
        "DIAGNOSES_ICD.csv",
        "icd9_code",
        "DIAGNOSES_ICD: none of 1,761 ICD-9 codes begins with a zero",
    ),
    ("mimic4", "hosp/procedures_icd.csv.gz", "icd_code", "procedures_icd: none of 401 ICD-9 codes begins"),
    ("mimic4", "hosp/diagnoses_icd.csv.gz", "icd_code", "diagnoses_icd: none of 2,193 ICD-9 codes begins"),
]


@pytest.mark.parametrize(("source", "table", "column", "note"), TABLES)
def test_codes_that_lost_their_zeros_are_told_of(
    shared_data: Path, tmp_path: Path, source: str, table: str, column: str, note: str
) -> None:
    folder = copied(shared_data / f"{source}-demo", tmp_path / "demo")
    _, report = read(source, folder)
    assert not any("begins with a zero" in warning for warning in report.warnings)
    change(folder / table, column, plainly)
    _, report = read(source, folder)
    (warning,) = [one for one in report.warnings if "begins with a zero" in one]
    assert warning.startswith(note)
    assert "% are so short that they may have lost one" in warning


def test_a_short_table_without_zeros_is_not_told_of(shared_data: Path, tmp_path: Path) -> None:
    folder = copied(shared_data / "mimic3-demo", tmp_path / "demo")
    table = folder / "PROCEDURES_ICD.csv"
    change(table, "icd9_code", plainly)
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:200]))
    _, report = read("mimic3", folder)
    assert not any("begins with a zero" in warning for warning in report.warnings)


@pytest.mark.parametrize("name", ["D_ICD_DIAGNOSES.csv", "d_icd_diagnoses.csv.gz"])
def test_a_dictionary_that_lost_its_zeros_is_told_of(shared_data: Path, tmp_path: Path, name: str) -> None:
    source, inner = ("mimic3", "") if name[0] == "D" else ("mimic4", "hosp")
    folder = copied(shared_data / f"{source}-demo", tmp_path / "demo")
    codes = [f"{n}" for n in range(1000, 1300)]  # 0010 to 1390 are infections
    head, version = ("icd_code,icd_version,long_title\n", ",9") if inner else ("icd9_code,long_title\n", "")
    text = head + "".join(f"{code}{version},title\n" for code in codes)
    file = folder / inner / name
    for old in file.parent.glob(f"{name.partition('.')[0]}.*"):
        old.unlink()
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    _, report = read(source, folder)
    assert any(
        w.startswith("D_ICD_DIAGNOSES: none of 300 ICD-9 codes") for w in map(upper_table, report.warnings)
    )


def upper_table(warning: str) -> str:
    table, colon, rest = warning.partition(":")
    return table.upper() + colon + rest


def test_codes_that_were_numbers_are_bad_rows(shared_data: Path, tmp_path: Path) -> None:
    folder = copied(shared_data / "mimic4-demo", tmp_path / "demo")
    sound = {
        "procedures_icd": [("0016070", "10"), ("38.93", "9"), ("3893", "9")],
        "diagnoses_icd": [("401.9", "9"), ("E849.7", "9"), ("V45.82", "9"), ("E11.9", "10")],
    }
    mangled = {  # 0016070 without its zeros, and numbers with a fraction
        "procedures_icd": [("16070", "10"), ("3893.0", "9"), ("7", "9")],
        "diagnoses_icd": [("4019.0", "9"), ("40.0", "9")],
    }
    for table in sound:
        file = folder / "hosp" / f"{table}.csv.gz"
        rows = pd.read_csv(file, dtype=str)
        written = [*sound[table], *mangled[table]]
        rows.loc[: len(written) - 1, ["icd_code", "icd_version"]] = written
        rows.to_csv(file, index=False)
    _, report = read("mimic4", folder)
    assert report.quarantined == {table: len(codes) for table, codes in mangled.items()}


# Accounts after death

ADMISSIONS = "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG\n"
DIED, AFTER = "2130-03-01 10:00:00,2130-03-09 12:00:00,EMERGENCY,1\n", "2130-03-09 20:00:00,DONOR"


def hospital(folder: Path, admissions: str) -> Path:
    """Write the tables of MIMIC-III for patients 1 and 2."""
    folder.mkdir()
    codes = "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n"
    for name, text in {
        "PATIENTS": "SUBJECT_ID,GENDER,DOB\n1,F,2087-03-11\n2,M,2087-03-11\n",
        "ADMISSIONS": ADMISSIONS + admissions,
        "DIAGNOSES_ICD": codes + "1,11,1,41401\n",
        "PROCEDURES_ICD": codes,
        "PRESCRIPTIONS": "SUBJECT_ID,HADM_ID,DRUG\n",
        "NOTEEVENTS": "SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT\n",
    }.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("begins", "flag"),
    [
        ("2130-03-09 12:00:30", "0"),
        ("2130-03-09 12:00:00", "0"),
        ("2130-03-09 11:59:00", "0"),  # the account was opened before the death was written down
        ("2130-03-09 12:00:30", ""),
        ("2130-03-09 12:00:30", "1"),
    ],
)
def test_an_account_after_death_is_no_survivors(tmp_path: Path, begins: str, flag: str) -> None:
    rows = f"1,12,{begins},{AFTER},{flag}\n1,11,{DIED}2,21,2131-01-01,2131-01-02,EMERGENCY,0\n"
    folder = hospital(tmp_path / "h", rows)
    units, report = read("mimic3", folder, Unit.ADMISSION)
    assert dict(zip(units["unit_id"], units["died"], strict=True)) == {"11": True, "12": True, "21": False}
    assert report.counts["admissions after death, counted as died"] == 1
    patients = read("mimic3", folder)[0].set_index("unit_id")
    assert list(patients["died"]) == [True, False]
    assert list(patients["admission_id"]) == ["11", "21"]
    assert list(patients["admission_type"]) == ["EMERGENCY", "EMERGENCY"]


def test_admissions_before_death_stay_survived(tmp_path: Path) -> None:
    folder = hospital(tmp_path / "h", f"1,11,{DIED}1,10,2129-01-01,2129-01-02,EMERGENCY,0\n")
    units, report = read("mimic3", folder, Unit.ADMISSION)
    assert dict(zip(units["unit_id"], units["died"], strict=True)) == {"10": False, "11": True}
    assert "admissions after death, counted as died" not in report.counts


def test_patients_without_any_admission_are_units(tmp_path: Path) -> None:
    units, _ = read("mimic3", hospital(tmp_path / "h", ""), max_bad_share=1)
    assert units["admissions"].tolist() == [0, 0]
    assert units["died"].isna().all()
