"""Two ways on the same queries: against scipy, by hand, and speed-ups with their interval."""

from math import isnan

import numpy as np
import pytest
from cohorts.errors import InputError
from cohorts.measures.paired import against, effect_size, signed_rank_p, speed_up, t_p
from scipy.stats import ttest_rel, wilcoxon


def test_paired_tests() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(40)
    found = against(base, {"better": base + 0.1 + rng.random(40) / 10, "same": base, "noise": rng.random(40)})
    assert found["better"] < 1e-6
    assert found["same"] == 1
    assert found["noise"] > 0.05
    alone = against(base, {"noise": rng.random(40)})
    assert 0 < alone["noise"] <= 1


def latencies(seed: int, factor: float = 1.0) -> np.ndarray:
    hard = np.random.default_rng(9).lognormal(0, 0.5, 300)  # some queries are hard for everybody
    noise_ = np.random.default_rng(seed).lognormal(0, 0.05, (3, 300))
    return np.asarray(factor * hard * noise_)


def test_speed_up_is_found_with_its_interval() -> None:
    found = speed_up(latencies(1, 2.0), latencies(2))
    assert found.ratio.low < 2 < found.ratio.high
    assert found.ratio.high - found.ratio.low < 0.3  # unpaired, it would be .4: queries differ by half
    assert found.p < 1e-10
    back = speed_up(latencies(2), latencies(1, 2.0))
    assert back.ratio.value == pytest.approx(1 / found.ratio.value)
    same = speed_up(latencies(1), latencies(1))
    assert (same.ratio.value, same.p) == (1, 1)
    assert same.ratio.low <= 1 <= same.ratio.high
    assert speed_up(latencies(1), latencies(2)).p > 0.01
    with pytest.raises(InputError, match="299 and 300 queries"):
        speed_up(latencies(1), latencies(2)[:, 1:])


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
