"""How well a score ranks those with the outcome above those without: areas under two curves, and a paired test.

Figures agree with scikit-learn's, which has no way to weigh many resamples at once.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.measures.intervals import NORMAL_95, Estimate, Values
from cohorts.measures.prediction.outcomes import Flags, checked, once, ratio

_ROUNDING = 1e-18  # of a variance


class Difference(NamedTuple):
    """The first area less the second, its 95 % interval, and the two-sided p-value; NaN where there is none."""

    apart: Estimate
    p: float


def auroc(outcome: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Return the area under the ROC curve of n stays; NaN where all or none have the outcome. A tie counts half."""
    return float(aurocs(outcome, score, once(len(np.asarray(outcome))))[0])


def aurocs(outcome: npt.ArrayLike, score: npt.ArrayLike, times: Values) -> Values:
    """Return that of every resample, (r,); `times` is (r, n)."""
    with_it, without = _by_score(*checked(outcome, score), times)
    below = np.cumsum(without, axis=1) - without
    won = (with_it * (below + without / 2)).sum(axis=1)
    return ratio(won, with_it.sum(axis=1) * without.sum(axis=1))


def average_precision(outcome: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Return the area under the precision-recall curve, a step function, of n stays; NaN where none has the outcome."""
    return float(average_precisions(outcome, score, once(len(np.asarray(outcome))))[0])


def average_precisions(outcome: npt.ArrayLike, score: npt.ArrayLike, times: Values) -> Values:
    """Return that of every resample, (r,); `times` is (r, n)."""
    with_it, without = (one[:, ::-1] for one in _by_score(*checked(outcome, score), times))
    found, wrong = np.cumsum(with_it, axis=1), np.cumsum(without, axis=1)
    precision = np.nan_to_num(ratio(found, found + wrong))  # of nobody, where a resample has not begun
    return ratio((with_it * precision).sum(axis=1), found[:, -1])


def roc(outcome: npt.ArrayLike, score: npt.ArrayLike) -> tuple[Values, Values]:
    """Return the corners of the ROC curve, from (0, 0) to (1, 1): 1 - specificity and recall, (corners,) both.

    NaN where all or none have the outcome.
    """
    happened, told = checked(outcome, score)
    curves = (one[0, ::-1] for one in _by_score(happened, told, once(len(told))))
    recall, wrong = (np.r_[0.0, np.cumsum(one)] for one in curves)
    return ratio(wrong, np.full(len(wrong), wrong[-1])), ratio(recall, np.full(len(recall), recall[-1]))


def compared(
    outcome: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    patients: npt.ArrayLike,
    parts: npt.ArrayLike | None = None,
) -> Difference:
    """Return how far two areas under the ROC curve of the same n stays lie apart; those of a patient go together.

    With a stay of each patient it is DeLong's test. With `parts` (n,), as of folds, each with patients of its own, both
    are means of the areas of the parts. NaN where one lacks two patients with the outcome, or two without; no interval
    and no p-value where both scores rank all alike.
    Source: DeLong, DeLong and Clarke-Pearson, 1988, Comparing the areas under two or more correlated receiver operating
    characteristic curves; Obuchowski, 1997, Nonparametric analysis of clustered ROC curve data, section 3.
    """
    happened, one = checked(outcome, first)
    _, other = checked(outcome, second)
    owner, part = np.asarray(patients), np.zeros(len(one)) if parts is None else np.asarray(parts)
    rows = [np.flatnonzero(part == name) for name in np.unique(part)]
    each = [_difference(happened[own], one[own], other[own], owner[own]) for own in rows]
    apart = float(np.mean([found for found, _ in each]))
    variance = float(np.sum([spread for _, spread in each])) / len(each) ** 2
    if not variance > _ROUNDING:
        return Difference(Estimate(apart, float("nan"), float("nan")), float("nan"))
    deviation = variance**0.5
    half = NORMAL_95 * deviation
    return Difference(Estimate(apart, apart - half, apart + half), _two_sided(apart / deviation))


def _difference(
    happened: Flags, first: Values, second: Values, patients: npt.NDArray[np.generic]
) -> tuple[float, float]:
    """Return how far two areas lie apart, and the variance of that; NaN of too few patients."""
    apart = auroc(happened, first) - auroc(happened, second)
    owner = np.unique(patients, return_inverse=True)[1]
    if min(len(np.unique(owner[side])) for side in (happened, ~happened)) < 2:
        return apart, float("nan")
    # How far each stay moves the difference of both areas: the covariance of the two needs no matrix.
    return apart, _variance(happened, _wins(happened, first) - _wins(happened, second), apart, owner)


def _two_sided(deviations: float) -> float:
    from scipy.special import ndtr

    return float(2 * ndtr(-abs(deviations)))


def _by_score(happened: Flags, told: Values, times: Values) -> tuple[Values, Values]:
    """Return how often those with the outcome, and those without, come at each value, rising, (r, values) both."""
    order = np.argsort(told, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(told[order]) > 0])
    sorted_times, ordered = times[:, order], happened[order]
    with_it, without = (np.add.reduceat(sorted_times * side, starts, axis=1) for side in (ordered, ~ordered))
    return with_it, without


def _wins(happened: Flags, told: Values) -> Values:
    """Return of each stay the share of those of the other side that it is on the right side of, (n,)."""
    made = np.empty(len(told))
    for side, sign in ((happened, 1), (~happened, -1)):
        others = np.sort(sign * told[~side])
        low, high = (np.searchsorted(others, sign * told[side], way) for way in ("left", "right"))
        made[side] = (low + high) / (2 * len(others))
    return made


def _variance(happened: Flags, wins: Values, area: float, owner: npt.NDArray[np.intp]) -> float:
    """Return the variance of an area, or of a difference of two: Obuchowski's S10, S01 and S11, by patient."""
    many = len(np.unique(owner))
    sums = [np.bincount(owner[side], wins[side] - area, minlength=many) for side in (happened, ~happened)]
    stays = [int(side.sum()) for side in (happened, ~happened)]
    own = [len(np.unique(owner[side])) for side in (happened, ~happened)]
    parts = [
        patients / (patients - 1) * float((one**2).sum()) / number**2
        for one, number, patients in zip(sums, stays, own, strict=True)
    ]
    both = many / (many - 1) * float((sums[0] * sums[1]).sum()) / (stays[0] * stays[1])
    return sum(parts) + 2 * both
