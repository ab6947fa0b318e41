"""An index that the engine lacks, translated by recall: measured on the user's own vectors, never by a formula.

The reference (faiss for IVF, the annoy library) is built with the parameters asked for on a sample, and its recall
measured; then the engine's own search parameter is raised until it finds as much on the same sample.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Abilities, Collection, Connector, Points, Vectors
from cohorts.connectors.calibration.references import build_reference, fewest_vectors
from cohorts.connectors.checks import check_index
from cohorts.connectors.index import (
    DEFAULT_NPROBE,
    MAX_EF,
    Annoy,
    Flat,
    Hnsw,
    Index,
    Ivf,
    SearchParams,
    show_index,
)
from cohorts.errors import CohortsError, InputError, UnsupportedIndex
from cohorts.extras import install_command
from cohorts.measures.recall import Scores, kth_score, near_rows

SAMPLE = 20_000
QUERIES = 200
BATCH_ROWS = 1_000

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

    Raises UnsupportedIndex where there is no reference for it or its library is missing, InputError where the sample is
    too small for it, EngineError.
    """
    check_matchable(wanted, connector.abilities)
    assert isinstance(wanted, Ivf | Annoy)  # noqa: S101 - it was checked
    base, queries = split(sample, k, seed)
    recall_of = partial(_recall, base=base, queries=queries, nearest=kth_score(base, queries, k), k=k)
    own = _own_index(wanted, connector.abilities)
    goal = recall_of(_reference(wanted, search, base, seed))
    with calibration(connector, own, base) as search_with:
        found, recall = least(own, lambda params: recall_of(search_with(params)), goal, k, len(base))
    shown = ", ".join([show_index(own), *(f"{key}={value}" for key, value in vars(found).items() if value)])
    short = "" if recall >= goal else ", the most that it reaches"
    line = (
        f"{_asked(wanted, search)} → {shown}, recall@{k} {_shown(recall)}{short} (reference {_shown(goal)}) on "
        f"{len(sample):,} sampled vectors"
    )
    return Matched(own, found, line)


def check_matchable(wanted: Index, abilities: Abilities) -> None:
    """Raise UnsupportedIndex where there is no reference for an index, or its library is not installed."""
    if not isinstance(wanted, Ivf | Annoy):
        raise _refusal(wanted, abilities, "Only ivf and annoy are matched by recall.")
    if find_spec("annoy" if isinstance(wanted, Annoy) else "faiss") is None:
        hint = f"To match it by recall, install the reference: {install_command('reference')}."
        raise _refusal(wanted, abilities, hint)


def _own_index(wanted: Ivf | Annoy, abilities: Abilities) -> Index:
    """Return the engine's own index that stands in: HNSW where it has it, else an inverted file, else none."""
    if Hnsw in abilities.indexes:
        return Hnsw()
    if Ivf in abilities.indexes and "flat" in abilities.ivf:
        return Ivf(nlist=wanted.nlist) if isinstance(wanted, Ivf) else Ivf()
    return Flat()


def _refusal(wanted: Index, abilities: Abilities, why: str) -> UnsupportedIndex:
    """Return the error that names what was asked for and what the engine has."""
    try:
        check_index(wanted, abilities)
    except UnsupportedIndex as lacking:
        return UnsupportedIndex(f"{lacking} {why}")
    return UnsupportedIndex(why)


def split(sample: Vectors, k: int, seed: int) -> tuple[Vectors, Vectors]:
    """Hold out queries: a vector that is in the index finds itself, and tells nothing."""
    if len(sample) < 4 * k:
        raise InputError(
            f"{len(sample)} vectors are too few to match an index by recall (at least {4 * k}): take an index that the "
            "engine has, or more patients."
        )
    order = np.random.default_rng(seed).permutation(len(sample))
    held = min(QUERIES, len(sample) // 10)
    return sample[order[held:]], sample[order[:held]]


def _recall(search: Neighbours, base: Vectors, queries: Vectors, nearest: Scores, k: int) -> float:
    """Return the share of the k found that are as near as the true k-th, by distance: tie-safe."""
    return float(near_rows(base, queries, search(queries, k), nearest).mean())


def _reference(wanted: Ivf | Annoy, search: SearchParams, base: Vectors, seed: int) -> Neighbours:
    if isinstance(wanted, Ivf):
        _check_size(wanted, len(base))
    found = build_reference(wanted, base, seed).searching(search)
    return lambda queries, k: found(queries, k)[1]


def _check_size(wanted: Ivf, rows: int) -> None:
    need = fewest_vectors(wanted)
    if rows < need:
        way = "a smaller nlist" if wanted.nlist > rows else "another variant"
        raise InputError(
            f"{show_index(wanted)} needs at least {need:,} vectors to be matched by recall; {rows:,} are there "
            f"beside the queries. Take {way}, an index that the engine has, or more patients (at most {SAMPLE:,} are "
            "sampled)."
        )


@contextlib.contextmanager
def calibration(
    connector: Connector, own: Index, base: Vectors, name: str = ""
) -> Iterator[Callable[[SearchParams], Neighbours]]:
    """Build the engine's own index over the sample in a collection of its own, dropped at the end."""
    name = name or f"cohorts_calibration_{uuid.uuid4().hex[:8]}"

    def search_with(params: SearchParams) -> Neighbours:
        def nearest(queries: Vectors, k: int) -> npt.NDArray[np.int64]:
            hits = connector.search(name, queries, k, params=params, with_payload=False).hits
            return np.array(
                [[*(int(hit.id) for hit in row), *[-1] * (k - len(row))] for row in hits], dtype=np.int64
            )

        return nearest

    try:
        connector.create(Collection(name, base.shape[1], own))
        for start in range(0, len(base), BATCH_ROWS):
            rows = base[start : start + BATCH_ROWS]
            ids = [str(start + i) for i in range(len(rows))]
            connector.upsert(name, Points(ids, rows, [{}] * len(rows)))
        connector.finalize(name)
        yield search_with
    except BaseException:
        with contextlib.suppress(CohortsError):  # what went wrong first is the error to tell
            connector.drop(name)
        raise
    connector.drop(name)


def least(
    own: Index, measured: Callable[[SearchParams], float], goal: float, k: int, rows: int
) -> tuple[SearchParams, float]:
    """Return the least tried ef_search or nprobe whose measured recall reaches the goal, and that recall.

    Where none does, the best of those tried; an engine that only scans has nothing to raise.
    """
    if isinstance(own, Hnsw):
        high, most = k, min(MAX_EF, rows)
    elif isinstance(own, Ivf):
        high, most = 1, own.nlist
    else:
        return SearchParams(), measured(SearchParams())

    def params(value: int) -> SearchParams:
        return SearchParams(ef_search=value) if isinstance(own, Hnsw) else SearchParams(nprobe=value)

    low, tried = high - 1, {high: measured(params(high))}
    while tried[high] < goal and high < most:
        low, high = high, min(2 * high, most)
        tried[high] = measured(params(high))
    if tried[high] < goal:
        high = max(tried, key=lambda value: (tried[value], -value))
        return params(high), tried[high]
    while high - low > 1:
        middle = (low + high) // 2
        tried[middle] = measured(params(middle))
        low, high = (low, middle) if tried[middle] >= goal else (middle, high)
    return params(high), tried[high]


def _nprobe(wanted: Ivf, search: SearchParams) -> int:
    return min(search.nprobe or DEFAULT_NPROBE, wanted.nlist)


def _asked(wanted: Ivf | Annoy, search: SearchParams) -> str:
    """Return the index asked for with the search parameter that the reference ran with; annoy's own is not shown."""
    if isinstance(wanted, Ivf):
        return f"{show_index(wanted)}, nprobe={_nprobe(wanted, search)}"
    return f"{show_index(wanted)}, search_k={search.search_k}" if search.search_k else show_index(wanted)


def _shown(recall: float) -> str:
    return f"{recall:.3f}".lstrip("0")
