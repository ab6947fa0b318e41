"""Areas under curves and the test of two of them: by hand, against scikit-learn, loops and the bootstrap."""

from itertools import product
from math import isnan

import numpy as np
import pytest
from cohorts.errors import InputError
from cohorts.measures.intervals import Values
from cohorts.measures.prediction.discrimination import (
    auroc,
    aurocs,
    average_precision,
    average_precisions,
    compared,
    roc,
)
from cohorts.measures.prediction.outcomes import by_patient, estimate
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve


def drawn(seed: int, many: int, values: int = 12) -> tuple[Values, Values, Values]:
    """Outcomes and two scores, with ties, of which the first tells more."""
    rng = np.random.default_rng(seed)
    died = (rng.random(many) < 0.3).astype(float)
    first, second = (np.round(rng.normal(died * apart, 1) * values / 4) for apart in (1.5, 0.8))
    return died, first, second


def test_areas_by_hand() -> None:
    died, score = [1, 0, 1, 0], [4, 3, 2, 1]
    assert auroc(died, score) == 3 / 4
    assert average_precision(died, score) == pytest.approx((1 + 2 / 3) / 2)
    assert auroc([1, 0, 0], [2, 2, 1]) == 3 / 4  # a tie counts half
    assert average_precision([1, 0, 0], [2, 2, 1]) == 1 / 2


@pytest.mark.parametrize("seed", range(5))
def test_areas_are_those_of_scikit_learn(seed: int) -> None:
    died, score, _ = drawn(seed, 60)
    times = np.random.default_rng(seed).integers(0, 3, (20, 60)).astype(float)
    assert auroc(died, score) == pytest.approx(roc_auc_score(died, score))
    assert average_precision(died, score) == pytest.approx(average_precision_score(died, score))
    ours, theirs = aurocs(died, score, times), average_precisions(died, score, times)
    for row, weights in enumerate(times):
        assert ours[row] == pytest.approx(roc_auc_score(died, score, sample_weight=weights))
        assert theirs[row] == pytest.approx(average_precision_score(died, score, sample_weight=weights))


def test_the_roc_curve_is_that_of_scikit_learn() -> None:
    died, score, _ = drawn(0, 50)
    wrong, recall, _ = roc_curve(died, score, drop_intermediate=False)
    np.testing.assert_allclose(roc(died, score), [wrong, recall])
    assert np.isnan(roc([1, 1], [1, 2])[0]).all()


def test_one_outcome_alone_has_no_area_and_equal_scores_tell_nothing() -> None:
    assert isnan(auroc([1, 1], [1, 2]))
    assert isnan(auroc([0, 0], [1, 2]))
    assert isnan(average_precision([0, 0], [1, 2]))
    assert average_precision([1, 1], [1, 2]) == 1
    assert auroc([1, 0, 0, 1], [5, 5, 5, 5]) == 0.5
    assert average_precision([1, 0, 0, 0], [5, 5, 5, 5]) == 0.25


@pytest.mark.parametrize(
    ("died", "score", "told"),
    [
        ([0, 2], [1, 1], "1 of 2 outcomes"),
        ([0, np.nan], [1, 1], "1 of 2 outcomes"),
        ([0, 1], [1, np.nan], "1 of 2 scores"),
        ([0, 1], [1, np.inf], "1 of 2 scores"),
        ([0, 1], [1], "shape"),
        ([], [], "shape"),
    ],
)
def test_what_is_no_outcome_or_score_is_refused(died: list[float], score: list[float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        auroc(died, score)


def delong_by_loops(died: Values, first: Values, second: Values) -> float:
    """Return the variance of the difference, as the paper of 1988 writes it."""
    with_it, without = np.flatnonzero(died == 1), np.flatnonzero(died == 0)
    v10 = np.zeros((2, len(with_it)))
    v01 = np.zeros((2, len(without)))
    for which, score in enumerate((first, second)):
        for (i, one), (j, other) in product(enumerate(with_it), enumerate(without)):
            won = 1.0 if score[one] > score[other] else 0.5 if score[one] == score[other] else 0.0
            v10[which, i] += won / len(without)
            v01[which, j] += won / len(with_it)
    covariance = np.cov(v10) / len(with_it) + np.cov(v01) / len(without)
    contrast = np.array([1, -1])
    return float(contrast @ covariance @ contrast)


@pytest.mark.parametrize("seed", range(4))
def test_the_paired_test_is_delongs(seed: int) -> None:
    died, first, second = drawn(seed, 40)
    found = compared(died, first, second, np.arange(40))
    half = 1.959963984540054 * delong_by_loops(died, first, second) ** 0.5
    apart = roc_auc_score(died, first) - roc_auc_score(died, second)
    assert found.apart == pytest.approx((apart, apart - half, apart + half))


def test_the_paired_test_by_hand() -> None:
    # Areas 1 and 3/4. Each death wins over 1 and 1 of the others, then 1 and 1/2; each survivor over 1 and 1, then 1/2
    # and 1. So differences are 0 and 1/2 on either side, variance 1/8 each, over 2 of either: 1/8 in all.
    found = compared([1, 1, 0, 0], [4, 3, 2, 1], [4, 2, 3, 1], [0, 1, 2, 3])
    assert found.apart.value == 1 / 4
    assert found.apart.high - found.apart.value == pytest.approx(1.959964 * (1 / 8) ** 0.5)
    assert found.p == pytest.approx(0.4795, abs=1e-4)  # both sides of 1/4 over √(1/8) = .7071 deviations


def test_the_paired_test_agrees_with_the_bootstrap_by_patient() -> None:
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(250), 3)
    frail = np.repeat(rng.normal(0, 1, 250), 3)  # stays of one patient are alike
    died = (rng.random(750) < 0.15 + 0.3 * (frail > 0.7)).astype(float)
    first, second = frail + rng.normal(0, 0.5, 750), 0.5 * frail + rng.normal(0, 1, 750)
    found = compared(died, first, second, patients)
    apart = estimate(
        lambda times: aurocs(died, first, times) - aurocs(died, second, times), by_patient(patients)
    )
    assert found.apart.value == pytest.approx(apart.value)
    assert found.apart.high - found.apart.low == pytest.approx(apart.high - apart.low, rel=0.08)
    naive = compared(died, first, second, np.arange(750))
    assert naive.p != found.p


def test_the_paired_test_by_patient_is_obuchowskis() -> None:
    died, first, second = drawn(5, 60)
    owner = np.arange(60) % 25
    m, n, every = int(died.sum()), int(60 - died.sum()), 25
    sums = np.zeros(
        (2, 2, every)
    )  # by score, by side, by patient: what its stays win less what they would in the mean
    areas = [roc_auc_score(died, score) for score in (first, second)]
    for which, score in enumerate((first, second)):
        for stay in range(60):
            others = score[died != died[stay]]
            right = (score[stay] > others) if died[stay] else (score[stay] < others)
            wins = (right + (score[stay] == others) / 2).mean()
            sums[which, int(1 - died[stay]), owner[stay]] += wins - areas[which]
    own = [len(set(owner[died == side])) for side in (1, 0)]
    s10, s01 = (
        patients / ((patients - 1) * many) * sums[:, side] @ sums[:, side].T
        for side, (patients, many) in enumerate(zip(own, (m, n), strict=True))
    )
    s11 = every / (every - 1) * sums[:, 0] @ sums[:, 1].T
    covariance = s10 / m + s01 / n + (s11 + s11.T) / (m * n)
    contrast = np.array([1, -1])
    half = 1.959963984540054 * (contrast @ covariance @ contrast) ** 0.5
    found = compared(died, first, second, owner).apart
    assert found == pytest.approx((areas[0] - areas[1], found.value - half, found.value + half))


def test_the_paired_test_of_parts_is_of_their_mean() -> None:
    died, first, second = drawn(7, 90)
    part, owner = np.arange(90) % 3, np.arange(90)
    each = [compared(*(one[part == name] for one in (died, first, second, owner))) for name in range(3)]
    apart = np.mean([one.apart.value for one in each])
    half = sum((one.apart.high - one.apart.value) ** 2 for one in each) ** 0.5 / 3
    found = compared(
        died, first + 100 * part, second, owner, part
    )  # other scales of the parts change nothing
    assert found.apart == pytest.approx((apart, apart - half, apart + half))
    assert isnan(compared(died, first, second, owner, np.r_[np.zeros(89), 1]).p)


def test_stays_that_come_twice_tell_no_more() -> None:
    died, first, second = drawn(1, 80)
    found = compared(died, first, second, np.arange(80))
    twice = [np.tile(one, 2) for one in (died, first, second)]
    again = compared(twice[0], twice[1], twice[2], np.tile(np.arange(80), 2))
    assert again.apart == pytest.approx(found.apart)
    assert again.p == pytest.approx(found.p)


def test_equal_rankings_and_few_patients_have_no_p_value() -> None:
    died, first, _ = drawn(0, 40)
    same = compared(died, first, 3 * first + 1, np.arange(40))
    assert same.apart.value == 0
    assert isnan(same.p)
    assert isnan(same.apart.low)
    assert isnan(compared([1, 0, 0], [1, 2, 3], [3, 2, 1], [0, 1, 2]).p)


def test_intervals_are_drawn_by_patient() -> None:
    patients = ["a", "b", "a", "c"]
    times = by_patient(patients, seed=2)
    assert (times[:, 0] == times[:, 2]).all()
    assert ((times[:, 0] + times[:, 1] + times[:, 3]) == 3).all()
    np.testing.assert_array_equal(times, by_patient(patients, seed=2))
    rng = np.random.default_rng(2)
    drawn_once = np.bincount(rng.integers(0, 3, 3), minlength=3)[[0, 1, 0, 2]]
    np.testing.assert_array_equal(times[0], drawn_once)


def test_an_interval_is_that_of_loops_and_lacks_where_a_resample_has_no_figure() -> None:
    died, score, _ = drawn(4, 50)
    times = by_patient(np.arange(50))
    found = estimate(lambda weights: aurocs(died, score, weights), times)
    loops = [roc_auc_score(np.repeat(died, one), np.repeat(score, one)) for one in times]
    assert found == pytest.approx((roc_auc_score(died, score), *np.percentile(loops, [2.5, 97.5])))
    rare = np.zeros(50)
    rare[0] = 1
    alone = estimate(lambda weights: aurocs(rare, score, weights), times)
    assert not isnan(alone.value)
    assert isnan(alone.low)
