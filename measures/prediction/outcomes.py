"""Outcomes with a score each, and their resamples by patient, in which 95 % intervals of any measure are taken.

Measures whose name is a plural take `times`, (r, n): how often each of n stays comes in each of r resamples. They
return r figures at once, where one call for each resample takes a hundred times as long.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.measures.intervals import Estimate, Values, bootstrap, limits

Flags = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int16]

_AT_ONCE = 50  # resamples: some arrays of (resamples, stays) are made of each lot


def checked(outcome: npt.ArrayLike, score: npt.ArrayLike) -> tuple[Flags, Values]:
    """Return outcomes, 0 or 1, and scores, (n,) both. Raises InputError for none, for others, and for gaps."""
    happened, told = np.asarray(outcome, np.float64), np.asarray(score, np.float64)
    if happened.ndim != 1 or happened.shape != told.shape or not len(happened):
        raise InputError(
            f"Outcomes of shape {happened.shape} and scores of shape {told.shape}: every stay needs one of each."
        )
    strange = int((~np.isin(happened, (0, 1))).sum())
    if strange:
        raise InputError(
            f"{strange:,} of {len(happened):,} outcomes are neither 0 nor 1: leave those stays out."
        )
    gaps = int((~np.isfinite(told)).sum())
    if gaps:
        raise InputError(
            f"{gaps:,} of {len(told):,} scores are no finite number: leave out or fill those stays."
        )
    return happened == 1, told


def once(stays: int) -> Values:
    """Return the `times` of the stays themselves, (1, n)."""
    return np.ones((1, stays))


def by_patient(patients: npt.ArrayLike, seed: int = 0) -> Times:
    """Return how often each stay comes, (resamples, n), where as many patients as there are are drawn again and again.

    All stays of a patient, (n,), come together.
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    many = len(names)
    drawn = bootstrap(
        lambda rng: np.bincount(rng.integers(0, many, many), minlength=many)[owner].astype(np.int16), seed
    )
    return np.stack(drawn)


def estimate(measure: Callable[[Values], Values], times: Times) -> Estimate:
    """Return what `measure` makes of the stays, with its interval over resamples; see `estimates`."""
    return estimates(lambda weights: (measure(weights),), times)[0]


def estimates(measures: Callable[[Values], Sequence[Values]], times: Times) -> list[Estimate]:
    """Return what several measures, worked out together, make of the stays, each with its interval over resamples.

    There is no interval where some resample has no figure, as of no death at all.
    """
    values = np.stack(measures(once(times.shape[1])))[:, 0]
    parts = (times[start : start + _AT_ONCE].astype(np.float64) for start in range(0, len(times), _AT_ONCE))
    drawn = np.concatenate([np.stack(measures(part)) for part in parts], axis=1)
    return [_estimate(float(value), own) for value, own in zip(values, drawn, strict=True)]


def _estimate(value: float, drawn: Values) -> Estimate:
    if np.isnan(value) or np.isnan(drawn).any():
        return Estimate(value, float("nan"), float("nan"))
    return Estimate(value, *limits(drawn))


def ratio(above: Values, below: Values) -> Values:
    """Return one by the other; NaN by 0."""
    made: Values = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)
    return made
