"""What a text says is not so: taken out of what is encoded, a filter where a phenotype is called so, and told."""

import json
from pathlib import Path

import cohorts
import pytest
from cohorts.connectors.base import Collection
from cohorts.connectors.filters.conditions import All, Comparison, Contains, Not
from cohorts.connectors.index import Flat
from cohorts.errors import InputError
from cohorts.records.codes.phenotypes import phenotype_of
from cohorts.search.negation import Negated, as_meant, negated, without_negated
from cohorts.search.question import Question, examples_of
from command_line import ok, run

KEEPS = Collection("c", 2, Flat(), {"phenotypes": list[str], "age": float})
LACKS = Collection("c", 2, Flat(), {"age": float})
TEXT = "sepsis with fever, no history of heart failure or back pain"
FAILURE = Not(Contains("phenotypes", "heart_failure"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dyspnea, no history of heart failure", [("heart failure", "heart_failure")]),
        ("denies chest pain, has fever", [("chest pain", "")]),
        ("pneumonia without sepsis or CHF", [("sepsis", "sepsis"), ("CHF", "heart_failure")]),
        ("No evidence of any\n  stroke.", [("any stroke", "stroke")]),
        ("no type 2 diabetes mellitus", [("type 2 diabetes mellitus", "type_2_diabetes")]),
        ("no acute exacerbation of copd", [("acute exacerbation of copd", "")]),  # less than no copd
        ("no family history of stroke; heart failure", [("family history of stroke", "")]),
        ("heart failure", []),
        ("", []),
        ("no " + "x" * 10_000, [("x" * 10_000, "")]),
        ("no [bold]sepsis", [("[bold]sepsis", "")]),
    ],
)
def test_items_and_the_phenotypes_that_are_called_so(text: str, expected: list[tuple[str, str]]) -> None:
    assert negated(text) == [Negated(*one) for one in expected]


def test_a_question_means_what_its_text_negates() -> None:
    question = Question(examples=examples_of(["1"], [TEXT]), where=Comparison("age", ">", 60))
    meant, notes = as_meant(question, KEEPS)
    assert meant.where == All((Comparison("age", ">", 60), FAILURE))
    assert [one.value for one in meant.examples] == ["1", without_negated(TEXT)]
    assert "sepsis with fever" in without_negated(TEXT)
    assert not any(word in without_negated(TEXT) for word in ("heart", "failure", "back", "pain"))
    applied, told = notes
    assert applied == (
        '"heart failure" is negated: it was taken out of the text, and patients with a diagnosis of heart_failure '
        "were left out"
    )
    assert told == (
        '"back pain" is negated: it was taken out of the text, and nobody was left out: no phenotype is called so; '
        "a filter on codes can do it"
    )
    assert as_meant(Question(examples=examples_of(texts=[TEXT])), KEEPS)[0].where == FAILURE


def test_what_can_not_be_filtered_is_told() -> None:
    meant, notes = as_meant(Question(examples=examples_of(texts=[TEXT])), LACKS)
    assert meant.where is None
    assert "heart" not in meant.examples[0].value
    assert notes[0].endswith(
        "nobody was left out: the collection keeps no phenotypes; ingested anew, it does"
    )
    (long,) = as_meant(Question(examples=examples_of(texts=["fever, no " + "x" * 500])), KEEPS)[1]
    assert "x" * 59 + "…" in long
    assert "x" * 60 not in long
    (hostile,) = as_meant(Question(examples=examples_of(texts=["fever, no \x1b[31mpain"])), KEEPS)[1]
    assert "\x1b" not in hostile


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("sepsis, no history of heart failure", "sepsis,"),
        ("back pain for years and denies any numbness; on opiates", "back pain for years ; on opiates"),
        ("Stroke was ruled out. Has fever.", "was ruled out. Has fever."),
        ("heart failure without edema or rash, now stable", "heart failure , now stable"),
        ("history of stroke", "history of stroke"),
    ],
)
def test_what_is_left_of_a_text(text: str, left: str) -> None:
    assert " ".join(without_negated(text).split()) == left


def test_a_text_that_only_negates_is_a_filter_beside_others_and_no_question() -> None:
    meant, _ = as_meant(Question(examples=examples_of(["1"], ["no heart failure"])), KEEPS)
    assert ([one.value for one in meant.examples], meant.where) == (["1"], FAILURE)
    with pytest.raises(InputError, match="The text says only what is not so: describe whom to find"):
        as_meant(Question(examples=examples_of(texts=["No heart failure, denies pain."])), KEEPS)


def test_notes_and_texts_as_written_are_left_as_they_are() -> None:
    for question in (
        Question(examples=examples_of(notes=[TEXT])),
        Question(examples=examples_of(texts=[TEXT]), as_written=True),
        Question(examples=examples_of(["1"], unlike_texts=[TEXT])),
        Question(examples=examples_of(["1"], ["sepsis"])),
    ):
        assert as_meant(question, KEEPS) == (question, ())


def listed(hit: cohorts.Hit, field: str) -> set[str]:
    values = hit.payload[field]
    assert isinstance(values, list)
    return {*values}


def test_patients_who_have_it_are_left_out(icu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(icu)
    with cohorts.connect("qdrant:./cohorts.qdrant") as store:
        asked = store.collection("cohorts")
        everybody = asked.like_text(TEXT, 80, as_written=True)
        meant = asked.like_text(TEXT, 80)
        plain = asked.like_text(without_negated(TEXT), 80, as_written=True)
    has = {hit.id: listed(hit, "phenotypes") for hit in everybody}
    assert len(has) == 80
    without = {one for one, phenotypes in has.items() if "heart_failure" not in phenotypes}
    assert 0 < len(without) < 80
    assert [hit.id for hit in meant] == [hit.id for hit in plain if hit.id in without]
    for hit in everybody:  # a category of three characters is enough for none of them
        known = {phenotype_of("ICD-9", code) for code in listed(hit, "codes")} - {None}
        assert known == has[hit.id]
    assert meant.question is not None
    assert meant.question.texts == (TEXT,), "what was asked, to ask it again"


def test_the_command_tells_and_can_be_told_not_to(icu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(icu)
    code, out, err = run(f"query --text '{TEXT}' -k 3 --format json --explain")
    assert code == 0
    answer = json.loads(out)
    assert '"heart failure" is negated' in answer["notes"][0]
    assert 'Note: "heart failure" is negated' in err
    for row in answer["neighbours"]:
        assert not {"heart", "failure"} & {word for word, _ in row["words"]}
        assert sum(share for _, share in row["words"]) == pytest.approx(row["similarity"], abs=2e-4)
    assert "negated" not in ok(f"query --text '{TEXT}' -k 3 --format json --as-written")
    Path("note.txt").write_text(TEXT)
    assert "negated" not in ok("query --note-file note.txt -k 3 --format json")
