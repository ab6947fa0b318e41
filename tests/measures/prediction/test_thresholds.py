"""Flags at a threshold: by hand, against scikit-learn, and what a published table can not be."""

from math import isnan

import numpy as np
import pytest
from cohorts.errors import InputError
from cohorts.measures.prediction.decision import net_benefit, treat_all
from cohorts.measures.prediction.thresholds import at_threshold, best_threshold, flagged
from sklearn import metrics


def test_flags_by_hand() -> None:
    # Of 10, 4 died; 3 of them and 1 other are flagged.
    died = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    risk = [0.9, 0.8, 0.5, 0.2, 0.6, 0.4, 0.3, 0.1, 0.1, 0.1]
    found = at_threshold(died, risk, 0.5)
    shares = (found.accuracy, found.recall, found.specificity, found.precision, found.f1, found.prevalence)
    assert [float(one[0]) for one in shares] == pytest.approx([0.8, 0.75, 5 / 6, 0.75, 0.75, 0.4])
    assert found.flagged[0] == 0.4


def test_flags_are_those_of_scikit_learn_in_every_resample() -> None:
    rng = np.random.default_rng(0)
    died, flags = rng.random(50) < 0.4, rng.random(50) < 0.5
    times = rng.integers(0, 3, (10, 50)).astype(float)
    found = flagged(died, flags, times)
    for row, weights in enumerate(times):
        given = {"sample_weight": weights}
        assert found.accuracy[row] == pytest.approx(metrics.accuracy_score(died, flags, **given))
        assert found.recall[row] == pytest.approx(metrics.recall_score(died, flags, **given))
        assert found.precision[row] == pytest.approx(metrics.precision_score(died, flags, **given))
        assert found.f1[row] == pytest.approx(metrics.f1_score(died, flags, **given))
        assert found.specificity[row] == pytest.approx(metrics.recall_score(~died, ~flags, **given))


def test_a_share_of_nobody_is_none() -> None:
    nobody = at_threshold([1, 0], [0.1, 0.2], 0.5)
    assert isnan(nobody.precision[0])
    assert nobody.f1[0] == 0
    alive = at_threshold([0, 0], [0.1, 0.2], 0.5)
    assert isnan(alive.recall[0])
    assert isnan(alive.f1[0])
    assert isnan(at_threshold([1, 1], [0.1, 0.2], 0.5).specificity[0])


def test_accuracy_lies_between_recall_and_specificity() -> None:
    """So the paper's accuracy of .8736 can't be with its specificity of .7912 and its recall of .5917."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        found = at_threshold(rng.random(30) < 0.3, rng.random(30), rng.random())
        low, high = sorted([float(found.recall[0]), float(found.specificity[0])])
        assert low - 1e-12 <= found.accuracy[0] <= high + 1e-12


def test_the_best_threshold_by_hand() -> None:
    died = [0, 0, 1, 0, 1, 1]
    # At 3: recall 1, specificity 2/3; at 5: 2/3 and 1. Of both the higher one.
    assert best_threshold(died, [1, 2, 3, 4, 5, 6]) == 5
    assert best_threshold([0, 1], [2, 2]) == 2
    assert best_threshold([1, 0], [1, 2]) == 1  # where the score tells the contrary, all are flagged


def test_the_best_threshold_is_that_of_the_roc_curve() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        died, score = rng.random(40) < 0.4, np.round(rng.normal(0, 3, 40))
        wrong, recall, values = metrics.roc_curve(died, score, drop_intermediate=False)
        best = best_threshold(died, score)
        assert best == values[1:][np.argmax(np.round(recall - wrong, 12)[1:])]


def test_no_threshold_is_chosen_of_one_outcome() -> None:
    with pytest.raises(InputError, match="All or none of 2 stays"):
        best_threshold([1, 1], [1, 2])


def test_net_benefit_by_hand() -> None:
    # Of 10, 4 died. From .5 on: 3 rightly, 1 wrongly; at .2: 4 and 3, each wrong one weighs 1/4.
    died = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    risk = [0.9, 0.8, 0.5, 0.2, 0.6, 0.4, 0.3, 0.1, 0.1, 0.1]
    assert net_benefit(died, risk, [0.5, 0.2]) == pytest.approx([0.3 - 0.1, 0.4 - 0.3 / 4])
    assert treat_all(died, [0.5, 0.2]) == pytest.approx([0.4 - 0.6, 0.4 - 0.6 / 4])
    assert net_benefit(died, np.zeros(10), [0.5]) == 0


def test_net_benefit_of_one_outcome_and_of_no_threshold() -> None:
    assert net_benefit([0, 0], [0.6, 0.1], [0.5]) == -0.5
    assert net_benefit([1, 1], [0.6, 0.1], [0.5]) == 0.5
    for threshold in (0, 1, np.nan):
        with pytest.raises(InputError, match="above 0 and below 1"):
            net_benefit([1, 0], [0.5, 0.5], [threshold])
