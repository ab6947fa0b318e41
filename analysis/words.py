"""Why a text found whom it found: what each of its words adds to each score."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Connector, Hit
from cohorts.search.examples import FETCHED

Words = Sequence[tuple[str, float]]
"""Words, and what each adds to a cosine, the most first."""


def word_shares(
    connector: Connector,
    name: str,
    hits: Sequence[Hit],
    explain: Callable[[npt.NDArray[np.float32]], Sequence[Words]],
) -> list[Words]:
    """Return what each word adds to the score of each hit; nothing for one that is gone since it was found.

    `explain` takes the stored vectors of those that are there, (n, dim) float32, and returns the words of each.
    """
    ids = [hit.id for hit in hits]
    told: dict[str, Words] = {}
    for start in range(0, len(ids), FETCHED):
        there = connector.fetch(name, ids[start : start + FETCHED])
        if there.ids:
            told |= zip(there.ids, explain(there.vectors), strict=True)
    return [told.get(key, ()) for key in ids]
