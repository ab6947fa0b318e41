"""The synthetic hospital: same seed same bytes, MIMIC-III's columns, the stated rates, memory that does not grow."""

import csv
import gzip
import json
import re
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from cohorts.errors import InputError
from cohorts.records.base import Unit
from cohorts.records.codes.phenotypes import load_phenotypes, phenotype_of
from cohorts.records.sources.declared.declaration import builtin
from cohorts.records.sources.mimic.layout import is_synthetic
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.coding import codes
from cohorts.records.synthetic.hospital import FIRST_PATIENT, MARKER, synthesize
from cohorts.records.synthetic.network import parameters
from cohorts.records.synthetic.notes import RATES
from cohorts.records.synthetic.stays import conditions

PATIENTS = 1_500
MEASURE = """
import resource, sys
from pathlib import Path
from cohorts.records.synthetic.hospital import synthesize
synthesize(Path(sys.argv[1]), int(sys.argv[2]), 0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "hospital"
    synthesize(folder, PATIENTS, 3)
    return folder


def rows(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def header(folder: Path, table: str) -> list[str]:
    with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as stream:
        return next(csv.reader(stream))


def run(folder: Path, patients: int, hash_seed: str = "0") -> int:
    """Make a hospital in a process of its own and return the memory it took at most (KiB)."""
    command = [sys.executable, "-c", MEASURE, str(folder), str(patients)]
    done = subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": hash_seed})
    return int(done.stdout)


def test_same_seed_same_bytes_in_every_process(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder, hash_seed in zip(folders, ("1", "2"), strict=True):
        run(folder, 150, hash_seed)
    first, second = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders)
    assert first == second
    declared = set(builtin("mimic", "mimic3").tables) - {
        "INPUTEVENTS_CV"
    }  # one charting system, and it is the other
    assert set(first) == {MARKER, *(f"{table}.csv" for table in declared), "D_ICD_PROCEDURES.csv"}
    synthesize(tmp_path / "three", 150, 1)
    assert (tmp_path / "three" / "NOTEEVENTS.csv").read_bytes() != first["NOTEEVENTS.csv"]


def test_memory_does_not_grow_with_the_number_of_patients(tmp_path: Path) -> None:
    small, large = run(tmp_path / "small", 1_500), run(tmp_path / "large", 4_000)
    assert large < small * 1.15


def test_columns_are_those_of_mimic3(made: Path, shared_data: Path) -> None:
    checked = {"CHARTEVENTS"}  # the demo has it not
    made_here = {file.stem for file in made.glob("*.csv")}
    for real in (shared_data / "mimic3-demo").glob("*.csv*"):
        if real.name.partition(".")[0] not in made_here:
            continue  # a table that no synthetic hospital has
        content = gzip.decompress(real.read_bytes()) if real.suffix == ".gz" else real.read_bytes()
        expected = next(csv.reader(content.decode().splitlines()))
        table = real.name.partition(".")[0]
        ours = header(made, table)
        assert [name for name in ours if name != "ROW_ID"] == [
            name for name in map(str.upper, expected) if name != "ROW_ID"
        ]
        checked.add(table)
    assert checked == made_here


def test_row_numbers_and_identifiers(made: Path) -> None:
    patients = [int(row["SUBJECT_ID"]) for row in rows(made, "PATIENTS")]
    assert patients == list(range(FIRST_PATIENT, FIRST_PATIENT + PATIENTS))
    stays = rows(made, "ADMISSIONS")
    assert len({row["HADM_ID"] for row in stays}) == len(stays)
    known = {(row["SUBJECT_ID"], row["HADM_ID"]) for row in stays}
    for table in {file.stem for file in made.glob("*.csv")}:
        found = rows(made, table)
        if table.startswith("D_") or table == "PATIENTS":
            continue
        assert {(row["SUBJECT_ID"], row["HADM_ID"]) for row in found} <= known
        assert [int(row["ROW_ID"]) for row in found] == list(range(1, len(found) + 1))


def test_codes_are_valid_and_in_the_dictionaries(made: Path) -> None:
    for table, dictionary, shape in (
        ("DIAGNOSES_ICD", "D_ICD_DIAGNOSES", r"\d{3,5}|V\d{2,4}"),
        ("PROCEDURES_ICD", "D_ICD_PROCEDURES", r"\d{3,4}"),
    ):
        codes = {row["ICD9_CODE"] for row in rows(made, table)}
        assert all(re.fullmatch(shape, code) for code in codes)
        assert codes <= {row["ICD9_CODE"] for row in rows(made, dictionary)}
    items = {row["ITEMID"] for row in rows(made, "D_LABITEMS")}
    assert {row["ITEMID"] for row in rows(made, "LABEVENTS")} <= items


def test_conditions_are_the_phenotypes_and_their_codes_say_so() -> None:
    phenotypes = {one.name for one in load_phenotypes()}
    assert phenotypes <= set(conditions().names)
    for name, one in zip(conditions().names, conditions().about, strict=True):
        expected = {name} if name in phenotypes else {None}
        assert {
            phenotype_of("ICD-9", code) for code in (*one.get("codes", {}), *one.get("first", {}))
        } <= expected
    rare = parameters("rare")["diagnoses"]
    assert {phenotype_of("ICD-9", code) for code in rare} == {None}
    assert set(parameters("titles")["diagnoses"]) == set(codes())


def test_every_admission_has_one_principal_diagnosis_and_they_vary(made: Path) -> None:
    principal = [row for row in rows(made, "DIAGNOSES_ICD") if row["SEQ_NUM"] == "1"]
    assert len(principal) == len({row["HADM_ID"] for row in principal}) == len(rows(made, "ADMISSIONS"))
    assert len({phenotype_of("ICD-9", row["ICD9_CODE"]) for row in principal}) == 14  # none is one of them


def test_categories_come_at_the_published_rates(made: Path) -> None:
    admissions = len(rows(made, "ADMISSIONS"))
    having = defaultdict(set)
    for row in rows(made, "NOTEEVENTS"):
        having[row["CATEGORY"]].add(row["HADM_ID"])
    assert set(having) == set(RATES)
    for category, (rate, _) in RATES.items():
        assert len(having[category]) / admissions == pytest.approx(rate, abs=0.04)


def test_notes_look_like_mimic3s(made: Path) -> None:
    notes = rows(made, "NOTEEVENTS")
    assert 6 < len(notes) / PATIENTS < 10
    assert 60 < sum(len(row["TEXT"].split()) for row in notes) / len(notes) < 120
    assert {row["CHARTTIME"] for row in notes if row["CATEGORY"] == "Discharge summary"} == {""}
    assert all(re.fullmatch(r"2[12]\d\d-\d\d-\d\d", row["CHARTDATE"]) for row in notes)
    assert 0 < sum(row["ISERROR"] == "1" for row in notes) < 0.01 * len(notes)
    texts = "\n".join(row["TEXT"] for row in notes)
    for part in (
        "[**Hospital1 18**]",
        "denies chest pain",
        "FHx: mother w/ DM",
        '"I want to go home"',
        "c/o",
    ):
        assert part in texts


def test_notes_of_a_patient_lie_apart(made: Path) -> None:
    order = [row["SUBJECT_ID"] for row in rows(made, "NOTEEVENTS")]
    assert sum(a == b for a, b in pairwise(order)) < 0.02 * len(order)


def test_death_shows_in_nursing_physician_and_discharge_notes_alone(made: Path) -> None:
    dead = {row["HADM_ID"] for row in rows(made, "ADMISSIONS") if row["HOSPITAL_EXPIRE_FLAG"] == "1"}
    severe, mild = parameters("words")["lines"]["severe"], parameters("words")["lines"]["mild"]
    grave: dict[str, dict[bool, list[bool]]] = defaultdict(lambda: {True: [], False: []})
    for row in rows(made, "NOTEEVENTS"):
        said = any(phrase in row["TEXT"] for phrase in severe)
        grave[row["CATEGORY"]][row["HADM_ID"] in dead].append(said)
        if row["CATEGORY"] in ("ECG", "Echo", "Radiology"):
            assert not said
            assert not any(phrase in row["TEXT"] for phrase in mild)
    for category in set(RATES) - {"ECG", "Echo", "Radiology"}:
        died, lived = (sum(found) / len(found) for found in grave[category].values())
        assert died > 2 * lived, category


def test_deaths(made: Path) -> None:
    stays = rows(made, "ADMISSIONS")
    dead = [row for row in stays if row["HOSPITAL_EXPIRE_FLAG"] == "1"]
    assert 0.05 < len(dead) / len(stays) < 0.15
    assert all(row["DEATHTIME"] == row["DISCHTIME"] for row in dead)


def test_the_reader_takes_every_row_and_ages_come_out_right(made: Path, tmp_path: Path) -> None:
    shifted = {row["SUBJECT_ID"] for row in rows(made, "PATIENTS") if row["DOB"] < "1900"}
    assert shifted
    bad = tmp_path / "bad.jsonl"
    with open_source("mimic3", made, unit=Unit.PATIENT, work_dir=tmp_path, quarantine_file=bad) as source:
        batches = list(source.batches())
        assert source.synthetic
        assert not source.report.quarantined
    assert sum(map(len, batches)) == PATIENTS
    for batch in batches:
        units = batch.units
        assert units["age"].between(18, 90).all()
        assert units["principal_title"].notna().all()
        assert units.loc[units["patient_id"].isin(shifted), "age"].eq(90).all()


def test_the_marker_says_that_it_is_synthetic(made: Path) -> None:
    assert is_synthetic(made)
    about = json.loads((made / MARKER).read_text(encoding="utf-8"))
    assert about["synthetic"] is True
    assert (about["patients"], about["seed"]) == (PATIENTS, 3)
    assert "Invented" in about["what"]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        synthesize(tmp_path, 5, 0)
    with pytest.raises(InputError, match="not empty"):
        synthesize(tmp_path / "own.txt", 5, 0)
    with pytest.raises(InputError, match="at least 1"):
        synthesize(tmp_path / "new", 0, 0)
    with pytest.raises(InputError, match="0 or more"):
        synthesize(tmp_path / "new", 5, -1)
    assert [file.name for file in tmp_path.iterdir()] == ["own.txt"]
