"""What is negated, of the family, or only spoken of: hand-written sentences, masks, tags, the view."""

from pathlib import Path

import pytest
from cohorts.records.cleaning import clean, words
from cohorts.records.context import MARKED, ContextMarked, Kind, Treatment, mark, mask, tag
from cohorts.records.sources import open_source, view_notes
from hypothesis import given
from hypothesis import strategies as st

LETTERS = {"n": Kind.NEGATED, "f": Kind.FAMILY, "h": Kind.HYPOTHETICAL}

# What is marked stands in brackets behind the letter of its kind.
SENTENCES = [
    # negation, ahead
    "Patient denies n[chest pain].",
    "Denies n[fever, chills, nausea, vomiting, or diarrhea].",
    "He denies n[chest pain or dyspnea] but reports cough.",
    "She denied any n[fever]; has a rash.",
    "No n[acute distress].",
    "No n[known drug allergies].",
    "No n[fever, chills or cough].",
    "There is no evidence of n[pneumonia].",
    "No evidence of n[any fracture or dislocation].",
    "No signs of n[infection].",
    "Lungs are clear without n[wheezes or rales].",
    "Negative for n[deep venous thrombosis].",
    "CT of the head was negative for n[bleed].",
    "Negative n[Homan's sign].",
    "She has never had n[seizures].",
    "He does not have n[diabetes].",
    "She doesn't smoke.",
    "He has not had any n[bleeding].",
    "Exam fails to reveal n[a mass].",
    "The chart shows absence of n[edema].",
    "She is free of n[pain].",
    "He was ruled out for n[myocardial infarction].",
    "She is no longer n[having headaches].",
    "Neither n[cough] nor n[fever].",
    "The X-ray did not show n[effusion].",
    "He is not a n[smoker].",
    "Denies n[chest pain\nor palpitations].",  # a wrapped line
    "- Denies n[fever]\n- Cough for two days",  # two lines
    # negation, behind
    "n[Myocardial infarction] was ruled out.",
    "n[Fever, chills and nausea] are denied.",
    "Cough is present, n[fever] is denied.",
    "n[Pulmonary embolism] is unlikely.",
    "n[Masses] are not identified.",
    "n[Effusion] was not seen.",
    "Lungs: n[rales] are absent.",
    "n[HIV] negative.",
    # where a scope ends
    "No n[fever] although he has chills.",
    "No n[nausea] however vomiting persists.",
    "There is no n[pneumothorax], the heart is enlarged.",
    "No n[cough] and he has a fever.",
    "No n[pain] since surgery for appendicitis.",
    "Denies n[angina] except with stairs.",
    "Denies n[dizziness], positive for syncope.",
    "Without n[complications] and transferred to the ward.",
    "Lungs show no n[mass], possible effusion.",
    "No n[rash]. Fever since Monday.",
    # what looks like negation
    "No increase in pain.",
    "There is no change in the effusion.",
    "No significant change in edema.",
    "Not only fever but also cough.",
    "Pneumonia was not ruled out.",
    "Pulmonary embolism cannot be excluded.",
    "He does not deny chest pain.",  # twice negated
    "She is not without pain.",
    "She walks without difficulty.",
    "Gram negative rods in the sputum.",
    "He is not sure of the dose.",
    "No more than two episodes of syncope.",
    "There is no doubt that he has pneumonia.",
    "Nodule of the lung.",  # not a word of its own
    "Noted to have pneumonia.",
    "Knot of the shoulder.",
    # family
    "Mother had f[breast cancer].",
    "His father died of f[a myocardial infarction].",
    "Mother with history of f[stroke].",
    "Her sister was diagnosed with f[lupus].",
    "Maternal aunt has f[ovarian cancer].",
    "Two brothers have f[hypertension and diabetes].",
    "Family history of f[breast cancer]; patient denies n[chest pain].",
    "Family history is significant for f[colon cancer] but he feels well.",
    "f[Breast cancer] in her mother.",
    "f[Diabetes] runs in the family.",
    "f[Heart disease] on his mother's side.",
    "No n[family history of f[stroke]].",
    "Mother had f[asthma] and she has eczema.",
    "FAMILY HISTORY: f[Mother: heart failure. Father died young.]\nSOCIAL HISTORY: Smokes.",
    "FAMILY HISTORY\n\nf[Gout.\n\nStroke.]\n\nPHYSICAL EXAM\n\nMurmur.",
    "PMH: Gout. FAMILY HISTORY: f[Stroke.] ALLERGIES: Penicillin.",
    "Family History:\nf[Lung cancer]\nMedications:\nAspirin",
    # what looks like family
    "Mother reports that he has a fever.",
    "He lives with his mother and has asthma.",
    "His mother has noticed a rash.",
    "She was brought by her father with vomiting.",
    "Per mother, he has had a cough.",
    "The family was updated.",
    "FHX/SHX: Married.",
    "32 weeks gestation to a healthy mother.",
    # spoken of
    "Return if any h[fever develops].",
    "Call if she h[has chest pain].",
    "Should he h[develop dyspnea], he will return.",
    "Watch for h[signs of infection].",
    "In case of h[bleeding], call us.",
    "Risks include h[bleeding].",
    "We discussed risks including h[bleeding and infection].",
    # nothing to mark
    "The patient has pneumonia.",
    "BP 120/80, pulse 72.",
    "",
    "No",
]


def read_table(marked: str) -> tuple[str, dict[Kind, set[int]]]:
    """Return the bare text, and the places of letters that are marked, by kind."""
    text, open_kinds, places = "", list[Kind](), {kind: set[int]() for kind in Kind}
    for number, character in enumerate(marked):
        if character in LETTERS and marked[number + 1 : number + 2] == "[":
            open_kinds.append(LETTERS[character])
        elif character == "]":
            open_kinds.pop()
        elif character != "[":
            for kind in open_kinds:
                places[kind].add(len(text))
            text += character
    return text, places


def letters(text: str, places: set[int]) -> str:
    """Return the marked letters, for blanks and points at the edge of a scope are all one."""
    return "".join(text[place] for place in sorted(places) if text[place].isalnum())


@pytest.mark.parametrize("sentence", SENTENCES)
def test_hand_written_sentences(sentence: str) -> None:
    text, expected = read_table(sentence)
    found = {kind: set[int]() for kind in Kind}
    for span in mark(text):
        found[span.kind] |= set(range(span.start, span.end))
    for kind in Kind:
        assert letters(text, found[kind]) == letters(text, expected[kind]), kind


def test_enough_sentences_of_every_kind() -> None:
    assert len(SENTENCES) == len(set(SENTENCES)) >= 60
    for letter in LETTERS:
        assert sum(f"{letter}[" in sentence for sentence in SENTENCES) >= 5


def test_mask_keeps_triggers_and_lines() -> None:
    text = "Denies chest pain or fever.\nFAMILY HISTORY:\nMother: gout.\nAunt: stroke.\nALLERGIES: None."
    assert mask(text) == "Denies.\nFAMILY HISTORY:\n\n\nALLERGIES: None."
    assert mask(text, [Kind.FAMILY]) == "Denies chest pain or fever.\nFAMILY HISTORY:\n\n\nALLERGIES: None."
    assert mask("Call if she has pain.", [Kind.NEGATED]) == "Call if she has pain."


def test_tagged_words_are_other_words_to_cleaning() -> None:
    assert tag("Denies sepsis. Mother had 2 strokes.") == "Denies NEGsepsis. Mother had 2 FAMstrokes."
    assert words(clean("Denies NEGsepsis.")) == ["denies", "negsepsis"]
    assert tag("No family history of lupus.") == "No NEGfamily NEGhistory NEGof NEGlupus."
    assert tag("Chest pain.") == mask("Chest pain.") == "Chest pain."


@given(st.text(alphabet="noy dimtherha.,:;\nFAMILYHSTOR[*]1", max_size=200))
def test_marks_lie_within_the_text_and_tags_take_nothing(text: str) -> None:
    assert all(0 <= span.start < span.end <= len(text) for span in mark(text))
    assert len(tag(text)) >= len(text) >= len(mask(text))
    assert mask(text).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "piece", ["no, ", "mother a ", "if any ", "in a ", "\n", "A/", "history ", "not ", ", "]
)
def test_a_note_of_one_long_sentence_ends(piece: str) -> None:
    text = piece * 5_000
    assert all(span.end <= len(text) for span in mark(text))


def test_the_view_treats_notes_alone_and_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    file.write_text("id,text\na,Denies chest pain.\nb,Has sepsis.\nb,Mother had lupus.\n")
    with open_source(
        "notes-csv",
        file,
        work_dir=tmp_path,
        quarantine_file=tmp_path / "bad.csv",
        columns={"id": "id", "text": "text"},
    ) as source:
        masked, tagged = (view_notes(source, context=one) for one in Treatment)
        assert isinstance(masked, ContextMarked)
        assert len({source.fingerprint, masked.fingerprint, tagged.fingerprint}) == 3
        (whole,), (one,), (again,) = (list(any_.batches()) for any_ in (source, masked, masked))
        assert list(one.notes["text"]) == ["Denies.", "Has sepsis.", "Mother had."]
        assert list(again.notes["text"]) == list(one.notes["text"])
        assert one.notes.dtypes.equals(whole.notes.dtypes)
        assert one.units.equals(whole.units)
        assert source.report.counts[MARKED] == 3
        (marked,) = tagged.batches()
        assert list(marked.notes["text"]) == [
            "Denies NEGchest NEGpain.",
            "Has sepsis.",
            "Mother had FAMlupus.",
        ]
        assert view_notes(source) is source
