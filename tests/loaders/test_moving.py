"""Vectors from elsewhere: files in, collections out, and copies between engines, by the command line."""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Points
from cohorts.connectors.index import Flat
from cohorts.connectors.milvus.embedded import MilvusLiteConnector
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError
from command_line import ok, refused, run
from loading import content, vectors
from servers import Milvus, QdrantNode

EDGE, LITE = "qdrant:./a", "milvus:./b.db"


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ingest a synthetic hospital into embedded Qdrant; give the folder, which is the working one."""
    folder = tmp_path_factory.mktemp("moving")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("synth hospital --patients 150 --seed 3")
        ok(
            f"ingest --source mimic3 --path hospital --encoder word2vec:dim=16 --store {EDGE} --collection icu"
        )
        yield folder


def payloads_and_vectors(store: str) -> tuple[dict[str, dict[str, object]], np.ndarray]:
    with connect(store) as engine:
        found = content(engine, "icu")
    rows = [np.frombuffer(found[key][0], np.float32) for key in sorted(found)]
    return {key: payload for key, (_, payload) in found.items()}, np.stack(rows)


def same(first: str, second: str) -> None:
    """Check that two stores hold the same collection: ids, payloads, vectors but for rounding, and definition."""
    one, other = payloads_and_vectors(first), payloads_and_vectors(second)
    assert one[0] == other[0]
    np.testing.assert_allclose(one[1], other[1], atol=1e-6)
    with connect(first) as left, connect(second) as right:
        a, b = (engine.describe("icu").collection for engine in (left, right))
    assert (a.dim, a.fields, a.metadata) == (b.dim, b.fields, b.metadata)


def test_a_collection_goes_from_engine_to_engine_and_back(
    ingested: Path, qdrant: QdrantNode, milvus: Milvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ingested)
    grpc = f"qdrant+grpc://127.0.0.1:{qdrant.grpc}?check_compatibility=false"
    server = f"milvus+http://127.0.0.1:{milvus.port}"
    way = [EDGE, server, grpc, LITE, "qdrant:./home"]
    for origin, target in pairwise(way):
        ok(f"copy --from {origin} --to {target} --collection icu")
        ok(f"verify --store {target} --collection icu --full")
        same(EDGE, target)
    found = ok("query --store qdrant:./home --collection icu --text 'heart failure' --format json")
    assert (
        json.loads(found)["neighbours"]
        == json.loads(ok(f"query --store {EDGE} --collection icu --text 'heart failure' --format json"))[
            "neighbours"
        ]
    ), "the encoder came along"


def test_a_copy_that_died_goes_on(ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ingested)
    monkeypatch.setattr("cohorts.loaders.points.ready.CHUNK_UNITS", 30)
    upsert, sent = MilvusLiteConnector.upsert, list[str]()
    alive = 90

    def dying(self: MilvusLiteConnector, name: str, points: Points) -> None:
        if len(sent) == alive:
            raise EngineError("gone")
        upsert(self, name, points)
        sent.extend(points.ids)

    copy = f"copy --from {EDGE} --to milvus:{tmp_path}/c.db --collection icu"
    monkeypatch.setattr(MilvusLiteConnector, "upsert", dying)
    assert run(copy)[0] == 1
    alive = 1_000
    ok(f"{copy} --resume")
    assert len(sent) == len(set(sent)) == 150, "each once"
    same(EDGE, f"milvus:{tmp_path}/c.db")


def test_an_exported_collection_is_loaded_again_as_it_was(
    ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ingested)
    file = tmp_path / "icu.parquet"
    ok(f"export --store {EDGE} --collection icu --out {file}")
    assert str(file) in refused(f"export --store {EDGE} --collection icu --out {file}"), "it is there already"
    ok(f"load --vectors {file} --store qdrant:{tmp_path}/again --collection icu")
    same(EDGE, f"qdrant:{tmp_path}/again")
    shutil.rmtree(tmp_path / "again")


@pytest.mark.parametrize("suffix", ["parquet", "npy", "hdf5"])
def test_vectors_of_another_pipeline_are_loaded_and_queried(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = vectors(300)
    facts = pa.table({"id": [f"P{i}" for i in range(300)], "age": list(range(300))})
    match suffix:
        case "parquet":
            pq.write_table(facts.append_column("vector", pa.array(list(rows))), "v.parquet")
            more = "--filterable age"
        case "npy":
            np.save("v.npy", rows)
            pq.write_table(facts, "facts.parquet")
            more = "--payload facts.parquet --filterable age"
        case "hdf5":
            import h5py

            with h5py.File("v.hdf5", "w") as file:
                file["train"] = rows
            pq.write_table(facts, "facts.parquet")
            more = "--payload facts.parquet --filterable age"
    ok(f"load --vectors v.{suffix} --collection theirs --made-by bert-7 --index flat {more}")
    found = json.loads(ok("query --collection theirs --patient P7 -k 5 --where 'age < 100' --format json"))
    near = rows[:100] @ rows[7]
    near[7] = -1
    assert [hit["patient"] for hit in found["neighbours"]] == [f"P{i}" for i in np.argsort(-near)[:5]]
    message = refused(f"load --vectors v.{suffix} --collection theirs --made-by bert-8 {more}")
    assert "made by bert-7" in message
    assert "are made by bert-8" in message.replace("\n", " ")
    with connect("qdrant:./cohorts.qdrant") as engine:
        assert engine.describe("theirs").collection.index == Flat()
