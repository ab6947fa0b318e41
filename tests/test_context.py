"""What is negated, of the family, or only spoken of: hand-written sentences, masks, tags, the view."""

from pathlib import Path

import pytest
from cohorts.records.base import Source
from cohorts.records.context import MARKED, ContextMarked, Kind, Treatment, mark, mask, tag
from cohorts.records.sources import open_source

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
