"""Two ways measured on the same queries or seeds: signed-rank and t tests, size of the effect, speed-up."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.measures.corrections import holm
from cohorts.measures.intervals import Estimate, Values, bootstrap, draw_queries, draw_repeats, limits

_ROUNDING = 1e-9  # between differences that are one and the same


class SpeedUp(NamedTuple):
    """How many times faster than the base, with its interval, and the p-value of the paired test."""

    ratio: Estimate
    p: float


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


def against(base: Values, others: Mapping[str, Values]) -> dict[str, float]:
    """Return the p-value of each against `base`, query by query: Wilcoxon's signed-rank test, Holm's correction."""
    return dict(zip(others, holm([signed_rank_p(values, base) for values in others.values()]), strict=True))


def speed_up(base: Values, other: Values, *, seed: int = 0) -> SpeedUp:
    """Return how many times faster `other` is than `base` by the median latency, both (repeats, queries).

    The p-value is of Wilcoxon's signed-rank test on each query's median over the repeats; 1 where all are equal.
    Raises InputError where they are not of the same queries.
    """
    check_same_queries([base, other])

    def drawn(rng: np.random.Generator) -> float:
        queries = draw_queries(rng, base)
        return _ratio(base[draw_repeats(rng, base), queries], other[draw_repeats(rng, other), queries])

    p = signed_rank_p(np.median(other, axis=0), np.median(base, axis=0))
    return SpeedUp(Estimate(_ratio(base, other), *limits(bootstrap(drawn, seed))), p)


def check_same_queries(values: Sequence[Values]) -> None:
    """Raise InputError unless all, (repeats, queries) each, are of as many queries."""
    widths = {one.shape[1] for one in values}
    if len(widths) != 1:
        raise InputError(
            f"Settings are compared query by query; these have {' and '.join(map(str, sorted(widths)))} queries."
        )


def _ratio(base: Values, other: Values) -> float:
    return float(np.median(base) / np.median(other))
