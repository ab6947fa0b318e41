"""The libraries that the papers measured, in this process: faiss (HNSW, inverted file) and annoy (a forest of trees).

They stand beside the engines to say what an index of that kind reaches: an engine that lacks one is matched by it.
Installed by the extra `reference`.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Vectors
from cohorts.connectors.index import (
    DEFAULT_EF,
    DEFAULT_NPROBE,
    Annoy,
    Hnsw,
    Index,
    Ivf,
    SearchParams,
    pq_subvectors,
    show_index,
)
from cohorts.errors import UnsupportedIndex

PQ_BITS = 8

Search = Callable[[Vectors, int], tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]
"""Takes (q, dim) queries, unit rows, and k; returns (q, k) cosines and rows, best first, -1 where fewer were found."""


class Reference(Protocol):
    """An index that is built, and searched with one set of parameters at a time."""

    def searching(self, params: SearchParams) -> Search:
        """Return the search with these parameters; a search returned before takes them over."""
        ...


def build_reference(index: Hnsw | Ivf | Annoy, base: Vectors, seed: int) -> Reference:
    """Build the library's index over (n, dim) float32 unit rows.

    Raises ImportError where the library is missing, UnsupportedIndex for compressed HNSW.
    """
    if isinstance(index, Annoy):
        return AnnoyForest(index, base, seed)
    return FaissIndex(index, base, seed)


def fewest_vectors(index: Index) -> int:
    """Return how many vectors the library needs to learn an index from."""
    if not isinstance(index, Ivf):
        return 1
    return max(index.nlist, 2**PQ_BITS if index.variant == "pq" else 1)


class FaissIndex:
    """HNSW, or an inverted file, by faiss."""

    def __init__(self, index: Hnsw | Ivf, base: Vectors, seed: int) -> None:
        self._index = _faiss_ivf(index, base, seed) if isinstance(index, Ivf) else _faiss_hnsw(index, base)
        self._kind = index

    def searching(self, params: SearchParams) -> Search:
        """Return faiss's own search."""
        if isinstance(self._kind, Ivf):
            self._index.nprobe = min(params.nprobe or DEFAULT_NPROBE, self._kind.nlist)
        else:
            self._index.hnsw.efSearch = params.ef_search or DEFAULT_EF
        search: Search = self._index.search
        return search


class AnnoyForest:
    """Random projection trees by annoy, which takes one query at a time."""

    def __init__(self, index: Annoy, base: Vectors, seed: int) -> None:
        from annoy import AnnoyIndex

        forest = AnnoyIndex(base.shape[1], "angular")
        forest.set_seed(seed + 1)  # 0 is no seed there
        for row, vector in enumerate(base):
            forest.add_item(row, vector)
        # Every thread has a seed of its own: more than one would make the forest the machine's.
        forest.build(index.n_trees, 1)
        self._forest = forest

    def searching(self, params: SearchParams) -> Search:
        """Return annoy's own search; its distance is the length of the chord between two unit vectors."""
        search_k, nearest = params.search_k or -1, self._forest.get_nns_by_vector

        def search(queries: Vectors, k: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
            scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
            rows = np.full((len(queries), k), -1, dtype=np.int64)
            for at, query in enumerate(queries):
                found, chords = nearest(query, k, search_k, True)
                rows[at, : len(found)] = found
                scores[at, : len(found)] = 1 - np.square(chords) / 2
            return scores, rows

        return search


def _faiss_hnsw(index: Hnsw, base: Vectors) -> Any:
    import faiss

    if index.quantization != "none":
        raise UnsupportedIndex(f"The reference has no {show_index(index)}: it keeps whole vectors.")
    graph = faiss.IndexHNSWFlat(base.shape[1], index.m, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = index.ef_construction
    graph.add(base)
    return graph


def _faiss_ivf(index: Ivf, base: Vectors, seed: int) -> Any:
    import faiss

    dim = base.shape[1]
    # "np" spares polysemous training: it takes most of the time, and reorders the codes without changing a distance
    codes = {"flat": "Flat", "sq8": "SQ8", "pq": f"PQ{pq_subvectors(dim)}x{PQ_BITS}np"}[index.variant]
    lists: Any = faiss.index_factory(dim, f"IVF{index.nlist},{codes}", faiss.METRIC_INNER_PRODUCT)
    for clustering in (lists.cp, lists.pq.cp) if index.variant == "pq" else (lists.cp,):
        clustering.seed = seed
        clustering.min_points_per_centroid = 1  # it would print a warning of its own
    lists.train(base)
    lists.add(base)
    return lists
