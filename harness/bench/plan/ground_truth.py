"""The exact neighbours of every query, with and without a filter, and their cache on disk."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Vectors
from cohorts.errors import InputError, MeasurementError
from cohorts.harness.bench.plan.dataset import Dataset, Rows
from cohorts.measures.neighbours import NearestRows
from cohorts.measures.recall import TIE
from cohorts.private_files import private_folder, replace_private

Scores = npt.NDArray[np.float32]

_QUERIES, _ROWS = 64, 16_384  # a block of scores is 4 MiB: it stays in the cache of a core


@dataclass(frozen=True, eq=False, kw_only=True)
class Truth:
    """The best `k` rows of every query, best first: `rows` (q, m) int64 and `scores` (q, m) float32, the cosine.

    `checksum` is that of the data; `where` the column of the filter, None without one. m is k, or as many as pass the
    filter where those are fewer.
    """

    checksum: str
    where: str | None
    k: int
    rows: Rows
    scores: Scores

    def check(self, data: Dataset) -> None:
        """Raise MeasurementError where this is the truth of other vectors than these."""
        if self.checksum != data.checksum:
            raise MeasurementError(
                f"This truth is of the data {self.checksum}, and the vectors are {data.checksum}: recall would mean "
                "nothing. Compute the truth of these vectors."
            )


def exact(data: Dataset, where: str | None, k: int) -> Truth:
    """Compare every query with every row that passes the filter, on all cores.

    Rows of the same score come in their order. Raises InputError for a filter that is not there or passes nothing.
    """
    from threadpoolctl import threadpool_limits

    passing = np.flatnonzero(_mask(data, where)).astype(np.int64) if where else None
    if passing is not None and not len(passing):
        raise InputError(f"No row passes the filter {where}: a query without truth tells nothing.")
    vectors = data.vectors if passing is None else data.vectors[passing]
    blocks = [data.queries[first : first + _QUERIES] for first in range(0, len(data.queries), _QUERIES)]
    # One thread of BLAS for each of ours: choosing the best takes as long as the product, and BLAS would wait for it.
    with threadpool_limits(limits=1), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda block: _nearest(block, vectors, min(k, len(vectors))), blocks))
    rows = np.concatenate([one.rows for one in found])
    return Truth(
        checksum=data.checksum,
        where=where,
        k=k,
        rows=rows if passing is None else passing[rows],
        scores=np.concatenate([one.scores for one in found]),
    )


def cached(folder: Path, data: Dataset, where: str | None, k: int) -> Truth:
    """Return the truth from a folder, or compute it and keep it there. Raises MeasurementError, InputError."""
    file = folder / f"truth-{data.checksum}-{where or 'unfiltered'}-k{k}.npz"
    if not file.exists():
        truth = exact(data, where, k)
        _write(file, truth)
        return truth
    truth = _read(file)
    if (truth.where, truth.k) != (where, k):
        raise MeasurementError(
            f"{file} holds the truth of another filter or k. Delete it; it is computed again."
        )
    truth.check(data)
    if not _holds(truth, data):
        raise MeasurementError(
            f"The truth in {file} was damaged: its scores are not those of its rows. Delete it."
        )
    return truth


def scores_of(data: Dataset, queries: Rows, rows: Rows) -> Scores:
    """Return the cosine of each pair of a query and a row, given by their numbers, all (n,)."""
    found = np.empty(len(rows), np.float32)
    for first in range(0, len(rows), _ROWS):
        some = slice(first, first + _ROWS)
        np.einsum("nd,nd->n", data.queries[queries[some]], data.vectors[rows[some]], out=found[some])
    return found


def _holds(truth: Truth, data: Dataset) -> bool:
    """Tell whether the rows are rows, and the scores theirs."""
    rows = truth.rows
    if rows.shape != truth.scores.shape or len(rows) != len(data.queries):
        return False
    if rows.min() < 0 or rows.max() >= len(data.vectors):
        return False
    scores = scores_of(data, np.repeat(np.arange(len(rows)), rows.shape[1]), rows.ravel())
    return bool(np.abs(scores - truth.scores.ravel()).max() <= TIE)


def _mask(data: Dataset, where: str) -> npt.NDArray[np.bool_]:
    if where not in data.attributes:
        raise InputError(f"There is no filter {where}. Filters: {', '.join(data.attributes) or 'none'}.")
    return data.attributes[where]


def _nearest(queries: Vectors, vectors: Vectors, k: int) -> NearestRows:
    """Return the best k rows of each query, best first."""
    found = NearestRows(len(queries), k)
    for first in range(0, len(vectors), _ROWS):
        block = vectors[first : first + _ROWS]
        found.add(np.arange(first, first + len(block)), queries @ block.T)
    found.sort()
    return found


def _write(file: Path, truth: Truth) -> None:
    private_folder(file.parent)
    with replace_private(file) as stream:
        np.savez(stream, **{**vars(truth), "where": truth.where or ""})


def _read(file: Path) -> Truth:
    try:
        with np.load(file, allow_pickle=False) as held:
            where, k = str(held["where"]) or None, int(held["k"])
            return Truth(
                checksum=str(held["checksum"]), where=where, k=k, rows=held["rows"], scores=held["scores"]
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise MeasurementError(
            f"The truth in {file} can't be read. Delete it; it is computed again."
        ) from error
