"""Whether predicted probabilities are what happens, and their correction at another time or site.

Source: Steyerberg, 2019, Clinical Prediction Models, chapter 15: calibration in the large, slope, and recalibration by
both; Van Calster et al., 2019, Calibration: the Achilles heel of predictive analytics.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.measures.intervals import Estimate, Values
from cohorts.measures.prediction.outcomes import checked, once, ratio
from cohorts.measures.shares import wilson

_STEPS = 30
_CLOSE = 1e-9
_FARTHEST = 20.0  # standard deviations: so far no likelihood is largest
_LONGEST = 2.0  # a step: beyond, a curve that is nearly flat would be left altogether


class Calibration(NamedTuple):
    """Of r resamples, (r,) each: intercept given a slope of 1 (0 is right), slope (1 is right), and Brier score.

    Below 0, the intercept says that probabilities are too high; below 1, the slope says that they are too extreme.
    """

    intercept: Values
    slope: Values
    brier: Values


class Bin(NamedTuple):
    """Stays of about one probability: its mean, the share that has the outcome with its interval, and how many."""

    predicted: float
    observed: Estimate
    stays: int


class Recalibration(NamedTuple):
    """What a logit, or any score, is put right with: `intercept` + `slope` · logit."""

    intercept: float
    slope: float

    def apply(self, logit: npt.ArrayLike) -> Values:
        """Return logits (n,) put right, (n,)."""
        return self.intercept + self.slope * np.asarray(logit, np.float64)


def probability(logit: npt.ArrayLike) -> Values:
    """Return the probabilities of logits, (n,)."""
    from scipy.special import expit

    made: Values = expit(np.asarray(logit, np.float64))
    return made


def calibration(outcome: npt.ArrayLike, logit: npt.ArrayLike) -> Calibration:
    """Return the calibration of n logits, (1,) each.

    Intercept and slope are NaN where all or none have the outcome, the slope where all logits are the same, or where
    they tell the outcome without a fault.
    """
    return calibrations(outcome, logit, once(len(np.asarray(outcome))))


def calibrations(outcome: npt.ArrayLike, logit: npt.ArrayLike, times: Values) -> Calibration:
    """Return that of every resample, (r,) each; `times` is (r, n)."""
    happened, told = checked(outcome, logit)
    missed = np.square(probability(told) - happened)
    centre, spread = float(told.mean()), float(told.std())
    slope = np.full(len(times), np.nan)
    if spread > _CLOSE:
        slope = _logistic((told - centre) / spread, happened.astype(np.float64), times)[:, 1] / spread
    return Calibration(_in_the_large(told, happened, times), slope, ratio(times @ missed, times.sum(axis=1)))


def reliability(outcome: npt.ArrayLike, predicted: npt.ArrayLike, most: int = 10) -> list[Bin]:
    """Return n stays in bins of about as many each, by rising probability; equal ones stand in one bin."""
    happened, told = checked(outcome, predicted)
    edges = np.unique(np.quantile(told, np.arange(1, most) / most))
    place = np.searchsorted(edges, told, side="left")
    bins = (np.flatnonzero(place == one) for one in np.unique(place))
    return [
        Bin(float(told[rows].mean()), wilson(int(happened[rows].sum()), len(rows)), len(rows))
        for rows in bins
    ]


def recalibrate(outcome: npt.ArrayLike, logit: npt.ArrayLike) -> Recalibration:
    """Return the intercept and slope that put logits, or any score, right, learnt from n stays.

    By Firth's penalized likelihood, which is finite where the scores tell the outcome of so few stays without a fault,
    and the usual one where there are many. Raises InputError where all or none have the outcome, or all scores are one.
    Source: Firth, 1993, Bias reduction of maximum likelihood estimates; Heinze and Schemper, 2002, A solution to the
    problem of separation in logistic regression.
    """
    happened, told = checked(outcome, logit)
    centre, spread = float(told.mean()), float(told.std())
    if happened.all() or not happened.any():
        raise InputError(
            f"{int(happened.sum()):,} of {len(happened):,} stays have the outcome: recalibration needs some with it, "
            "and some without."
        )
    if spread <= _CLOSE:
        raise InputError(f"All of {len(told):,} scores are the same: there is nothing to recalibrate.")
    fitted = _penalized((told - centre) / spread, happened.astype(np.float64))
    slope = float(fitted[1]) / spread
    return Recalibration(float(fitted[0]) - slope * centre, slope)


def _in_the_large(logit: Values, happened: npt.NDArray[np.bool_], times: Values) -> Values:
    """Return what is to be added to all logits so that as many have the outcome as are predicted, (r,)."""
    from scipy.special import logit as logit_of

    had, all_of_them = times @ happened, times.sum(axis=1)
    told = (had > 0) & (had < all_of_them)
    share = ratio(had, all_of_them)
    with np.errstate(divide="ignore"):
        aim = logit_of(share)
    # The sum of probabilities rises with what is added, between these two.
    low, high = aim - logit.max(), aim - logit.min()
    for _ in range(_STEPS):
        middle = (low + high) / 2
        too_low = (times * probability(logit + middle[:, None])).sum(axis=1) < had
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    return np.where(told, (low + high) / 2, np.nan)


def _logistic(score: Values, happened: Values, times: Values) -> Values:
    """Return intercept and slope of a logistic regression on one score in each resample, (r, 2); NaN where it has none.

    By Newton's steps, which never end where no number is best.
    """
    fitted = np.zeros((len(times), 2))
    for _ in range(_STEPS):
        likely = probability(fitted[:, :1] + fitted[:, 1:] * score)
        weight, missed = times * likely * (1 - likely), times * (happened - likely)
        # The information matrix [[a, b], [b, c]].
        a, b, c = weight.sum(axis=1), weight @ score, weight @ score**2
        determinant = a * c - b * b
        up, along = missed.sum(axis=1), missed @ score
        step = np.stack(
            [ratio(c * up - b * along, determinant), ratio(a * along - b * up, determinant)], axis=1
        )
        fitted += np.clip(step, -_LONGEST, _LONGEST)
        moves = ~np.isnan(fitted).any(axis=1) & (np.abs(step) >= _CLOSE).any(axis=1)
        if not moves.any():
            return fitted
    fitted[moves] = np.nan
    return fitted


def _penalized(score: Values, happened: Values) -> Values:
    """Return intercept and slope, (2,), that Firth's likelihood is largest at."""
    from scipy.optimize import minimize

    columns = np.stack([np.ones(len(score)), score], axis=1)

    def lacking(tried: Values) -> tuple[float, Values]:
        """Return the negative logarithm of the likelihood, and its slope."""
        told = columns @ tried
        likely = probability(told)
        weight = likely * (1 - likely)
        information = columns.T @ (weight[:, None] * columns)
        leverage = weight * np.einsum("ni,ij,nj->n", columns, np.linalg.pinv(information), columns)
        penalty = np.linalg.slogdet(information)[1] / 2
        rises = columns.T @ (happened - likely + leverage * (0.5 - likely))
        return float(np.logaddexp(0, told).sum() - happened @ told - penalty), -rises

    found = minimize(
        lacking,
        np.zeros(2),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_FARTHEST, _FARTHEST)] * 2,
        options={"ftol": 1e-15, "gtol": _CLOSE},
    )
    made: Values = found.x
    return made
