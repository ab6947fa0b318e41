"""Weighted words or codes as a few dense numbers: inverse document frequency, truncated SVD, and a padding component.

Source: Deerwester et al., 1990, Indexing by latent semantic analysis; Halko et al., 2011, for the randomized SVD of
scikit-learn. The weights are scikit-learn's: ln((1 + n) / (1 + units that have it)) + 1, rows scaled to length 1.

What a few numbers can't hold of a row is what its projection lacks to length 1. Scaled to length 1, the projection of a
unit that was not learnt from, or says what hardly anybody says, would count for as much as a whole one: of 87 visit
notes, precision@10 fell from .336 to .196. As it is, it counts for too little. It is scaled by its length to the power
of -1/4, and what is left of length 1 stands in a last component, the padding, which is zero in whatever is asked: the
inner product stays that of the projections. docs/retrieval.md has the measurements.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Vectors
from cohorts.encoders.features.words import Row
from cohorts.encoders.pooling import unit_rows, weighted_sum
from cohorts.encoders.saving import check_shape
from cohorts.errors import EncoderError

Weights = npt.NDArray[np.float32]

_GIVEN_BACK = 0.25
_ROUNDS = 2  # of the SVD's power iteration: 5 take twice as long, and precision@10 was the same to .001
_NOTHING = 1e-5  # of the largest singular value: a direction of less is one of rounding errors


@dataclass(frozen=True)
class Latent:
    """A space learnt from sparse rows of f features: `idf` (f,), and `directions` (f, k), orthonormal columns.

    A vector has `dim` numbers, more than k: zeros between, and the padding as the last.
    """

    idf: Weights
    directions: Weights
    dim: int
    sublinear: bool = False

    @classmethod
    def learn(
        cls,
        rows: Any,
        having: npt.NDArray[np.int64],
        units: int,
        dim: int,
        *,
        sublinear: bool,
        seed: int,
        scale: Weights | float = 1.0,
    ) -> Self:
        """Learn from rows (n, f), scipy CSR of counts; `having` (f,) of all `units` have a feature.

        k is dim - 1, or n or f where that is less. `sublinear` counts 1 + ln(count). What is rare weighs much, times
        the `scale` of each feature, (f,).
        """
        idf = np.asarray(scale * (np.log((1 + units) / (1 + having)) + 1), np.float32)
        start = cls(idf, np.zeros((len(idf), 0), np.float32), dim, sublinear)
        return cls(idf, _directions(start.weighted(rows), dim - 1, seed), dim, sublinear)

    def weighted(self, rows: Any) -> Any:
        """Return rows (n, f) of counts as weights, scipy CSR float32 of length 1; what has no feature stays zero."""
        made = rows.copy()
        made.data = self._weights(
            rows.indices, rows.data, np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        )
        return made

    def units(self, rows: Any) -> Vectors:
        """Return rows (n, f) of counts as vectors to be found, (n, dim) float32 of length 1, zeros for none."""
        projected = self._projected(rows)
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        there = lengths > _NOTHING
        scaled = np.where(there, projected / np.where(there, lengths, 1) ** _GIVEN_BACK, 0)
        made = self._filled_up(scaled)
        left = 1 - np.square(scaled).sum(axis=1)
        made[:, -1] = np.where(there[:, 0], np.sqrt(np.maximum(left, 0)), 0)
        return unit_rows(made)

    def questions(self, rows: Sequence[Row]) -> Vectors:
        """Return rows of counts as vectors to ask by, (rows, dim) float32 of length 1, zeros for none.

        It takes numpy alone: a question from the command line should not wait for more.
        """
        projected = np.zeros((len(rows), self.directions.shape[1]), np.float32)
        for at, (places, counts) in enumerate(rows):
            projected[at] = weighted_sum(self._weights(places, counts), self.directions[places])
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        return unit_rows(self._filled_up(np.where(lengths > _NOTHING, projected, 0)))

    def contributions(self, row: Row, found: Vectors) -> npt.NDArray[np.float32]:
        """Return what each feature of a question adds to the cosine of those found, (features of row, found).

        `found` is (found, dim). The sum over the features is the cosine of `questions([row])`.
        """
        places, counts = row
        weights, directions = self._weights(places, counts), self.directions[places]
        length = np.linalg.norm(weighted_sum(weights, directions))
        parts = directions @ found[:, : self.directions.shape[1]].T
        return np.asarray(weights[:, None] * parts / (length or 1), np.float32)

    def turns(self, rows: Any) -> npt.NDArray[np.float64]:
        """Return by how many degrees the projections of rows (n, f) turn without each feature, in the entries' order.

        A right angle where nothing is left of a projection.
        """
        weights = self.weighted(rows)
        whole = (weights @ self.directions).astype(np.float64)
        row = np.repeat(np.arange(len(whole)), np.diff(weights.indptr))
        parts = self.directions[weights.indices]
        along = weights.data * np.einsum("ek,ek->e", parts, whole[row])
        squares = np.square(whole).sum(axis=1)[row]
        left = squares - 2 * along + np.square(weights.data) * np.square(parts).sum(axis=1)
        lengths = np.sqrt(np.maximum(left, 0) * squares)
        # What is left is a difference of sums of float32: less than a share of the whole is their rounding error.
        there = left > _NOTHING * squares
        cosines = np.divide(squares - along, lengths, out=np.zeros_like(lengths), where=there)
        return np.asarray(np.degrees(np.arccos(np.clip(cosines, -1, 1))), np.float64)

    def tensors(self) -> dict[str, Weights]:
        """Return the arrays, by name; `restore` makes it of them."""
        return {"idf": self.idf, "directions": self.directions}

    @classmethod
    def restore(
        cls,
        folder: Path,
        tensors: Mapping[str, Weights],
        shape: tuple[int, int],
        dim: int,
        *,
        sublinear: bool = False,
    ) -> Self:
        """Make it of what `tensors` returned, read from a folder; `shape` is (f, k). Raises EncoderError."""
        idf = check_shape(folder, tensors, "idf", shape[:1])
        return cls(idf, check_shape(folder, tensors, "directions", shape), dim, sublinear)

    def _weights(
        self, places: npt.NDArray[Any], counts: npt.NDArray[Any], row: npt.NDArray[np.int64] | None = None
    ) -> Weights:
        """Return what features weigh, (entries,) float32, in rows of length 1; `row` is that of each, one by default.

        To the last bit they are those of scikit-learn's `TfidfTransformer`, which takes a second to load.
        """
        of_row = np.zeros(len(places), np.int64) if row is None else row
        many = np.asarray(counts, np.float32)
        weights = (np.log(many) + 1 if self.sublinear else many) * self.idf[places]
        lengths = np.sqrt(np.bincount(of_row, np.square(weights)))[of_row]
        return np.asarray(weights / np.where(lengths > 0, lengths, 1), np.float32)

    def _projected(self, rows: Any) -> Vectors:
        return np.asarray(self.weighted(rows) @ self.directions, np.float32)

    def _filled_up(self, projected: Vectors) -> Vectors:
        made = np.zeros((len(projected), self.dim), np.float32)
        made[:, : projected.shape[1]] = projected
        return made


class _OfDim(Protocol):
    @property
    def dim(self) -> int: ...


Settings = TypeVar("Settings", bound=_OfDim)
Parts = TypeVar("Parts")


class LatentEncoder(Generic[Settings, Parts]):
    """What encoders of such a space share: `dim` numbers a vector, the last of them padding, and what was learnt."""

    name: str
    uses_transformer = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.dim = settings.dim
        self.padding = self.dim - 1
        self._learnt: Parts | None = None
        self._unseen = 0

    @property
    def _parts(self) -> Parts:
        if self._learnt is None:
            raise EncoderError(f"This encoder {self.name} is not trained yet: call fit, or load a saved one.")
        return self._learnt


def _directions(rows: Any, most: int, seed: int) -> Weights:
    """Return the first right singular vectors of rows (n, f), (f, k) float32, those that are more than rounding."""
    from sklearn.utils.extmath import randomized_svd

    many = max(1, min(most, *rows.shape))
    _, values, directions = randomized_svd(rows, many, n_iter=_ROUNDS, random_state=seed)
    return np.ascontiguousarray(directions[values > _NOTHING * values[0]].T, np.float32)
