"""Columns with gaps: scaled by their shape, chosen by what they tell, and learnt on training stays alone."""

import numpy as np
import pytest
from cohorts.encoders.sepsis.columns import Scaling, binned, informative, skewness, usable
from scipy.stats import skew
from sklearn.metrics import mutual_info_score

RNG = np.random.default_rng(0)


def test_skewness_is_that_of_scipy() -> None:
    values = np.stack([RNG.normal(size=200), RNG.exponential(size=200)], axis=1)
    values[::7, 1] = np.nan
    np.testing.assert_allclose(skewness(values), skew(values, axis=0, nan_policy="omit"), rtol=1e-10)
    assert skewness(np.ones((5, 1))).tolist() == [0]


def test_a_skewed_column_runs_from_0_to_1_another_has_mean_0() -> None:
    values = np.stack([RNG.exponential(size=500), RNG.normal(7, 3, 500)], axis=1)
    made = Scaling.learn(values)
    scaled = made.scaled(values)
    assert (scaled[:, 0].min(), scaled[:, 0].max()) == (0, 1)
    np.testing.assert_allclose(scaled[:, 0], np.clip((values[:, 0] - made.centre[0]) / made.spread[0], 0, 1))
    assert (scaled[:, 1].mean(), scaled[:, 1].std()) == pytest.approx((0, 1), abs=1e-9)
    assert made.scaled(np.array([[1e9, 1e9]])).tolist() == [[1, 5]]
    np.testing.assert_allclose(made.filled(np.array([[np.nan, np.nan]]))[0], np.median(scaled, axis=0))


def test_a_constant_column_is_not_divided_by_0() -> None:
    made = Scaling.learn(np.full((9, 1), 4.0))
    assert made.scaled(np.array([[4.0]])).tolist() == [[0]]


def test_columns_that_lack_too_much_or_never_vary_are_left_out() -> None:
    values = np.stack([np.arange(10.0), np.full(10, 2.0), np.arange(10.0), np.full(10, np.nan)], axis=1)
    values[:6, 2] = np.nan
    assert usable(values, 0.6).tolist() == [True, False, True, False]
    assert usable(values, 0.5).tolist() == [True, False, False, False]


def test_the_most_telling_columns_come_first_and_none_twice() -> None:
    died = (RNG.random(2_000) < 0.3).astype(np.float64)
    strong, weak = died + RNG.normal(0, 0.5, 2_000), died + RNG.normal(0, 2, 2_000)
    values = np.stack(
        [weak, strong * 3 + 1, strong + RNG.normal(0, 0.01, 2_000), RNG.normal(size=2_000)], axis=1
    )
    taken = informative(values, died, 9).tolist()
    assert len(taken) == 3
    assert taken[0] in (1, 2)  # they are one column but for noise
    assert taken[1:] == [0, 3]
    assert informative(values, died, 1).tolist() == taken[:1]


def test_what_is_missing_can_tell_by_itself() -> None:
    died = (RNG.random(2_000) < 0.3).astype(np.float64)
    asked_for = np.where(RNG.random(2_000) < 0.2 + 0.6 * died, RNG.normal(size=2_000), np.nan)
    values = np.stack([RNG.normal(size=2_000), asked_for], axis=1)
    assert informative(values, died, 1).tolist() == [1]
    in_bins = binned(values)
    assert set(in_bins[np.isnan(asked_for), 1].tolist()) == {10}
    counts = np.bincount(in_bins[~np.isnan(asked_for), 1])
    assert counts.max() - counts.min() <= 1
    told = [mutual_info_score(in_bins[:, column], died) for column in (0, 1)]
    assert told[1] > 10 * told[0]
