"""Saved cohorts: made, read again, made again, compared by their members, and exported; whatever is wrong is told."""

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import cohorts
import pandas as pd
import pyarrow.parquet as pq
import pytest
from cohorts.errors import InputError
from cohorts.records.codes.phenotypes import stating
from cohorts.saved_cohorts import erase_from_cohorts, remove_cohort


@pytest.fixture
def clean(notes: cohorts.CollectionHandle) -> Iterator[cohorts.CollectionHandle]:
    """The collection of notes; what a test saves is removed behind it."""
    yield notes
    for name in notes.cohorts():
        remove_cohort(notes.store.run_dir(notes.name), name)


@pytest.fixture(scope="module")
def admissions(
    hospital: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[cohorts.CollectionHandle]:
    """The same hospital by admissions, of which the vectors know the first day."""
    store = cohorts.connect("memory:", runs=tmp_path_factory.mktemp("runs"))
    with cohorts.open_source("mimic3", hospital, unit="admission") as source:
        encoder = cohorts.make_encoder("codes:dim=8", as_of="admission+24h")
        yield cohorts.ingest(source, encoder, store, "stays")
    store.close()


def file_of(collection: cohorts.CollectionHandle, name: str) -> Path:
    return collection.store.run_dir(collection.name) / "cohorts" / f"{name}.json"


def test_a_cohort_is_made_by_filter_ids_or_phenotype_and_read_again(
    clean: cohorts.CollectionHandle, hospital: Path
) -> None:
    with cohorts.open_source("mimic3", hospital) as source:
        batches = list(source.batches())
    units = pd.concat(batch.units for batch in batches)
    codes = pd.concat(batch.codes for batch in batches)
    old = clean.make_cohort("old", where="age >= 60 and sex = 'F'")
    wanted = units[(units["age"] >= 60) & (units["sex"] == "F")]["unit_id"]
    assert sorted(old.patients) == sorted(wanted) != []
    named = clean.make_cohort("named", ids=["10007", 10006, "10007", "nobody"])
    assert named.patients == ("10007", "10006")
    assert named.notes == ("1 of 3 ids are of no patient in the collection",)
    failing = clean.make_cohort("failing", phenotype="heart_failure")
    assert set(failing.patients) == set(codes[stating(codes, ["heart_failure"], implied=False)]["unit_id"])
    assert 0 < len(failing) < len(units)
    assert clean.cohorts() == ["failing", "named", "old"]
    for made in (old, named, failing):
        again = clean.store.collection("notes").cohort(made.name)
        assert (again.about, again.state) == (made.about, "")
        assert made.patients[0] not in repr(made)
        file = file_of(clean, made.name)
        assert file.stat().st_mode & 0o777 == 0o600
        assert json.loads(file.read_text())["format"] == 1
    both = old.diff("failing")
    assert set(both.both) == {*old.patients} & {*failing.patients}
    assert set(both.only_b) == {*failing.patients} - {*old.patients}
    assert len(both.both) + len(both.only_a) == len(old)


def test_of_each_patient_the_first_admission_stands_or_all(admissions: cohorts.CollectionHandle) -> None:
    every = admissions.make_cohort("every", where="age >= 0", per_unit=True)
    first = admissions.make_cohort("first", where="age >= 0")
    assert len(every.units) == admissions.count("age >= 0") > len(every) == len(first) == len(first.units)
    outcomes = pq.read_table(admissions.store.run_dir("stays") / "outcomes.parquet").to_pandas()
    begun = outcomes[outcomes["unit_id"].isin(every.units)].sort_values("admitted")
    assert dict(zip(first.patients, first.units, strict=True)) == dict(
        begun.groupby("patient_id")["unit_id"].first()
    )
    assert admissions.make_cohort("two", ids=first.patients[3:1:-1]).units == first.units[3:1:-1]


@pytest.mark.parametrize("name", ["", "../out", "a/b", ".hidden", "rest", "matched", "a" * 81, "ö"])
def test_a_name_that_leads_elsewhere_or_is_taken_is_refused(
    clean: cohorts.CollectionHandle, name: str
) -> None:
    with pytest.raises(InputError, match="can't name a cohort"):
        clean.make_cohort(name, where="age >= 60")
    clean.make_cohort("taken", where="age >= 60")
    with pytest.raises(InputError, match="There is a cohort taken already"):
        clean.make_cohort("taken", where="age < 60")
    with pytest.raises(InputError, match="exactly one of"):
        clean.make_cohort("two", where="age < 60", phenotype="sepsis")
    with pytest.raises(InputError, match="no phenotype 'headache'"):
        clean.make_cohort("none", phenotype="headache")
    with pytest.raises(InputError, match="There are: taken"):
        clean.cohort("lost")


def test_a_file_of_another_version_and_a_damaged_one_are_refused(clean: cohorts.CollectionHandle) -> None:
    clean.make_cohort("old", where="age >= 60")
    file = file_of(clean, "old")
    told = json.loads(file.read_text())
    for wrong, said in (
        ({**told, "format": 2}, "not of format 1"),
        ({**told, "patients": told["patients"][1:]}, "units"),
        ({**told, "units": None}, "must be a list"),
        ({**told, "more": 1}, "not known"),
    ):
        file.write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=said) as refusal:
            clean.cohort("old")
        assert "anew" in str(refusal.value)
        assert told["patients"][0] not in str(refusal.value)


def test_a_cohort_is_made_again_and_tells_who_came_and_went(hospital: Path, tmp_path: Path) -> None:
    store = cohorts.connect("memory:", runs=tmp_path)
    with cohorts.open_source("mimic3", hospital) as source:
        icu = cohorts.ingest(source, "codes:dim=8", store, "icu")
        old = icu.make_cohort("old", where="age >= 60")
        before = old.patients
        store.connector.delete("icu", before[:2])
        found = old.refresh()
        assert (found.only_a, found.only_b, found.both) == (before[:2], (), before[2:])
        assert icu.cohort("old").patients == before[2:]
        assert found.overlap == pytest.approx(len(before[2:]) / len(before))
        other = cohorts.ingest(source, "codes:dim=16", store, "icu", replace=True)
    kept = other.cohort("old")
    assert kept.patients == before[2:], "a cohort stays when its collection is replaced"
    assert "another encoder now" in kept.state
    with pytest.raises(InputError, match="can't be made again as it was"):
        kept.refresh()
    assert kept.refresh(anyway=True).only_b == before[:2]
    assert kept.state == ""
    store.connector.drop("icu")
    assert kept.state == "collection icu is gone"


def test_exports_say_what_the_cohort_holds(admissions: cohorts.CollectionHandle, tmp_path: Path) -> None:
    made = admissions.make_cohort("women", where="sex = 'F'", per_unit=True)
    for form in ("csv", "parquet", "omop", "fhir"):
        assert made.export(tmp_path / form, form) == ()
        assert (tmp_path / form).stat().st_mode & 0o777 == 0o600
        with pytest.raises(InputError, match="There is a file"):
            made.export(tmp_path / form, form)
    rows = pd.read_csv(tmp_path / "csv", dtype=str)
    pd.testing.assert_frame_equal(
        rows[["unit", "patient"]], pq.read_table(tmp_path / "parquet").to_pandas()[["unit", "patient"]]
    )
    assert rows["unit"].tolist() == list(made.units)
    group = json.loads((tmp_path / "fhir").read_text())
    assert {key: group[key] for key in ("resourceType", "type", "actual", "quantity")} == {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "quantity": len(made),
    }
    assert [one["entity"]["reference"] for one in group["member"]] == [
        f"Patient/{one}" for one in made.patients
    ]
    assert group["meta"]["tag"][0]["code"] == "HTEST", "synthetic patients are called so"
    outcomes = pq.read_table(admissions.store.run_dir("stays") / "outcomes.parquet").to_pandas()
    told = outcomes.set_index("unit_id").loc[list(made.units)]
    omop = list(csv.DictReader((tmp_path / "omop").open()))
    assert [row["subject_id"] for row in omop] == told["patient_id"].tolist()
    day_after = (told["admitted"] + pd.Timedelta(hours=24)).dt.date
    ends = told["discharged"].dt.date
    assert [row["cohort_start_date"] for row in omop] == [str(day) for day in day_after]
    assert [row["cohort_end_date"] for row in omop] == [
        str(max(pair)) for pair in zip(day_after, ends, strict=True)
    ]


def test_ids_that_a_form_has_no_room_for_are_counted_and_refused(tmp_path: Path) -> None:
    store = cohorts.connect("memory:", runs=tmp_path)
    from cohorts.connectors.base import Collection, Points
    from loading import vectors

    store.connector.create(Collection("others", 16, fields={"ward": str}))
    store.connector.upsert("others", Points(["=1/2", "patient-2"], vectors(2), [{"ward": "a"}] * 2))
    made = store.collection("others").make_cohort("ward", where="ward = 'a'")
    with pytest.raises(InputError, match="2 of the 2 patients' ids are no whole numbers"):
        made.export(tmp_path / "x", "omop")
    with pytest.raises(InputError, match="1 of the 2 patients' ids can't be ids of FHIR"):
        made.export(tmp_path / "x", "fhir")
    assert not (tmp_path / "x").exists()
    made.export(tmp_path / "x")
    assert (tmp_path / "x").read_text().splitlines()[1].startswith("'=1/2,")
    with pytest.raises(InputError, match="holds no events"):
        store.collection("others").make_cohort("p", phenotype="sepsis")


def test_an_erased_patient_is_in_no_cohort_and_no_question(clean: cohorts.CollectionHandle) -> None:
    patient = "10006"
    clean.make_cohort("named", ids=[patient, "10007"])
    clean.make_cohort("asked", where=f"phenotype is null or sex = '{patient}'")
    clean.make_cohort("all", where="age >= 0")
    clean.make_cohort("without", ids=["10007"])
    folder = clean.store.run_dir("notes")
    assert erase_from_cohorts(folder, {patient}) == 3
    assert not [file for file in (folder / "cohorts").iterdir() if patient in file.read_text()]
    assert clean.cohort("named").refresh().both == ("10007",)
    with pytest.raises(InputError, match="named a patient who was erased"):
        clean.cohort("asked").refresh()
    assert erase_from_cohorts(folder, {patient}) == 0


def test_who_was_found_is_saved_with_the_question_and_found_again(
    clean: cohorts.CollectionHandle, hospital: Path
) -> None:
    (vector,) = clean.encoder.encode_text(["fever"])
    with cohorts.open_source("mimic3", hospital) as source:
        new = clean.like_new(source, 5, patient="10009")
    for number, found in enumerate(
        (
            clean.like_patient("10006", 5, where="age >= 40 and not (sex = 'F')", search="exact=true"),
            clean.like(["10006", "10007"], ["fever"], k=5, any_of=True, unlike="10008"),
            clean.like(["10006", "10007"], "fever", k=5, contrast=True),
            clean.like_text("worsening heart failure", 5),
            clean.like_text("fever, no heart failure", 5),
            clean.like_text("fever, no heart failure", 5, as_written=True),
            clean.like_vector(vector, 5, per_unit=True),
            new,
        )
    ):
        made = clean.save(f"found{number}", found)
        assert (made.units, made.about.scores) == (
            tuple(hit.id for hit in found),
            tuple(hit.score for hit in found),
        )
        read = clean.store.collection("notes").cohort(made.name)
        assert read.about == made.about
        again = read.refresh(search="exact=true" if number == 0 else None)
        assert (again.both, again.overlap) == (made.patients, 1.0)
        assert read.about.question == made.about.question
        assert read.about.scores == pytest.approx(made.about.scores)
    with pytest.raises(InputError, match="found takes what a question of collection notes found"):
        clean.save("other", dataclasses.replace(new, collection="other"))
    assert erase_from_cohorts(clean.store.run_dir("notes"), {"10009"}) >= 1
    assert "10009" not in file_of(clean, "found7").read_text()
    with pytest.raises(InputError, match="named a patient who was erased"):
        clean.cohort("found7").refresh()
