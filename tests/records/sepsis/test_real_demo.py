"""The cohort of sepsis on the open demo of MIMIC-III, by both rules, against what pandas finds in its tables."""

from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.base import Batch, Unit
from cohorts.records.sepsis.cohort import CODES, NO_CODE, NO_INFECTION, exclusions, flow, septic
from cohorts.records.sources.registry import open_source
from cohorts.records.window import parse_window
from small_hospitals import Read

ANTIBIOTIC = (
    "cef|cillin|zosyn|unasyn|penem|vancomycin|floxacin|metronidazole|azithromycin|erythromycin|clindamycin|clarithromycin"
    "|gentamicin|tobramycin|amikacin|aztreonam|linezolid|daptomycin|cycline|sulfameth|cephalexin|bactrim|rifampin"
    "|nitrofurantoin|levaquin|colisti"
)


@pytest.fixture(scope="module")
def demo(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    work = tmp_path_factory.mktemp("demo")
    bad = work / "bad.csv"
    with open_source(
        "mimic3", shared_data / "mimic3-demo", unit=Unit.ADMISSION, work_dir=work, quarantine_file=bad
    ) as source:
        (batch,) = source.batches()
    return batch


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name, dtype=str).rename(columns=str.lower)


def test_who_has_a_suspected_infection(demo: Batch, shared_data: Path) -> None:
    """Prescriptions of MIMIC-III have a day, infusions a time."""
    folder = shared_data / "mimic3-demo"
    drugs, pumps = table(folder, "PRESCRIPTIONS.csv.gz"), table(folder, "INPUTEVENTS_MV.csv.gz")
    local = drugs["route"].fillna("").str.contains("EYE|EAR|^(?:O[DSU]|A[DSU]|TP|IH|NEB|DWELL|NU|VG|IRR|ID)$")
    drugs = drugs[drugs["drug"].fillna("").str.lower().str.contains(ANTIBIOTIC) & ~local]
    items = table(folder, "D_ITEMS.csv.gz")
    pumps = pumps[pumps["itemid"].isin(items["itemid"][items["category"] == "Antibiotics"])]
    cultures = table(folder, "MICROBIOLOGYEVENTS.csv.gz")
    cultures["taken"] = pd.to_datetime(cultures["charttime"].fillna(cultures["chartdate"]))
    by_day = drugs.merge(cultures, on="hadm_id", suffixes=("", "_of_culture"))
    days = (pd.to_datetime(by_day["startdate"]) - by_day["taken"].dt.normalize()).dt.days
    by_hour = pumps.merge(cultures[cultures["charttime"].notna()], on="hadm_id", suffixes=("", "_of_culture"))
    hours = (pd.to_datetime(by_hour["starttime"]) - by_hour["taken"]).dt.total_seconds() / 3600
    expected = {
        *by_day["hadm_id"][(days >= -1) & (days <= 3)],
        *by_hour["hadm_id"][(hours >= -24) & (hours <= 72)],
    }
    found = septic(demo)
    suspected = set(found["admission_id"][found["suspected"].notna()])
    assert suspected == expected
    assert NO_INFECTION not in set(found["left_out"][found["suspected"].notna()])


def test_the_flow_by_sepsis3(demo: Batch) -> None:
    found = septic(demo)
    assert flow(found["left_out"], exclusions("sepsis3")) == [
        ("no intensive care", 0, 129),
        ("age unknown", 0, 129),
        ("under 18", 1, 128),
        ("no suspected infection", 33, 95),
        ("suspected infection, no part of SOFA seen", 1, 94),
        ("suspected infection, SOFA below 2 about it", 44, 50),
    ]
    members = found[found["left_out"] == ""]
    assert members["sofa_unseen"].min() == 2  # coma and arterial pressure are never seen
    assert (members["onset"] >= members["suspected"]).all()
    assert (members["onset"] >= members["sofa_time"]).all()


def test_a_patient_worked_by_hand(demo: Batch) -> None:
    """Vancomycin on 23 October, blood taken at 15:30 that day; creatinine 3 and platelets 116: 2 and 1 points."""
    told = septic(demo).set_index("admission_id").loc["142345"]
    assert told["suspected"] == pd.Timestamp("2164-10-23 15:30")
    assert told["onset"] == told["icu"] == pd.Timestamp("2164-10-23 21:10:15")
    assert (told["sofa"], told["sofa_unseen"]) == (3, 3)


@pytest.mark.parametrize("hours", [12, 24, 48])
def test_what_was_known_by_then_is_found_by_then(demo: Batch, hours: int) -> None:
    """Congruence: who is septic in a window, against who was known to be by its end."""
    whole = septic(demo)
    cut = septic(parse_window(f"icu+{hours}h").cut(demo)[0])
    end = whole["icu"] + pd.Timedelta(hours=hours)
    by_then = whole["known"] <= end
    assert by_then.sum() > 10
    assert (cut["left_out"][by_then & (whole["left_out"] == "")] == "").all()
    members = cut["left_out"] == ""
    assert (whole["left_out"][members] == "").all()
    assert (cut["known"][members] <= end[members]).all()
    for name in ("suspected", "sofa_time", "onset", "sofa"):
        assert (cut[name] == whole[name])[
            by_then
        ].mean() > 0.9  # a later antibiotic may tell of an earlier culture


def test_by_codes_there_are_26_patients(demo: Batch) -> None:
    found = septic(demo, CODES)
    members = found[found["left_out"] == ""]
    assert (len(members), members["patient_id"].nunique()) == (38, 26)
    assert set(found["left_out"]) == {"", "under 18", NO_CODE}


def test_of_patients_the_admission_described_counts(read: Read, shared_data: Path, demo: Batch) -> None:
    """Congruence: a patient's row is that of the last admission."""
    patients, _ = read("mimic3", shared_data / "mimic3-demo", unit=Unit.PATIENT)
    by_patient = septic(patients).set_index("admission_id").drop(columns="unit_id")
    by_admission = septic(demo).set_index("admission_id").drop(columns="unit_id")
    pd.testing.assert_frame_equal(by_patient, by_admission.loc[by_patient.index])
