"""Are a patient's neighbours clinically alike? Precision@k for one phenotype in common, by exact search."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.harness.evaluate.retrieval.scorers import Scorer
from cohorts.measures.ranking import expected_precision

K = 10
_BLOCK = 500


class Precision(NamedTuple):
    """Precision@k over the queries of one phenotype, beside the share of candidates that have it (`base`)."""

    phenotype: str
    queries: int
    precision: float
    base: float


def precision_by_phenotype(
    scorer: Scorer,
    phenotype: npt.NDArray[np.str_],
    patient: npt.NDArray[np.intp],
    queries: npt.NDArray[np.intp],
) -> list[Precision]:
    """Return the precision of every phenotype's queries and, first, of all queries (phenotype "all").

    `scorer` is of n units; `phenotype` ("" for none) and `patient` are (n,), `queries` rows of them. A patient's own
    admissions are no candidates, and where there are fewer than k, those there are count. A query without phenotype is
    none; what the scorer can't compare is no match, so a query that is like nothing counts as 0.
    """
    queries = queries[phenotype[queries] != ""]
    if not len(queries):
        return []
    found = np.empty(len(queries))
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        scores = scorer.scores(block)
        comparable = scores > -np.inf
        # What can't be compared stands behind all else, and its place stays empty.
        scores = np.where(comparable, scores, np.finfo(scores.dtype).min)
        scores[patient[block][:, None] == patient] = -np.inf
        alike = phenotype == phenotype[block][:, None]
        found[start : start + _BLOCK] = expected_precision(scores, alike & comparable, K)
    shares = {name: float((phenotype == name).mean()) for name in np.unique(phenotype[queries])}
    base = np.array([shares[name] for name in phenotype[queries]])
    return [Precision("all", len(queries), float(found.mean()), float(base.mean()))] + [
        Precision(str(name), int(of.sum()), float(found[of].mean()), share)
        for name, share in shares.items()
        for of in [phenotype[queries] == name]
    ]
