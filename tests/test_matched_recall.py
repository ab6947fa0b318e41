"""An index that the engine lacks, matched by recall on the user's vectors (synthetic ones here)."""

import sys
from pathlib import Path

import numpy as np
import pytest
from cohorts.connectors.base import Connector
from cohorts.connectors.index import Annoy, Hnsw, Ivf, SearchParams
from cohorts.connectors.matched_recall import Matched, _recall, match_recall
from cohorts.connectors.qdrant_edge import QdrantEdgeConnector
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError, InputError, UnsupportedIndex
from engine_contract import cloud

SAMPLE = cloud(3_000, 32)


def matched(store: str, tmp_path: Path, wanted: Ivf | Annoy, search: SearchParams | None = None) -> Matched:
    with connect(store.format(tmp=tmp_path)) as connector:
        found = match_recall(connector, wanted, search or SearchParams(), SAMPLE)
        assert connector.collections() == []
    return found


def recalls(line: str) -> tuple[float, float]:
    """Return the engine's and the reference's recall, as the line tells them."""
    ours, theirs = line.split("recall@10 ")[1].split(" (reference ")
    return float(ours.split(",")[0]), float(theirs.split(")")[0])


@pytest.mark.parametrize(
    "wanted", [Ivf(nlist=64), Ivf(nlist=64, variant="sq8"), Ivf(nlist=16, variant="pq"), Annoy(n_trees=20)]
)
def test_the_engine_reaches_what_the_reference_reaches(wanted: Ivf | Annoy, tmp_path: Path) -> None:
    found = matched("qdrant:{tmp}/s", tmp_path, wanted)
    ours, theirs = recalls(found.line)
    assert ours >= theirs > 0.3
    assert found.index == Hnsw()
    assert found.line.endswith("on 3,000 sampled vectors")
    assert f"ef_search={found.search.ef_search}" in found.line


def test_what_is_asked_for_decides_not_a_formula(tmp_path: Path) -> None:
    little = matched("qdrant:{tmp}/a", tmp_path, Annoy(n_trees=1), SearchParams(search_k=30))
    much = matched("qdrant:{tmp}/b", tmp_path, Annoy(n_trees=60))
    assert (little.search.ef_search or 0) <= (much.search.ef_search or 0)
    assert recalls(little.line)[1] < recalls(much.line)[1]
    assert little.line.startswith(
        "annoy(n_trees=1), search_k=30 → hnsw(m=32, ef_construction=400), ef_search="
    )


def test_product_quantisation_is_matched_on_embedded_milvus(tmp_path: Path) -> None:
    found = matched("milvus:{tmp}/s.db", tmp_path, Ivf(nlist=16, variant="pq"), SearchParams(nprobe=8))
    ours, theirs = recalls(found.line)
    assert ours >= theirs


def test_a_sample_too_small_says_what_to_do(tmp_path: Path) -> None:
    with connect(f"qdrant:{tmp_path}/s") as connector:
        with pytest.raises(InputError, match=r"nlist=1024.*at least 1,024 vectors.*180 are there"):
            match_recall(connector, Ivf(), SearchParams(), SAMPLE[:200])
        with pytest.raises(InputError, match="at least 40"):
            match_recall(connector, Annoy(), SearchParams(), SAMPLE[:20])
        assert connector.collections() == []


@pytest.mark.parametrize(("library", "wanted"), [("faiss", Ivf(nlist=8)), ("annoy", Annoy())])
def test_without_the_reference_it_refuses_and_names_what_there_is(
    library: str, wanted: Ivf | Annoy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    refusal = pytest.raises(UnsupportedIndex, match=r"It has: flat, hnsw.*cohorts\[reference\]")
    with connect(f"qdrant:{tmp_path}/s") as connector, refusal:
        match_recall(connector, wanted, SearchParams(), SAMPLE)


def test_the_calibration_leaves_nothing_behind_when_the_engine_fails(tmp_path: Path) -> None:
    class Failing(QdrantEdgeConnector):
        def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
            raise EngineError("the build failed")

    connector: Connector
    with Failing(tmp_path / "s") as connector:
        with pytest.raises(EngineError, match="the build failed"):
            match_recall(connector, Annoy(n_trees=5), SearchParams(), SAMPLE)
        assert connector.collections() == []


def test_recall_counts_by_distance_so_that_ties_are_no_misses() -> None:
    base = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    query, nearest = base[:1], np.array([1.0], dtype=np.float32)
    for rows, recall in (([[1]], 1.0), ([[0]], 1.0), ([[2]], 0.0), ([[-1]], 0.0)):
        assert _recall(lambda q, k, rows=rows: np.array(rows), base, query, nearest, 1) == recall  # type: ignore[misc]
