"""How alike notes are by their words alone, as `records/cleaning.py` has words: what a text encoder has to beat."""

import hashlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from cohorts.errors import MissingExtra
from cohorts.records.base import Batch, Source, joined_notes
from cohorts.records.cleaning import clean, words

Similarity = npt.NDArray[np.float64]


def tfidf_similarity(texts: Sequence[str]) -> Similarity:
    """Return the cosine of all pairs of texts by TF-IDF, (n, n)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    rows = TfidfVectorizer(analyzer=_words).fit_transform(texts)
    return np.asarray((rows @ rows.T).toarray(), np.float64)


class TfIdf:
    """TF-IDF in the manners of an encoder: fitted, and then units and texts in, sparse float32 unit rows out."""

    name = "TF-IDF"

    def __init__(self) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._model = TfidfVectorizer(analyzer=_words, dtype=np.float32)

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
    MissingExtra.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        try:
            from bm25s import BM25
        except ImportError as error:
            raise MissingExtra("BM25 is not installed: pip install 'cohorts[bm25]'.") from error
        # Every word is kept once, however often it stands: of 150 MB of notes, 1.2 GB less.
        known: dict[str, str] = {}
        self._tokens = [[known.setdefault(word, word) for word in _words(text)] for text in texts]
        self._index = BM25(method="lucene", k1=1.5, b=0.75, dtype="float64")
        self._index.index(self._tokens, show_progress=False)

    def scores(self, rows: Sequence[int]) -> Similarity:
        """Return BM25 of every text for those in `rows`, (len(rows), n)."""
        nothing = np.zeros(len(self._tokens))
        asked = (self._tokens[row] for row in rows)
        return np.stack([self._index.get_scores(query) if query else nothing for query in asked])


def bm25_similarity(texts: Sequence[str]) -> Similarity:
    """Return BM25 of all pairs, (n, n). Raises MissingExtra."""
    return Bm25(texts).scores(range(len(texts)))


def _words(text: str) -> list[str]:
    return words(clean(text))
