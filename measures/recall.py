"""Recall of exact nearest neighbours, safe against ties: a neighbour as near as the last true one counts."""

import numpy as np
import numpy.typing as npt

TIE = 1e-5  # of similarity: a neighbour as near as the k-th counts, whatever its id
Scores = npt.NDArray[np.floating]
Counts = npt.NDArray[np.integer]
Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


def is_near(scores: Scores | float, last: Scores | float) -> Flags:
    """Tell of scores whether they are as near as the `last` true neighbour of their query; NaN is not near.

    Shapes are those of numpy's broadcasting: (q, k) and (q, 1), or (n,) and (n,).
    """
    return np.asarray(scores >= last - TIE)


def share_found(found: Counts | int, expected: Counts | int) -> Values:
    """Return the share of the `expected` true neighbours that was found, (q,) both; NaN where there is none."""
    expected = np.asarray(expected)
    empty = np.full(expected.shape, np.nan)
    return np.asarray(np.divide(np.minimum(found, expected), expected, out=empty, where=expected > 0))


def kth_score(base: Scores, queries: Scores, k: int) -> Scores:
    """Return the (q,) similarity of each query's k-th neighbour in `base`, (n, dim), by exact search."""
    scores = queries @ base.T
    return np.asarray(np.partition(scores, -k, axis=1)[:, -k])


def scores_of_rows(base: Scores, queries: Scores, rows: Counts) -> Scores:
    """Return the (q, k) similarity of each query to its `rows` of `base`, (q, k); NaN where a row is -1: none."""
    scores = np.einsum("qd,qkd->qk", queries, base[np.maximum(rows, 0)])
    return np.asarray(np.where(rows >= 0, scores, np.nan))


def near_rows(base: Scores, queries: Scores, rows: Counts, last: Scores) -> Flags:
    """Tell of the rows found, (q, k), whether they are as near as the last true neighbour, (q,); -1 is not."""
    return is_near(scores_of_rows(base, queries, rows), last[:, None])


def neighbour_recall(base: Scores, queries: Scores, exact: Counts, found: Counts) -> Values:
    """Return the share of the `exact` neighbours that was `found`, or others as near, (q,); NaN where there are none.

    `base` is (n, dim), `queries` (q, dim); `exact` and `found` are rows of `base`, (q, k) each, each row once,
    and -1 where there is none.
    """
    last = np.fmin.reduce(scores_of_rows(base, queries, exact).astype(np.float64), axis=1)
    return share_found(near_rows(base, queries, found, last).sum(axis=1), (exact >= 0).sum(axis=1))
