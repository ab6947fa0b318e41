"""Every cleaning step on its own, and the split into sentences and words."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.notes import cleaning
from cohorts.records.notes.cleaning import (
    STEPS,
    abbreviation_table,
    abbreviations,
    clean,
    count_words,
    hospital_numbers,
    lowercase,
    placeholders,
    sentences,
    timestamps,
    whitespace,
    words,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        (placeholders, "seen at [**Hospital1 18**] by Dr. [**Last Name (STitle) **].", "seen at   by Dr.  ."),
        (placeholders, "split [**2151-\n3-4**] over lines", "split   over lines"),
        (placeholders, "no [brackets] and **stars**", "no [brackets] and **stars**"),
        (timestamps, "on 2151-3-4 at 10:43 PM", "on   at  "),
        (timestamps, "03/04/2151 and 3/4/51, Mar 4, 2151", "  and  ,  "),
        (timestamps, "BP 120/80, 1/2 tablet, ratio 3:1, Na 140", "BP 120/80, 1/2 tablet, ratio 3:1, Na 140"),
        (timestamps, "03/04/2151 10:43, 2151-03-04T10:43:07", "   ,  "),
        (timestamps, "4 March 2151 and SEPT. 4,2151", "  and  "),
        (timestamps, "at 10:43 p.m. Then at 9:05pm. Slept", "at   Then at  . Slept"),
        (timestamps, "epinephrine 1:1000, ANA 1:160 and 1:80", "epinephrine 1:1000, ANA 1:160 and 1:80"),
        (
            timestamps,
            "may 4 tablets, march on, strength 5/5, T4-5",
            "may 4 tablets, march on, strength 5/5, T4-5",
        ),
        (hospital_numbers, "Accession #: AB-1234 and unit\tno. 12 3", "  and   3"),
        (
            hospital_numbers,
            "Na 140, BP 120/80, 5 mg, unit 3, visit 2",
            "Na 140, BP 120/80, 5 mg, unit 3, visit 2",
        ),
        (hospital_numbers, "medical record was read; 2 units", "medical record was read; 2 units"),
        (hospital_numbers, "call 12345678, plt 150000", "call  , plt 150000"),
        (hospital_numbers, "MRN: 1234567, seen", " , seen"),
        (hospital_numbers, "Medical Record Number 99-12-3", " "),
        (hospital_numbers, "Unit No:  AB123", " "),
        (
            hospital_numbers,
            "accession 123, 250000 units, WBC 12000",
            "accession 123, 250000 units, WBC 12000",
        ),
        (hospital_numbers, "MRN 123456A. Next", " . Next"),
        (lowercase, "CHF, T2DM, İzmir", "chf, t2dm, izmir"),
        (abbreviations, "pt w/ h/o htn, s/p cabg", "patient with history of hypertension, status post cabg"),
        (abbreviations, "ptosis and apt and path", "ptosis and apt and path"),
        (abbreviations, "mr. doe, 12 hr, 5 ml/hr, mg/hct", "mr. doe, 12 hr, 5 ml/hr, mg/hct"),
        (abbreviations, "(htn), a-fib. w/u", "(hypertension), atrial fibrillation. workup"),
        (whitespace, " a \t b \n\n\n c ", "a b\nc"),
        (whitespace, "\r\n a\u2028b\u00a0 \n", "a b"),
    ],
)
def test_step(step: object, text: str, expected: str) -> None:
    if step is abbreviations:
        expected = expected.replace("cabg", "coronary artery bypass graft")
    assert step(text) == expected  # type: ignore[operator]


def test_all_steps_together() -> None:
    note = "Pt [**Known lastname 1**] c/o SOB since 2151-3-4, MRN 1234567.\nBP 120/80, K 4.5! No CP?"
    assert clean(note) == (
        "patient complains of shortness of breath since , .\nblood pressure 120/80, k 4.5! no cp?"
    )


def test_sentences_end_at_newlines_and_end_punctuation_but_not_in_decimals() -> None:
    assert sentences("k 4.5. no pain!\nslept well? yes...") == ["k 4.5", "no pain", "slept well", "yes"]


def test_words_keep_decimals_and_drop_punctuation() -> None:
    assert words("k 4.5, st-elevation (v1) naïve_x") == ["k", "4.5", "st", "elevation", "v1", "naïve", "x"]


PIECES = (
    *(
        "[**Name**]",
        "[**",
        "2151-3-4",
        "10:43",
        "12345678",
        "MRN: 123",
        "unit no 9",
        "Mar 4, 2151",
        "10:43 PM",
    ),
    *(
        "c/o",
        "w/",
        "SOB",
        "a-fib",
        "120/80",
        "K 4.5",
        "/",
        "-",
        ".",
        "!",
        "\t",
        "\n",
        "\u2028",
        "\r\n",
        "İ",
        "Σ",
    ),
)


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5))).map("".join))
def test_cleaning_takes_any_text_and_is_done_after_one_pass(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert all(word == word.strip() and word for sentence in sentences(once) for word in words(sentence))


WORDS = (
    *PIECES,
    *list("0 1.2_/--.é\ud800\x1f\x85"),
    "b/p",
    "mg/hct",
    "pt",
    "HTN",
    "İV",
    "٣",
    "ß",
    "½",
    "x_y",
    "5.",
    ".5",
)


@given(
    st.lists(st.one_of(st.sampled_from([*WORDS, *abbreviation_table()]), st.text(max_size=3))).map("".join)
)
def test_words_counted_run_by_run_are_those_of_the_cleaned_text(text: str) -> None:
    assert count_words(text) == Counter(words(clean(text)))


NUMBERS = ("MRN", "Medical", " record", "unit", "viſit", "unıt", "clip", "İ", " ", " no 12", "# A-1", ":")


@given(st.lists(st.sampled_from(NUMBERS)).map("".join))
def test_hospital_numbers_are_those_of_the_pattern_alone(text: str) -> None:
    expected = cleaning._LONG_NUMBER.sub(" ", cleaning.HOSPITAL_NUMBER.sub(" ", text))
    assert hospital_numbers(text) == expected


def test_blanks_before_what_is_no_number_take_no_time() -> None:
    assert clean(f"MRN:{' ' * 5_000}none, unit #{' .' * 5_000}") == f"mrn: none, unit #{' .' * 5_000}"
    assert clean(f"MRN:{' ' * 5_000}12") == ""


def test_the_cleaning_is_that_of_encoders_saved_before() -> None:
    """Where words change on purpose, this does too, and encoders are to be trained anew."""
    assert cleaning.cleaning_version() == "ab3e9456e7b677af"


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("mtsamples/mtsamples.csv.gz", "text"),
        ("aci-bench/train.csv", "note"),
        ("aci-bench/train.csv", "dialogue"),
        ("mts-dialog/MTS-Dialog-TrainingSet.csv", "section_text"),
        ("mts-dialog/MTS-Dialog-TrainingSet.csv", "dialogue"),
    ],
)
def test_words_of_real_notes_are_those_of_the_cleaned_text(shared_data: Path, file: str, column: str) -> None:
    texts = pd.read_csv(shared_data / file, dtype="str")[column].dropna()
    assert len(texts) > 60
    assert sum(sum(count_words(text).values()) for text in texts) > 20_000
    for text in texts:
        assert count_words(text) == Counter(words(clean(text)))


def test_abbreviations_are_whole_lower_case_tokens_and_expand_to_no_other() -> None:
    table = abbreviation_table()
    assert len(table) > 120
    for short, long in table.items():
        assert short == short.lower()
        assert abbreviations(short) == long, short
        assert abbreviations(long) == long, short
    assert not {"ms", "pe", "mr", "hr", "d/c", "map", "cva"} & set(table)


def test_steps_are_named() -> None:
    assert list(STEPS) == [
        "placeholders",
        "timestamps",
        "hospital_numbers",
        "lowercase",
        "abbreviations",
        "whitespace",
    ]
