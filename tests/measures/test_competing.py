"""Incidence beside competing endings: by hand, and against what it must come to in simple cases."""

import numpy as np
import pytest
from cohorts.measures.competing import aalen_johansen
from cohorts.measures.survival import kaplan_meier


def test_incidence_by_hand() -> None:
    made = aalen_johansen([1, 2, 3, 4, 5], [1, 2, 1, 0, 1])
    assert made.times.tolist() == [0, 1, 2, 3, 4, 5]
    assert made.estimate == pytest.approx([0, 0.2, 0.2, 0.4, 0.4, 0.8])
    assert made.at_risk.tolist() == [5, 5, 4, 3, 2, 1]
    assert made.events.tolist() == [0, 1, 0, 1, 0, 1]
    assert made.competing.tolist() == [0, 0, 1, 0, 0, 0]
    assert made.censored.tolist() == [0, 0, 0, 0, 1, 0]
    assert made.at(100).value == pytest.approx(0.8)  # all are known, and the dead will not come


def test_without_a_competing_ending_it_is_kaplan_meier() -> None:
    rng = np.random.default_rng(0)
    durations, kinds = rng.integers(1, 30, 80), rng.random(80) < 0.5
    made, other = aalen_johansen(durations, kinds.astype(int)), kaplan_meier(durations, kinds)
    assert made.estimate == pytest.approx(1 - other.estimate, abs=1e-14)
    assert made.variance == pytest.approx(other.variance, abs=1e-14)


def test_where_the_event_came_to_all_the_share_is_one_without_rounding() -> None:
    assert {aalen_johansen(np.arange(n), np.ones(n, int)).estimate[-1] for n in range(2, 60)} == {1.0}


def test_without_censoring_it_is_a_share_of_all() -> None:
    rng = np.random.default_rng(1)
    durations, kinds = rng.integers(1, 30, 200), rng.integers(1, 4, 200)
    made = aalen_johansen(durations, kinds)
    for day in (3, 10, 29):
        share = ((durations <= day) & (kinds == 1)).mean()
        assert made.at(day).value == pytest.approx(share)
        assert made.variance[made.step(day)] == pytest.approx(share * (1 - share) / 200)


def test_the_dead_are_not_taken_for_censored() -> None:
    durations, kinds = np.arange(1, 101), np.tile([2, 1], 50)
    taken = kaplan_meier(durations, kinds == 1)
    assert aalen_johansen(durations, kinds).at(100).value == pytest.approx(0.5)
    assert taken.at(100).value == 0


def test_kinds_of_competing_endings_are_one() -> None:
    rng = np.random.default_rng(2)
    durations, kinds = rng.random(60), rng.integers(0, 5, 60)
    made, other = aalen_johansen(durations, kinds), aalen_johansen(durations, np.minimum(kinds, 2))
    assert np.array_equal(made.estimate, other.estimate)
    assert np.array_equal(made.high, other.high)
