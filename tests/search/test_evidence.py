"""Passages of the neighbours' notes: of whom was found, within the window, told and kept nowhere."""

import json
from pathlib import Path

import cohorts
import pytest
from cohorts.analysis.evidence import Passage
from cohorts.errors import InputError
from command_line import ok, refused, run
from small_hospitals import mimic3

NOTES = {  # by patient; 4 and 5 have two
    1: ["Septic shock on arrival. Started on broad antibiotics for fever and chills overnight on the ward."],
    2: [
        "Fever and chills at home. Blood cultures grew gram negative rods, and septic shock followed quickly."
    ],
    3: ["Denies fever or chills. Came in for a planned knee replacement and walked on the second day."],
    4: [
        "Back pain after lifting.",
        "Chills in the night, then fever to 39 with a rigor, and antibiotics were begun.",
    ],
    5: [
        "Rash on both legs.",
        "=cmd|fever \x1b[31mred[/bold] <script>. Nothing else was told by anyone here at all.",
    ],
}
DAY = {0: "2164-10-24 08:00:00", 1: "2164-10-26 08:00:00"}  # the second note is behind the first day


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients with notes, ingested whole and by their first day."""
    heads = {
        "PATIENTS": "SUBJECT_ID,GENDER,DOB",
        "ADMISSIONS": "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,DEATHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG",
        "DIAGNOSES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE",
        "NOTEEVENTS": "SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT",
    }
    rows = {
        "PATIENTS": [f"{one},F,2094-03-05" for one in NOTES],
        "ADMISSIONS": [f"{one},{one}0,2164-10-24 07:00:00,2164-10-28 21:09:00,,EMERGENCY,0" for one in NOTES],
        "DIAGNOSES_ICD": [f"{one},{one}0,1,4280" for one in NOTES],
        "NOTEEVENTS": [
            f'{one},{one}0,{DAY[at][:10]},{DAY[at]},Nursing,,"{note}"'
            for one, notes in NOTES.items()
            for at, note in enumerate(notes)
        ],
    }
    tables: dict[str, str | None] = {name: "\n".join([head, *rows[name]]) for name, head in heads.items()}
    others = {"PROCEDURES_ICD": None, "PRESCRIPTIONS": None, "LABEVENTS": None, "ICUSTAYS": None}
    folder = tmp_path_factory.mktemp("ward")
    mimic3(folder / "hospital", **tables, **others)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        source = "ingest --source mimic3 --path hospital --encoder lsa:dim=8"
        ok(f"{source} --collection whole")
        ok(f"{source} --collection early --as-of admission+24h")
        ok(f"{source} --collection stays --unit admission")
    return folder


@pytest.fixture(autouse=True)
def there(ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ward)


def passages(asked: str, k: int = 5) -> dict[str, str | None]:
    """Return the passage of each answer, by patient."""
    rows = json.loads(ok(f"query {asked} -k {k} --evidence mimic3:hospital --format json"))["neighbours"]
    return {row["patient"]: row["evidence"] and row["evidence"]["passage"] for row in rows}


@pytest.mark.parametrize("collection", ["whole", "stays"])
def test_each_answer_has_the_passage_that_fits(collection: str) -> None:
    found = passages(f"--collection {collection} --text 'fever and chills, septic shock'")
    assert found["1"] == NOTES[1][0], "a short sentence stands with the next"
    assert found["2"] is not None
    assert found["2"].startswith("Fever and chills at home. Blood cultures")
    assert found["4"] == NOTES[4][1]


def test_what_a_note_negates_is_no_evidence() -> None:
    assert passages("--collection whole --text 'fever, chills'")["3"] is None
    _, _, told = run("query --collection whole --text 'fever, chills' -k 5 --evidence mimic3:hospital")
    assert "Note: no passage of 1 of the answers shares a word with the question." in told


def test_of_a_patient_the_own_notes_are_the_question() -> None:
    found = passages("--collection whole --patient 1", 4)
    assert "1" not in found
    assert found["2"] is not None
    assert "septic shock" in found["2"].casefold()


def test_only_what_lies_in_the_window_is_read() -> None:
    found = passages("--collection early --text 'fever, back pain'")
    assert found["4"] == "Back pain after lifting."
    assert found["5"] is None, "its note of fever was written later"


def test_hostile_text_is_shown_as_text() -> None:
    out = ok("query --collection whole --text fever -k 5 --evidence mimic3:hospital --format csv")
    assert "'=cmd" in out
    assert "\x1b" not in out
    table = ok("query --collection whole --text fever -k 5 --evidence mimic3:hospital")
    assert "\x1b[31m" not in table
    assert "[/bold]" in table


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_passages_go_to_stdout_alone(form: str, ward: Path) -> None:
    code, out, err = run(
        f"query --collection whole --text 'septic shock' -k 5 --evidence mimic3:hospital --format {form}"
    )
    assert code == 0
    assert "broad antibiotics" in " ".join(out.split())
    assert "antibiotics" not in err
    kept = [file for file in ward.rglob("*") if file.is_file() and file.parent.name != "hospital"]
    assert len(kept) > 5
    assert not any(b"broad antibiotics" in file.read_bytes() for file in kept)
    assert "antibiotics" not in repr(Passage("broad antibiotics", "Nursing", "", ("antibiotics",)))


def test_only_those_who_were_found_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from cohorts.analysis import evidence

    units: list[str] = []
    read = evidence._notes

    def watched(batch: cohorts.Batch, *more: object) -> object:
        units.extend(batch.units["unit_id"])
        return read(batch, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(evidence, "_notes", watched)
    found = passages("--collection whole --patient 1", 1)
    assert {*units} == {"1", *found}


def test_from_python_and_mistakes() -> None:
    expected = passages("--collection whole --text 'fever and chills, septic shock'")
    with (
        cohorts.connect("qdrant:./cohorts.qdrant") as store,
        cohorts.open_source("mimic3", "hospital") as source,
    ):
        asked = store.collection("whole")
        found = asked.like_text("fever and chills, septic shock", 5)
        told = asked.evidence(found, source)
        texts = {hit.id: one and one.text for hit, one in zip(found, told, strict=True)}
        assert texts == expected
        (first,) = [one for hit, one in zip(found, told, strict=True) if hit.id == "1"]
        assert first is not None
        assert (first.category, first.time[:10]) == ("Nursing", "2164-10-24")
        assert {"septic", "shock"} <= {*first.words}
        with pytest.raises(InputError, match="found takes what a question of collection early found"):
            store.collection("early").evidence(found, source)
    for wrong in ("mimic3", "mimic3:", ":hospital"):
        assert "--evidence takes a source and where its records are" in refused(
            f"query --collection whole --text fever --evidence {wrong}"
        )
    told_of = refused(
        "query --collection whole --source mimic3 --path hospital --patient 1 --evidence mimic3:hospital"
    )
    assert "goes with --patient, --text and --note-file alone" in told_of
