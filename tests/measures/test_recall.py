"""Recall of exact neighbours: ties count, absent rows do not, and it is that of sets where nothing is tied."""

from math import isnan

import numpy as np
import pytest
from cohorts.measures.recall import TIE, is_near, kth_score, near_rows, neighbour_recall, share_found


def unit(n: int, dim: int, seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


@pytest.mark.parametrize("k", [1, 5, 20])
def test_without_ties_it_is_the_share_of_the_true_ids(k: int) -> None:
    base, queries = unit(200, 16, 0), unit(10, 16, 1)
    order = np.argsort(-(queries @ base.T), axis=1)
    others = np.random.default_rng(2).permutation(np.arange(k // 2, 200))[: k - k // 2]
    exact, found = order[:, :k], order[:, [*range(k // 2), *others]]
    expected = [len({*one} & {*two}) / k for one, two in zip(exact.tolist(), found.tolist(), strict=True)]
    assert neighbour_recall(base, queries, exact, found) == pytest.approx(expected)
    last = kth_score(base, queries, k)
    np.testing.assert_allclose(last, np.sort(queries @ base.T, axis=1)[:, -k])
    assert near_rows(base, queries, found, last).mean() == pytest.approx(np.mean(expected))


def test_a_neighbour_as_near_as_the_last_counts_whatever_its_id() -> None:
    base = np.array([[1, 0], [0, 1], [0, 1], [-1, 0]], np.float32)
    queries = np.array([[0, 1]], np.float32)
    assert neighbour_recall(base, queries, np.array([[1]]), np.array([[2]])).tolist() == [1]
    assert neighbour_recall(base, queries, np.array([[1]]), np.array([[0]])).tolist() == [0]
    # two are as near as one: that is all of them, and no more
    assert neighbour_recall(base, queries, np.array([[1]]), np.array([[1, 2]])).tolist() == [1]


def test_rows_that_are_not_there_are_not_found() -> None:
    base, queries = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    exact = np.array([[0, 1], [1, -1], [-1, -1]])
    found = np.array([[0, -1], [-1, 1], [2, 1]])
    recall = neighbour_recall(base, queries, exact, found)
    assert recall[:2].tolist() == [0.5, 1]
    assert isnan(recall[2])  # no true neighbour


def test_near_is_up_to_rounding() -> None:
    scores = np.array([0.5, 0.5 - TIE / 2, 0.5 - 2 * TIE, np.nan])
    assert is_near(scores, np.full(4, 0.5)).tolist() == [True, True, False, False]
    assert share_found(np.array([3, 0, 2]), np.array([2, 4, 2])).tolist() == [1, 0, 1]
