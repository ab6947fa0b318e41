"""Two ways measured on the same queries or seeds: signed-rank and t tests, size of the effect."""

import numpy as np
import numpy.typing as npt
from cohorts.measures.intervals import Values

_ROUNDING = 1e-9  # between differences that are one and the same


def signed_rank_p(first: Values, second: Values) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, (n,) both; 1 where nothing differs."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(first, second).pvalue) if np.any(first != second) else 1.0


def t_p(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the two-sided p-value of Student's paired t-test, (n,) both.

    NaN for a single pair, and where every difference is the same.
    """
    from scipy.stats import ttest_rel

    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if len(one) < 2 or np.ptp(one - two) <= _ROUNDING:
        return float("nan")
    return float(ttest_rel(one, two).pvalue)


def effect_size(first: Values, second: Values) -> float:
    """Return the mean difference in standard deviations of the differences; NaN where all differences are the same.

    It is 0 where nothing differs.
    """
    apart = first - second
    if not np.any(apart):
        return 0.0
    return float(apart.mean() / apart.std(ddof=1)) if np.ptp(apart) > _ROUNDING else float("nan")
