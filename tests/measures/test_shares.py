"""Shares and differences: the published examples, and shares of curves."""

from math import isnan

import numpy as np
import pytest
from cohorts.measures.competing import aalen_johansen
from cohorts.measures.shares import complement, difference, share_at, wilson
from cohorts.measures.survival import kaplan_meier

# Newcombe, 1998: Two-sided confidence intervals for the single proportion, table I, method 3.
SINGLE = {
    (81, 263): (0.2553, 0.3662),
    (15, 148): (0.0624, 0.1605),
    (0, 20): (0, 0.1611),
    (1, 29): (0.0061, 0.1718),
}
# Newcombe, 1998: Interval estimation for the difference between independent proportions, table II, method 10.
APART = {
    (56, 70, 48, 80): (0.0524, 0.3339),
    (9, 10, 3, 10): (0.1705, 0.8090),
    (6, 7, 2, 7): (0.0582, 0.8062),
    (5, 56, 0, 29): (-0.0381, 0.1926),
    (0, 10, 0, 20): (-0.1611, 0.2775),
    (10, 10, 0, 20): (0.6791, 1),
}


@pytest.mark.parametrize("of", SINGLE)
def test_shares_have_the_published_intervals(of: tuple[int, int]) -> None:
    found = wilson(*of)
    assert found.value == of[0] / of[1]
    assert found[1:] == pytest.approx(SINGLE[of], abs=5e-5)


@pytest.mark.parametrize("of", APART)
def test_differences_have_the_published_intervals(of: tuple[int, int, int, int]) -> None:
    found = difference(wilson(*of[:2]), wilson(*of[2:]))
    assert found.value == pytest.approx(of[0] / of[1] - of[2] / of[3])
    assert found[1:] == pytest.approx(APART[of], abs=5e-5)


def test_shares_of_nobody_and_of_all() -> None:
    assert isnan(wilson(0, 0).value)
    assert wilson(0, 8).low == 0
    assert wilson(8, 8).high == 1
    assert complement(wilson(3, 10)) == pytest.approx(wilson(7, 10))


def test_without_censoring_a_share_of_a_curve_is_wilsons() -> None:
    durations = np.arange(1, 41)
    alive = kaplan_meier(durations, np.ones(40))
    for day, dead in ((0, 0), (1, 1), (30, 30), (40, 40), (99, 40)):
        assert share_at(alive, day) == pytest.approx(wilson(40 - dead, 40))
    first = aalen_johansen(durations, np.tile([1, 2], 20))
    assert share_at(first, 30) == pytest.approx(wilson(15, 40))
    assert share_at(aalen_johansen(durations, np.ones(40, int)), 40) == pytest.approx(wilson(40, 40))


def test_censoring_takes_from_the_effective_number() -> None:
    durations, kinds = np.arange(1, 101), np.tile([1, 0], 50)
    found, all_followed = share_at(kaplan_meier(durations, kinds == 1), 50), wilson(66, 100)
    assert found.high - found.low > all_followed.high - all_followed.low
    curve = kaplan_meier(durations, kinds == 1)
    share = curve.at(50).value
    n = share * (1 - share) / curve.variance[curve.step(50)]
    assert 75 < n < 100  # 25 of the first 50 left; some of what they were followed counts
    assert found == pytest.approx(wilson(share * n, n))


def test_where_nothing_happened_those_who_stayed_count() -> None:
    curve = kaplan_meier([5, 10, 20, 20], [False] * 4)
    assert share_at(curve, 10) == pytest.approx(wilson(3, 3))
    assert share_at(curve, 20) == pytest.approx(wilson(2, 2))
    assert isnan(share_at(curve, 21).value)
    gone = kaplan_meier([5, 10, 20, 20], [False, True, True, True])
    assert share_at(gone, 30) == pytest.approx(wilson(0, gone.effective[-2]))
    assert gone.effective[-2] == pytest.approx(3)


def test_a_difference_of_normal_intervals_is_normal() -> None:
    first, second = (10.0, 10 - 3.0, 10 + 3.0), (4.0, 4 - 4.0, 4 + 4.0)
    found = difference(*(type(wilson(1, 2))(*one) for one in (first, second)))
    assert found == pytest.approx((6, 1, 11))
