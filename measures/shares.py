"""Shares and their differences with 95 % intervals that hold for small groups, and for shares near 0 and 1."""

from cohorts.measures.intervals import NORMAL_95, UNTOLD, Estimate
from cohorts.measures.survival import Curve


def wilson(events: float, n: float) -> Estimate:
    """Return the share of `n` with the event; NaN of nobody. Both may be fractions, as an effective number is.

    Source: Wilson, 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not n > 0:
        return UNTOLD
    share, z2 = events / n, NORMAL_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_95 * (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5 / (1 + z2 / n)
    low = middle - half if share > 0 else 0.0
    high = middle + half if share < 1 else 1.0
    return Estimate(share, low, high)


def share_at(curve: Curve, day: float) -> Estimate:
    """Return the share that a curve tells of a day, with Wilson's interval; NaN beyond the curve's end.

    n is the curve's effective number. Where nobody had the event yet, it is how many were not censored before the day.
    Source: Rothman, 1978, Estimation of confidence limits for the cumulative probability of survival in life tables.
    """
    if not 0 <= day <= curve.end:
        return UNTOLD
    step = curve.step(day)
    share, n = float(curve.estimate[step]), float(curve.effective[step])
    if not curve.events[: step + 1].any():
        n = float(curve.at_risk[0] - curve.censored[curve.times < day].sum())
    return wilson(share * n, n)


def complement(share: Estimate) -> Estimate:
    """Return the share of the others: of those who died, from those who live."""
    return Estimate(1 - share.value, 1 - share.high, 1 - share.low)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Return how much the first is above the second, of two independent groups, by the method of variance recovery.

    Of two Wilson intervals it is Newcombe's method 10, of two normal ones the normal interval of the difference.
    Source: Newcombe, 1998, Interval estimation for the difference between independent proportions; Zou and Donner,
    2008, Construction of confidence limits about effect measures: a general approach.
    """
    apart = first.value - second.value
    down = ((first.value - first.low) ** 2 + (second.high - second.value) ** 2) ** 0.5
    up = ((first.high - first.value) ** 2 + (second.value - second.low) ** 2) ** 0.5
    return Estimate(apart, apart - down, apart + up)
