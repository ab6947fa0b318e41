"""Two ways on the same queries: against scipy, and by hand."""

from math import isnan

import numpy as np
import pytest
from cohorts.measures.paired import effect_size, signed_rank_p, t_p
from scipy.stats import ttest_rel, wilcoxon


def test_paired_tests() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(40)
    assert signed_rank_p(base + 0.1 + rng.random(40) / 10, base) < 1e-6
    assert signed_rank_p(base, base) == 1
    assert 0.05 < signed_rank_p(rng.random(40), base) <= 1


def test_tests_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(30), rng.random(30)
    assert signed_rank_p(first, second) == wilcoxon(first, second).pvalue
    assert t_p(first, second) == ttest_rel(first, second).pvalue
    apart = first - second
    assert effect_size(first, second) == pytest.approx(apart.mean() / np.sqrt(apart.var(ddof=1)))


def test_what_can_not_be_tested_has_no_p_value() -> None:
    same = np.array([0.1, 0.5, 0.7])
    assert isnan(t_p(same, same))
    assert isnan(t_p(same, same + 0.1))  # every difference is the same, but for rounding
    assert isnan(t_p([0.1], [0.2]))
    assert effect_size(same, same) == 0
    assert isnan(effect_size(same, same + 0.1))
