"""Who is asked about, and who is learnt from: no patient on both sides.

Patients are dealt into five folds. A fold's questions are of its own patients; what is trained sees those of the other
four. Everybody but the patient asked about may be found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from cohorts.errors import InputError
from cohorts.harness.evaluate.retrieval.population import Mask, Names, Population, Rows

FOLDS = 5
_BLOCK, _CELLS = 200, 4_000_000  # questions at once, and their scores: some 240 MB with what ranks them


@dataclass(frozen=True)
class Fold:
    """Units to learn from, and q questions: the unit asked about, the cohort's name, and the columns of `member`, any
    of which makes another unit alike, (q, m).
    """

    number: int
    training: Rows
    units: Rows
    cohort: Names
    wanted: Mask

    def __len__(self) -> int:
        return len(self.units)


def deal(population: Population, folds: int, per_cohort: int, seed: int) -> list[Fold]:
    """Return the first `folds` of five, with at most `per_cohort` questions of each cohort among all of them.

    Of a patient with several units one is asked about. A cohort without a second patient has no question. Raises
    InputError where there are no questions at all.
    """
    rng = np.random.default_rng(seed)
    patients = int(population.patient.max()) + 1
    fold_of = (rng.permutation(patients) % FOLDS)[population.patient]
    cohort, units, wanted = [], [], []
    for name, own in _kinds(population):
        rows = _draw(own.any(axis=1) & (fold_of < folds), population, per_cohort, rng)
        cohort += [name] * len(rows)
        units.append(rows)
        wanted.append(own[rows])
    if not cohort:
        raise InputError(
            "There is nobody to ask about: no cohort has members on both sides.",
            remedy=f"Take more patients, other cohorts, or all {FOLDS} folds.",
            hint="all_folds",
            folds=FOLDS,
        )
    every = np.concatenate(units), np.array(cohort, np.str_), np.concatenate(wanted)
    asked_in = [fold_of[every[0]] == number for number in range(folds)]
    return [
        Fold(number, np.flatnonzero(fold_of != number), *(part[own] for part in every))
        for number, own in enumerate(asked_in)
    ]


def together(folds: Sequence[Fold]) -> Fold:
    """Return the questions of all folds as one, for which nobody learns."""
    parts = zip(*((fold.units, fold.cohort, fold.wanted) for fold in folds), strict=True)
    return Fold(-1, folds[0].training[:0], *map(np.concatenate, parts))


def blocks(population: Population, fold: Fold) -> Iterator[tuple[slice, Mask, Mask]]:
    """Yield some questions at a time: which, who is alike, and who is a candidate, (some, n) both."""
    many = max(1, min(_BLOCK, _CELLS // len(population)))
    for start in range(0, len(fold), many):
        some = slice(start, min(start + many, len(fold)))
        others = population.patient[fold.units[some]][:, None] != population.patient
        alike = (fold.wanted[some].astype(np.float32) @ population.member.T.astype(np.float32)) > 0
        yield some, alike & others, others


def _kinds(population: Population) -> Iterator[tuple[str, Mask]]:
    """Yield every kind of question: its name, and which cohorts make another unit like each one, (n, m).

    A cohort of a single patient makes nobody alike. Who is like nobody is not asked about.
    """
    several = [len(np.unique(population.patient[own])) > 1 for own in population.member.T]
    if population.any_shared:
        yield population.any_shared, population.member & several
    else:
        for name, column in zip(population.cohorts, np.eye(len(several), dtype=np.bool_), strict=True):
            yield name, population.member & several & column


def _draw(may: Mask, population: Population, most: int, rng: np.random.Generator) -> Rows:
    rows = rng.permutation(np.flatnonzero(may))
    _, first = np.unique(population.patient[rows], return_index=True)
    return np.sort(rows[np.sort(first)][:most])
