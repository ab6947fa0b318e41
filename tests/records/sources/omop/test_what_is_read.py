"""What the tables of OMOP are read as, by a database of three persons."""

from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.base import Batch, Unit
from omop_forms.small import omop, without_vocabulary
from small_hospitals import Read

MAN, WOMAN = "-9223372036854775808", "9223372036854775807"


@pytest.fixture
def batch(read: Read, tmp_path: Path) -> Batch:
    made, _ = read("omop", omop(tmp_path / "cdm"))
    return made


def codes_of(batch: Batch, kind: str) -> set[tuple[str, str, str]]:
    some = batch.codes[batch.codes["kind"] == kind]
    return set(zip(some["unit_id"], some["system"], some["code"], strict=True))


def one(frame: pd.DataFrame, **where: object) -> pd.Series:
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_diagnoses_go_by_icd_then_the_standard_concept_then_its_number_then_the_source(batch: Batch) -> None:
    assert codes_of(batch, "diagnosis") == {
        (MAN, "ICD-9", "25000"),
        (MAN, "OMOP", "4145513"),
        (MAN, "SNOMED", "233604007"),
        (MAN, "ICD-9", "V1582"),  # of an observation
        (MAN, "ICD-10", "R7309"),  # of a measurement without a value
        (WOMAN, "source", "mystery"),
        (WOMAN, "SNOMED", "233604007"),  # to which its source's concept maps
        ("3", "ICD-10", "K922"),
    }


def test_procedures_of_cpt_are_no_icd(batch: Batch) -> None:
    assert codes_of(batch, "procedure") == {(MAN, "CPT4", "19301"), (MAN, "ICD-9", "3893")}


def test_codes_have_the_names_of_their_concepts(batch: Batch) -> None:
    assert one(batch.codes, system="SNOMED", unit_id=WOMAN)["name"] == "Pneumonia"
    assert one(batch.codes, code="19301")["name"] == "Mastectomy partial"


def test_the_primary_diagnosis_is_the_principal_one(read: Read, tmp_path: Path) -> None:
    batch, _ = read("omop", omop(tmp_path / "cdm"), unit=Unit.ADMISSION)
    unit = one(batch.units, unit_id="1")
    assert unit[["principal_system", "principal_code", "principal_title"]].tolist() == [
        "ICD-9",
        "25000",
        "Diabetes without complication",
    ]


def test_drugs_go_by_their_ingredient(batch: Batch) -> None:
    drug = one(batch.codes, code="acetaminophen")
    assert drug["system"] == "name"
    assert drug[["route", "dose", "dose_uom"]].tolist() == ["Oral", "2", "mg"]
    assert drug["time"] == pd.Timestamp("2020-01-01 10:00")
    assert drug["stop"] == pd.Timestamp("2020-01-02")


def test_drugs_without_a_concept_go_by_ndc_then_by_the_number_then_by_the_source(batch: Batch) -> None:
    assert one(batch.codes, ndc="00338004904")["code"] == "sodium chloride"
    assert one(batch.codes, ndc="99999999999")[["system", "code"]].tolist() == ["OMOP", "77777"]
    assert one(batch.codes, code="Home brew")["system"] == "name"


def test_measurements_have_names_loinc_units_and_ranges(batch: Batch) -> None:
    glucose = one(batch.measurements, loinc="2345-7")
    assert glucose[["item", "value", "uom", "kind", "flag", "low", "high"]].tolist() == [
        "Glucose [Mass/volume] in Serum or Plasma",
        110.0,
        "mg/dL",
        "laboratory",
        "Abnormally high",
        70.0,
        100.0,
    ]
    assert one(batch.measurements, loinc="8867-4")[["item", "kind"]].tolist() == ["Heart rate", "vital"]
    assert batch.measurements.query("item == 'own test'")["kind"].isna().all()


def test_visits_to_clinics_are_no_admissions_but_for_who_has_no_other(batch: Batch) -> None:
    assert set(batch.admissions["admission_id"]) == {"1", "3", "4", "6"}
    assert one(batch.units, unit_id=MAN)["admissions"] == 2
    assert one(batch.units, unit_id="3")["admission_type"] == "Outpatient Visit"
    first = one(batch.admissions, admission_id="1")
    assert first["readmitted"] == pd.Timestamp("2020-03-01 09:00")  # and not the clinic's day between
    visits = batch.events[batch.events["kind"] == "visit"]
    assert set(zip(visits["unit_id"], visits["code"], strict=True)) == {
        (MAN, "Outpatient Visit"),
        ("3", "Outpatient Visit"),
    }


def test_who_died_within_a_visit_died_there(batch: Batch) -> None:
    assert batch.units.set_index("unit_id")["died"].to_dict() == {MAN: False, WOMAN: True, "3": False}
    assert one(batch.admissions, admission_id="4")["died_at"] == pd.Timestamp("2021-02-03 10:00")


def test_follow_up_ends_with_the_observation_period_or_death(batch: Batch) -> None:
    ends = batch.admissions.drop_duplicates("unit_id").set_index("unit_id")["followed_until"]
    assert ends[MAN] == pd.Timestamp("2021-12-31")
    assert ends[WOMAN] == pd.Timestamp("2021-02-03 10:00")


def test_sex_and_age(batch: Batch) -> None:
    units = batch.units.set_index("unit_id")
    assert units.loc[[MAN, WOMAN], "sex"].tolist() == ["M", "F"]
    assert units.loc[["3"], "sex"].isna().all()
    assert units.loc[[MAN, WOMAN, "3"], "age"].tolist() == [69.0, 61.0, 51.0]


def test_notes_go_by_their_class_then_by_their_title(batch: Batch) -> None:
    assert dict(zip(batch.notes["category"], batch.notes["text"], strict=True)) == {
        "Discharge summary": "went home well",
        "Phone call": "called",
    }


def test_stays_and_transfers(batch: Batch) -> None:
    assert one(batch.events, kind="icu stay")["value"] == 1.0
    assert one(batch.events, kind="transfer", code="Medicine")["admission_id"] == "1"


def test_observations_are_events(batch: Batch) -> None:
    told = one(batch.events, kind="observation")
    assert told[["system", "code", "name", "result"]].tolist() == [
        "SNOMED",
        "110483000",
        "Tobacco user",
        "never",
    ]


def test_without_vocabulary_icd_is_known_by_the_packages_lists(read: Read, tmp_path: Path) -> None:
    batch, report = read("omop", without_vocabulary(tmp_path / "cdm"))
    assert codes_of(batch, "diagnosis") >= {
        (MAN, "ICD-9", "25000"),
        (MAN, "ICD-10", "R7309"),
        (MAN, "OMOP", "255848"),
        (WOMAN, "OMOP", "4299128"),
        ("3", "OMOP", "35208414"),  # its own standard concept, as no ICD code is
    }
    assert codes_of(batch, "procedure") == {(MAN, "OMOP", "2102720"), (MAN, "ICD-9", "3893")}
    assert any("rows were taken for ICD-9 by their source values" in told for told in report.warnings)


@pytest.mark.parametrize(("beside", "system"), [("4280", "ICD-9"), ("I509", "ICD-10"), ("rhythm", None)])
def test_codes_of_both_classifications_go_by_the_visits_other_codes(
    read: Read, tmp_path: Path, beside: str, system: str | None
) -> None:
    conditions = (
        "person_id,visit_occurrence_id,condition_concept_id,condition_start_date,condition_source_value,"
        f"condition_source_concept_id\n3,6,5,2021-05-01,E8889,44819001\n3,6,6,2021-05-01,{beside},44819002"
    )
    batch, _ = read("omop", without_vocabulary(tmp_path / "cdm", condition_occurrence=conditions))
    found = {(system, code) for unit, system, code in codes_of(batch, "diagnosis") if unit == "3"}
    assert ((system, "E8889") if system else ("OMOP", "5")) in found


def test_codes_of_the_sites_own_concepts_are_no_icd(read: Read, tmp_path: Path) -> None:
    conditions = (
        "person_id,visit_occurrence_id,condition_concept_id,condition_start_date,condition_source_value,"
        "condition_source_concept_id\n3,6,5,2021-05-01,4280,2000000002"
    )
    batch, _ = read("omop", without_vocabulary(tmp_path / "cdm", condition_occurrence=conditions))
    assert ("3", "OMOP", "5") in codes_of(batch, "diagnosis")


def test_codes_without_a_concept_are_no_icd_where_the_site_has_the_vocabulary(
    read: Read, tmp_path: Path
) -> None:
    conditions = (
        "person_id,visit_occurrence_id,condition_concept_id,condition_start_date,condition_source_value,"
        "condition_source_concept_id\n3,6,0,2021-05-01,4280,0"
    )
    with_it, _ = read("omop", omop(tmp_path / "with", condition_occurrence=conditions))
    without, _ = read("omop", without_vocabulary(tmp_path / "without", condition_occurrence=conditions))
    assert ("3", "source", "4280") in codes_of(with_it, "diagnosis")
    assert ("3", "ICD-9", "4280") in codes_of(without, "diagnosis")


def test_a_column_of_5_3_or_of_5_4(read: Read, tmp_path: Path) -> None:
    visits = (
        "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date,discharge_to_concept_id\n"
        "1,3,9201,2020-01-01,2020-01-05,4216643"
    )
    older, _ = read("omop", omop(tmp_path / "5.3", visit_occurrence=visits))
    newer, _ = read(
        "omop", omop(tmp_path / "5.4", visit_occurrence=visits.replace("discharge_", "discharged_"))
    )
    for batch in (older, newer):
        assert one(batch.units, unit_id="3")["died"]


def test_visits_that_no_table_has_leave_the_rows_to_their_person(read: Read, tmp_path: Path) -> None:
    conditions = (
        "person_id,visit_occurrence_id,condition_concept_id,condition_start_date\n"
        "3,777,255848,2021-05-01\n3,1,201826,2021-05-01"
    )
    batch, report = read("omop", omop(tmp_path / "cdm", condition_occurrence=conditions))
    codes = batch.codes[(batch.codes["unit_id"] == "3") & (batch.codes["kind"] == "diagnosis")]
    assert set(codes["code"]) == {"233604007", "44054006"}
    assert codes["admission_id"].isna().all()
    assert not report.quarantined


def test_only_concepts_in_use_are_kept(read: Read, tmp_path: Path) -> None:
    batch, _ = read("omop", omop(tmp_path / "cdm"))
    assert "Of no use here" not in set(batch.codes["name"])


def test_what_a_site_lacks_is_told(read: Read, tmp_path: Path) -> None:
    gone = dict.fromkeys(("death", "measurement", "observation", "note", "visit_detail", "care_site"))
    batch, report = read("omop", omop(tmp_path / "cdm", **gone))
    for name in gone:
        assert any(f" {name} in " in told for told in report.warnings)
    known = batch.units.set_index("unit_id")["died"]
    assert not known[[WOMAN]].notna().any()  # nothing tells
