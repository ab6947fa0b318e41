"""How alike two patients are beyond one code: what else they have, what they were given, and how it ended.

The grade of a pair is the mean of three parts, each 0 to 1: Jaccard's index of the groups of all other diagnoses
(`records/codes/grouping.py`; the cohorts' own codes are left out), that of the drugs, and 1 where both died in hospital
or neither did. A part that is unknown of both, or of one, counts 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.errors import InputError
from cohorts.harness.evaluate.retrieval.population import Population, Rows, incidence
from cohorts.harness.evaluate.retrieval.questions import Fold, blocks
from cohorts.harness.evaluate.retrieval.rankings import Way
from cohorts.harness.evaluate.retrieval.scorers import ByCodes, groups_of
from cohorts.measures.correlation import spearman
from cohorts.measures.ranking import Values
from cohorts.records.base import Source
from cohorts.records.tables.cells import text_ids
from cohorts.records.tables.reading import read_all
from cohorts.records.withheld import Withheld, WithheldSource

Grades = npt.NDArray[np.float32]
COLUMNS = ("patient", "other", "grade")


class OfRecords:
    """Grades of n units by their records, (some, n) at a time."""

    def __init__(self, source: Source, cohorts: Sequence[str]) -> None:
        died = []

        def groups() -> Iterator[set[str]]:
            for batch in WithheldSource(source, Withheld(tuple(cohorts))).batches():
                died.append(batch.units["died"].astype("float32").to_numpy(np.float32, na_value=np.nan))
                yield from groups_of(batch)

        names, rows = incidence(groups())
        kinds = np.array([name.partition(":")[0] for name in names])
        self._parts = [ByCodes(rows[:, kinds == kind]) for kind in ("diagnosis", "drug")]
        self._died = np.concatenate(died)

    def of(self, rows: Rows) -> Grades:
        """Return (len(rows), n)."""
        ended = (self._died[rows][:, None] == self._died).astype(np.float32)
        return np.asarray((sum(part.jaccard(rows) for part in self._parts) + ended) / 3, np.float32)


class Judged:
    """Grades that were given: pairs of units in either order; a pair that was not judged has grade 0."""

    def __init__(self, file: Path, population: Population) -> None:
        from scipy.sparse import coo_array

        pairs = read_judgements(file)
        row_of = {unit: row for row, unit in enumerate(population.ids)}
        strangers = sorted({*pairs["patient"], *pairs["other"]} - set(row_of))
        if strangers:
            raise InputError(
                f"{file}: {len(strangers):,} ids are no units of this source, so nothing can be judged of them."
            )
        self.first, self.second = (pairs[side].map(row_of).to_numpy(np.intp) for side in ("patient", "other"))
        self.grade = pairs["grade"].to_numpy(np.float32)
        ends = np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])
        everybody = (len(population), len(population))
        self._of = coo_array((np.tile(self.grade, 2), ends), shape=everybody).tocsr()

    def of(self, rows: Rows) -> Grades:
        """Return (len(rows), n)."""
        return np.asarray(self._of[rows].toarray(), np.float32)


def graded(
    grades: OfRecords | Judged, population: Population, fold: Fold, found: Mapping[Way, Rows]
) -> tuple[dict[Way, Values], Values, Values]:
    """Return the grades of those found in each way, (q, depth), 0 where fewer were, of q questions.

    Beside them are the grades of everybody in the best order, (q, depth), and everybody's mean, (q,).
    """
    depth = max(rows.shape[1] for rows in found.values())
    best, base = np.zeros((len(fold), depth)), np.zeros(len(fold))
    made = {way: np.zeros(rows.shape) for way, rows in found.items()}
    for some, _, others in blocks(population, fold):
        of = grades.of(fold.units[some])
        for way, rows in found.items():
            own = np.take_along_axis(of, np.maximum(rows[some], 0), axis=1)
            made[way][some] = np.where(rows[some] >= 0, own, 0)
        of = np.where(others, of, 0)
        top = -np.sort(-of, axis=1)[:, :depth]
        best[some, : top.shape[1]] = top
        base[some] = of.sum(axis=1) / others.sum(axis=1)
    return made, best, base


def graded_ndcg(made: Values, best: Values, k: int) -> Values:
    """Return the discounted grades of the first k, as a share of those of the best ranking, (q,); NaN for no grades."""
    discount = 1 / np.log2(np.arange(2, min(k, made.shape[1]) + 2))
    ideal = best[:, :k] @ discount
    return np.asarray(
        np.divide(made[:, :k] @ discount, ideal, out=np.full(len(made), np.nan), where=ideal > 0)
    )


def agreement(by_records: OfRecords, judged: Judged) -> tuple[float, int]:
    """Return Spearman's correlation of given grades with those by records, NaN for fewer than 3, and of how many."""
    pairs = zip(judged.first, judged.second, strict=True)
    ours = np.array([by_records.of(np.array([one]))[0, other] for one, other in pairs])
    return spearman(judged.grade, ours).value if len(ours) >= 3 else float("nan"), len(ours)


def read_judgements(file: Path) -> pd.DataFrame:
    """Return pairs of ids, `patient` and `other`, and their `grade`. Raises InputError for a grade that is none."""
    pairs = pd.DataFrame(read_all(file, COLUMNS), columns=list(COLUMNS), dtype="str")
    grade = pd.to_numeric(pairs["grade"], errors="coerce")
    if grade.isna().any() or (grade < 0).any():
        raise InputError(
            f"{file}: a grade is a number of 0 or more; line {int((~(grade >= 0)).to_numpy().argmax()) + 2} is not."
        )
    ids = {column: text_ids(pairs[column].str.strip()) for column in ("patient", "other")}
    return pairs.assign(**ids, grade=grade)
