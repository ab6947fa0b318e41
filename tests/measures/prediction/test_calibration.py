"""Calibration and recalibration: by hand, against scikit-learn, and where nothing can be told."""

from math import isnan, log

import numpy as np
import pytest
from cohorts.errors import InputError
from cohorts.measures.intervals import Values
from cohorts.measures.prediction.calibration import (
    Recalibration,
    calibration,
    calibrations,
    probability,
    recalibrate,
    reliability,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss


def drawn(seed: int, many: int, off: float = 0, times: float = 1) -> tuple[Values, Values]:
    """Outcomes drawn by right logits, and what a model says: `off` + `times` · logit."""
    rng = np.random.default_rng(seed)
    right = rng.normal(-1, 1.5, many)
    return (rng.random(many) < probability(right)).astype(float), off + times * right


def test_right_probabilities_are_calibrated_and_wrong_ones_told() -> None:
    right = calibration(*drawn(0, 40_000))
    assert right.intercept[0] == pytest.approx(0, abs=0.04)
    assert right.slope[0] == pytest.approx(1, abs=0.04)
    high = calibration(*drawn(0, 40_000, off=0.7))
    assert high.intercept[0] == pytest.approx(-0.7, abs=0.04)
    assert calibration(*drawn(0, 40_000, times=2)).slope[0] == pytest.approx(0.5, abs=0.02)


def test_calibration_by_hand() -> None:
    # Two levels, 1 of 4 and 3 of 4 died; predicted are 1/3 and 2/3, logits ∓ log 2.
    died, logit = [1, 0, 0, 0, 1, 1, 1, 0], [-log(2)] * 4 + [log(2)] * 4
    found = calibration(died, logit)
    assert found.intercept[0] == pytest.approx(0, abs=1e-9)
    assert found.slope[0] == pytest.approx(log(3) / log(2))
    assert found.brier[0] == pytest.approx((6 * (1 / 3) ** 2 + 2 * (2 / 3) ** 2) / 8)
    # Predicted 1/2 for all, 1 of 4 died: log odds of 1/3.
    assert calibration([1, 0, 0, 0], [0, 0, 0, 0]).intercept[0] == pytest.approx(log(1 / 3))


@pytest.mark.parametrize("seed", range(3))
def test_calibration_is_that_of_scikit_learn_in_every_resample(seed: int) -> None:
    died, logit = drawn(seed, 120, off=0.3, times=1.4)
    times = np.random.default_rng(seed).integers(0, 3, (5, 120)).astype(float)
    found = calibrations(died, logit, times)
    for row, weights in enumerate(times):
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000)
        model.fit(logit[:, None], died, sample_weight=weights)
        assert found.slope[row] == pytest.approx(model.coef_[0, 0], rel=1e-4)
        brier = brier_score_loss(died, probability(logit), sample_weight=weights)
        assert found.brier[row] == pytest.approx(brier)
        put_right = probability(logit + found.intercept[row])
        assert (weights * put_right).sum() == pytest.approx((weights * died).sum())


def test_what_can_not_be_told_is_none() -> None:
    alive = calibration([0, 0, 0], [-1, 0, 1])
    assert isnan(alive.intercept[0])
    assert isnan(alive.slope[0])
    assert alive.brier[0] > 0
    assert isnan(calibration([0, 1, 0], [0.5, 0.5, 0.5]).slope[0])
    assert isnan(calibration([0, 0, 1, 1], [-2, -1, 1, 2]).slope[0])  # no slope is steep enough
    some = calibrations(
        [0, 0, 1, 1, 0], [-2, -1, 1, 2, 3], np.array([[1.0] * 5, [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]])
    )
    assert [isnan(one) for one in some.slope] == [False, True, True]
    assert [isnan(one) for one in some.intercept] == [False, False, True]


def test_recalibration_puts_right() -> None:
    learnt, judged = drawn(1, 20_000, off=0.8, times=1.7), drawn(2, 20_000, off=0.8, times=1.7)
    found = recalibrate(*learnt)
    after = calibration(judged[0], found.apply(judged[1]))
    before = calibration(*judged)
    assert before.slope[0] == pytest.approx(1 / 1.7, abs=0.03)
    assert after.slope[0] == pytest.approx(1, abs=0.05)
    assert after.intercept[0] == pytest.approx(0, abs=0.06)
    assert after.brier[0] < before.brier[0]
    assert found.slope == pytest.approx(1 / 1.7, abs=0.03)
    assert Recalibration(1, 2).apply([0.5, -1]) == pytest.approx([2, -1])


def test_recalibration_by_hand_adds_half_a_stay_to_each_cell() -> None:
    # So is Firth's likelihood of two levels. Nobody of 3 died at the lower one, 2 of 3 at the higher.
    found = recalibrate([0, 0, 0, 1, 1, 0], [10, 10, 10, 30, 30, 30])
    low, high = log(0.5 / 3.5), log(2.5 / 1.5)
    assert found.slope == pytest.approx((high - low) / 20)
    assert found.apply([10, 30]) == pytest.approx([low, high])


def test_recalibration_is_finite_whatever_few_stays_say() -> None:
    assert 0 < recalibrate([0, 0, 0, 1, 1], [1, 2, 3, 4, 5]).slope < 10
    rng = np.random.default_rng(0)
    for _ in range(200):
        died = np.r_[1, 0, rng.random(rng.integers(4, 30)) < 0.3].astype(float)
        score = np.round(3 * rng.normal(died * rng.choice([-3, 0, 3]), 1))
        found = recalibrate(died, score)
        assert abs(found.slope * score.std()) < 10
        shares = probability(found.apply(score))
        assert shares.sum() == pytest.approx(died.sum(), abs=1)  # leverages sum to 2


def test_recalibration_refuses_what_teaches_nothing() -> None:
    with pytest.raises(InputError, match="0 of 2 stays have the outcome"):
        recalibrate([0, 0], [1, 2])
    with pytest.raises(InputError, match="All of 3 scores are the same"):
        recalibrate([0, 1, 1], [1, 1, 1])


def test_reliability_by_hand() -> None:
    predicted = [0.1, 0.1, 0.2, 0.2, 0.6, 0.8]
    bins = reliability([0, 0, 0, 1, 1, 1], predicted, most=3)
    assert [one.stays for one in bins] == [2, 2, 2]
    assert [one.predicted for one in bins] == pytest.approx([0.1, 0.2, 0.7])
    assert [one.observed.value for one in bins] == [0, 0.5, 1]
    assert all(one.observed.low <= one.observed.value <= one.observed.high for one in bins)


def test_reliability_leaves_nobody_out_and_keeps_equal_ones_together() -> None:
    rng = np.random.default_rng(0)
    died, predicted = rng.random(1_000) < 0.3, rng.random(1_000)
    bins = reliability(died, predicted)
    assert [one.stays for one in bins] == [100] * 10
    assert sum(one.observed.value * one.stays for one in bins) == pytest.approx(died.sum())
    (alone,) = reliability([0, 1, 1], [0.4, 0.4, 0.4])
    assert alone.stays == 3
    assert alone.observed.value == pytest.approx(2 / 3)
