"""Stays dealt by patient: to learn from, to stop by, to recalibrate by; deaths go round as evenly as they can."""

import numpy as np
import numpy.typing as npt

FEWEST = 4  # deaths, and survivors, of which one learns or by which one stops
_PARTS = 8  # of the patients: one stops, one is held back, where they are enough

Rows = npt.NDArray[np.intp]
Patients = npt.NDArray[np.str_]
Died = npt.NDArray[np.float64]


def three_sides(patients: Patients, died: Died, rng: np.random.Generator) -> tuple[Rows, Rows, Rows]:
    """Return rows of n stays to learn from, to stop by, and to hold back from both; `died` (n,) is 0 or 1.

    An eighth of the patients stops and another one is held back, or as much more as four deaths and four survivors
    take: a plain draw may hold back no death at all. Of few patients, those who stop are held back as well.
    """
    parts = max(2, min(_PARTS, min(count(patients, died)) // FEWEST))
    part = deal(patients, died, parts, rng)
    apart = parts > 2  # two sides that are not learnt from
    return np.flatnonzero(part > apart), np.flatnonzero(part == 0), np.flatnonzero(part == apart)


def deal(patients: Patients, died: Died, parts: int, rng: np.random.Generator) -> Rows:
    """Return the part of each stay, (n,): those who died, and then the others, go round as a pack of cards does."""
    owner, dead = _patients(patients, died)
    order = rng.permutation(len(dead))
    order = order[np.argsort(~dead[order], kind="stable")]
    part = np.empty(len(dead), np.intp)
    part[order] = np.arange(len(dead)) % parts
    return part[owner]


def count(patients: Patients, died: Died) -> tuple[int, int]:
    """Return how many patients died, and how many did not."""
    _, dead = _patients(patients, died)
    return int(dead.sum()), int((~dead).sum())


def _patients(patients: Patients, died: Died) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Return the place of each stay's patient, and which patients died."""
    names, owner = np.unique(patients, return_inverse=True)
    return owner, np.bincount(owner, died, minlength=len(names)) > 0
