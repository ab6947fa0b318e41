"""Rankings, and notes by their words alone: cases by hand."""

import math
from itertools import permutations

import numpy as np
import pytest
from cohorts.harness.evaluate.data.words import Bm25, WordCounter
from cohorts.measures.ranking import (
    average_precision,
    capped_recall,
    expected_precision,
    ndcg,
    precision,
)
from sklearn.metrics import average_precision_score, ndcg_score

HITS = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [1, 1, 1, 0, 1]], np.bool_)
NOTES = ["knee pain, right knee", "right shoulder pain", "sore throat"]


def test_figures_by_hand() -> None:
    np.testing.assert_allclose(precision(HITS, 2), [1 / 2, 0, 1])
    np.testing.assert_allclose(capped_recall(HITS, 2), [1 / 2, 0, 2 / 2])
    np.testing.assert_allclose(capped_recall(HITS, 4), [2 / 2, 1 / 1, 3 / 4])
    np.testing.assert_allclose(average_precision(HITS), [(1 + 2 / 3) / 2, 1 / 4, (3 + 4 / 5) / 4])
    best = 1 + 1 / math.log2(3)
    np.testing.assert_allclose(ndcg(HITS, 3), [1.5 / best, 0, 1])


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_precision_of_ties_is_the_mean_over_all_their_orders(k: int) -> None:
    alike = np.array([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0]], np.bool_)
    scores = np.array([[0.9, 0.5, 0.5, 0.5, 0.1], [0.3, 0.3, 0.8, -np.inf, 0.3]])
    some_orders = [
        [
            alike[row][sorted(there, key=lambda one: -scores[row][one])][:k].mean()
            for there in permutations(those)
        ]
        for row, those in enumerate(np.flatnonzero(one > -np.inf).tolist() for one in scores)
    ]
    expected = [np.mean(one) for one in some_orders]
    np.testing.assert_allclose(expected_precision(scores, alike, k), expected)
    np.testing.assert_allclose(
        expected_precision(scores + 1e-7 * np.arange(5), alike, k), expected
    )  # of rounding


def test_precision_without_a_candidate_is_none() -> None:
    assert expected_precision(np.full((1, 3), -np.inf), np.ones((1, 3), np.bool_), 2).tolist() == [0]


@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_figures_as_scikit_learn_has_them(k: int) -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(30, 30)), rng.random((30, 30)) < 0.2
    rows = [row for row in range(30) if truth[row][np.arange(30) != row].any()]
    others = [np.flatnonzero(np.arange(30) != row) for row in rows]
    hits = np.stack(
        [truth[row][of[np.argsort(-scores[row][of])]] for row, of in zip(rows, others, strict=True)]
    )
    expected = [
        ndcg_score([truth[row][of]], [scores[row][of]], k=k) for row, of in zip(rows, others, strict=True)
    ]
    np.testing.assert_allclose(ndcg(hits, k), expected)
    expected = [
        average_precision_score(truth[row][of], scores[row][of]) for row, of in zip(rows, others, strict=True)
    ]
    np.testing.assert_allclose(average_precision(hits), expected)


def by_bm25(texts: list[str]) -> "np.typing.NDArray[np.float64]":
    return Bm25(WordCounter().add(texts).counts()).similarity(np.arange(len(texts)))


def test_bm25_is_its_formula() -> None:
    documents = [note.replace(",", "").split() for note in NOTES]
    average = sum(map(len, documents)) / len(documents)

    def score(query: list[str], document: list[str]) -> float:
        found = 0.0
        for word in query:
            holding = sum(word in one for one in documents)
            often = document.count(word)
            rare = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            found += rare * often / (often + 1.5 * (1 - 0.75 + 0.75 * len(document) / average))
        return found

    expected = [[score(query, document) for document in documents] for query in documents]
    made = by_bm25(NOTES)
    np.testing.assert_allclose(made, expected, rtol=1e-9)
    assert made[0, 1] != pytest.approx(made[1, 0])
    np.testing.assert_array_equal(by_bm25([*NOTES, ""])[3], np.zeros(4))


def test_tfidf_is_its_formula() -> None:
    rows = WordCounter().add(NOTES).counts().tfidf(np.arange(3))
    made = (rows @ rows.T).toarray()
    rare, common = math.log(4 / 2) + 1, math.log(4 / 3) + 1  # scikit-learn's smooth form
    twice = 1 + math.log(2)  # sublinear
    lengths = math.hypot(twice * rare, common, common), math.hypot(common, rare, common)
    np.testing.assert_allclose(made[0, 1], 2 * common**2 / (lengths[0] * lengths[1]), rtol=1e-6)
    np.testing.assert_allclose(np.diag(made), 1, rtol=1e-6)
    assert made[0, 2] == 0
