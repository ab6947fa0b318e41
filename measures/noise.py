"""Whether repeated runs of the same settings agree, or the machine was too noisy to tell settings apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.measures.intervals import NORMAL_95

_AGREES = 0.05  # what differs by less is the same to anyone who chooses an engine
_MOST_APART = 0.05  # of the settings: some are disturbed on any machine
_MOST_SPREAD = 0.1  # beyond, settings that differ by a fifth are not told apart


@dataclass(frozen=True)
class Noise:
    """Whether runs of the same settings agree: which settings lie apart, and which pairs changed places.

    95 % of the figures lie within ±`spread`, a share, of what they would be in the mean of many runs.
    """

    settings: int
    spread: float
    apart: tuple[str, ...]
    swapped: tuple[tuple[str, str], ...]

    @property
    def too_noisy(self) -> bool:
        """Tell whether the machine was too noisy to believe differences between settings."""
        many = len(self.apart) > _MOST_APART * self.settings
        return bool(self.swapped) or many or self.spread > _MOST_SPREAD

    @property
    def line(self) -> str:
        """Return the verdict in words."""
        told = f"medians lie within ±{self.spread:.1%}, {len(self.apart)} of {self.settings} settings further apart"
        if not self.too_noisy:
            return f"Repeats agree: {told}, none changed places."
        swapped = f"; {self.swapped[0][0]} and {self.swapped[0][1]} changed places" if self.swapped else ""
        return (
            f"The machine was too noisy: between repeats {told}{swapped}. Measure again with nothing else running, "
            "longer, or with more repeats."
        )


def noise(runs: Sequence[Mapping[str, float]]) -> Noise:
    """Return whether several runs of the same settings agree, each told by a figure of every setting, as its median.

    How far one setting's figures lie from each other is the machine's doing, not the setting's: it is one spread for
    all, taken from their median, so that the few that were disturbed do not make it. Settings lie apart where two runs
    differ by more than the two 95 % intervals that follow from it, and by more than 5 %. Two change places where one
    run puts the first that far below the second, and another one above it.
    Raises InputError for fewer than two runs, or runs of other settings, or of none.
    """
    from scipy.stats import chi2

    if len(runs) < 2 or not runs[0] or any(run.keys() != runs[0].keys() for run in runs):
        raise InputError("Whether runs agree is asked of two or more runs of the same settings.")
    names, freedom = list(runs[0]), len(runs) - 1
    logs = np.log([[run[name] for name in names] for run in runs])
    # Squared deviations of normal errors follow chi², of which this is the median.
    deviation = np.sqrt(np.median(logs.var(axis=0, ddof=1)) * freedom / chi2.median(freedom))
    far = max(2 * NORMAL_95 * deviation, np.log1p(_AGREES))
    apart = tuple(name for name, some in zip(names, logs.T, strict=True) if np.ptp(some) > far)
    swapped = tuple(
        (names[one], names[two])
        for one, two in combinations(range(len(names)), 2)
        if _both_ways(logs[:, one] - logs[:, two], far)
    )
    return Noise(len(names), float(np.expm1(NORMAL_95 * deviation)), apart, swapped)


def _both_ways(differences: npt.NDArray[np.float64], far: float) -> bool:
    return bool((differences > far).any() and (differences < -far).any())
