"""Every source holds the contract: those that are built in, and one that another package brings by an entry point."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cohorts.errors import SourceError
from cohorts.records.sources import registry
from own_package import own_package
from source_contract import SECRET, Patient, SourceContract, write_table


def add_row(file: Path, row: str) -> None:
    with file.open("a") as stream:
        stream.write(f"{row}\n")


class TestMimic3(SourceContract):
    name, icd = "mimic3", "ICD-9"

    def write(self, folder: Path, people: Sequence[Patient]) -> Path:
        stays = [(one, stay) for one in people for stay in one.stays]
        write_table(
            folder / "PATIENTS.csv",
            "SUBJECT_ID,GENDER,DOB,DOD",
            [(one.number, one.sex, one.born, "") for one in people],
        )
        write_table(
            folder / "ADMISSIONS.csv",
            "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,DEATHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG",
            [
                (one.number, stay.number, stay.admitted, stay.discharged, "", "URGENT", 0)
                for one, stay in stays
            ],
        )
        write_table(
            folder / "DIAGNOSES_ICD.csv",
            "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE",
            [
                (one.number, stay.number, rank, self.coded(code))
                for one, stay in stays
                for rank, code in enumerate(stay.diagnoses, 1)
            ],
        )
        write_table(
            folder / "PRESCRIPTIONS.csv",
            "SUBJECT_ID,HADM_ID,STARTDATE,DRUG",
            [(one.number, stay.number, time, drug) for one, stay in stays for drug, time in stay.drugs],
        )
        return folder

    def spoil(self, path: Path) -> None:
        add_row(path / "PRESCRIPTIONS.csv", f"1001,11,{SECRET},Aspirin")


class TestMimic4(SourceContract):
    name = "mimic4"

    def write(self, folder: Path, people: Sequence[Patient]) -> Path:
        stays = [(one, stay) for one in people for stay in one.stays]
        write_table(
            folder / "hosp" / "patients.csv",
            "subject_id,gender,anchor_age,anchor_year,dod",
            [(one.number, one.sex, 2150 - one.born.year, 2150, "") for one in people],
        )
        write_table(
            folder / "hosp" / "admissions.csv",
            "subject_id,hadm_id,admittime,dischtime,admission_type,hospital_expire_flag",
            [(one.number, stay.number, stay.admitted, stay.discharged, "URGENT", 0) for one, stay in stays],
        )
        write_table(
            folder / "hosp" / "diagnoses_icd.csv",
            "subject_id,hadm_id,seq_num,icd_code,icd_version",
            [
                (one.number, stay.number, rank, code, 10)
                for one, stay in stays
                for rank, code in enumerate(stay.diagnoses, 1)
            ],
        )
        write_table(
            folder / "hosp" / "prescriptions.csv",
            "subject_id,hadm_id,starttime,drug",
            [(one.number, stay.number, time, drug) for one, stay in stays for drug, time in stay.drugs],
        )
        return folder

    def spoil(self, path: Path) -> None:
        add_row(path / "hosp" / "prescriptions.csv", f"1001,11,{SECRET},Aspirin")


class TestNotesCsv(SourceContract):
    name, has_stays = "notes-csv", False

    def write(self, folder: Path, people: Sequence[Patient]) -> Path:
        write_table(
            folder / "notes.csv", "who,when,what", [(one.number, one.born, one.note) for one in people]
        )
        return folder / "notes.csv"

    def spoil(self, path: Path) -> None:
        add_row(path, f"1001,{SECRET},Some note")

    def options(self, path: Path) -> dict[str, Any]:
        return {"columns": {"id": "who", "time": "when", "text": "what"}}

    def arguments(self, path: Path) -> str:
        return " --columns id=who,time=when,text=what"


DECLARATION = '''
[tables.people]
patient = "id"
columns = { id = "id", sex = "text", born = "time?" }
[tables.stays]
patient = "id"
admission = "stay"
columns = { id = "id", stay = "key", came = "time", went = "time?" }
[tables.codes]
patient = "id"
columns = { id = "id", stay = "key?", kind = "text", code = "code", rank = "number", begun = "time?" }
[frames]
patients = 'SELECT id AS patient_id, sex, born, "table", row, line FROM people'
admissions = """
SELECT id AS patient_id, stay AS admission_id, came AS admitted, went AS discharged, "table", row, line FROM stays
"""
codes = """
SELECT id AS patient_id, stay AS admission_id, kind, if(kind = 'drug', 'name', 'ICD-10') AS system, code, rank,
  begun AS time, "table", row, line
FROM codes
"""
'''


def write_own(folder: Path, people: Sequence[Patient], delimiter: str = ",") -> Path:
    """Write the patients as tables of no standard."""
    stays = [(one, stay) for one in people for stay in one.stays]
    write_table(
        folder / "people.csv", "id,sex,born", [(one.number, one.sex, one.born) for one in people], delimiter
    )
    write_table(
        folder / "stays.csv",
        "id,stay,came,went",
        [(one.number, stay.number, stay.admitted, stay.discharged) for one, stay in stays],
        delimiter,
    )
    write_table(
        folder / "codes.csv",
        "id,stay,kind,code,rank,begun",
        [
            *(
                (one.number, stay.number, "diagnosis", code, rank, "")
                for one, stay in stays
                for rank, code in enumerate(stay.diagnoses, 1)
            ),
            *(
                (one.number, stay.number, "drug", drug, "", time)
                for one, stay in stays
                for drug, time in stay.drugs
            ),
        ],
        delimiter,
    )
    return folder


class TestTables(SourceContract):
    name = "tables"

    def write(self, folder: Path, people: Sequence[Patient]) -> Path:
        (folder.parent / "own.toml").write_text(DECLARATION)
        return write_own(folder, people)

    def spoil(self, path: Path) -> None:
        add_row(path / "codes.csv", f"1001,11,drug,Aspirin,,{SECRET}")

    def options(self, path: Path) -> dict[str, Any]:
        return {"mapping": path.parent / "own.toml"}


PACKAGE = '''
from pathlib import Path
from cohorts.records.sources.declared.declaration import read_declaration
from cohorts.records.sources.declared.folders import Places
from cohorts.records.sources.declared.hospital import Hospital
from cohorts.records.sources.kinds import SourceKind

def open_ward(asked):
    """Open a hospital whose program writes tables with bars between their columns."""
    declaration = read_declaration(Path(__file__).with_name("ward.toml"))
    return Hospital("ward", declaration, {"": Places(asked.path, [asked.path])}, asked.unit)

KIND = SourceKind(open=open_ward)
'''


@pytest.fixture(scope="class")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install a package that brings a source."""
    points = {"ward": "KIND", "broken": "Path"}
    files = {"ward.toml": DECLARATION}
    with own_package(
        tmp_path_factory.mktemp("package"), "ward_source", PACKAGE, "cohorts.sources", points, files
    ):
        yield


@pytest.mark.usefixtures("installed")
class TestWard(SourceContract):
    name = "ward"

    def write(self, folder: Path, people: Sequence[Patient]) -> Path:
        return write_own(folder, people, "|")

    def spoil(self, path: Path) -> None:
        add_row(path / "codes.csv", f"1001|11|drug|Aspirin||{SECRET}")

    def test_an_entry_point_that_is_no_kind_is_told(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="entry point broken = ward_source:Path is no SourceKind: type"):
            registry.open_source("broken", path, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv")


def test_without_the_package_the_name_is_unknown() -> None:
    assert "ward" not in registry.source_names()
