"""How alike notes are by their words alone, as by `records/notes/cleaning.py`: what a text encoder has to beat."""

import hashlib
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from cohorts.extras import missing
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
        self._model.fit([text for batch in source.batches() for text in joined_notes(batch)])
        return self

    def encode(self, batch: Batch) -> Any:
        """Return (len(batch), words), zeros for a unit without a known word."""
        return self.encode_text(joined_notes(batch))

    def encode_text(self, texts: Sequence[str]) -> Any:
        """Return (len(texts), words), zeros as above."""
        return self._model.transform(texts)


class Bm25:
    """BM25 of texts: a text as query, each of its words as often as it stands there.

    Source: Kamphuis et al., 2020, Which BM25 do you mean?, the accurate form of Lucene; k1 = 1.5, b = .75. Raises
    MissingExtra. `empty` says which texts have no words, `unasked` which questions, (n,) both.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        try:
            from bm25s import BM25
        except ImportError as error:
            raise missing("BM25", "bm25") from error
        # Every word is kept once, however often it stands: of 150 MB of notes, 1.2 GB less.
        known: dict[str, str] = {}
        tokens = [[known.setdefault(word, word) for word in _words(text)] for text in texts]
        self._index = BM25(method="lucene", k1=1.5, b=0.75, dtype="float64")
        self._index.index(tokens, show_progress=False)
        self.empty = self.unasked = _without(tokens)
        self._asked = tokens

    def asked_by(self, texts: Iterable[str]) -> Self:
        """Return the same index, to be asked by other texts."""
        other = copy(self)
        other._asked = [_words(text) for text in texts]
        other.unasked = _without(other._asked)
        return other

    def scores(self, rows: Sequence[int]) -> Similarity:
        """Return BM25 of every text for the questions in `rows`, (len(rows), n); 0 where no word is shared."""
        nothing = np.zeros(len(self.empty))
        asked = (self._asked[row] for row in rows)
        return np.stack([self._index.get_scores(query) if query else nothing for query in asked])


def bm25_similarity(texts: Sequence[str]) -> Similarity:
    """Return BM25 of all pairs, (n, n). Raises MissingExtra."""
    return Bm25(texts).scores(range(len(texts)))


def _without(tokens: Sequence[Sequence[str]]) -> npt.NDArray[np.bool_]:
    """Return which texts have no words, (n,)."""
    return np.array([not of_text for of_text in tokens], np.bool_)


def _words(text: str) -> list[str]:
    return words(clean(text))
