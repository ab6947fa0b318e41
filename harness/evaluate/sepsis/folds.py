"""Who is learnt from, who is held back, and who is judged: patients dealt to folds, as many deaths in each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError

Rows = npt.NDArray[np.intp]

FEWEST = 4  # deaths, and survivors, of which one learns or by which one stops (encoders/sepsis/training.py)
_PARTS = 8  # of the training patients: one stops, one is held back, where they are enough


@dataclass(frozen=True)
class Fold:
    """Rows of stays: `learn` trains a model, `stop` stops it and chooses its setting, `test` judges it.

    `held` sets its threshold and puts its probabilities right: on `stop` it does better than on others. Of few patients
    both are the same.
    """

    number: int
    learn: Rows
    stop: Rows
    held: Rows
    test: Rows


def folds_of(
    patients: npt.NDArray[np.str_], died: npt.NDArray[np.float64], folds: int, seed: int
) -> list[Fold]:
    """Return the folds of n stays, all of a patient on one side; `died` (n,) is 0 or 1.

    An eighth of the training patients stops and another one is held back, or as much more as four deaths and four
    survivors take: the plain draw of other encoders may hold back no death at all. Raises InputError for too few.
    """
    check_enough(patients, died, folds)
    dealt, made = deal(patients, died, folds, np.random.default_rng(seed)), []
    for number in range(folds):
        training, test = np.flatnonzero(dealt != number), np.flatnonzero(dealt == number)
        parts = max(2, min(_PARTS, min(count(patients[training], died[training])) // FEWEST))
        rng = np.random.default_rng([seed, number])
        inner = deal(patients[training], died[training], parts, rng)
        apart = parts > 2  # two sides that are not learnt from
        made.append(
            Fold(number, training[inner > apart], training[inner == 0], training[inner == apart], test)
        )
    return made


def deal(
    patients: npt.NDArray[np.str_], died: npt.NDArray[np.float64], parts: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Return the part of each stay, (n,): those who died, and then the others, go round as a pack of cards does."""
    owner, dead = _patients(patients, died)
    order = rng.permutation(len(dead))
    order = order[np.argsort(~dead[order], kind="stable")]
    part = np.empty(len(dead), np.intp)
    part[order] = np.arange(len(dead)) % parts
    return part[owner]


def count(patients: npt.NDArray[np.str_], died: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Return how many patients died, and how many did not."""
    _, dead = _patients(patients, died)
    return int(dead.sum()), int((~dead).sum())


def fewest(folds: int) -> int:
    """Return how many patients who died, and who did not, so many folds take."""
    learnt = 2 * FEWEST  # by the training side of a fold, half of them held back
    return max(2 * folds, -(-learnt * folds // (folds - 1)))


def check_enough(patients: npt.NDArray[np.str_], died: npt.NDArray[np.float64], folds: int) -> None:
    """Raise InputError where too few patients died, or lived, for so many folds."""
    dead, alive = count(patients, died)
    if min(dead, alive) < fewest(folds):
        raise InputError(
            f"Of {dead + alive:,} septic patients, {dead:,} died in hospital and {alive:,} did not: {folds} folds take "
            f"{fewest(folds)} of either. Evaluate on a larger source."
        )


def _patients(
    patients: npt.NDArray[np.str_], died: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Return the place of each stay's patient, and which patients died."""
    names, owner = np.unique(patients, return_inverse=True)
    return owner, np.bincount(owner, died, minlength=len(names)) > 0
