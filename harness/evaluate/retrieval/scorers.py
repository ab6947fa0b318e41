"""What ranks candidates: vectors, and the baselines that every encoder has to beat.

A scorer gives every unit's likeness to the units asked about; what it can't compare is -inf, and found by nobody.
"""

from collections.abc import Callable, Sequence
from copy import copy
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.features.codes import CodeFeatures
from cohorts.encoders.pooling import filled_rows
from cohorts.extras import install_command
from cohorts.harness.evaluate.data.text_baselines import Bm25
from cohorts.harness.evaluate.retrieval.population import Rows
from cohorts.records.base import Batch, joined_notes

Scores = npt.NDArray[np.float32]


class Scorer(Protocol):
    """Of n units."""

    def scores(self, rows: Rows) -> Scores:
        """Return (len(rows), n)."""
        ...


class ByVectors:
    """Cosine of unit rows, (n, dim), dense or sparse; a row of zeros is like nothing.

    `asked` (n, dim) are the units as questions, where these differ from the `vectors` that are found.
    """

    def __init__(self, vectors: Any, asked: Any = None) -> None:
        self._vectors, self._asked = vectors, vectors if asked is None else asked
        self._empty = ~filled_rows(vectors)
        self._unasked = self._empty if asked is None else ~filled_rows(asked)

    def scores(self, rows: Rows) -> Scores:
        """Return the cosines."""
        products = self._asked[rows] @ self._vectors.T
        dense = np.array(products.toarray() if hasattr(products, "toarray") else products, np.float32)
        dense[:, self._empty] = -np.inf
        dense[self._unasked[rows]] = -np.inf
        return dense


class AtRandom:
    """Chance: every order is as likely."""

    def __init__(self, n: int, seed: int) -> None:
        self._n, self._seed = n, seed

    def scores(self, rows: Rows) -> Scores:
        """Return random numbers, the same for the same rows."""
        return np.random.default_rng([self._seed, *rows.tolist()]).random((len(rows), self._n), np.float32)


class ByCodes:
    """Jaccard's index of the groups of diagnoses and procedures, and the drugs, that two units have."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._has = _groups_of(batches)
        self._many = np.asarray(self._has.sum(axis=1)).ravel()

    def jaccard(self, rows: Rows) -> Scores:
        """Return the indices, (len(rows), n); 0 for a unit without codes."""
        shared = (self._has[rows] @ self._has.T).toarray()
        union = self._many[rows][:, None] + self._many - shared
        return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), np.float32)

    def scores(self, rows: Rows) -> Scores:
        """Return the indices; a unit without codes is like nothing."""
        scores = self.jaccard(rows)
        scores[:, self._many == 0] = -np.inf
        scores[self._many[rows] == 0] = -np.inf
        return scores


def by_rare_codes(batches: Sequence[Batch]) -> ByVectors:
    """Return the cosine of what `ByCodes` compares, each weighed by ln((1 + n) / (1 + units with it)) + 1."""
    from sklearn.feature_extraction.text import TfidfTransformer

    return ByVectors(TfidfTransformer().fit_transform(_groups_of(batches)))


def _groups_of(batches: Sequence[Batch]) -> Any:
    """Return which unit has which group of codes, or drug, scipy CSR (n, columns) float32."""
    from scipy.sparse import vstack

    features = CodeFeatures.learn(batches, 1)
    return vstack([features.transform(batch) for batch in batches], format="csr")


class ByDemographics:
    """Same sex first, then by age: what matching without any record reaches."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        units = pd.concat([batch.units for batch in batches])
        self._sex = units["sex"].fillna("").to_numpy(dtype=np.str_)
        self._age = units["age"].to_numpy(dtype=np.float32)

    def scores(self, rows: Rows) -> Scores:
        """Return 1 for the same sex, less a hundredth for a year between; an unknown age is as far as can be."""
        apart = np.nan_to_num(np.abs(self._age[rows][:, None] - self._age) / 100, nan=1.0)
        same = (self._sex[rows][:, None] == self._sex) & (self._sex != "")
        return np.asarray(same - apart, np.float32)


class ByWords:
    """BM25: the notes of the unit asked about are the query; a unit without words is like nothing."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._index = Bm25(text for batch in batches for text in joined_notes(batch))

    def asked_by(self, texts: Sequence[str]) -> "ByWords":
        """Return the same, with a text for every unit, (n,), as its query."""
        other = copy(self)
        other._index = self._index.asked_by(texts)
        return other

    def scores(self, rows: Rows) -> Scores:
        """Return BM25; 0 where no word is shared."""
        scores = self._index.scores(rows.tolist()).astype(np.float32)
        scores[:, self._index.empty] = -np.inf
        scores[self._index.unasked[rows]] = -np.inf
        return scores


Baseline = Callable[[Sequence[Batch]], Scorer]
RANDOM = "random"
OF_CODES: dict[str, Baseline] = {
    "codes, Jaccard": ByCodes,
    "codes, idf cosine": by_rare_codes,
    "age and sex": ByDemographics,
}
OF_NOTES: dict[str, Baseline] = {"BM25": ByWords}
WITHOUT_BM25 = f"BM25 is left out, as it is not installed: {install_command('bm25')}."


def known_baselines(*, codes: bool, notes: bool) -> dict[str, Baseline]:
    """Return the baselines of what there is, codes or notes, by name; BM25 only where it is installed."""
    return (OF_CODES if codes else {}) | (OF_NOTES if notes and bm25_installed() else {})


def bm25_installed() -> bool:
    """Return whether the extra is there."""
    return find_spec("bm25s") is not None
