"""Baselines by hand: idf cosine of codes, BM25 and TF-IDF of hashed words, read batch by batch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.encoders.features.codes import tokens_of
from cohorts.harness.evaluate.data.words import Bm25, TfIdf, WordCounter
from cohorts.harness.evaluate.retrieval.population import (
    incidence,
    read_patients,
)
from cohorts.harness.evaluate.retrieval.scorers import (
    Seen,
    by_rare_codes,
    groups_of,
)
from cohorts.records.base import Batch, Source, joined_notes
from cohorts.records.notes.cleaning import words
from cohorts.records.sources.registry import open_source
from cohorts.records.tables import partition
from sklearn.feature_extraction.text import TfidfVectorizer


def batch(units: Mapping[str, Mapping[str, Sequence[str]]]) -> Batch:
    """Return units of one patient each, by id, with their `drugs` and `notes`."""
    codes = [(unit, "drug", "", drug) for unit, one in units.items() for drug in one.get("drugs", ())]
    notes = [(unit, text) for unit, one in units.items() for text in one.get("notes", ())]
    return Batch(
        pd.DataFrame({"unit_id": list(units), "patient_id": list(units)}),
        pd.DataFrame(codes, columns=["unit_id", "kind", "system", "code"]),
        pd.DataFrame(notes, columns=["unit_id", "text"]),
        pd.DataFrame(columns=["unit_id"]),
    )


def test_idf_cosine_of_codes_by_hand() -> None:
    """All have heparin, two furosemide, one digoxin, and one unit has nothing."""
    drugs = {
        "a": ["Heparin", "Furosemide"],
        "b": ["Heparin", "Furosemide"],
        "c": ["Heparin", "Digoxin"],
        "d": [],
    }
    names, has = incidence(groups_of(batch({unit: {"drugs": own} for unit, own in drugs.items()})))
    assert names == ["drug:digoxin", "drug:furosemide", "drug:heparin"]
    made = by_rare_codes(has)
    heparin, furosemide, digoxin = (np.log((1 + 4) / (1 + units_with)) + 1 for units_with in (3, 2, 1))
    scores = made.scores(np.arange(4))
    cosine = heparin**2 / (np.hypot(heparin, furosemide) * np.hypot(heparin, digoxin))
    np.testing.assert_allclose(scores[0, :3], [1, 1, cosine], rtol=1e-6)
    assert (scores[3] == -np.inf).all()
    assert (scores[:, 3] == -np.inf).all()


def test_bm25_ties_who_shares_no_word_and_leaves_out_who_has_none() -> None:
    texts = {"a": ["chest pain"], "b": ["pain"], "c": ["rash"], "d": [], "e": ["itching"]}
    notes = joined_notes(batch({unit: {"notes": own} for unit, own in texts.items()}))
    made = Bm25(WordCounter().add(notes).counts())
    scores = made.scores(np.arange(5))
    assert scores[0, 0] > scores[0, 1] > 0
    assert scores[0].tolist()[2:] == [0, -np.inf, 0]
    assert (scores[3] == -np.inf).all()
    others = WordCounter().add(["", "rash", "pain", "rash", "unheard"]).counts()
    asked = made.asked_by(others).scores(np.arange(5))
    assert (asked[0] == -np.inf).all()
    assert asked[1].argmax() == asked[3].argmax() == 2
    assert asked[4].tolist() == [0, 0, 0, -np.inf, 0]
    np.testing.assert_array_equal(made.scores(np.arange(5)), scores)  # the first one asks as before


def test_words_that_share_a_column_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["pain in the chest and pain in the arm", "", "the rash"]
    monkeypatch.setattr("cohorts.harness.evaluate.data.words.crc32", lambda _: 7)
    counts = WordCounter().add(texts).counts()
    assert counts.rows.toarray().tolist() == [[9], [0], [2]]
    assert counts.texts_with().tolist() == [2]
    assert counts.texts_with(np.array([True, True, False])).tolist() == [1]


def test_tfidf_is_scikit_learns_whether_texts_are_counted_before_or_encoded() -> None:
    """Words that nobody who is learnt from has count nothing."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([f"w{i}" for i in range(60)], 12)) for _ in range(40)] + ["", "unheard"]
    plain = TfidfVectorizer(analyzer=words, sublinear_tf=True).fit(texts[:30]).transform(texts)
    counted = WordCounter().add(texts).counts().tfidf(np.arange(30))
    encoded = TfIdf().learn(WordCounter().add(texts[:30]).counts()).encode_text(texts)
    for made in (counted, encoded):
        assert made.dtype == np.float32
        np.testing.assert_allclose((made @ made.T).toarray(), (plain @ plain.T).toarray(), atol=1e-6)
        assert abs(made).sum(axis=1)[-2:].tolist() == [0, 0]


def test_tfidf_has_the_fingerprint_of_its_words_and_weights() -> None:
    texts = ["chest pain", "pain", "rash"]
    first, again, other = (
        TfIdf().learn(WordCounter().add(some).counts()) for some in (texts, texts, texts[:2] * 2)
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_baselines_of_a_source_are_read_batch_by_batch(
    source: Source, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Seen.read(source)
    monkeypatch.setattr(partition, "PART_BYTES", 500_000)
    (tmp_path / "other").mkdir()
    with open_source(
        "mimic3", tables, work_dir=tmp_path / "other", quarantine_file=tmp_path / "b.csv"
    ) as again:
        batches = list(again.batches())
        parts = Seen.read(again)
    assert len(batches) > 2
    unit = [one for batch in batches for one in batch.units["unit_id"]]
    order = np.argsort(unit)  # parts have an order of their own
    whole_order = np.argsort(read_patients(source).ids)
    assert (parts.groups, parts.has_codes) == (whole.groups, True)
    assert parts.groups == sorted({str(token) for one in batches for token in tokens_of(one.codes)})
    assert (parts.codes[order] != whole.codes[whole_order]).nnz == 0
    assert (parts.words.rows[order] != whole.words.rows[whole_order]).nnz == 0
    np.testing.assert_array_equal(parts.age[order], whole.age[whole_order])
