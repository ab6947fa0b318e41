"""What all patients have in common, taken out of the mean of many examples: what is left tells them from the rest.

All directions of a collection have much in common. The mean of many examples points there more than any one of them
does, and finds whoever is typical. Less the mean of everybody it points to what sets the examples apart; of a few, that
is mostly what is their own by chance, so little is taken out: n / (n + 5) of it with n examples. The 5 was chosen on a
synthetic hospital, and the figures of docs/asking.md are of others.

Source: Rocchio, Relevance feedback in information retrieval, 1971, with the whole collection as what is not relevant.
"""

from heapq import nsmallest
from itertools import chain
from zlib import crc32

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Collection, Connector
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.padding import as_questions, padding_of

FROM = 10  # examples, where it isn't said whether to
_HALF = 5  # examples, of whom half of what is common is taken out
_SAMPLE = 1_000  # points that stand for everybody: the same ones on every engine


def share_taken(weights: npt.NDArray[np.float64]) -> float:
    """Return which share of everybody's mean is taken out, by the weights of the examples (n,); n is Kish's."""
    many = weights.sum() ** 2 / np.square(weights).sum()
    return float(many / (many + _HALF))


def everybody(
    connector: Connector, name: str, collection: Collection, where: Filter | None
) -> npt.NDArray[np.float64]:
    """Return the mean of the directions (dim,) of those who pass `where`, or of a sample of them; zeros of nobody."""
    ids = nsmallest(
        _SAMPLE, chain.from_iterable(connector.find(name, where)), key=lambda one: (crc32(one.encode()), one)
    )
    if not ids:
        return np.zeros(collection.dim)
    vectors = as_questions(connector.fetch(name, ids).vectors, padding_of(collection))
    return np.asarray(vectors.mean(axis=0, dtype=np.float64))
