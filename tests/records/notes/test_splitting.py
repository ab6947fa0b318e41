"""Many texts to words at once: the words and sentences of the steps one by one, whatever stands in the texts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.records.notes import splitting
from cohorts.records.notes.cleaning import abbreviation_table, clean, sentences, words
from cohorts.records.notes.splitting import Split, split, splits
from cohorts.records.synthetic.hospital import synthesize
from hypothesis import given
from hypothesis import strategies as st


def sentences_of(made: Split) -> list[list[str]]:
    """Return the words of every sentence, sentence by sentence."""
    each = [made.vocabulary[place] for place in made.words.tolist()]
    ends = made.sentences.tolist()
    return [each[start:end] for start, end in pairwise(ends)]


def check(texts: Sequence[str]) -> Split:
    """Compare with the steps one by one."""
    made, cleaned = split(texts), [clean(text) for text in texts]
    found = sentences_of(made)
    assert found == [own for text in cleaned for part in sentences(text) if (own := words(part))]
    each = [word for one in found for word in one]
    ends = made.texts.tolist()
    assert [each[start:end] for start, end in pairwise(ends)] == list(map(words, cleaned))
    assert len(set(made.vocabulary)) == len(made.vocabulary)
    return made


DATES = (
    "2151-3-4",
    "2151-03-04T10:43",
    "10:43:07",
    "9:05",
    "3/4/51",
    "03/04/2151",
    "Mar",
    "may",
    "SEPT.",
    "dec 1,2010",
)
NUMBERS = (
    "1234567",
    "12345678",
    "MRN",
    "medical",
    "Record",
    "number",
    "No.",
    "unit",
    "Visit",
    "accession",
    "clip",
    "#",
)
BETWEEN = (
    " ",
    " ",
    " ",
    "  ",
    " " * 20,
    "\t",
    "\n",
    "\r\n",
    "\x0b",
    "\x1c",
    "\x00",
    ":",
    ",",
    ".",
    "-",
    "/",
    "!",
    "?",
    "*",
)
PARTS = (
    "4",
    "12",
    "120",
    "2151",
    "4.5",
    "pm",
    "p.m.",
    "T",
    "A",
    "AB-12",
    "x_y",
    "c/o",
    "w/",
    "a-fib",
    "[**",
    "**]",
    "days",
)
OTHERS = ("İ", "ı", "ſ", "\u212a", "Σ", "٣", "ß", "½", "é", "’", "•", "\ud800", "\x85", "\xa0", "\u2028")
PLAIN = st.lists(st.sampled_from([*DATES, *NUMBERS, *BETWEEN, *BETWEEN, *PARTS, *abbreviation_table()])).map(
    "".join
)
ANY = st.lists(
    st.one_of(st.sampled_from([*DATES, *NUMBERS, *BETWEEN, *PARTS, *OTHERS]), st.text(max_size=3))
).map("".join)


@given(st.lists(st.one_of(PLAIN, ANY)))
def test_words_and_sentences_are_those_of_the_steps(texts: list[str]) -> None:
    check(texts)


FIRST = (
    "4",
    "12",
    "MRN",
    "mrn",
    "medical record",
    "Unit",
    "visit",
    "account",
    "Mar",
    "dec.",
    "2151-3-4",
    "7:30",
)
SECOND = ("Mar", "4", "12", "2151", "no", "number", "#", "AB-12", "may", "10:43", "pm", "a.m.")


@given(
    st.lists(
        st.tuples(
            *map(st.sampled_from, (FIRST, BETWEEN, SECOND, BETWEEN, (*SECOND, "2151"), BETWEEN, SECOND))
        ).map("".join)
    )
)
def test_what_goes_over_blanks_is_taken_out(texts: list[str]) -> None:
    check(texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 10:43 p.m.4, 2151", "at 4 2151"),
        ("Mar 10:43 p.m.4, 2151 and", "and"),  # a date that a time stood in
        ("4 10:43 March 2151", "4 march 2151"),  # nothing is taken out twice
        ("é 4 10:43 March 2151", "é 4 march 2151"),
        (f"4{' ' * 40}March 2151 on", "on"),
        ("Mar 4,   2151\nMar 4,2151\nMar 4, 2151\nMar 4, 21", "mar 4 21"),
        ("unit no. 12 3, mrn:12, MRN\u00a0#7", "3"),
        ("it is 5. No, 4.5 of .5! k", "it is 5 no 4.5 of 5 k"),
        ("[**2151-\n3-4**]a[**b", "a b"),
        ("a[**]b c**] d", "a d"),
        ("[**[**] x **] y", "x y"),
        ("", ""),
        ("...", ""),
        ("12345678.5", "5"),
    ],
)
def test_some_texts(text: str, expected: str) -> None:
    made = check([text, "", text])
    assert [made.vocabulary[place] for place in made.words] == expected.split() * 2


def test_numbers_that_any_word_tells_are_taken_out() -> None:
    told = ("unit", "Accession", "ACCOUNT", "visit", "clip", "medical record")
    texts = [
        f"a {word}{sign}12 b" for word in told for sign in ("#", " #", "  # ", " no ", "  number: ", "\tNo. ")
    ]
    texts += ["a MRN12 b", "a mrn 12 b", "a medical  record: AB-12 b"]
    made = check(texts)
    assert {"a", "b", "mrn12"} == set(made.vocabulary)


def test_no_text_has_no_words() -> None:
    made = check([])
    assert (made.vocabulary, made.texts.tolist(), made.sentences.tolist()) == ([], [0], [0])


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("mtsamples/mtsamples.csv.gz", "text"),
        ("aci-bench/train.csv", "note"),
        ("aci-bench/train.csv", "dialogue"),
        ("mts-dialog/MTS-Dialog-TrainingSet.csv", "section_text"),
    ],
)
def test_words_of_real_notes_are_those_of_the_steps(shared_data: Path, file: str, column: str) -> None:
    texts = pd.read_csv(shared_data / file, dtype="str")[column].dropna().tolist()
    assert len(check(texts).words) > 20_000


def test_words_of_synthetic_notes_are_those_of_the_steps(tmp_path: Path) -> None:
    synthesize(tmp_path, 60, seed=7)
    texts = pd.read_csv(tmp_path / "NOTEEVENTS.csv", dtype="str")["TEXT"].tolist()
    assert sum("[**" in text for text in texts) > 50
    assert len(check(texts).words) > 10_000


def test_counts_are_those_of_the_columns() -> None:
    texts = ["b a b", "", "c", "a d a. A"]
    made = split(texts)
    columns = np.array([{"a": 2, "b": 0, "d": 2}.get(word, -1) for word in made.vocabulary], np.int32)
    counts = made.counts(columns, 4)
    assert counts.toarray().tolist() == [[2, 0, 1, 0], [0] * 4, [0] * 4, [0, 0, 4, 0]]
    assert counts.has_canonical_format
    assert counts.dtype == np.float32
    assert split([]).counts(np.zeros(0, np.int32), 0).shape == (0, 0)
    assert split(["a", "b"]).counts(np.full(2, -1, np.int32), 0).shape == (2, 0)


@pytest.mark.parametrize("cores", [1, 3])
def test_pieces_come_in_order_whatever_the_cores(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(splitting, "_PIECE", 200)
    monkeypatch.setattr(splitting, "_threads", lambda: cores)
    texts = [f"note {row} {'x ' * (row % 50)}" for row in range(300)]
    read = [0]

    def reading() -> Iterator[str]:
        for text in texts:
            read[0] += 1
            yield text

    made: list[Counter[str]] = []
    for one in splits(reading(), lambda one: one):
        each = [one.vocabulary[place] for place in one.words.tolist()]
        ends = one.texts.tolist()
        made += [Counter(each[start:end]) for start, end in pairwise(ends)]
        assert read[0] - len(made) < 60  # of which no more is held
    assert made == [Counter(words(clean(text))) for text in texts]

    def failing(one: Split) -> None:
        raise ValueError(len(one.texts))

    with pytest.raises(ValueError, match=r"\d"):
        list(splits(texts, failing))
    assert list(splits([], lambda one: one)) == []
