"""Which vector of a collection of others is read: its metric, and the cosine in the scores of that metric."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from cohorts.connectors.attached.attachment import COSINE, OUR_VECTOR, VectorField
from cohorts.connectors.base import Hit, Vectors
from cohorts.connectors.checks import row_lengths
from cohorts.errors import InputError

UNIT_WITHIN = 1e-3  # of length 1; encoders that answer in half precision stay within
# Of unit vectors |a - b|² = 2 - 2 cos: Qdrant's Euclid is the distance, Milvus' L2 its square.
METRICS: Mapping[str, Callable[[float], float]] = {
    COSINE: lambda score: score,
    "dot": lambda score: score,
    "ip": lambda score: score,
    "euclid": lambda score: 1 - score * score / 2,
    "l2": lambda score: 1 - score / 2,
}


def check_metric(collection: str, vector: str, metric: str) -> None:
    """Raise InputError for a metric that does not even order unit vectors as cosine does."""
    if metric.lower() not in METRICS:
        raise InputError(
            f"Vector {vector!r} of {collection} is compared by {metric}; cohorts compares by cosine, or, where all "
            "vectors have length 1, by Dot or Euclid (Qdrant), IP or L2 (Milvus). Ask the owner for one of them."
        )


def check_units(collection: str, vector: str, metric: str, sample: Vectors) -> int:
    """Return how many vectors were looked at, (n, dim). Raises InputError unless all have length 1."""
    long = int((np.abs(row_lengths(sample) - 1) > UNIT_WITHIN).sum())
    if long or not len(sample):
        found = (
            f"{long:,} of {len(sample):,} that were looked at have another length"
            if long
            else "it holds none yet"
        )
        raise InputError(
            f"Vector {vector!r} of {collection} is compared by {metric}, which orders points as cosine does only where "
            f"all vectors have length 1: {found}. Ask the owner for vectors of length 1, or for a vector compared by "
            "cosine."
        )
    return len(sample)


def with_cosines(metric: str, hits: list[list[Hit]]) -> list[list[Hit]]:
    """Return hits with the cosine for a score, from that of a metric between unit vectors."""
    if metric == COSINE:
        return hits
    cosine = METRICS[metric]
    return [[hit._replace(score=cosine(hit.score)) for hit in row] for row in hits]


def choose_vector(name: str, vectors: Sequence[VectorField], wanted: str | None) -> VectorField:
    """Return the vector of collection `name` to read: the one `wanted`, or the only one that can be read.

    Raises InputError, which names those there are, and for one that does not order unit vectors as cosine does.
    """
    chosen = [one for one in vectors if (not one.unread if wanted is None else one.name == wanted)]
    if wanted is None and len(chosen) > 1:
        chosen = [one for one in chosen if one.name != OUR_VECTOR]
    if len(chosen) == 1 and not chosen[0].unread:
        check_metric(name, chosen[0].name, chosen[0].metric)
        return chosen[0]
    if any(one.unread for one in chosen) or (vectors and all(one.unread for one in vectors)):
        unread = "; ".join(f"{one.name!r} is {one.unread}" for one in chosen or vectors)
        raise InputError(
            f"{name} can't be read by its vector: {unread}. cohorts reads vectors of floating-point numbers, dense and "
            "one for a point: ask the owner for a named vector of that kind."
        )
    names = ", ".join(repr(one.name) + (f" ({one.unread})" if one.unread else "") for one in vectors)
    raise InputError(
        f"Collection {name} has these vectors: {names or 'none'}.", remedy="Name one of them.", hint="vector"
    )
