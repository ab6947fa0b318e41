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
    asked = [(fold_of < folds) & own for own in _may_be_asked(population)]
    drawn = [_draw(rows, population, per_cohort, rng) for rows in asked]
    made = [_fold(number, fold_of, drawn, population) for number in range(folds)]
    if not sum(map(len, made)):
        raise InputError(
            "There is nobody to ask about: no cohort has members on both sides.",
            remedy=f"Take more patients, other cohorts, or all {FOLDS} folds.",
            hint="all_folds",
            folds=FOLDS,
        )
    return made


def blocks(population: Population, fold: Fold) -> Iterator[tuple[slice, Mask, Mask]]:
    """Yield some questions at a time: which, who is alike, and who is a candidate, (some, n) both."""
    many = max(1, min(_BLOCK, _CELLS // len(population)))
    for start in range(0, len(fold), many):
        some = slice(start, min(start + many, len(fold)))
        others = population.patient[fold.units[some]][:, None] != population.patient
        alike = (fold.wanted[some].astype(np.float32) @ population.member.T.astype(np.float32)) > 0
        yield some, alike & others, others


def _may_be_asked(population: Population) -> list[Mask]:
    """Return, for every kind of question, which units have somebody else to be found, (n,) each."""
    patients = [len(np.unique(population.patient[own])) for own in population.member.T]
    shared = population.member & (np.array(patients) > 1)
    if population.any_shared:
        return [np.asarray(shared.any(axis=1))]
    return [np.asarray(column) for column in shared.T]


def _draw(may: Mask, population: Population, most: int, rng: np.random.Generator) -> Rows:
    rows = rng.permutation(np.flatnonzero(may))
    _, first = np.unique(population.patient[rows], return_index=True)
    return np.sort(rows[np.sort(first)][:most])


def _fold(number: int, fold_of: Rows, drawn: Sequence[Rows], population: Population) -> Fold:
    own = [rows[fold_of[rows] == number] for rows in drawn]
    names = [population.any_shared] if population.any_shared else population.cohorts
    cohort = [name for name, rows in zip(names, own, strict=True) for _ in rows]
    units = np.concatenate(own) if own else np.zeros(0, np.intp)
    if population.any_shared:
        wanted = population.member[units]
    else:
        wanted = np.repeat(np.eye(len(names), dtype=np.bool_), [len(rows) for rows in own], axis=0)
    training = np.flatnonzero(fold_of != number)
    return Fold(number, training, units, np.array(cohort, np.str_), wanted)
