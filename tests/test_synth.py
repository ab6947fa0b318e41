"""The synthetic hospital: reproducible, MIMIC-III-shaped, at the published rates, in bounded memory."""

import csv
import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from cohorts.errors import InputError
from cohorts.records.base import Batch
from cohorts.records.phenotyping import load_phenotypes, phenotype_of
from cohorts.records.sources import open_source
from cohorts.records.synth import conditions, synthesize
from cohorts.records.synth import hospital as hospital_parts
from cohorts.records.synth_notes import RATES

PATIENTS = 1_500

PEAK = """
import resource, sys
from pathlib import Path
from cohorts.records.synth import synthesize
synthesize(Path(sys.argv[1]), int(sys.argv[2]), 0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "tables"
    synthesize(folder, PATIENTS, seed=11)
    return folder


@pytest.fixture(scope="module")
def batches(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    work = tmp_path_factory.mktemp("work")
    with open_source("mimic3", hospital, work_dir=work, quarantine_file=work / "bad.csv") as source:
        assert source.synthetic
        batches = list(source.batches())
        assert source.report.quarantined == {}
        assert source.report.counts["patients"] == PATIENTS
    return batches


def rows(hospital: Path, table: str) -> list[dict[str, str]]:
    with (hospital / f"{table}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_same_seed_same_bytes(hospital: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "again", PATIENTS, seed=11)
    synthesize(tmp_path / "other", PATIENTS, seed=12)
    for file in hospital.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    notes = "NOTEEVENTS.csv"
    assert (hospital / notes).read_bytes() != (tmp_path / "other" / notes).read_bytes()


def test_it_says_that_it_is_synthetic(hospital: Path) -> None:
    about = json.loads((hospital / "SYNTHETIC.json").read_text())
    assert about["synthetic"] is True
    assert about["seed"] == 11


def test_categories_at_the_published_rates(hospital: Path) -> None:
    admissions = len(rows(hospital, "ADMISSIONS"))
    pairs = {(note["CATEGORY"], note["HADM_ID"]) for note in rows(hospital, "NOTEEVENTS")}
    found = Counter(category for category, _ in pairs)
    for category, (rate, _) in RATES.items():
        assert found[category] / admissions == pytest.approx(rate, abs=0.04), category


def test_notes_are_not_sorted_by_patient(hospital: Path) -> None:
    patients = [note["SUBJECT_ID"] for note in rows(hospital, "NOTEEVENTS")]
    together = sum(one == two for one, two in itertools.pairwise(patients))
    assert together / len(patients) < 0.02


def test_deaths_ages_and_codes(batches: list[Batch], hospital: Path) -> None:
    units = [unit for batch in batches for unit in batch.units.to_dict("records")]
    assert 0.05 < sum(unit["died"] for unit in units) / len(units) < 0.2
    ages = [unit["age"] for unit in units]
    assert min(ages) >= 18
    assert max(ages) == 90
    assert any(row["DOB"] < "19" for row in rows(hospital, "PATIENTS"))  # the oldest, hidden as in MIMIC-III
    assert all(unit["principal_title"] == unit["principal_title"] for unit in units)


def test_conditions_are_the_phenotypes_and_their_codes_say_so() -> None:
    assert set(conditions()) - {"other"} == {one.name for one in load_phenotypes()}
    for name, about in conditions().items():
        for code, _ in about["codes"]:
            assert phenotype_of("ICD-9", code) == (None if name == "other" else name)
        assert set(about["with"]) <= set(conditions())


def test_death_shows_in_nursing_physician_and_discharge_notes_alone(hospital: Path) -> None:
    dead = {row["HADM_ID"] for row in rows(hospital, "ADMISSIONS") if row["HOSPITAL_EXPIRE_FLAG"] == "1"}
    severe = hospital_parts()["common"]["severe"]
    share: dict[str, dict[bool, list[bool]]] = {}
    for note in rows(hospital, "NOTEEVENTS"):
        by_end = share.setdefault(note["CATEGORY"].strip(), {True: [], False: []})
        by_end[note["HADM_ID"] in dead].append(any(phrase in note["TEXT"] for phrase in severe))
    for category, by_end in share.items():
        died, lived = (sum(found) / len(found) for found in (by_end[True], by_end[False]))
        if category in ("ECG", "Echo", "Radiology"):
            assert died == lived == 0
        else:
            assert died > 2 * lived, category


def test_a_folder_that_is_not_empty_is_refused(hospital: Path) -> None:
    with pytest.raises(InputError, match="is not empty"):
        synthesize(hospital, 10, seed=0)


def test_memory_does_not_grow_with_the_number_of_patients(tmp_path: Path) -> None:
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", PEAK, str(tmp_path / str(n)), str(n)]))
        for n in (4_000, 16_000)
    ]
    assert peaks[1] < 1.2 * peaks[0]
