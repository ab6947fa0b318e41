"""Which admissions are learnt from and which are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.errors import InputError

TEST_SHARE = 0.2
_FEWEST = 10  # of those who died, on either side: below it, one admission moves the AUC by points


class SplitBy(StrEnum):
    """Of what a fifth is held out: patients, or admissions, as FineEHR has it: a patient may be on both sides then."""

    PATIENT = "patient"
    ADMISSION = "admission"


@dataclass(frozen=True)
class Split:
    """Rows of units. `training` is all that an encoder may learn from, `held_out` all else; `train` and `test` are the
    parts of them that classifiers see, as many who died as who survived.
    """

    training: npt.NDArray[np.intp]
    held_out: npt.NDArray[np.intp]
    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


def split(patients: "pd.Series[str]", died: npt.NDArray[np.bool_], by: SplitBy, seed: int) -> Split:
    """Hold out a fifth of the patients, or of the admissions, and downsample those who survived on both sides.

    `patients` and `died` are (n,), an admission each. Raises InputError where too few died.
    Source: FineEHR, section IV.
    """
    rng = np.random.default_rng(seed)
    owner = pd.factorize(patients)[0] if by is SplitBy.PATIENT else np.arange(len(patients))
    order = rng.permutation(owner.max() + 1)
    held = np.isin(owner, order[: max(1, round(TEST_SHARE * len(order)))])
    training, held_out = np.flatnonzero(~held), np.flatnonzero(held)
    return Split(training, held_out, _balanced(training, died, rng), _balanced(held_out, died, rng))


def _balanced(
    rows: npt.NDArray[np.intp], died: npt.NDArray[np.bool_], rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    dead, alive = rows[died[rows]], rows[~died[rows]]
    fewest = min(len(dead), len(alive))
    if fewest < _FEWEST:
        raise InputError(
            f"Of {len(rows):,} admissions on one side of the split, {len(dead):,} ended with death and {len(alive):,} "
            f"did not: at least {_FEWEST} of either are needed. Evaluate on a larger source."
        )
    return np.sort(np.concatenate([rng.choice(some, fewest, replace=False) for some in (dead, alive)]))


def listed(ids: Sequence[str], rows: npt.NDArray[np.intp]) -> frozenset[str]:
    """Return the ids of some rows."""
    return frozenset(ids[row] for row in rows.tolist())
