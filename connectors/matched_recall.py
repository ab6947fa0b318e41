"""An index that the engine lacks, translated by recall: measured on the user's own vectors, never by a formula.

The reference (faiss for IVF, the annoy library) is built with the parameters asked for on a sample, and its recall
measured; then the engine's own search parameter is raised until it finds as much on the same sample.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Collection, Connector, Points, Vectors
from cohorts.connectors.checks import check_index
from cohorts.connectors.index import (
    DEFAULT_NPROBE,
    MAX_EF,
    Annoy,
    Hnsw,
    Index,
    Ivf,
    SearchParams,
    pq_subvectors,
    show_index,
)
from cohorts.errors import InputError, UnsupportedIndex

SAMPLE = 20_000
QUERIES = 200
PQ_BITS = 8
BATCH_ROWS = 1_000
TIE = 1e-5  # a neighbour as near as the k-th counts, whatever its id

Neighbours = Callable[[Vectors, int], npt.NDArray[np.int64]]
"""Takes (q, dim) queries and k; returns (q, k) rows of the base, -1 where fewer were found."""


@dataclass(frozen=True)
class Matched:
    """The index in effect, its calibrated search parameters, and the line that says so."""

    index: Index
    search: SearchParams
    line: str


def match_recall(
    connector: Connector, wanted: Index, search: SearchParams, sample: Vectors, *, k: int = 10, seed: int = 0
) -> Matched:
    """Return what to use on an engine that lacks `wanted`; `sample` is (n, dim) float32, unit rows.

    Raises UnsupportedIndex where the reference library is missing, InputError where the sample is too small for it.
    """
    base, queries = _split(sample, k, seed)
    nearest = _kth_score(base, queries, k)
    own = Hnsw()
    check_index(own, connector.abilities)
    goal = _recall(_reference(connector, wanted, search, base), base, queries, nearest, k)
    with _calibration(connector, own, base) as search_with:
        found, recall = _least(search_with, base, queries, nearest, k, goal)
    shown = ", ".join([show_index(own), *(f"{key}={value}" for key, value in vars(found).items() if value)])
    short = "" if recall >= goal else ", the most that it reaches"
    line = (
        f"{_asked(wanted, search)} → {shown}, recall@{k} {_shown(recall)}{short} (reference {_shown(goal)}) on "
        f"{len(sample):,} sampled vectors"
    )
    return Matched(own, found, line)


def _split(sample: Vectors, k: int, seed: int) -> tuple[Vectors, Vectors]:
    """Hold out queries: a vector that is in the index finds itself, and tells nothing."""
    if len(sample) < 4 * k:
        raise InputError(
            f"{len(sample)} vectors are too few to match an index by recall (at least {4 * k}): take an index that the "
            "engine has."
        )
    order = np.random.default_rng(seed).permutation(len(sample))
    held = min(QUERIES, len(sample) // 10)
    return sample[order[held:]], sample[order[:held]]


def _kth_score(base: Vectors, queries: Vectors, k: int) -> npt.NDArray[np.float32]:
    """Return the (q,) similarity of each query's k-th neighbour, by exact search."""
    scores = queries @ base.T
    return np.partition(scores, -k, axis=1)[:, -k]


def _recall(
    search: Neighbours, base: Vectors, queries: Vectors, nearest: npt.NDArray[np.float32], k: int
) -> float:
    """Return the share of the k found that are as near as the true k-th, by distance: tie-safe."""
    rows = search(queries, k)
    scores = np.einsum("qd,qkd->qk", queries, base[rows])
    return float(((scores >= nearest[:, None] - TIE) & (rows >= 0)).mean())


def _reference(connector: Connector, wanted: Index, search: SearchParams, base: Vectors) -> Neighbours:
    try:
        return _faiss(wanted, search, base) if isinstance(wanted, Ivf) else _annoy(wanted, search, base)
    except ImportError as error:
        try:
            check_index(wanted, connector.abilities)
        except UnsupportedIndex as lacking:
            raise UnsupportedIndex(
                f"{lacking} To match it by recall, install the reference: pip install 'cohorts[reference]'."
            ) from error
        raise


def _faiss(wanted: Ivf, search: SearchParams, base: Vectors) -> Neighbours:
    import faiss

    dim = base.shape[1]
    need = max(wanted.nlist, 2**PQ_BITS if wanted.variant == "pq" else 1)
    if len(base) < need:
        raise InputError(
            f"{show_index(wanted)} needs at least {need:,} vectors to be matched by recall; {len(base):,} are there. "
            "Take a smaller nlist, or an index that the engine has."
        )
    codes = {"flat": "Flat", "sq8": "SQ8", "pq": f"PQ{pq_subvectors(dim)}x{PQ_BITS}"}[wanted.variant]
    index: Any = faiss.index_factory(dim, f"IVF{wanted.nlist},{codes}", faiss.METRIC_INNER_PRODUCT)
    for clustering in (index.cp, index.pq.cp) if wanted.variant == "pq" else (index.cp,):
        clustering.min_points_per_centroid = 1  # it would print a warning of its own
    index.train(base)
    index.add(base)
    index.nprobe = min(search.nprobe or DEFAULT_NPROBE, wanted.nlist)
    return lambda queries, k: np.asarray(index.search(queries, k)[1], dtype=np.int64)


def _annoy(wanted: Index, search: SearchParams, base: Vectors) -> Neighbours:
    from annoy import AnnoyIndex

    assert isinstance(wanted, Annoy)  # noqa: S101 - every engine that we match for has flat and hnsw
    index = AnnoyIndex(base.shape[1], "angular")
    index.set_seed(1)
    for row, vector in enumerate(base):
        index.add_item(row, vector)
    index.build(wanted.n_trees)

    def nearest(queries: Vectors, k: int) -> npt.NDArray[np.int64]:
        found = [index.get_nns_by_vector(query, k, search.search_k or -1) for query in queries]
        return np.array([[*rows, *[-1] * (k - len(rows))] for rows in found], dtype=np.int64)

    return nearest


@contextlib.contextmanager
def _calibration(
    connector: Connector, own: Index, base: Vectors
) -> Iterator[Callable[[SearchParams], Neighbours]]:
    """Build the engine's own index over the sample in a collection of its own, dropped at the end."""
    name = f"cohorts_calibration_{uuid.uuid4().hex[:8]}"
    connector.create(Collection(name, base.shape[1], own))

    def search_with(params: SearchParams) -> Neighbours:
        def nearest(queries: Vectors, k: int) -> npt.NDArray[np.int64]:
            hits = connector.search(name, queries, k, params=params, with_payload=False).hits
            return np.array(
                [[*(int(hit.id) for hit in row), *[-1] * (k - len(row))] for row in hits], dtype=np.int64
            )

        return nearest

    try:
        for start in range(0, len(base), BATCH_ROWS):
            rows = base[start : start + BATCH_ROWS]
            ids = [str(start + i) for i in range(len(rows))]
            connector.upsert(name, Points(ids, rows, [{}] * len(rows)))
        connector.finalize(name)
        yield search_with
    finally:
        connector.drop(name)


def _least(
    search_with: Callable[[SearchParams], Neighbours],
    base: Vectors,
    queries: Vectors,
    nearest: npt.NDArray[np.float32],
    k: int,
    goal: float,
) -> tuple[SearchParams, float]:
    """Return the least ef_search whose measured recall reaches the goal, and that recall; the best where none does."""

    def measured(ef: int) -> float:
        return _recall(search_with(SearchParams(ef_search=ef)), base, queries, nearest, k)

    low, high = k - 1, k
    recall = measured(high)
    while recall < goal and high < min(MAX_EF, len(base)):
        low, high = high, min(2 * high, MAX_EF)
        recall = measured(high)
    if recall < goal:
        return SearchParams(ef_search=high), recall
    while high - low > 1:
        middle = (low + high) // 2
        if (found := measured(middle)) >= goal:
            high, recall = middle, found
        else:
            low = middle
    return SearchParams(ef_search=high), recall


def _asked(wanted: Index, search: SearchParams) -> str:
    more = {Ivf: ("nprobe", search.nprobe), Annoy: ("search_k", search.search_k)}.get(type(wanted))
    return f"{show_index(wanted)}, {more[0]}={more[1]}" if more and more[1] else show_index(wanted)


def _shown(recall: float) -> str:
    return f"{recall:.3f}".lstrip("0")
