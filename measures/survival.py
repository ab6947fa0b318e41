"""Time to an event when some were not followed until theirs: Kaplan-Meier, restricted mean, median, log-rank.

Durations are days from time zero to the event, or to where one was last known without it (censored). Censoring must
not depend on what would have come. An event and a censoring at one time: the event came first.
"""

from dataclasses import dataclass, replace
from math import exp, inf, nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.measures.intervals import NORMAL_95, UNTOLD, Estimate, Values

Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class Curve:
    """A share that steps at `times`, (t,) days, distinct and rising, 0 first; all else is (t,) too, but for `end`.

    `estimate` holds from its time on, `low` and `high` are its pointwise 95 % band and `variance` its variance;
    `effective` is the number of whom, all followed, a share would have this variance: without censoring it is n.
    `at_risk` were followed up to just before the time; there `events` came, `competing` ended otherwise, and
    `censored` were seen last. `end` is the last day that the curve says something of: that of the longest duration if
    this one was censored, or infinity, for then everybody's ending is known and nothing can change any more.
    """

    times: Values
    estimate: Values
    low: Values
    high: Values
    variance: Values
    effective: Values
    at_risk: Counts
    events: Counts
    competing: Counts
    censored: Counts
    end: float

    def at(self, day: float) -> Estimate:
        """Return what the curve is at a day of 0 or later, with its band; NaN beyond `end`."""
        if not 0 <= day <= self.end:
            return UNTOLD
        step = self.step(day)
        return Estimate(float(self.estimate[step]), float(self.low[step]), float(self.high[step]))

    def step(self, day: float) -> int:
        """Return which of `times` is the last up to a day of 0 or later."""
        return int(np.searchsorted(self.times, day, side="right")) - 1

    def followed(self, day: float) -> int:
        """Return how many are at risk just before a day: their durations are as long, or longer. Up to `end`."""
        after = int(np.searchsorted(self.times, day, side="left"))
        if after < len(self.times):
            return int(self.at_risk[after])
        return int(self.at_risk[-1] - self.events[-1] - self.competing[-1] - self.censored[-1])

    def until(self, day: float) -> "Curve":
        """Return the curve up to a day of 0 or later, and nothing of what came afterwards."""
        rows = slice(self.step(day) + 1)
        return replace(
            self,
            times=self.times[rows],
            estimate=self.estimate[rows],
            low=self.low[rows],
            high=self.high[rows],
            variance=self.variance[rows],
            effective=self.effective[rows],
            at_risk=self.at_risk[rows],
            events=self.events[rows],
            competing=self.competing[rows],
            censored=self.censored[rows],
            end=min(self.end, day),
        )


class Tally(NamedTuple):
    """How many of n were at risk, had the event, another ending or none, at the distinct times; fields as of Curve."""

    times: Values
    at_risk: Counts
    events: Counts
    competing: Counts
    censored: Counts
    end: float


class LogRank(NamedTuple):
    """Chi-squared statistic, its p-value and its degrees of freedom."""

    statistic: float
    p: float
    freedom: int


def kaplan_meier(durations: npt.ArrayLike, observed: npt.ArrayLike) -> Curve:
    """Return the share still without the event; `durations` is (n,) days, `observed` (n,) bool: False is censored.

    The variance is Greenwood's, the band that of log(-log S), and Wilson's where the share is 1 or 0: lifelines,
    scikit-survival and R have one of no width there. Raises InputError for durations that can't be.
    Source: Kaplan and Meier, 1958, Nonparametric estimation from incomplete observations; the band: Kalbfleisch and
    Prentice, 2002, The statistical analysis of failure time data, section 1.4.
    """
    found = tally(durations, np.asarray(observed, np.bool_).astype(np.int64))
    survived: Values = np.cumprod(1 - found.events / found.at_risk, dtype=np.float64)
    variance: Values = survived**2 * np.cumsum(greenwood(found.events, found.at_risk))
    return curve_of(found, survived, variance)


def tally(durations: npt.ArrayLike, kinds: npt.ArrayLike) -> Tally:
    """Count (n,) durations by their distinct times; `kinds` (n,) int: 0 censored, 1 the event, more is competing.

    Raises InputError where there is none, a duration is negative or no number, or the two are of other lengths.
    """
    days, ended = np.asarray(durations, np.float64), np.asarray(kinds)
    if days.ndim != 1 or days.shape != ended.shape or not len(days):
        raise InputError(
            f"Time to an event takes one duration or more, each with its ending; got {days.shape} and {ended.shape}."
        )
    if not (days >= 0).all() or not np.isfinite(days).all():
        raise InputError(
            "A duration is a number of days, 0 or more; some are negative, infinite or not a number."
        )
    times, place = np.unique(np.append(days, 0), return_inverse=True)
    at = place[:-1]
    events, competing, censored = (
        np.bincount(at[chosen], minlength=len(times)) for chosen in (ended == 1, ended > 1, ended == 0)
    )
    ending = events + competing + censored
    at_risk = len(days) - np.cumsum(ending) + ending
    return Tally(times, at_risk, events, competing, censored, float(times[-1]) if censored[-1] else inf)


def greenwood(events: Counts, at_risk: Counts) -> Values:
    """Return d / (n (n - d)) at every time, (t,) all; 0 where the event came to all at risk."""
    return np.divide(events, at_risk * (at_risk - events), out=np.zeros(len(events)), where=events < at_risk)


def curve_of(found: Tally, estimate: Values, variance: Values) -> Curve:
    """Return the curve of an estimate and its variance, both (t,), with its band on the scale of log(-log)."""
    inner = (estimate > 0) & (estimate < 1)
    share = np.where(inner, estimate, 0.5)
    power = np.exp(NORMAL_95 * np.sqrt(variance) / (share * np.log(share)))  # below 1
    effective = _effective(found, inner, estimate, variance)
    edge = NORMAL_95**2 / (effective + NORMAL_95**2)  # Wilson's limit where none had it, of so many
    return Curve(
        times=found.times,
        estimate=estimate,
        low=np.where(inner, share ** (1 / power), np.where(estimate > 0, 1 - edge, 0)),
        high=np.where(inner, share**power, np.where(estimate > 0, 1, edge)),
        variance=variance,
        effective=effective,
        at_risk=found.at_risk,
        events=found.events,
        competing=found.competing,
        censored=found.censored,
        end=found.end,
    )


def _effective(found: Tally, inner: Flags, estimate: Values, variance: Values) -> Values:
    """Return effective numbers, (t,): where nobody had the event yet all who were not censored before.

    Where all had it, which may be of the last time alone, it is that of the time before.
    """
    n = found.at_risk[0] - (found.censored.cumsum() - found.censored)
    effective = np.where(inner, estimate * (1 - estimate) / np.where(inner, variance, 1), n)
    if len(n) > 1 and not inner[-1] and found.events.any():
        effective[-1] = effective[-2]
    return effective


def restricted_mean(curve: Curve, until: float) -> Estimate:
    """Return the mean days without the event within the first `until` days: the area under a survival curve.

    The variance is Greenwood's sum weighted by the squared area that is left, the interval normal for the log odds of
    mean / until: symmetric ones are too narrow for groups of 50 (docs/statistics.md). Without an event so far there is
    none; beyond the curve's end all is NaN.
    Source: Klein and Moeschberger, 2003, Survival analysis, section 4.5; Irwin, 1949.
    """
    if not 0 <= until <= curve.end:
        return UNTOLD
    cut = curve.until(until)
    areas = cut.estimate * np.diff(cut.times, append=until)
    left = areas[::-1].cumsum()[::-1]  # from each time to the last day
    mean = float(left[0])
    variance = float((left**2 * greenwood(cut.events, cut.at_risk)).sum())
    if not variance:
        return Estimate(mean, nan, nan)
    factor = exp(NORMAL_95 * sqrt(variance) * until / (mean * (until - mean)))
    odds = mean / (until - mean)
    return Estimate(mean, *(until * one / (1 + one) for one in (odds / factor, odds * factor)))


def median(curve: Curve) -> Estimate:
    """Return the first day by which a survival curve is at a half or below, with its interval; infinite: never.

    Its ends are the days on which the limits of the band get there, those of log(-log S) alone.
    Source: Brookmeyer and Crowley, 1982, A confidence interval for the median survival time.
    """
    inner = (curve.estimate > 0) & (curve.estimate < 1)
    limits = (np.where(inner, side, curve.estimate) for side in (curve.low, curve.high))
    return Estimate(*(_first(curve.times, side) for side in (curve.estimate, *limits)))


def _first(times: Values, share: Values) -> float:
    below = share <= 0.5 + _ROUNDING
    return float(times[below.argmax()]) if below.any() else inf


def log_rank(durations: npt.ArrayLike, observed: npt.ArrayLike, groups: npt.ArrayLike) -> LogRank:
    """Return the test that groups have one hazard; all (n,), `groups` are any labels, of two kinds or more.

    The variance is hypergeometric, with ties. A group of whom nobody was at risk at any event adds no degree of
    freedom; NaN where no two groups were.
    Raises InputError for durations that can't be, and for fewer than two groups.
    Source: Mantel, 1966; Peto and Peto, 1972, Asymptotically efficient rank invariant test procedures.
    """
    from scipy.stats import chi2

    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2 or group.shape != np.shape(durations):
        raise InputError(
            f"A log-rank test compares two groups or more, a label for each duration; got {len(names)}."
        )
    days, happened = np.asarray(durations, np.float64), np.asarray(observed, np.bool_)
    found = tally(days, happened.astype(np.int64))
    when = found.events > 0
    times, events, all_at_risk = found.times[when], found.events[when], found.at_risk[when]
    own = [np.sort(days[group == one]) for one in range(len(names))]
    at_risk = np.stack([len(some) - np.searchsorted(some, times, side="left") for some in own], axis=1)
    share = at_risk / all_at_risk[:, None]
    spread = events * (all_at_risk - events) / np.maximum(all_at_risk - 1, 1)
    excess = np.bincount(group[happened], minlength=len(names)) - events @ share
    covariance = np.diag(spread @ share) - share.T @ (spread[:, None] * share)
    freedom = int(np.linalg.matrix_rank(covariance, tol=_ROUNDING * spread.sum(), hermitian=True))
    if not freedom:
        return LogRank(nan, nan, 0)
    statistic = float(excess @ np.linalg.pinv(covariance, rcond=_ROUNDING, hermitian=True) @ excess)
    return LogRank(statistic, float(chi2.sf(statistic, freedom)), freedom)
