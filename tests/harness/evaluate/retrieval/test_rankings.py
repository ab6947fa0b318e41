"""Measures by hand, and rankings against naive ones: exactly and through engines."""

from pathlib import Path

import numpy as np
import pytest
from cohorts.connectors.base import Collection
from cohorts.connectors.index import Flat, Hnsw, Index, Ivf, SearchParams
from cohorts.connectors.registry import connect
from cohorts.encoders.pooling import unit_rows
from cohorts.harness.evaluate.retrieval import questions, rankings
from cohorts.harness.evaluate.retrieval.scorers import (
    AtRandom,
    ByVectors,
)
from cohorts.measures import intervals, ranking
from hypothesis import given
from hypothesis import strategies as st
from small_sources import people

HITS = np.array([[1, 0, 1, 0], [0, 0, 0, 1]], np.bool_)


MATCHES = np.array([2, 8])


def test_recall_and_f1_by_hand() -> None:
    np.testing.assert_allclose(ranking.recall(HITS, 3, MATCHES), [2 / 2, 0])
    np.testing.assert_allclose(ranking.recall(HITS, 4, MATCHES), [1, 1 / 8])
    np.testing.assert_allclose(ranking.f1(HITS, 4, MATCHES), [4 / 6, 2 / 12])
    np.testing.assert_allclose(ranking.capped_recall(HITS, 4, MATCHES), [1, 1 / 4])
    np.testing.assert_allclose(ranking.average_precision(HITS, MATCHES), [(1 + 2 / 3) / 2, (1 / 4) / 4])
    np.testing.assert_allclose(ranking.precision_ceiling(MATCHES, 4), [2 / 4, 1])
    np.testing.assert_allclose(ranking.recall_ceiling(MATCHES, 4), [1, 4 / 8])
    np.testing.assert_allclose(ranking.f1_ceiling(MATCHES, 4), [4 / 6, 8 / 12])


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(
            st.lists(st.booleans(), min_size=n, max_size=n), st.integers(0, 30), st.integers(1, 40)
        )
    )
)
def test_no_figure_exceeds_its_ceiling(case: tuple[list[bool], int, int]) -> None:
    row, unseen, k = case
    hits = np.array([row], np.bool_)
    matches = hits.sum(axis=1) + unseen
    k = min(k, len(row))
    if not matches[0]:
        return
    assert ranking.precision(hits, k) <= ranking.precision_ceiling(matches, k) + 1e-12
    assert ranking.recall(hits, k, matches) <= ranking.recall_ceiling(matches, k) + 1e-12
    assert ranking.f1(hits, k, matches) <= ranking.f1_ceiling(matches, k) + 1e-12
    for values in (
        ranking.capped_recall(hits, k, matches),
        ranking.ndcg(hits, k, matches),
        ranking.average_precision(hits[:, :k], matches),
    ):
        assert 0 <= values[0] <= 1 + 1e-12
    best = np.sort(hits, axis=1)[:, ::-1]
    if not unseen:
        assert ranking.precision(best, k) == pytest.approx(ranking.precision_ceiling(matches, k))


def test_exact_rankings_are_naive_ones() -> None:
    population, rng = people(), np.random.default_rng(5)
    vectors = unit_rows(rng.normal(size=(60, 8)).astype(np.float32))
    vectors[7] = 0
    for fold in questions.deal(population, 5, 100, seed=0):
        made = rankings.rank_exactly(ByVectors(vectors), population, fold, 20, seed=0)
        hits, matches = rankings.hits_of(made.found, population, fold), rankings.matches_of(population, fold)
        for question, unit in enumerate(fold.units):
            others = [
                i for i in range(60) if population.patient[i] != population.patient[unit] and vectors[i].any()
            ]
            best = (
                sorted(others, key=lambda i: -float(vectors[i] @ vectors[unit]))
                if vectors[unit].any()
                else []
            )
            assert [i for i in made.found[question] if i >= 0] == best[:20]
            column = population.cohorts.index(fold.cohort[question])
            alike = {
                i
                for i in range(60)
                if population.member[i, column] and population.patient[i] != population.patient[unit]
            }
            assert matches[question] == len(alike)
            assert hits[question].tolist() == [i in alike for i in [*best, *[-1] * 20][:20]]
            found = len(set(best[: len(alike)]) & alike) / len(alike)
            assert made.r_precision[question] == pytest.approx(found)


def test_random_rankings_reach_the_base_rate() -> None:
    population = people(600, 3)
    (fold,) = questions.deal(population, 1, 1_000, seed=0)
    made = rankings.rank_exactly(AtRandom(600, 0), population, fold, 50, seed=0)
    hits, matches = rankings.hits_of(made.found, population, fold), rankings.matches_of(population, fold)
    low, high = intervals.of_mean(ranking.precision(hits, 50), np.random.default_rng(0))
    assert low <= (matches / 598).mean() <= high


def test_ties_are_in_no_order() -> None:
    population = people(400, 1)
    population.member[:, 0] = np.arange(400) < 200  # the first ones: a stable order would find them first
    (fold,) = questions.deal(population, 1, 1_000, seed=0)
    same = ByVectors(np.ones((400, 1), np.float32))
    made = rankings.rank_exactly(same, population, fold, 50, seed=0)
    hits = rankings.hits_of(made.found, population, fold)
    assert 0.3 < ranking.precision(hits, 50).mean() < 0.7


@pytest.mark.parametrize(
    ("store", "index"),
    [("qdrant:{}/s", Flat()), ("qdrant:{}/s", Hnsw()), ("milvus:{}/s.db", Ivf(nlist=8))],
    ids=["qdrant-flat", "qdrant-hnsw", "milvus-ivf"],
)
def test_an_index_finds_the_neighbours_and_its_loss_is_told(store: str, index: Index, tmp_path: Path) -> None:
    population, rng = people(800), np.random.default_rng(5)
    vectors = unit_rows(rng.normal(size=(800, 16)).astype(np.float32))
    vectors[3] = 0
    (fold,) = questions.deal(population, 1, 100, seed=0)
    exact = rankings.rank_exactly(ByVectors(vectors), population, fold, 20, seed=0)
    search = SearchParams(nprobe=1) if isinstance(index, Ivf) else SearchParams()
    with connect(store.format(tmp_path)) as connector:
        made = rankings.rank_through(
            connector, Collection("c", 16, index, search=search), vectors, population, fold, exact, [10, 20]
        )
        assert connector.collections() == []
    for k in (10, 20):
        for question, unit in enumerate(fold.units):
            own = population.patient[made.found[question]] == population.patient[unit]
            assert not own[made.found[question] >= 0].any()
            naive = len({*exact.found[question, :k]} & {*made.found[question, :k]} - {-1})
            assert made.recall[k][question] == pytest.approx(naive / k) or unit == 3
        if not isinstance(index, Ivf):
            assert np.nanmean(made.recall[k]) > 0.95
    if isinstance(index, Ivf):
        assert np.nanmean(made.recall[10]) < 1  # it looks into some of the cells

    file = tmp_path / "r.parquet"
    made.keep(file, population, fold)
    again = rankings.Ranking.read(file, population)
    np.testing.assert_array_equal(again.found, made.found)
    np.testing.assert_array_equal(again.recall[20], made.recall[20])
    assert again.note == made.note


def test_questions_may_have_vectors_of_their_own(tmp_path: Path) -> None:
    """What lies on one side asks for the other one: exactly, and through an engine."""
    population, rng = people(200), np.random.default_rng(5)
    (fold,) = questions.deal(population, 1, 1_000, seed=0)
    side = np.arange(200) < 100
    on_axis = np.eye(2, 8, dtype=np.float32)[side.astype(int)]
    vectors = unit_rows(on_axis + 0.1 * rng.random((200, 8), np.float32))
    asked = np.eye(2, 8, dtype=np.float32)[(~side).astype(int)]
    asked[fold.units[0]] = 0
    exact = rankings.rank_exactly(ByVectors(vectors, asked), population, fold, 20, seed=0)
    with connect(f"qdrant:{tmp_path}/s") as connector:
        made = rankings.rank_through(
            connector, Collection("c", 8, Flat()), vectors, population, fold, exact, [20], asked
        )
    for found in (exact.found, made.found):
        nobody = fold.units == fold.units[0]
        assert (found[nobody] == -1).all()
        assert (side[found[~nobody]] != side[fold.units[~nobody]][:, None]).all()
    assert (made.recall[20][~nobody] == 1).all()
