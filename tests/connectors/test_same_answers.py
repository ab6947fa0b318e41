"""One hospital, every engine, the same neighbours: `cohorts query --patient` on synthetic data."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cohorts
import numpy as np
import pytest
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.search.neighbours import of_patient
from command_line import ok, run
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
    for asked in (
        f"{like} --weights 2,1,1 --unlike 10555",
        f"{like} --any --text 'heart failure'",
        f"{like} --contrast on --where \"sex = 'F'\"",
        f"{like} --text 'fever, no sepsis'",
    ):
        answers = {}
        for engine, store in stores.items():
            command = (
                f"query --store {store} --collection same {asked} -k {K} --search exact=true --format json"
            )
            answers[engine] = [row["patient"] for row in json.loads(ok(command))["neighbours"]]
        first = answers["embedded Qdrant"]
        assert len({*first} - {"10006", "10123", "10400"}) == K
        assert "unlike" not in asked or not {*first} & named
        assert all(found == first for found in answers.values()), asked


def test_a_cohort_of_an_exact_search_is_the_same_on_every_engine_and_when_asked_again(
    stores: dict[str, str],
) -> None:
    kept: dict[str, list[str]] = {}
    for engine, store in stores.items():
        where = f"--store {store} --collection same"
        ok(
            f"query {where} --patient 10006 --patient 10123 -k 100 --search exact=true --save exact --format json"
        )
        kept[engine] = [one["patient"] for one in shown(f"cohort show exact {where}")["members"]]
        again = shown(f"cohort refresh exact {where}")
        assert (again["stayed"], again["went"], again["came"]) == (kept[engine], [], []), engine
        assert [one["patient"] for one in shown(f"cohort show exact {where}")["members"]] == kept[engine]
    assert len(set(map(tuple, kept.values()))) == 1
    assert len(kept["Milvus"]) == 100


def test_of_a_cohort_found_by_an_index_the_overlap_with_exact_search_is_told(stores: dict[str, str]) -> None:
    for engine in ("embedded Qdrant", "Milvus"):
        where = f"--store {stores[engine]} --collection same"
        ok(f"query {where} --patient 10400 -k 50 --search ef_search=50 --save by_index --format json")
        found = {one["patient"] for one in shown(f"cohort show by_index {where}")["members"]}
        code, out, told = run(f"cohort refresh by_index {where} --search exact=true --format json")
        assert code == 0
        assert "the search was ef_search=50 and is exact=true" in told
        exact = {one["patient"] for one in shown(f"cohort show by_index {where}")["members"]}
        assert json.loads(out)["overlap"] == pytest.approx(len(found & exact) / len(found | exact), abs=1e-4)
        assert set(json.loads(out)["went"]) == found - exact
        _, _, told = run(f"cohort refresh by_index {where} --search ef_search=50")
        assert re.search(r"found by the index .*hnsw", told)


def test_patients_who_are_alike_are_taken_by_id_on_every_engine(stores: dict[str, str]) -> None:
    """Of 12 with the same vector, 7 are among the first 10: the same ones, whatever order an engine gives them in."""
    rng = np.random.default_rng(0)
    question, apart = rng.normal(size=(2, 32))
    near = question + rng.normal(size=(3, 32)) * 0.05
    rows = np.concatenate([np.tile(question + apart, (12, 1)), near, rng.normal(size=(30, 32)) - question])
    order = rng.permutation(len(rows))
    ids = [f"p{number:02}" for number in range(len(rows))]
    points = Points([ids[at] for at in order], rows[order].astype(np.float32), [{}] * len(rows))
    for engine, address in stores.items():
        with cohorts.connect(address) as store:
            store.connector.create(Collection("twins", 32))
            store.connector.upsert("twins", points)
            store.connector.finalize("twins")
            twins = store.collection("twins")
            found = twins.like_vector(question, 10, search="exact=true")
            assert sorted(hit.id for hit in found) == [*ids[:7], *ids[12:15]], engine
            made = twins.save("ten", found)
            assert made.refresh().both == made.patients
            store.connector.drop("twins")
            made.remove()


def shown(command: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(ok(f"{command} --format json"))
    return value
