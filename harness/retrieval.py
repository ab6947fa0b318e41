"""Are a patient's neighbours clinically alike? Precision@k for one phenotype in common, by exact search."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.harness.ranking import expected_precision

K = 10
_BLOCK = 500


class Precision(NamedTuple):
    """Precision@k over the queries of one phenotype, beside the share of candidates that have it (`base`)."""

    phenotype: str
    queries: int
    precision: float
    base: float


def precision_by_phenotype(
    vectors: Any,
    phenotype: npt.NDArray[np.str_],
    patient: npt.NDArray[np.intp],
    queries: npt.NDArray[np.intp],
) -> list[Precision]:
    """Return the precision of every phenotype's queries and, first, of all queries (phenotype "all").

    `vectors` (n, dim) are unit rows, dense or sparse; `phenotype` ("" for none) and `patient` are (n,), `queries` rows
    of them. A patient's own admissions are no candidates, and where there are fewer than k, those there are count. A
    query without phenotype is none; one whose vector is zero finds nobody and counts as 0.
    """
    queries = queries[phenotype[queries] != ""]
    if not len(queries):
        return []
    found = np.concatenate(list(_precisions(vectors, vectors, phenotype, patient, queries)))
    shares = {name: float((phenotype == name).mean()) for name in np.unique(phenotype[queries])}
    base = np.array([shares[name] for name in phenotype[queries]])
    return [Precision("all", len(queries), float(found.mean()), float(base.mean()))] + [
        Precision(str(name), int(of.sum()), float(found[of].mean()), share)
        for name, share in shares.items()
        for of in [phenotype[queries] == name]
    ]


def precision_of_queries(
    asked: Any,
    vectors: Any,
    phenotype: npt.NDArray[np.str_],
    patient: npt.NDArray[np.intp],
    queries: npt.NDArray[np.intp],
) -> float:
    """Return the mean precision of the queries that have a phenotype, NaN for none; `asked` (n, dim) are their vectors.

    All else is as in `precision_by_phenotype`.
    """
    queries = queries[phenotype[queries] != ""]
    if not len(queries):
        return float("nan")
    return float(np.concatenate(list(_precisions(asked, vectors, phenotype, patient, queries))).mean())


def _precisions(
    asked: Any,
    vectors: Any,
    phenotype: npt.NDArray[np.str_],
    patient: npt.NDArray[np.intp],
    queries: npt.NDArray[np.intp],
) -> Iterator[npt.NDArray[np.float64]]:
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        product = asked[block] @ vectors.T
        scores = product.toarray() if hasattr(product, "toarray") else product
        scores[patient[block][:, None] == patient] = -np.inf
        alike = phenotype == phenotype[block][:, None]
        yield expected_precision(scores, alike & (scores > 0), K)
