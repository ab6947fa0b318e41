"""What is negated, of the family, or only spoken of: hand-written sentences, masks, tags, the view."""

import re
import tomllib
from functools import partial
from pathlib import Path

import pytest
from cohorts.records.notes import context as rules
from cohorts.records.notes.cleaning import clean, words
from cohorts.records.notes.context import MARKED, ContextMarked, Kind, Treatment, mark, mask, tag
from cohorts.records.notes.places import Finder, read_note
from cohorts.records.notes.sections import family_sections, rules_text
from cohorts.records.sources.registry import open_source, view_notes
from hypothesis import given, settings
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
    # check lists: an answer, a box, a sign
    "n[Blood Transfusion]: No",
    "n[Diabetes]: no. Hypertension: yes",
    "n[Diabetes]: No Hypertension: Yes n[Asthma]: No",
    "n[CAD]: denies",
    "n[Smoking] - no",
    "n[Smoking] - no, alcohol - yes",
    "n[Tobacco use]: Never. n[Drug use]: Denies",
    "n[Fever]? No. Cough? Yes.",
    "n[Fever] (no), cough (yes)",
    "n[Fever or chills]: none",
    "n[Hepatitis C]: negative",
    "n[Chest pain] = no; dyspnea = yes",
    "n[Recent falls] (last year): no",
    "n[Pacemaker]\tNo",
    "n[Pacemaker].....No",
    "Cough: yes, n[fever]: no, n[chills]: no",
    "[ ] n[fever]\n[x] cough",
    "[ ] n[fever] [x] cough [ ] n[chills]",
    "☐ n[fever] ☒ cough ☐ n[chills]",
    "n[Fever]: [ ] Yes [x] No",
    "Fever: [x] Yes [ ] No",
    "n[Fever]: ☐ Yes ☒ No",
    "(-) n[fever] (+) cough (-) n[chills]",
    "n[fever] (-), cough (+)",
    "+cough, -n[fever], +rash",
    "n[HIV] negative, HCV positive.",
    "Lungs: no n[wheezes]. Heart: regular.",
    "Allergies: none. Asthma: yes",  # a section without content
    "Blood type O negative. Gram neg rods.",
    "Temperature: 38 - no n[chills]",
    # where a blank or a full stop is missing
    "Denies n[fever].Has pneumonia.",
    "No n[fever].in the morning he had chills.",
    "NO n[FEVER].HAS PNEUMONIA.",
    "No n[fever];pneumonia on film.",
    "No n[fever],has pneumonia.",
    "Denies n[fever (or chills]).Pneumonia.",
    "no n[fever]\nsepsis\npneumonia",  # lines of a list
    "Denies n[fever]!Has pneumonia.",
    # a list ends where something is there
    "No n[acute distress], alert, febrile to 102.",
    "No n[acute distress], tachycardic.",
    "NAD, febrile.",
    "No n[loss of consciousness], + headache, + vomiting",
    "No n[response to vancomycin], sepsis worsening",
    "No n[relief with morphine], pain 9/10.",
    "No n[known drug allergies], hypertension, diabetes.",
    "No n[complications], pneumonia treated.",
    "No n[murmurs, rubs, gallops].",
    "No n[murmurs, rubs, gallops], lungs clear.",
    "No n[cough], fever 101.5.",
    "No n[mass], biopsy revealed lymphoma.",
    "No n[edema], hypotensive on arrival.",
    "No n[trauma], confused and somnolent.",
    "No n[rash], pneumonia persists.",
    "No n[recent travel], diabetes diagnosed in May.",
    "No n[vomiting], takes insulin for diabetes.",
    "Denies n[pain], on warfarin for emboli.",
    "Denies n[palpitations, syncope, enlarged nodes, or edema].",
    "No n[fractures of C1, C2 or C3].",
    "Without n[effusion], septic and intubated.",
    # the family's history, and where it ends
    "Family History:\n___\n\nDischarge Diagnosis:\nSepsis",
    "Family History:\nf[father MI]\n\nPertinent Results:\nHyponatremia\n\nBrief Hospital Course:\nHe had pneumonia",
    "Family history: f[mother DM]. On admission he had sepsis.",
    "Family History:\nf[Mother: asthma\nFather:\nCAD\nMGM - stroke\nGout: yes]\n\nFacility:\nFlu ward",
    "FAMILY HISTORY:\nf[DIABETES\nHEART DISEASE]\nPHYSICAL EXAM:\nFEVER",
    "Family Hx: f[gout]\nTransitional Issues:\n# Anemia",
    "FH: f[gout]\n\nVS: T 38\nCXR: pneumonia",
    "**Family History**\nf[Gout]\n\n**Discharge Diagnosis**\nSepsis",
    "## Family History\nf[Gout]\n## Discharge Diagnosis\nSepsis",
    "5. Family history: f[gout]\n6. Social history: asthma in childhood\n",
    "Family History\nf[Gout]\nDischarge Diagnosis\nSepsis",
    "Family history: f[gout]. Social history: smoker. PMH: asthma.",
    "FAMILY HISTORY: f[Gout.]\n[**2151-3-4**] 05:20AM BLOOD WBC-10 anemia",
    "FAMILY HISTORY: f[Father died at 60. He had lung cancer.] The patient has asthma.",
    "Family History:\nf[Mother had gout]\n\n# Sepsis: treated\n",
    "Family Medical History (FMH): f[gout]\nMajor Surgical or Invasive Procedure:\nColectomy",
    "family history:\nf[gout]\n\nbrief hospital course:\nsepsis",
    "Social/Family History: Married, asthma.",
    "SOCIAL AND FAMILY HISTORY: Asthma.",
    "Family and social history: Asthma.",
    "Family History:\nf[Gout]\n\nPatient was admitted with sepsis.",
    # others
    "Donor had f[hepatitis C].",
    "The donor was f[CMV positive].",
    "Living donor kidney transplant with rejection.",
    "Her husband has f[influenza].",
    "Wife was diagnosed with f[breast cancer].",
    "Lives with husband who has f[dementia].",
    "Exposed to his roommate with f[tuberculosis].",
    "His mother-in-law had f[measles].",
    "Wife reports that he has a fever.",
    "Lives with his wife and has asthma.",
    "f[Tuberculosis] in her husband.",
    # nothing to mark
    "The patient has pneumonia.",
    "BP 120/80, pulse 72.",
    "",
    "No",
]


def read_table(marked: str) -> tuple[str, dict[Kind, set[int]]]:
    """Return the bare text, and the places of letters that are marked, by kind."""
    text, open_kinds, places = "", list[Kind](), {kind: set[int]() for kind in Kind}
    for piece in re.split(r"(\b[nfh]\[|.)", marked, flags=re.DOTALL):
        if len(piece) == 2:
            open_kinds.append(LETTERS[piece[0]])
        elif piece == "]" and open_kinds:
            open_kinds.pop()
        elif piece:
            for kind in open_kinds:
                places[kind].add(len(text))
            text += piece
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


TABLE = tomllib.loads(rules_text())
PIECES = [
    *sorted(set(re.findall(r"[A-Za-z][a-z'/-]*", rules_text()))),
    *(re.sub(r"\b[nfh]\[|\]", "", one) for one in SENTENCES),
]
SEPARATORS = [
    " ",
    " ",
    "  ",
    "\n",
    "",
    ". ",
    ", ",
    ": ",
    "; ",
    "-",
    " - ",
    "\t",
    "(-) ",
    "[ ] ",
    "☐ ",
    "ſ",
    "İ",
    "+",
]
texts = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(SEPARATORS)), max_size=12).map(
    lambda pieces: "".join(piece + between for piece, between in pieces)
)


def marked_everywhere(text: str) -> list[rules.Span]:
    """Return what is marked if no sentence is passed over."""
    spans = [
        span for part in family_sections(read_note(text)) for span in rules._span(text, *part, Kind.FAMILY)
    ]
    start = 0
    for end, after in [
        *((one.start(), one.end()) for one in rules._SENTENCE_END.finditer(text)),
        (len(text), 0),
    ]:
        if end < len(text) and text[end] == "\n" and rules._goes_on(text, end):
            continue
        at = max(0, start - 1)
        found = rules._marked_in(text[at:end], start - at, tuple(Kind))
        spans += [rules.Span(at + one.start, at + one.end, one.kind) for one in found]
        start = after
    return sorted(spans)


@given(texts)
@settings(deadline=None)
def test_no_sentence_is_passed_over_that_has_marks(text: str) -> None:
    assert mark(text) == marked_everywhere(text)


def chosen(number: int, choice: re.Match[str]) -> str:
    ones = choice[1].split("|")
    return ones[number % len(ones)]


def examples(trigger: str) -> set[str]:
    """Return some of the texts that a trigger is for."""
    found = set[str]()
    for number in range(40):
        text = re.sub(r"\(\?[!=<](?:[^()]|\([^()]*\))*\)", "", trigger)
        text = re.sub(r"\\[()]", "", text)
        for _ in range(8):  # the innermost choices first
            text = re.sub(
                r"\(\?:([^()]*)\)(?:\?|\{[^}]*\})?",
                partial(chosen, number),
                text,
            )
        text = re.sub(r"\\w\+|\\S\+", "did", text).replace(r"\s+", " ").replace(r"\s?", "")
        text = re.sub(r"\[(.).*?\]|\\(d)", lambda one: one[1] or "1", text).replace("?", "").replace("\\", "")
        found.add(text)
    return {text for text in found if re.match(rf"{trigger}(?!\w)", text, re.IGNORECASE)}


@pytest.mark.parametrize(("kind", "role"), [(kind, role) for kind in Kind for role in ("before", "after")])
def test_one_of_the_words_stands_in_every_trigger(kind: Kind, role: str) -> None:
    words = rules._words()[0]
    subject = next(one.subject for one in rules._rules() if one.kind is kind)
    for trigger in rules._spelt(TABLE[kind][role], TABLE["member"]):
        texts = examples(trigger)
        assert texts or "(?=" in trigger, trigger
        for text in texts:
            if subject is None or subject.search(text):
                assert words.search(read_note(f"{text} at all").folded), text


@given(texts)
@settings(deadline=None)
def test_triggers_are_found_as_their_patterns_find_them(text: str) -> None:
    for kind in Kind:
        for role in ("before", "after", "pseudo"):
            triggers = rules._spelt(TABLE[kind][role], TABLE["member"])
            plain = re.compile(rf"(?<![\w-])(?:{'|'.join(triggers) or '(?!)'})(?!\w)", re.IGNORECASE)
            found = [one[:2] for one in finder(kind).find(read_note(text), 0) if one.role == role]
            assert found == [one.span() for one in plain.finditer(text)], (kind, role)


def finder(kind: Kind) -> Finder:
    return next(one.triggers for one in rules._rules() if one.kind is kind)


def test_a_folded_note_has_its_characters_where_they_were() -> None:
    for code in range(0x80, 0x11000):
        letter = read_note(chr(code)).folded[1:]
        assert len(letter) == 1
        assert [one for one in "iksé" if re.fullmatch(one, chr(code), re.IGNORECASE)] == [
            one for one in "iksé" if one == letter
        ], code


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
