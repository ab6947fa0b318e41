"""TF-IDF of whole admissions: the baseline without any training of vectors."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.records.base import Batch, Source
from cohorts.records.cleaning import clean, words

_FEATURES = 2**18


def word_counts(source: Source) -> Any:
    """Return how often each word stands in each unit's notes, sparse (units, 2**18): hashed, so nothing is learnt."""
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(
        n_features=_FEATURES, analyzer=_words, alternate_sign=False, norm=None, dtype=np.float32
    )
    return vstack([hashing.transform(_texts(batch)) for batch in source.batches()]).tocsr()


def tfidf(counts: Any, training: npt.NDArray[np.intp]) -> Any:
    """Return unit rows, sparse (units, 2**18), weighed by how rare a word is among the `training` rows."""
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer().fit(counts[training]).transform(counts)


def _texts(batch: Batch) -> Iterator[list[str]]:
    """Yield the notes of every unit."""
    of_unit = {str(unit): list(texts) for unit, texts in batch.notes.groupby("unit_id")["text"]}
    return (of_unit.get(unit, []) for unit in batch.units["unit_id"])


def _words(texts: list[str]) -> list[str]:
    return [word for text in texts for word in words(clean(text))]
