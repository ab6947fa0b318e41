"""How alike notes are by their words alone, as by `records/notes/cleaning.py`: what a text encoder has to beat."""

import hashlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from cohorts.harness.evaluate.data.words import Bm25, WordCounter
from cohorts.records.base import Batch, Source, joined_notes
from cohorts.records.notes.cleaning import clean, words

Similarity = npt.NDArray[np.float64]


def tfidf_similarity(texts: Sequence[str]) -> Similarity:
    """Return the cosine of all pairs of texts by sublinear TF-IDF, (n, n)."""
    rows = _vectorizer(np.float64).fit_transform(texts)
    return np.asarray((rows @ rows.T).toarray(), np.float64)


def _vectorizer(dtype: type) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer=_words, sublinear_tf=True, dtype=dtype)


class TfIdf:
    """Sublinear TF-IDF in the manners of an encoder: fitted, and then units and texts in, sparse float32 unit rows out.

    A word counts 1 + ln of how often it stands there, times ln((1 + n) / (1 + texts with it)) + 1.
    """

    name = "TF-IDF"

    def __init__(self) -> None:
        self._model = _vectorizer(np.float32)

    @property
    def fingerprint(self) -> str:
        """Return a hash over the words and their weights (hex); `fit` goes before."""
        digest = hashlib.sha256("\n".join(self._model.get_feature_names_out()).encode())
        digest.update(self._model.idf_.tobytes())
        return digest.hexdigest()[:16]

    def fit(self, source: Source) -> Self:
        """Learn the words, and how rare they are, and return self."""
        self._model.fit(text for batch in source.batches() for text in joined_notes(batch))
        return self

    def encode(self, batch: Batch) -> Any:
        """Return (len(batch), words), zeros for a unit without a known word."""
        return self.encode_text(joined_notes(batch))

    def encode_text(self, texts: Sequence[str]) -> Any:
        """Return (len(texts), words), zeros as above."""
        return self._model.transform(texts)


def bm25_similarity(texts: Sequence[str]) -> Similarity:
    """Return BM25 of all pairs, (n, n)."""
    return Bm25(WordCounter().add(texts).counts()).similarity(np.arange(len(texts)))


def _words(text: str) -> list[str]:
    return words(clean(text))
