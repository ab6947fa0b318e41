"""What names the patient travels with a collection of others: into a copy, a copy of it, and an exported file."""

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.connectors.registry import connect
from command_line import ok, refused
from engine_contract import cloud
from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient
from qdrant_client import QdrantClient, models
from servers import QdrantNode

PATIENTS, CHUNKS, DIM = 12, 4, 16
ROWS = np.repeat(cloud(PATIENTS, DIM), CHUNKS, axis=0) + 0.05 * cloud(PATIENTS * CHUNKS, DIM, seed=1)
EDGE, LITE = "qdrant:./a", "milvus:./b.db"


@pytest.fixture
def lite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a collection of text chunks as its owner would, in embedded Milvus; give the store's address."""
    monkeypatch.chdir(tmp_path)
    client = MilvusClient("theirs.db")
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("subject", DataType.INT64)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="FLAT", metric_type="COSINE")
    client.create_collection("rag", schema=schema, index_params=index)
    rows = [
        {"pk": i, "embedding": row.tolist(), "subject": 10_000 + i // CHUNKS, "text": f"secret {i}"}
        | ({"ward": f"W{i % 3}"} if i % 2 else {})
        for i, row in enumerate(ROWS)
    ]
    client.insert("rag", rows)
    client.close()
    server_manager_instance.release_server("theirs.db")  # as in another process
    return "milvus:./theirs.db"


@pytest.fixture
def langchain(qdrant: QdrantNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make such a collection on a Qdrant server, in the layout of langchain-qdrant, with text for ids."""
    monkeypatch.chdir(tmp_path)
    client: QdrantClient = qdrant.client(prefer_grpc=True)
    client.delete_collection("rag")
    client.create_collection("rag", models.VectorParams(size=DIM, distance=models.Distance.COSINE))
    client.create_payload_index("rag", "metadata.day", models.PayloadSchemaType.DATETIME, wait=True)
    client.create_payload_index("rag", "metadata.dose", models.PayloadSchemaType.INTEGER, wait=True)

    def about(i: int) -> dict[str, Any]:
        sometimes = {} if i % 2 else {"page": 1.5}
        return {
            "patient_id": f"P{i // CHUNKS}",
            "chunk-no": i % CHUNKS,
            "day": f"2101-10-2{i % 9}T08:00:00Z",
            "dose": i if i < 3 else i / 8,
            **sometimes,
        }

    points = [
        models.PointStruct(
            id=str(uuid.UUID(int=i)),
            vector=row.tolist(),
            payload={"page_content": f"secret {i}", "chunk-no": i, "metadata": about(i)},
        )
        for i, row in enumerate(ROWS)
    ]
    client.upsert("rag", points, wait=True)
    yield f"qdrant+grpc://127.0.0.1:{qdrant.grpc}?check_compatibility=false"
    client.delete_collection("rag")
    client.close()


def found(store: str, patient: str) -> list[tuple[str, float]]:
    """Return whom a query finds, and how similar, and check that every other patient is found once."""
    answer = json.loads(
        ok(f"query --store '{store}' --collection rag --patient {patient} -k 50 --format json")
    )
    patients = [str(row["patient"]) for row in answer["neighbours"]]
    assert len(patients) == len(set(patients) - {patient, "None"}) == answer["got"] == PATIENTS - 1
    assert "secret" not in str(answer)
    return [(one["patient"], one["similarity"]) for one in answer["neighbours"]]


def copied(origin: str, target: str) -> None:
    """Copy, and check that no point was lost."""
    ok(f"copy --from '{origin}' --to {target} --collection rag")
    ok(f"verify --store {target} --collection rag --full")


def test_of_embedded_milvus_and_a_copy_of_the_copy(lite: str) -> None:
    ok(f"attach --store {lite} --collection rag --patient-field subject --field ward=ward:text")
    before = found(lite, "10003")
    copied(lite, EDGE)
    assert found(EDGE, "10003") == before
    copied(EDGE, LITE)
    assert found(LITE, "10003") == before
    for output in ("csv", "table"):  # some have no ward
        assert str(before[0][0]) in ok(
            f"query --store {LITE} --collection rag --patient 10003 -k 9 --format {output}"
        )


def test_vectors_of_others_by_two_unknown_encoders_do_not_meet_in_one_copy(lite: str) -> None:
    shutil.copytree("theirs.db", "others.db")
    for store in (lite, "milvus:./others.db"):
        ok(f"attach --store {store} --collection rag --patient-field subject")
    copied(lite, EDGE)
    message = refused(f"copy --from milvus:./others.db --to {EDGE} --collection rag")
    assert "made by others, in milvus:./theirs.db rag; these have" in message
    copied(lite, EDGE)


def test_of_a_qdrant_server_with_nested_keys_that_no_field_is_called_by(langchain: str) -> None:
    attach = f"attach --store '{langchain}' --collection rag --patient-field metadata.patient_id"
    ok(attach)
    before = found(langchain, "P3")
    copied(langchain, LITE)
    assert found(LITE, "P3") == before
    where = (
        f"query --store {LITE} --collection rag --patient P3 --where 'metadata_chunk_no = 2' --format json"
    )
    rows = json.loads(ok(where))["neighbours"]
    assert {row["metadata_chunk_no"] for row in rows} == {2}
    assert rows[0]["day"].endswith("T08:00:00Z")
    with connect(LITE) as engine:
        fields = engine.describe("rag").collection.fields
    assert (fields["day"], fields["dose"]) == (str, float), "as they are, whatever their owner declared"


@pytest.mark.parametrize("made_by", ["", "--made-by another"])
def test_an_exported_file_of_it_is_loaded_as_ours(langchain: str, made_by: str) -> None:
    ok(
        f"attach --store '{langchain}' --collection rag --field who=metadata.patient_id:text --patient-field who"
    )
    ok(f"export --store '{langchain}' --collection rag --out rag.parquet")
    ok(f"load --vectors rag.parquet --store {EDGE} --collection rag {made_by}")
    assert found(EDGE, "P3") == found(langchain, "P3")
    with connect(EDGE) as engine:
        assert "attached" not in engine.describe("rag").collection.metadata, "it belongs to nobody else"


def test_a_field_that_can_not_name_patients_is_refused(langchain: str) -> None:
    attach = f"attach --store '{langchain}' --collection rag"
    assert "Field page holds float" in refused(f"{attach} --patient-field page")
    assert "letters, digits and _" in refused(f"{attach} --field chunk-no=metadata.chunk-no:integer")
