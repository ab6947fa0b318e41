"""One hospital, every engine, the same neighbours: `cohorts query --patient` on synthetic data."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohorts.connectors.base import Collection
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.search.neighbours import of_patient
from command_line import ok
from servers import Milvus, QdrantNode

K = 20
PATIENTS = ("10006", "10123", "10400", "10555", "10777")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, server_folder: Path) -> Iterator[dict[str, str]]:
    """Ingest one synthetic hospital, by one encoder, into every engine; give the address of each."""
    folder = tmp_path_factory.mktemp("same")
    qdrant, milvus = QdrantNode(folder / "qdrant"), Milvus(folder / "milvus")
    qdrant.start()
    milvus.start()
    unchecked = "check_compatibility=false"
    addresses = {
        "embedded Qdrant": "qdrant:./store",
        "embedded Milvus": "milvus:./store.db",
        "Qdrant by REST": f"qdrant+http://127.0.0.1:{qdrant.http}?{unchecked}",
        "Qdrant by gRPC": f"qdrant+grpc://127.0.0.1:{qdrant.grpc}?{unchecked}",
        "Milvus": f"milvus+http://127.0.0.1:{milvus.port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("synth hospital --patients 800 --seed 7")
        encoder = "word2vec:dim=32"
        for address in addresses.values():
            ok(
                f"ingest --source mimic3 --path hospital --encoder {encoder} --store {address} --collection same"
                " --replace"
            )
            encoder = str(next(Path("store.runs/same/encoders").iterdir()))
        yield addresses
    qdrant.kill(signal.SIGTERM)
    milvus.end()


def exactly(store: str, patient: str) -> dict[str, float]:
    """Return every patient's similarity by exact search over a store's own vectors."""
    with connect(store) as engine, MemoryConnector() as memory:
        memory.create(Collection("same", engine.describe("same").collection.dim, Flat()))
        for points in engine.scroll("same"):
            memory.upsert("same", points)
        return {hit.id: hit.score for hit in of_patient(memory, "same", patient, 10_000).hits}


def test_every_engine_finds_the_same_twenty(stores: dict[str, str]) -> None:
    for patient in PATIENTS:
        truth = exactly(stores["embedded Qdrant"], patient)
        best = sorted(truth.values(), reverse=True)[:K]
        for engine, store in stores.items():
            command = f"query --store {store} --collection same --patient {patient} -k {K} --format json"
            found = json.loads(ok(command))["neighbours"]
            assert [row["similarity"] for row in found] == pytest.approx(best, abs=1e-4), (engine, patient)
            for row in found:  # the same patients, ties aside: none is farther than the twentieth
                assert truth[row["patient"]] >= best[-1] - 1e-5, (engine, patient, row["patient"])
                assert row["similarity"] == pytest.approx(truth[row["patient"]], abs=1e-4)


def test_exact_search_agrees_on_every_engine(stores: dict[str, str]) -> None:
    for engine, store in stores.items():
        command = f"query --store {store} --collection same --patient 10006 -k {K} --search exact=true --format json"
        found = json.loads(ok(command))
        truth = exactly(store, "10006")
        best = sorted(truth.values(), reverse=True)[:K]
        assert [row["similarity"] for row in found["neighbours"]] == pytest.approx(best, abs=1e-4), engine
        assert found["index"] == "hnsw(m=32, ef_construction=400)"


def test_several_examples_find_the_same_patients_on_every_engine(stores: dict[str, str]) -> None:
    like = "--patient 10006 --patient 10123 --patient 10400"
    named = {"10006", "10123", "10400", "10555"}
    for asked in (f"{like} --weights 2,1,1 --unlike 10555", f"{like} --any --text 'heart failure'"):
        answers = {}
        for engine, store in stores.items():
            command = (
                f"query --store {store} --collection same {asked} -k {K} --search exact=true --format json"
            )
            answers[engine] = [row["patient"] for row in json.loads(ok(command))["neighbours"]]
        first = answers["embedded Qdrant"]
        assert len({*first} - {"10006", "10123", "10400"}) == K
        assert "any" in asked or not {*first} & named
        assert all(found == first for found in answers.values()), asked
