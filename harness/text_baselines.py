"""How alike notes are by their words alone, as `records/cleaning.py` has words: what a text encoder has to beat."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from cohorts.errors import MissingExtra
from cohorts.records.cleaning import clean, words

Similarity = npt.NDArray[np.float64]


def tfidf_similarity(texts: Sequence[str]) -> Similarity:
    """Return the cosine of all pairs of texts by TF-IDF, (n, n)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    rows = TfidfVectorizer(analyzer=_words).fit_transform(texts)
    return np.asarray((rows @ rows.T).toarray(), np.float64)


def bm25_similarity(texts: Sequence[str]) -> Similarity:
    """Return BM25 of all pairs, (n, n): a row is a text as query, each of its words as often as it stands there.

    Source: Kamphuis et al., 2020, Which BM25 do you mean?, the accurate form of Lucene; k1 = 1.5, b = .75. Raises
    MissingExtra.
    """
    try:
        from bm25s import BM25
    except ImportError as error:
        raise MissingExtra("BM25 is not installed: pip install 'cohorts[dev]'.") from error
    tokens = [_words(text) for text in texts]
    index = BM25(method="lucene", k1=1.5, b=0.75, dtype="float64")
    index.index(tokens, show_progress=False)
    nothing = np.zeros(len(texts))
    return np.stack([index.get_scores(query) if query else nothing for query in tokens])


def _words(text: str) -> list[str]:
    return words(clean(text))
