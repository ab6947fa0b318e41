"""What becomes of a score where those from a threshold on are flagged, and which threshold to take."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.measures.intervals import Values
from cohorts.measures.prediction.outcomes import checked, once, ratio


@dataclass(frozen=True)
class Flagged:
    """How many were flagged rightly and wrongly, and left rightly and wrongly, in r resamples, (r,) all.

    A share of nobody is NaN.
    """

    true_positives: Values
    false_positives: Values
    true_negatives: Values
    false_negatives: Values

    @property
    def all(self) -> Values:
        """Return how many there are."""
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives

    @property
    def accuracy(self) -> Values:
        """Return the share that was flagged or left rightly."""
        return ratio(self.true_positives + self.true_negatives, self.all)

    @property
    def recall(self) -> Values:
        """Return which share of those with the outcome was flagged."""
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> Values:
        """Return which share of those without the outcome was left."""
        return ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def precision(self) -> Values:
        """Return which share of those flagged has the outcome."""
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def f1(self) -> Values:
        """Return the harmonic mean of precision and recall; 0 where nobody was flagged rightly."""
        return ratio(
            2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives
        )

    @property
    def prevalence(self) -> Values:
        """Return the share that has the outcome."""
        return ratio(self.true_positives + self.false_negatives, self.all)

    @property
    def flagged(self) -> Values:
        """Return the share that was flagged."""
        return ratio(self.true_positives + self.false_positives, self.all)


def at_threshold(outcome: npt.ArrayLike, score: npt.ArrayLike, threshold: float) -> Flagged:
    """Return what becomes of n stays where those with a score of `threshold` and more are flagged, (1,) each."""
    told = np.asarray(score, np.float64)
    return flagged(outcome, told >= threshold, once(len(told)))


def flagged(outcome: npt.ArrayLike, flags: npt.ArrayLike, times: Values) -> Flagged:
    """Return what becomes of every resample where those of `flags` (n,) are flagged, (r,) each; `times` is (r, n)."""
    happened, told = checked(outcome, flags)
    flag = told > 0
    parts = (happened & flag, ~happened & flag, ~happened & ~flag, happened & ~flag)
    return Flagged(*(times @ part.astype(np.float64) for part in parts))


def best_threshold(outcome: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Return the score from which on stays are flagged so that recall + specificity is largest, by Youden's index.

    Of several the highest. To be asked of stays that no figure is of. Raises InputError where all or none have the
    outcome. Source: Youden, 1950, Index for rating diagnostic tests.
    """
    happened, told = checked(outcome, score)
    if happened.all() or not happened.any():
        raise InputError(
            f"All or none of {len(happened):,} stays have the outcome: no threshold can be chosen on them. Take more."
        )
    values, place = np.unique(told, return_inverse=True)
    recall, wrong = (
        np.cumsum(np.bincount(place[side], minlength=len(values))[::-1]) / side.sum()
        for side in (happened, ~happened)
    )
    return float(values[::-1][np.argmax(np.round(recall - wrong, 12))])
