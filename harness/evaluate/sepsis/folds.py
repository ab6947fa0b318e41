"""Who is learnt from, who is held back, and who is judged: patients dealt to folds, as many deaths in each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cohorts.encoders.sepsis.dealing import FEWEST, Rows, count, deal, three_sides
from cohorts.errors import InputError


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

    The training patients are dealt as `three_sides` says. Raises InputError for too few.
    """
    check_enough(patients, died, folds)
    dealt, made = deal(patients, died, folds, np.random.default_rng(seed)), []
    for number in range(folds):
        training, test = np.flatnonzero(dealt != number), np.flatnonzero(dealt == number)
        rng = np.random.default_rng([seed, number])
        learn, stop, held = three_sides(patients[training], died[training], rng)
        made.append(Fold(number, training[learn], training[stop], training[held], test))
    return made


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
