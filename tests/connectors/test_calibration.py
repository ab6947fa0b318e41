"""An index that the engine lacks, matched by recall on the user's vectors (synthetic ones here)."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.connectors.base import Collection, Connector, Found, Points
from cohorts.connectors.calibration.match import Matched, _recall, least, match_recall, split
from cohorts.connectors.index import Annoy, Flat, Hnsw, Index, Ivf, SearchParams
from cohorts.connectors.milvus.embedded import MilvusLiteConnector
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
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


def test_the_recall_that_the_line_tells_is_that_of_the_engine(tmp_path: Path) -> None:
    base, queries = split(SAMPLE, 10, 0)
    true = np.argsort(-(queries @ base.T), axis=1)[:, :10]  # no two vectors are alike here: ids will do
    with connect(f"qdrant:{tmp_path}/s") as connector:
        told = match_recall(connector, Ivf(nlist=64), SearchParams(nprobe=2), SAMPLE)
        connector.create(Collection("again", base.shape[1], told.index, search=told.search))
        connector.upsert("again", Points([str(row) for row in range(len(base))], base, [{}] * len(base)))
        connector.finalize("again")
        found = connector.search("again", queries, 10).hits
    rows = [{int(hit.id) for hit in hits} for hits in found]
    recall = np.mean([len(row & set(near)) / 10 for row, near in zip(rows, true.tolist(), strict=True)])
    assert recall == pytest.approx(recalls(told.line)[0], abs=0.02)


def test_what_is_asked_for_decides_not_a_formula(tmp_path: Path) -> None:
    little = matched("qdrant:{tmp}/a", tmp_path, Annoy(n_trees=1), SearchParams(search_k=30))
    much = matched("qdrant:{tmp}/b", tmp_path, Annoy(n_trees=60))
    assert 10 <= (little.search.ef_search or 0) < (much.search.ef_search or 0)
    hasty = matched("qdrant:{tmp}/c", tmp_path, Annoy(n_trees=60), SearchParams(search_k=20))
    for less in (little, hasty):
        assert recalls(less.line)[1] < recalls(much.line)[1] - 0.1
    assert little.line.startswith(
        "annoy(n_trees=1), search_k=30 → hnsw(m=32, ef_construction=400), ef_search="
    )


def test_the_line_names_the_parameter_that_the_reference_ran_with(tmp_path: Path) -> None:
    for asked, shown in ((None, 16), (4, 4), (500, 64)):
        line = matched("qdrant:{tmp}/s", tmp_path, Ivf(nlist=64), SearchParams(nprobe=asked)).line
        assert line.startswith(f"ivf(nlist=64, variant=flat), nprobe={shown} → hnsw(")


@pytest.mark.parametrize(
    ("has", "index"), [((Flat, Ivf), Ivf(nlist=32)), ((Flat,), Flat())], ids=["without hnsw", "flat alone"]
)
def test_an_engine_without_hnsw_is_matched_by_what_it_has(
    has: tuple[type[Index], ...], index: Index, tmp_path: Path
) -> None:
    class Less(MilvusLiteConnector):
        abilities = replace(MilvusLiteConnector.abilities, indexes=has)

    with Less(tmp_path / "s.db") as connector:
        found = match_recall(connector, Ivf(nlist=32, variant="pq"), SearchParams(), SAMPLE)
        assert connector.collections() == []
    ours, theirs = recalls(found.line)
    assert (found.index, found.search.ef_search) == (index, None)
    assert ours >= theirs
    assert (found.search.nprobe is not None) == isinstance(index, Ivf)


def test_an_engine_that_does_not_reach_the_reference_is_said_to(tmp_path: Path) -> None:
    class Poor(QdrantEdgeConnector):
        def search(self, *args: Any, **more: Any) -> Found:
            found = super().search(*args, **more)
            return replace(found, hits=[hits[:5] for hits in found.hits])

    with Poor(tmp_path / "s") as connector:
        line = match_recall(connector, Annoy(n_trees=60), SearchParams(), SAMPLE).line
    assert "recall@10 .500, the most that it reaches (reference " in line


def test_the_least_that_reaches_is_taken_and_the_best_where_none_does() -> None:
    steps: list[tuple[Index, list[float], int | None, int | None]] = [
        (Hnsw(), [0.1] * 37 + [0.9] * 63, 37, None),
        (Hnsw(), [0.9] * 100, 10, None),
        (Hnsw(), [0.1] * 40 + [0.7] * 40 + [0.6] * 20, 40, None),
        (Ivf(nlist=64), [0.1] * 37 + [0.9] * 63, None, 37),
        (Ivf(nlist=64), [0.1] * 65, None, 1),
    ]

    def recall_at(recall: list[float], params: SearchParams) -> float:
        return recall[params.ef_search or params.nprobe or 0]

    for index, recall, ef, nprobe in steps:
        found, reached = least(index, partial(recall_at, recall), 0.8, 10, 99)
        assert (found.ef_search, found.nprobe) == (ef, nprobe)
        assert reached == recall[ef or nprobe or 0]


def test_product_quantisation_is_matched_on_embedded_milvus(tmp_path: Path) -> None:
    found = matched("milvus:{tmp}/s.db", tmp_path, Ivf(nlist=16, variant="pq"), SearchParams(nprobe=8))
    ours, theirs = recalls(found.line)
    assert ours >= theirs


def test_a_sample_too_small_says_what_to_do(tmp_path: Path) -> None:
    with connect(f"qdrant:{tmp_path}/s") as connector:
        with pytest.raises(
            InputError, match=r"nlist=1024.*at least 1,024 vectors.*180 are there.*smaller nlist"
        ):
            match_recall(connector, Ivf(), SearchParams(), SAMPLE[:200])
        with pytest.raises(InputError, match=r"variant=pq.*at least 256 vectors.*another variant"):
            match_recall(connector, Ivf(nlist=8, variant="pq"), SearchParams(), SAMPLE[:200])
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


def test_what_has_no_reference_is_refused(tmp_path: Path) -> None:
    refusal = pytest.raises(
        UnsupportedIndex, match=r"quantization=binary.*It has: flat, hnsw.*Only ivf and annoy"
    )
    with connect(f"milvus:{tmp_path}/s.db") as connector, refusal:
        match_recall(connector, Hnsw(quantization="binary"), SearchParams(), SAMPLE)


def test_the_calibration_leaves_nothing_behind_when_the_engine_fails(tmp_path: Path) -> None:
    class Failing(QdrantEdgeConnector):
        def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
            raise EngineError("the build failed")

    connector: Connector
    with Failing(tmp_path / "s") as connector:
        with pytest.raises(EngineError, match="the build failed"):
            match_recall(connector, Annoy(n_trees=5), SearchParams(), SAMPLE)
        assert connector.collections() == []


@pytest.mark.parametrize("stage", ["create", "finalize"])
def test_what_failed_is_told_even_where_no_drop_is_possible(stage: str, tmp_path: Path) -> None:
    def fail(*args: Any, **more: Any) -> None:
        raise EngineError("the engine is gone")

    def drop(name: str) -> None:
        raise EngineError("no drop either")

    connector: Any
    with connect(f"qdrant:{tmp_path}/s") as connector:
        setattr(connector, stage, fail)
        connector.drop = drop
        with pytest.raises(EngineError, match="the engine is gone"):
            match_recall(connector, Annoy(n_trees=5), SearchParams(), SAMPLE)


def test_recall_counts_by_distance_so_that_ties_are_no_misses() -> None:
    base = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    query, nearest = base[:1], np.array([1.0], dtype=np.float32)
    for rows, recall in (([[1]], 1.0), ([[0]], 1.0), ([[2]], 0.0), ([[-1]], 0.0)):
        assert _recall(lambda q, k, rows=rows: np.array(rows), base, query, nearest, 1) == recall  # type: ignore[misc]
