"""A patient who is asked about without an ingest: as one who was ingested, with what could not be used told."""

import json
from pathlib import Path

import cohorts
import pandas as pd
import pytest
from cohorts.errors import InputError
from command_line import ok, refused, run

TABLES = ("PATIENTS", "ADMISSIONS", "DIAGNOSES_ICD", "PROCEDURES_ICD", "PRESCRIPTIONS", "NOTEEVENTS")
ASKED = "10003"


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a hospital, a store, and the records of one of its patients alone, under another id."""
    folder = tmp_path_factory.mktemp("ward")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("synth hospital --patients 80 --seed 3")
        ok("ingest --source mimic3 --path hospital --encoder concat:lsa:dim=16+codes:dim=16 --collection icu")
        ok(
            "ingest --source mimic3 --path hospital --encoder codes:dim=16 --collection early --as-of admission+24h"
        )
        ok(
            "ingest --source mimic3 --path hospital --encoder codes:dim=16 --collection stays --unit admission"
        )
    for name, number in (("same", ASKED), ("new", "999")):
        (folder / name).mkdir()
        for table in TABLES:
            rows = pd.read_csv(folder / "hospital" / f"{table}.csv", dtype=str, keep_default_na=False)
            own = rows[rows["SUBJECT_ID"] == ASKED].assign(SUBJECT_ID=number)
            own.to_csv(folder / name / f"{table}.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def there(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ward)


def answers(command: str) -> dict[str, float]:
    """Return the similarity of every patient found, in their order."""
    found = json.loads(ok(f"query {command} --format json"))["neighbours"]
    return {one["patient"]: one["similarity"] for one in found}


def check_same(found: dict[str, float], expected: dict[str, float]) -> None:
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("collection", ["icu", "early", "stays"])
def test_the_answers_are_those_of_the_patient_who_was_ingested(collection: str) -> None:
    ingested = answers(f"--collection {collection} --patient {ASKED} -k 5")
    check_same(answers(f"--collection {collection} --source mimic3 --path same -k 5"), ingested)


def test_one_of_several_is_named() -> None:
    asked = f"--collection icu --source mimic3 --path hospital --patient {ASKED} -k 5"
    check_same(answers(asked), answers(f"--collection icu --patient {ASKED} -k 5"))
    _, _, told = run(f"query {asked}")
    assert "not used: " in told
    assert "rows of" not in told  # they may be of others


def test_a_patient_of_another_id_finds_the_one_who_is_alike() -> None:
    assert next(iter(answers("--collection early --source mimic3 --path new"))) == ASKED
    _, _, told = run("query --collection icu --source mimic3 --path same")
    assert "the collection holds a patient of this id too, who is no answer" in told


def test_what_the_encoder_could_not_use_is_told() -> None:
    result = json.loads(ok("query --collection early --source mimic3 --path new --format json"))
    told = "\n".join(result["notes"])
    codes = sum(len(pd.read_csv(f"new/{table}.csv")) for table in TABLES[2:5])
    assert f"of {codes:,} codes outside admission+24h" in told
    assert "notes, which encoder codes does not read" in told
    assert "No table LABEVENTS in new: no measurements" in told
    assert result["asked_codes"]


def test_nothing_to_use_is_no_answer(tmp_path: Path) -> None:
    pd.DataFrame({"id": ["1"], "text": ["fever"]}).to_csv(tmp_path / "n.csv", index=False)
    told = refused(
        f"query --collection early --source notes-csv --path {tmp_path}/n.csv --columns id=id,text=text"
    )
    assert "The encoder can use nothing of this patient's records: " in told
    assert "fever" not in told


def test_mistakes_are_told() -> None:
    assert "holds several patients. Name the one to ask about with --patient." in refused(
        "query --collection icu --source mimic3 --path hospital"
    )
    assert "does not hold the patient that was named" in refused(
        "query --collection icu --source mimic3 --path hospital --patient 1"
    )
    assert "--source NAME and --path together" in refused("query --collection icu --source mimic3")
    for beside in ("--text fever", "--unlike 10003", "--patient 999 --patient 10003"):
        told = refused(f"query --collection icu --source mimic3 --path same {beside}")
        assert "A patient in a source is asked by alone" in told


def test_the_same_from_python() -> None:
    with cohorts.connect("qdrant:./cohorts.qdrant") as store, cohorts.open_source("mimic3", "same") as source:
        found = store.collection("icu").like_new(source, 5, where="sex = 'F'")
        expected = store.collection("icu").like_patient(ASKED, 5, where="sex = 'F'")
        assert [hit.id for hit in found] == [hit.id for hit in expected]
        assert any("no answer" in note for note in found.notes)
        with pytest.raises(InputError, match="The vectors of stays stand for each admission"):
            store.collection("stays").like_new(source)
