"""Corrections for several tests: by hand, and against scipy."""

import numpy as np
import pytest
from cohorts.measures.corrections import benjamini_hochberg, holm
from scipy.stats import false_discovery_control


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1, 1])


def test_false_discovery_rate_by_hand() -> None:
    # of p = .01, .02, .03, .5 the k-th smallest times 4/k: .04, .04, .04, .5
    assert benjamini_hochberg([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.04, 0.04])
    assert benjamini_hochberg([0.2]) == [0.2]
    assert benjamini_hochberg([]) == []


@pytest.mark.parametrize("many", [1, 2, 7, 40])
def test_false_discovery_rate_as_scipy_has_it(many: int) -> None:
    p = np.random.default_rng(many).random(many).tolist()
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p).tolist())
    assert all(one <= other + 1e-12 for one, other in zip(benjamini_hochberg(p), holm(p), strict=True))
