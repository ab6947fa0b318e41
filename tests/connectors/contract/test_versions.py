"""Versions behind an alias: reindexing with no pause in answering, and a replacement that is seen only when whole."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cohorts.connectors.base import Collection, Connector, Payload, Points, Vectors
from cohorts.connectors.index import Flat, Hnsw, Ivf, SearchParams
from cohorts.connectors.registry import connect
from cohorts.errors import CohortsError, EngineError, InputError, UnsupportedIndex
from cohorts.loaders.holding import holding
from cohorts.loaders.reindex import reindex
from cohorts.loaders.versions import IndexRequest, next_version, switch
from cohorts.progress import ProgressCallback
from engine_contract import FIELDS, cloud, payloads

N, DIM = 600, 16


def nothing(stage: str, units: int, expected: int | None = None, /) -> None:
    """Take no notice of progress."""


def reindexed(
    connector: Connector,
    folder: Path,
    wanted: IndexRequest,
    tick: ProgressCallback = nothing,
    name: str = "icu",
) -> Collection:
    with holding(connector, str(folder), name, folder) as held:
        return reindex(connector, name, wanted, tick, held)


@pytest.fixture(
    params=[
        "edge",
        "lite",
        pytest.param("qdrant", marks=pytest.mark.server),
        pytest.param("milvus", marks=pytest.mark.server),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "edge":
            return f"qdrant:{tmp_path}/s"
        case "lite":
            return f"milvus:{tmp_path}/s.db"
        case "qdrant":
            port = request.getfixturevalue("qdrant").grpc
            return f"qdrant+grpc://127.0.0.1:{port}?check_compatibility=false"
    return f"milvus+http://127.0.0.1:{request.getfixturevalue('milvus').port}"


@pytest.fixture
def filled(store: str) -> Iterator[Connector]:
    """Give version 1 of `icu` behind its alias."""
    with connect(store) as connector:
        for left in connector.collections():
            connector.drop(left)
        connector.create(Collection("icu_v1", DIM, Hnsw(m=8, ef_construction=64), FIELDS, {"x": 1}))
        connector.alias("icu", "icu_v1")
        rows = payloads(N)
        connector.upsert("icu", Points([f"p{i}" for i in range(N)], cloud(N, DIM), rows))  # type: ignore[arg-type]
        connector.finalize("icu")
        yield connector


def everything(connector: Connector) -> dict[str, tuple[Payload, Vectors]]:
    """Return payload and vector of every point."""
    return {
        key: (payload, vector)
        for page in connector.scroll("icu", 200)
        for key, payload, vector in zip(page.ids, page.payloads, page.vectors, strict=True)
    }


def ask_without_pause(connector: Connector, done: threading.Event, failures: list[str]) -> Callable[[], None]:
    queries = cloud(4, DIM, seed=9)

    def run() -> None:
        while not done.is_set():
            try:
                hits = connector.search("icu", queries, 5).hits
                if [len(row) for row in hits] != [5] * 4:
                    failures.append(f"short: {[len(row) for row in hits]}")
            except CohortsError as error:
                failures.append(str(error))

    return run


def test_reindexing_keeps_everything_and_every_query_is_answered(
    filled: Connector, store: str, tmp_path: Path
) -> None:
    before = everything(filled)
    done, failures = threading.Event(), list[str]()
    servers = "+" in store  # an embedded engine lives in one process, and its connector in one thread
    readers: list[threading.Thread] = []
    with connect(store) as other:
        if servers:
            readers = [threading.Thread(target=ask_without_pause(other, done, failures)) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            made = reindexed(filled, tmp_path, IndexRequest(Hnsw(m=16, ef_construction=100)))
            reindexed(filled, tmp_path, IndexRequest(Hnsw(m=24, ef_construction=100)))
        finally:
            done.set()
            for reader in readers:
                reader.join()
    assert failures == []
    assert (made.name, made.metadata) == ("icu_v2", {"x": 1})
    assert (filled.collections(), filled.aliases()) == (["icu_v3"], {"icu": "icu_v3"})
    about = filled.describe("icu")
    assert (about.collection.index, about.count, about.collection.fields) == (Hnsw(24, 100), N, FIELDS)
    after = everything(filled)
    assert set(after) == set(before)
    for key, (payload, vector) in before.items():
        assert after[key][0] == payload
        np.testing.assert_allclose(after[key][1], vector, atol=1e-6)


def test_reindexing_changes_the_kind_where_the_engine_has_it(filled: Connector, tmp_path: Path) -> None:
    made = reindexed(filled, tmp_path, IndexRequest(Flat()))
    assert filled.describe("icu").collection.index == made.index == Flat()
    if Ivf in filled.abilities.indexes:
        made = reindexed(filled, tmp_path, IndexRequest(Ivf(nlist=8), SearchParams(nprobe=8)))
        assert filled.describe("icu").collection.search == SearchParams(nprobe=8)
        assert len(filled.search("icu", cloud(1, DIM), 50).hits[0]) == 50
    else:
        with pytest.raises(UnsupportedIndex, match="It has: "):
            reindexed(filled, tmp_path, IndexRequest(Ivf(nlist=8), strict=True))
    assert len(filled.collections()) == 1


def test_a_collection_that_is_no_alias_is_refused(filled: Connector, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no alias"):
        reindexed(filled, tmp_path, IndexRequest(), name="icu_v1")


def test_a_copy_that_is_not_whole_changes_nothing(filled: Connector, tmp_path: Path) -> None:
    calls = 0

    def write_meanwhile(stage: str, units: int, expected: int | None = None, /) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            filled.delete("icu", ["p0"])

    with pytest.raises(EngineError, match="someone wrote meanwhile"):
        reindexed(filled, tmp_path, IndexRequest(Flat()), write_meanwhile)
    assert (filled.collections(), filled.aliases()) == (["icu_v1"], {"icu": "icu_v1"})
    assert filled.count("icu") == N - 1


def test_versions_are_counted_on_and_switched(filled: Connector) -> None:
    assert next_version(filled, "icu") == "icu_v2"
    assert next_version(filled, "ic") == "ic_v1"
    filled.create(Collection("icu_v7", DIM))
    assert next_version(filled, "icu") == "icu_v8"
    switch(filled, "icu", "icu_v7")
    assert (filled.collections(), filled.aliases(), filled.count("icu")) == (["icu_v7"], {"icu": "icu_v7"}, 0)
