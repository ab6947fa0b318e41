"""Smooth inverse frequency: the more often a word stands anywhere, the less it counts; what all words share comes off.

Source: Arora, Liang, Ma, 2017, A simple but tough-to-beat baseline for sentence embeddings. They take off the first
principal component of the texts; here it is their mean, known from the counts of the words without a second reading.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Vectors

_HALF_AT = 1e-3  # the paper's a: a word that is one in a thousand of all counts half


@dataclass(frozen=True)
class Sif:
    """What is learnt of n words: `weight` (n,) float32, from 0 to 1, and `common` (dim,) float32, what is taken off."""

    weight: Vectors
    common: Vectors

    @classmethod
    def learn(cls, share: npt.NDArray[np.float64], embedding: Vectors, *, centred: bool) -> Self:
        """Return it for words that are a `share` (n,), above 0, of all words read; `embedding` is (n, dim).

        What is common is the weighted mean of all words read where `centred`, else zeros.
        """
        weight = _HALF_AT / (_HALF_AT + share)
        counted = share * weight
        common = counted @ embedding / counted.sum() if centred else np.zeros(embedding.shape[1])
        return cls(weight.astype(np.float32), common.astype(np.float32))

    def weighed(self, embedding: Vectors) -> Vectors:
        """Return (n, dim) rows of `embedding`, each times its word's weight."""
        return self.weight[:, None] * embedding

    def centred(self, embedding: Vectors) -> Vectors:
        """Return the word vectors, (words, dim), without what is common.

        Sums of these rows have the direction of the weighted mean of the words, less what is common.
        """
        return self.weighed(embedding - self.common)
