"""F1@100 by cohort through HNSW in embedded Qdrant: what the cohort paper's Table 5 tells of its fusions.

The cohorts are the paper's three, by principal or by any diagnosis. Patients held out are asked about, and everybody
else may be found. Recall is of all who have the diagnosis, so k places allow of a large cohort little: the ceiling
stands beside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import numpy as np
from cohorts.connectors.base import Collection
from cohorts.connectors.index import DEFAULT_EF, Hnsw, SearchParams
from cohorts.connectors.registry import connect
from cohorts.encoders.base import Vectors
from cohorts.extras import install_command
from cohorts.harness.evaluate.data.splits import Split
from cohorts.harness.evaluate.data.units import Units
from cohorts.harness.evaluate.retrieval.population import CohortBy, Mask, Population, Rows, members
from cohorts.harness.evaluate.retrieval.questions import Fold
from cohorts.harness.evaluate.retrieval.rankings import hits_of, matches_of, rank_exactly, rank_through
from cohorts.harness.evaluate.retrieval.scorers import ByVectors
from cohorts.measures import ranking
from cohorts.records.base import Source
from cohorts.reports.published import PHENOTYPES, RETRIEVAL_K

_QUERIES = 100  # of a cohort, at most: section 4.2
_COLLECTION = "cohorts_fused"


def members_of(patients: Units, source: Source, by: CohortBy) -> Mask:
    """Return who is a member of each of the cohorts, (n, 3); for any diagnosis the source is read once more."""
    names = list(PHENOTYPES)
    if by is CohortBy.PRIMARY:
        return np.asarray(patients.phenotype[:, None] == np.array(names))
    return np.concatenate([members(batch, names, by) for batch in source.batches()])


def why_not(patients: Units, member: Mask, by: CohortBy) -> str:
    """Return why F1@100 can't be measured, "" where it can; `member` is (n, 3)."""
    if find_spec("qdrant_edge") is None:
        return f"embedded Qdrant is not installed: {install_command('qdrant-embedded')}"
    if len(patients.ids) <= RETRIEVAL_K + 1:
        return f"{len(patients.ids):,} patients are too few to look for {RETRIEVAL_K} of them"
    if not member.any():
        which = "principal diagnosis" if by is CohortBy.PRIMARY else "diagnosis"
        return f"nobody has a {which} of {', '.join(PHENOTYPES)}"
    return ""


@dataclass(frozen=True)
class Questions:
    """Whom a split asks about, and who is to be found."""

    population: Population
    fold: Fold

    @classmethod
    def of(cls, patients: Units, member: Mask, parts: Split, seed: int) -> Self:
        """Draw up to 100 held-out patients of each cohort that somebody else is in too; `member` is (n, 3)."""
        names = list(PHENOTYPES)
        population = Population(patients.ids, patients.patient, names, member, {})
        rng, drawn = np.random.default_rng(seed), []
        for own in member.T:
            several = len(np.unique(patients.patient[own])) > 1
            asked = parts.held_out[own[parts.held_out]] if several else np.zeros(0, np.intp)
            drawn.append(np.sort(rng.permutation(asked)[:_QUERIES]))
        many = [len(rows) for rows in drawn]
        units: Rows = np.concatenate(drawn)
        cohort, wanted = np.repeat(names, many), np.repeat(np.eye(len(names), dtype=np.bool_), many, axis=0)
        return cls(population, Fold(seed, parts.training, units, cohort, wanted))

    def through_hnsw(self, vectors: Vectors, folder: Path) -> Mapping[str, Mapping[str, float]]:
        """Load all vectors, (n, dim) unit rows, ask, and return the figures of every cohort with a question.

        These are the number of questions, the mean of their F1@100, the most that it could be, and the share of the
        exact neighbours that was found, all but the first 0 to 1.
        """
        if not len(self.fold):
            return {}
        exact = rank_exactly(ByVectors(vectors), self.population, self.fold, RETRIEVAL_K, self.fold.number)
        index = Collection(_COLLECTION, vectors.shape[1], Hnsw(), search=SearchParams(ef_search=DEFAULT_EF))
        with connect(f"qdrant:{folder}") as store:
            found = rank_through(store, index, vectors, self.population, self.fold, exact, [RETRIEVAL_K])
        hits = hits_of(found.found, self.population, self.fold)
        matches = matches_of(self.population, self.fold)
        by_question = {
            "f1": ranking.f1(hits, RETRIEVAL_K, matches),
            "ceiling": ranking.f1_ceiling(matches, RETRIEVAL_K),
            "neighbours": found.recall[RETRIEVAL_K],
        }
        of = {name: self.fold.cohort == name for name in dict.fromkeys(self.fold.cohort.tolist())}
        return {
            name: {
                "questions": own.sum(),
                **{one: np.nanmean(values[own]) for one, values in by_question.items()},
            }
            for name, own in of.items()
        }
