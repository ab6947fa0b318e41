"""What ranks candidates: vectors, and the baselines that every encoder has to beat.

A scorer gives every unit's likeness to the units asked about; what it can't compare is -inf, and found by nobody.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from cohorts.encoders.features.codes import tokens_of
from cohorts.encoders.pooling import filled_rows
from cohorts.harness.evaluate.data.words import Bm25, WordCounter, WordCounts, products
from cohorts.harness.evaluate.retrieval.population import Names, Rows, incidence
from cohorts.records.base import Batch, Source, joined_notes

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
        sparse = hasattr(self._vectors, "toarray")
        asked = self._asked[rows]
        scores = np.asarray(products(asked, self._vectors) if sparse else asked @ self._vectors.T, np.float32)
        scores[:, self._empty] = -np.inf
        scores[self._unasked[rows]] = -np.inf
        return scores


class AtRandom:
    """Chance: every order is as likely."""

    def __init__(self, n: int, seed: int) -> None:
        self._n, self._seed = n, seed

    def scores(self, rows: Rows) -> Scores:
        """Return random numbers, the same for the same rows."""
        return np.random.default_rng([self._seed, *rows.tolist()]).random((len(rows), self._n), np.float32)


class ByCodes:
    """Jaccard's index of the groups of codes that two units have: `has` is CSR (n, groups) of ones."""

    def __init__(self, has: Any) -> None:
        self._has = has
        self._many = np.asarray(has.sum(axis=1)).ravel()

    def jaccard(self, rows: Rows) -> Scores:
        """Return the indices, (len(rows), n); 0 for a unit without codes."""
        shared = products(self._has[rows], self._has)
        union = self._many[rows][:, None] + self._many - shared
        return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), np.float32)

    def scores(self, rows: Rows) -> Scores:
        """Return the indices; a unit without codes is like nothing."""
        scores = self.jaccard(rows)
        scores[:, self._many == 0] = -np.inf
        scores[self._many[rows] == 0] = -np.inf
        return scores


def by_rare_codes(has: Any) -> ByVectors:
    """Return the cosine of what `ByCodes` compares, each weighed by ln((1 + n) / (1 + units with it)) + 1."""
    from sklearn.feature_extraction.text import TfidfTransformer

    return ByVectors(TfidfTransformer().fit_transform(has))


class ByDemographics:
    """Same sex first, then by age: what matching without any record reaches. `sex` ("": unknown), `age` (n,)."""

    def __init__(self, sex: Names, age: npt.NDArray[np.float32]) -> None:
        self._sex, self._age = sex, age

    def scores(self, rows: Rows) -> Scores:
        """Return 1 for the same sex, less a hundredth for a year between; an unknown age is as far as can be."""
        apart = np.nan_to_num(np.abs(self._age[rows][:, None] - self._age) / 100, nan=1.0)
        same = (self._sex[rows][:, None] == self._sex) & (self._sex != "")
        return np.asarray(same - apart, np.float32)


def groups_of(batch: Batch) -> list[set[str]]:
    """Return the groups of diagnoses and procedures, and the drugs, that every unit has, as in drug:furosemide."""
    found: dict[str, set[str]] = {unit: set() for unit in batch.units["unit_id"]}
    for unit, group in zip(batch.codes["unit_id"], tokens_of(batch.codes), strict=True):
        if group is not None:
            found[unit].add(group)
    return list(found.values())


@dataclass(frozen=True)
class Seen:
    """What baselines compare of the n units of a source: words of notes, groups of codes (n, groups), sex and age (n,).

    `has_codes` is whether there is any code, with a group or without.
    """

    words: WordCounts
    groups: list[str]
    codes: Any
    sex: Names
    age: npt.NDArray[np.float32]
    has_codes: bool

    @classmethod
    def read(cls, source: Source) -> Self:
        """Read the source once, in bounded memory."""
        words, sex, age, has_codes = WordCounter(), [], [], []

        def groups() -> Iterator[set[str]]:
            for batch in source.batches():
                words.add(joined_notes(batch))
                sex.append(batch.units["sex"].fillna("").to_numpy(dtype=np.str_))
                age.append(batch.units["age"].to_numpy(dtype=np.float32))
                has_codes.append(len(batch.codes) > 0)
                yield from groups_of(batch)

        names, codes = incidence(groups())
        return cls(words.counts(), names, codes, np.concatenate(sex), np.concatenate(age), any(has_codes))


Baseline = Callable[[Seen], Scorer]
RANDOM = "random"
OF_CODES: dict[str, Baseline] = {
    "codes, Jaccard": lambda seen: ByCodes(seen.codes),
    "codes, idf cosine": lambda seen: by_rare_codes(seen.codes),
    "age and sex": lambda seen: ByDemographics(seen.sex, seen.age),
}
OF_NOTES: dict[str, Baseline] = {"BM25": lambda seen: Bm25(seen.words)}
