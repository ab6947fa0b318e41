"""Sublinear TF-IDF of whole units: the baseline without any training of vectors."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from cohorts.records.base import Batch, Source
from cohorts.records.notes.cleaning import clean, words

_FEATURES = 2**18


def word_counts(source: Source) -> Any:
    """Return how often each word stands in each unit's notes, sparse (units, 2**18): hashed, so nothing is learnt."""
    from scipy.sparse import vstack

    return vstack([text_counts(_texts(batch)) for batch in source.batches()]).tocsr()


def text_counts(texts: Iterable[Sequence[str]]) -> Any:
    """Return the same of units that have these texts each."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(
        n_features=_FEATURES, analyzer=_words, alternate_sign=False, norm=None, dtype=np.float32
    )
    return hashing.transform(texts)


def tfidf(learnt: Any, counts: Any) -> Any:
    """Return `counts` as sparse unit rows, weighed by how rare a word is in the rows that are `learnt` from."""
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer(sublinear_tf=True).fit(learnt).transform(counts)


def _texts(batch: Batch) -> Iterator[list[str]]:
    """Yield the notes of every unit."""
    of_unit = {str(unit): list(texts) for unit, texts in batch.notes.groupby("unit_id")["text"]}
    return (of_unit.get(unit, []) for unit in batch.units["unit_id"])


def _words(texts: Sequence[str]) -> list[str]:
    return [word for text in texts for word in words(clean(text))]
