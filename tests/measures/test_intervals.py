"""95 % intervals: against naive bootstraps, Student's formula, and what they must cover."""

from math import isnan, nan

import numpy as np
import pytest
from cohorts.measures.intervals import of_mean, of_means, of_statistic, over_repeats, student
from scipy.stats import t


def test_intervals_hold_the_mean_and_shrink_with_queries() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(400)
    low, high = of_mean(values, rng)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)
    assert of_mean(np.full(20, 0.3), rng) == pytest.approx((0.3, 0.3))


def test_intervals_are_drawn_in_parts_as_at_once() -> None:
    values = np.random.default_rng(0).random(30)
    drawn = values[np.random.default_rng(5).integers(0, 30, (10_000, 30))].mean(axis=1)
    expected = np.percentile(drawn, [2.5, 97.5])
    assert of_mean(values, np.random.default_rng(5)) == pytest.approx(tuple(expected), abs=0)


def test_many_intervals_are_those_of_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((80, 2))
    values[:30, 1] = np.nan
    low, high = of_means(values, rng)
    for column in range(2):
        alone = of_mean(values[~np.isnan(values[:, column]), column], rng)
        assert (low[column], high[column]) == pytest.approx(alone, abs=0.01)


def test_intervals_cover_what_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(40):
        found = of_statistic(rng.normal(3, 1, (1, 200)), np.mean, seed=seed)
        assert found.low <= found.value <= found.high
        assert found.high - found.low == pytest.approx(2 * 1.96 / 200**0.5, rel=0.3)
        covered += found.low <= 3 <= found.high
    assert covered >= 33


def test_intervals_hold_the_difference_between_repeats() -> None:
    rng = np.random.default_rng(0)
    quiet = rng.normal(3, 0.1, (5, 200))
    loud = quiet + rng.normal(0, 1, (5, 1))
    assert np.ptp(of_statistic(loud)[1:]) > 5 * np.ptp(of_statistic(quiet)[1:])
    assert of_statistic(quiet) == of_statistic(quiet)


def test_throughput_has_an_interval_over_repeats() -> None:
    found = over_repeats([10, 12, 11])
    assert found.value == 11
    assert 10 <= found.low < 11 < found.high <= 12
    assert isnan(over_repeats([10.0]).low)


def test_a_statistic_is_drawn_over_repeats_and_queries_as_by_loops() -> None:
    values = np.random.default_rng(1).random((3, 7))
    rng, drawn = np.random.default_rng(4), []
    for _ in range(1_000):
        repeats = rng.integers(0, 3, (3, 1))[:, 0]
        queries = rng.integers(0, 7, 7)
        drawn.append(np.median([[values[repeat, query] for query in queries] for repeat in repeats]))
    expected = (np.median(values), *np.percentile(drawn, [2.5, 97.5]))
    assert of_statistic(values, seed=4) == pytest.approx(expected, abs=0)


def test_a_query_without_a_value_is_no_query() -> None:
    values = np.array([[0.5, nan], [0.5, nan], [0.5, 1.0]])
    low, high = of_means(values, np.random.default_rng(0))
    assert (low[0], high[0]) == (0.5, 0.5)
    assert isnan(low[1])  # not in every draw


def test_seeds_have_the_interval_of_student() -> None:
    values = [0.7, 0.8, 0.75, 0.9]
    mean, sd = np.mean(values), np.std(values, ddof=1)
    assert student(values) == pytest.approx((mean, *t.interval(0.95, 3, mean, sd / 2)))
    alone = student([0.7])
    assert alone.value == 0.7
    assert isnan(alone.low)
    assert isnan(alone.high)
    assert student([0.7, nan, *values[1:]]) == student(values)
    assert isnan(student([nan, nan]).value)
