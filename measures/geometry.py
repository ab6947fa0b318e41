"""How the vectors of a space lie: spread, closeness of what is alike, common direction, and graphs of who is near whom.

All take unit rows (n, dim), dense or sparse. Sums over pairs of rows (i < j, nobody with itself) are exact, none is
sampled: what is a mean of cosines follows from sums of vectors, all else goes through the pairs in blocks of rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Names = npt.NDArray[np.str_]
Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

BINS = 50  # of cosines from -1 to 1
_BLOCK = 500
_TEMPERATURE = 2.0  # t of Wang & Isola


class Means(NamedTuple):
    """Mean cosine of the pairs of one class, and of the pairs of two; NaN where there is no such pair."""

    within: float
    between: float


class Histograms(NamedTuple):
    """Pairs by their cosine, (BINS,) each: those of one class, and those of two."""

    within: npt.NDArray[np.int64]
    between: npt.NDArray[np.int64]


class Graph(NamedTuple):
    """The graph of the pairs whose cosine is at least `threshold`.

    `density` is its share of all pairs, `largest` that of the rows in the largest of its connected `components`.
    `modularity` is that of the classes as communities (not of the components); NaN without an edge.
    """

    threshold: float
    density: float
    components: int
    largest: float
    modularity: float


def uniformity(vectors: Any) -> float:
    """Return log mean exp(-2·|x - y|²) over all pairs: 0 where all rows are one, the less the more evenly they spread.

    Source: Wang & Isola, 2020, Understanding contrastive representation learning through alignment and uniformity,
    section 4.1.2, t = 2.
    """
    total = sum(
        np.exp(-2 * _TEMPERATURE * (1 - cosines)).sum(dtype=np.float64) for _, _, cosines in _pairs(vectors)
    )
    return float(np.log(total / _count(vectors.shape[0])))


def alignment(vectors: Any, groups: Names) -> float:
    """Return the mean of |x - y|² over the pairs of one group, 0 to 4; NaN without a pair. `groups` is (n,).

    Source: Wang & Isola, 2020, section 4.1.1, alpha = 2; their positive pairs are two views of one thing.
    """
    return 2 - 2 * mean_cosines(vectors, groups).within


def anisotropy(vectors: Any) -> float:
    """Return the mean cosine of all pairs: 0 where directions cancel out, 1 where all rows are one.

    Source: Ethayarajh, 2019, How contextual are contextualized word representations?, section 3.2.
    """
    return _sum_of_pairs(vectors) / _count(vectors.shape[0])


def mean_cosines(vectors: Any, classes: Names) -> Means:
    """Return the mean cosine within classes and between them; `classes` is (n,)."""
    sums, pairs = 0.0, 0
    for name in np.unique(classes):
        rows = np.flatnonzero(classes == name)
        sums += _sum_of_pairs(vectors[rows])
        pairs += _count(len(rows))
    apart = _count(len(classes)) - pairs
    return Means(
        sums / pairs if pairs else float("nan"),
        (_sum_of_pairs(vectors) - sums) / apart if apart else float("nan"),
    )


def histograms(vectors: Any, classes: Names) -> Histograms:
    """Return how many pairs have which cosine; `classes` is (n,)."""
    number = np.unique(classes, return_inverse=True)[1]
    counts = np.zeros((2, BINS), np.int64)
    for left, right, cosines in _pairs(vectors):
        same = number[left] == number[right]
        for row, chosen in enumerate((same, ~same)):
            counts[row] += np.histogram(cosines[chosen], BINS, (-1, 1))[0]
    return Histograms(counts[0], counts[1])


def graphs(vectors: Any, classes: Names, thresholds: Sequence[float]) -> list[Graph]:
    """Return what the graph is at each threshold; `classes` is (n,).

    Modularity is the share of edges within classes, less what is expected where rows keep their number of edges and
    these end anywhere. Source: Newman, 2006, Modularity and community structure in networks, PNAS 103(23).
    """
    number = np.unique(classes, return_inverse=True)[1]
    growing = [_Growing(threshold, number) for threshold in thresholds]
    for left, right, cosines in _pairs(vectors):
        for graph in growing:
            near = cosines >= graph.threshold
            graph.add(left[near], right[near])
    return [graph.result() for graph in growing]


def principal_plane(vectors: Any) -> tuple[Values, Values]:
    """Return the rows on their first two principal components, (n, 2), and the shares of variance of these, (2,).

    Both are NaN where all rows are one, or have fewer than two dimensions.
    """
    from scipy.sparse import issparse
    from sklearn.decomposition import PCA

    if not _variance(vectors) > 0 or min(vectors.shape) < 2 + issparse(vectors):
        return np.full((vectors.shape[0], 2), np.nan), np.full(2, np.nan)
    solver = "arpack" if issparse(vectors) else "covariance_eigh"
    model = PCA(2, svd_solver=solver, random_state=0)
    placed = model.fit_transform(vectors.astype(np.float64))
    return np.asarray(placed), np.asarray(model.explained_variance_ratio_)


class _Growing:
    """A graph to which edges come block by block: nothing is kept but what its measures need."""

    def __init__(self, threshold: float, number: Rows) -> None:
        self.threshold, self._number = threshold, number
        self._component: Rows = np.arange(len(number), dtype=np.intp)
        self._degree = np.zeros(len(number))
        self._edges = self._within = 0

    def add(self, left: Rows, right: Rows) -> None:
        self._edges += len(left)
        self._within += int((self._number[left] == self._number[right]).sum())
        n = len(self._number)
        self._degree += np.bincount(left, minlength=n) + np.bincount(right, minlength=n)
        self._join(self._component[left], self._component[right])

    def _join(self, left: Rows, right: Rows) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        new = left != right
        if new.any():
            edges = coo_array(
                (np.ones(new.sum(), np.bool_), (left[new], right[new])), (len(self._number),) * 2
            )
            joined = connected_components(edges, directed=False)[1]
            self._component = np.asarray(joined[self._component], np.intp)

    def result(self) -> Graph:
        n, sizes = len(self._number), np.unique(self._component, return_counts=True)[1]
        modularity = float("nan")
        if self._edges:
            ends = np.bincount(self._number, self._degree) / (2 * self._edges)
            modularity = float(self._within / self._edges - (ends**2).sum())
        return Graph(self.threshold, self._edges / _count(n), len(sizes), float(sizes.max() / n), modularity)


def _pairs(vectors: Any) -> Iterator[tuple[Rows, Rows, npt.NDArray[np.float32]]]:
    """Yield blocks of pairs: their left rows, their right rows, and their cosines."""
    n = vectors.shape[0]
    for start in range(0, n - 1, _BLOCK):
        product = vectors[start : start + _BLOCK] @ vectors[start:].T
        cosines = product.toarray() if hasattr(product, "toarray") else product
        left, right = np.triu_indices(len(cosines), k=1, m=n - start)
        yield left + start, right + start, np.clip(cosines[left, right], -1, 1)


def _count(rows: int) -> int:
    return rows * (rows - 1) // 2


def _sum_of_pairs(vectors: Any) -> float:
    """Return the sum of the inner products of all pairs: (|sum of rows|² - sum of |row|²) / 2."""
    total = np.asarray(vectors.sum(axis=0, dtype=np.float64))
    return float((total**2).sum() - _squares(vectors)) / 2


def _variance(vectors: Any) -> float:
    """Return the mean of |row - mean row|²; 0 for what is but rounding."""
    mean = np.asarray(vectors.mean(axis=0, dtype=np.float64))
    variance = _squares(vectors) / vectors.shape[0] - float((mean**2).sum())
    return variance if variance > 1e-9 else 0.0


def _squares(vectors: Any) -> float:
    values = vectors.data if hasattr(vectors, "toarray") else vectors
    return float((np.asarray(values, np.float64) ** 2).sum())
