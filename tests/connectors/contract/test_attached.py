"""Attached collections, which others made: what is read, what is written beside theirs, and that theirs stays."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.commands import hints
from cohorts.connectors.attached.attachment import Attachment
from cohorts.connectors.attached.kept import save
from cohorts.connectors.base import Points
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import (
    Ivf,
    Other,
    SearchParams,
)
from cohorts.connectors.milvus.server import MilvusConnector
from cohorts.connectors.qdrant.server import QdrantConnector
from cohorts.errors import EngineError, FingerprintMismatch, InputError
from cohorts.loaders.attach import confirm, look, write_attached
from cohorts.loaders.lease import Lease
from cohorts.search.store import open_store
from cohorts.workspace import attachment_file
from engine_contract import cloud
from pymilvus import DataType, MilvusClient
from qdrant_client import QdrantClient, models
from servers import Milvus, QdrantNode

N, DIM, OUR_DIM = 60, 16, 8
IDS: list[int | str] = [*range(100, 100 + N // 2), *(str(uuid.UUID(int=i)) for i in range(N // 2))]
THEIRS = cloud(N, DIM)


@pytest.fixture
def qdrant_client(qdrant: QdrantNode) -> Iterator[QdrantClient]:
    """A client of the owner of a collection, made as another tool would make it."""
    client = qdrant.client(prefer_grpc=True)
    client.delete_collection("theirs")
    size = {"note": DIM, "cohorts": OUR_DIM}
    client.create_collection(
        "theirs",
        {name: models.VectorParams(size=dim, distance=models.Distance.COSINE) for name, dim in size.items()},
    )
    for path in ("metadata.subject", "metadata.codes"):
        client.create_payload_index("theirs", path, models.PayloadSchemaType.KEYWORD, wait=True)
    points = [
        models.PointStruct(
            id=IDS[i],
            vector={"note": THEIRS[i].tolist()},
            payload={
                "page_content": f"secret note {i}",
                "metadata": {
                    "age": i,
                    "subject": f"P{i // 2}",
                    "codes": ["E11"] if i % 2 else ["I10", "E11"],
                },
            },
        )
        for i in range(N)
    ]
    client.upsert("theirs", points, wait=True)
    client.update_collection_aliases(
        [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name="theirs", alias_name="live")
            )
        ]
    )
    yield client
    client.delete_collection("theirs")
    client.close()


@pytest.fixture
def qdrant_store(qdrant: QdrantNode) -> str:
    return f"qdrant+grpc://127.0.0.1:{qdrant.grpc}?check_compatibility=false"


def bytes_of(client: QdrantClient) -> str:
    """Return all that the owner keeps, as one text: every vector and payload key but ours."""
    records, _ = client.scroll("theirs", limit=1_000, with_payload=True, with_vectors=True)
    rows = []
    for record in records:
        vectors: Any = record.vector
        payload = {
            key: value for key, value in (record.payload or {}).items() if not key.startswith("_cohorts_")
        }
        rows.append([record.id, vectors["note"], payload])
    config = client.get_collection("theirs")
    return json.dumps(
        [rows, config.config.model_dump(mode="json"), sorted(config.payload_schema)], sort_keys=True
    )


def test_qdrant_is_inspected_and_mapped_without_a_write(
    qdrant_client: QdrantClient, qdrant_store: str
) -> None:
    before = bytes_of(qdrant_client)
    with open_store(qdrant_store, "theirs") as connector:
        with pytest.raises(InputError, match="attach it") as refused:
            connector.describe("theirs")
        assert "cohorts attach" in hints.told(refused.value)
        found, proposed = look(connector, "live")
        assert (found.name, found.count, found.aliases, found.ours) == ("theirs", N, ("live",), False)
        assert {vector.name: (vector.dim, vector.metric) for vector in found.vectors} == {
            "note": (DIM, "Cosine"),
            "cohorts": (OUR_DIM, "Cosine"),
        }
        assert found.fields["metadata.age"] == "integer"
        assert (proposed.vector, proposed.our_vector, proposed.writable) == ("note", "cohorts", False)
        assert proposed.collection.fields["age"] is int
        assert proposed.collection.fields["codes"] == list[str]
    assert bytes_of(qdrant_client) == before


def attached(connector: QdrantConnector, tmp_path: Path, *, write: bool) -> Attachment:
    _, proposed = look(connector, "theirs", patient_field="subject")
    return confirm(connector, proposed, tmp_path / "attachment.json", write=write)


def test_queries_with_their_filters_show_mapped_fields_only(
    qdrant_client: QdrantClient, qdrant_store: str, tmp_path: Path
) -> None:
    with QdrantConnector(client=qdrant_client) as connector:
        attached(connector, tmp_path, write=False)
        where = parse_filter("age >= 30 and codes contains 'I10' and subject != 'P20'")
        hits = connector.search("theirs", THEIRS[:1], N, where=where, params=SearchParams(exact=True)).hits[0]
        wanted = {i for i in range(30, N) if i % 2 == 0 and i // 2 != 20}
        assert {hit.id for hit in hits} == {str(IDS[i]) for i in wanted}
        assert "secret" not in str(hits)
        assert {one for page in connector.find("theirs", where, 7) for one in page} == {
            str(IDS[i]) for i in wanted
        }
        subjects = {key: value for page in connector.values("theirs", "subject", 7) for key, value in page}
        assert subjects == {str(one): f"P{i // 2}" for i, one in enumerate(IDS)}
        with pytest.raises(InputError, match="no field 'page_content'"):
            list(connector.values("theirs", "page_content"))
        scores = dict(zip(map(str, IDS), THEIRS @ THEIRS[0], strict=True))
        assert all(hit.score == pytest.approx(scores[hit.id], abs=1e-5) for hit in hits)
        back = connector.fetch("theirs", [str(IDS[3]), str(IDS[-1]), "nobody"])
        assert list(back.ids) == [str(IDS[3]), str(IDS[-1])]
        np.testing.assert_allclose(back.vectors, THEIRS[[3, N - 1]], atol=1e-6)
        assert sum(len(page.ids) for page in connector.scroll("theirs", 7)) == N
    assert qdrant_client.count("theirs").count == N, "a client that was passed in is left open"


def test_without_write_nothing_can_be_written(qdrant_client: QdrantClient, tmp_path: Path) -> None:
    before = bytes_of(qdrant_client)
    with QdrantConnector(client=qdrant_client) as connector:
        mapping = attached(connector, tmp_path, write=False)
        with pytest.raises(InputError, match="read-only"):
            mapping.written_by({"encoder_fingerprint": "f"}, OUR_DIM, {})
        with pytest.raises(InputError, match="read-only"):
            connector.upsert("theirs", Points(["100"], cloud(1, DIM), [{}]))
        with pytest.raises(InputError, match="belongs to others"):
            connector.delete("theirs", ["100"])
        with pytest.raises(InputError, match="belongs to others"):
            connector.drop("theirs")
    assert bytes_of(qdrant_client) == before


def test_writing_sets_our_vector_and_keys_and_leaves_theirs_byte_identical(
    qdrant_client: QdrantClient, tmp_path: Path
) -> None:
    before, ours = bytes_of(qdrant_client), cloud(N, OUR_DIM, seed=5)
    with QdrantConnector(client=qdrant_client) as connector:
        mapping = attached(connector, tmp_path, write=True)
        with pytest.raises(InputError, match="8 dimensions, the encoder 9"):
            mapping.written_by({"encoder_fingerprint": "f"}, 9, {})
        connector.attach(mapping.written_by({"encoder_fingerprint": "f"}, OUR_DIM, {"phenotype": str}))
        batch = Points([str(one) for one in IDS], ours, [{"phenotype": f"ph{i % 3}"} for i in range(N)])
        connector.upsert("theirs", batch)
        connector.upsert("theirs", batch)
        connector.finalize("theirs")
        hits = connector.search(
            "theirs", ours[:1], 5, where=parse_filter("phenotype = 'ph0' and age < 40")
        ).hits[0]
        assert hits[0].id == str(IDS[0])
        assert hits[0].score == pytest.approx(1.0, abs=1e-5)
        assert {hit.payload["phenotype"] for hit in hits} == {"ph0"}
        with pytest.raises(InputError, match="1 of 2 ids are no points"):
            connector.upsert("theirs", Points(["100", "999999"], ours[:2], [{}, {}]))
        assert connector.count("theirs") == N
        connector.delete("theirs", [str(IDS[0])])
        assert not connector.fetch("theirs", [str(IDS[0])]).ids, "nothing of ours is left"
        assert [sorted(page) for page in connector.find("theirs")] == [sorted(map(str, IDS[1:]))]
        (record,) = qdrant_client.retrieve("theirs", [IDS[0]], with_payload=True)
        assert not any(key.startswith("_cohorts_") for key in record.payload or {})
    assert bytes_of(qdrant_client) == before


@pytest.mark.parametrize(
    "edited",
    [
        {"our_vector": "note", "our_dim": DIM},
        {"our_vector": "note", "our_dim": DIM, "vector": "cohorts"},
        {"vector": "cohorts"},
        {"our_dim": OUR_DIM + 1},
        {"writable": False},
        {"our_vector": ""},
    ],
)
def test_an_edited_mapping_writes_and_removes_nothing(
    qdrant_client: QdrantClient,
    qdrant_store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edited: dict[str, Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    before, file = bytes_of(qdrant_client), attachment_file(qdrant_store, "theirs")
    with open_store(qdrant_store, "theirs") as connector:
        _, proposed = look(connector, "theirs", patient_field="subject")
        confirmed = confirm(connector, proposed, file, write=True)
        save(confirmed.written_by({"encoder_fingerprint": "f"}, OUR_DIM, {}), file)
    kept = json.loads(file.read_text())
    dim = edited.get("our_dim", OUR_DIM)
    file.write_text(json.dumps({**kept, **edited, "collection": {**kept["collection"], "dim": dim}}))
    with open_store(qdrant_store, "theirs") as connector:
        batch = Points([str(IDS[0])], cloud(1, dim), [{}])
        with pytest.raises(InputError, match=r"theirs"):
            connector.upsert("theirs", batch)
        with pytest.raises(InputError, match=r"theirs"):
            connector.delete("theirs", batch.ids)
    assert bytes_of(qdrant_client) == before


def test_vectors_of_two_encoders_do_not_meet_in_a_collection_of_others(
    qdrant_client: QdrantClient, tmp_path: Path
) -> None:
    file = tmp_path / "attachment.json"
    with QdrantConnector(client=qdrant_client) as connector:
        attached(connector, tmp_path, write=True)
        save(write_attached(connector, file, {"encoder_fingerprint": "f"}, OUR_DIM), file)
        write_attached(connector, file, {"encoder_fingerprint": "f"}, OUR_DIM)
        with pytest.raises(FingerprintMismatch, match="encoder with fingerprint f; the one at hand has g"):
            write_attached(connector, file, {"encoder_fingerprint": "g"}, OUR_DIM)
        attached(connector, tmp_path, write=True)
        write_attached(connector, file, {"encoder_fingerprint": "g"}, OUR_DIM)


def test_a_run_holds_a_collection_of_others_by_a_lease_only_where_it_may_write(
    qdrant_client: QdrantClient, tmp_path: Path
) -> None:
    before = qdrant_client.get_collection("theirs").config.metadata
    with QdrantConnector(client=qdrant_client) as connector, Lease(connector, "j", None) as lease:
        attached(connector, tmp_path, write=False)
        with pytest.raises(InputError, match="attached read-only"):
            lease.take("theirs")
        assert qdrant_client.get_collection("theirs").config.metadata == before
        attached(connector, tmp_path, write=True)
        lease.take("theirs")
        lease.check()
    assert not qdrant_client.get_collection("theirs").config.metadata, "given back"


def test_a_mapping_is_kept_and_taken_up_again(
    qdrant_client: QdrantClient, qdrant_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store(qdrant_store, "theirs") as connector:
        _, proposed = look(connector, "theirs", fields=["page=page_content:text"])
        confirm(connector, proposed, attachment_file(qdrant_store, "theirs"), write=False)
    with open_store(qdrant_store, "theirs") as again:
        about = again.describe("theirs")
        assert (about.count, about.collection.dim, about.collection.fields["page"]) == (N, DIM, str)


@pytest.fixture
def milvus_client(milvus: Milvus) -> Iterator[MilvusClient]:
    client = MilvusClient(f"http://127.0.0.1:{milvus.port}", timeout=60)
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("age", DataType.INT64)
    schema.add_field("sex", DataType.VARCHAR, max_length=8)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    index = client.prepare_index_params()
    index.add_index(
        "embedding",
        index_type="IVF_FLAT",
        index_name="of_theirs",
        metric_type="COSINE",
        params={"nlist": 8},
    )
    if client.has_collection("theirs"):
        client.drop_collection("theirs")
    client.create_collection("theirs", schema=schema, index_params=index)
    rows = [
        {"pk": i, "embedding": 3 * THEIRS[i], "age": i, "sex": "FM"[i % 2], "text": f"secret {i}", "more": i}
        for i in range(N)
    ]
    client.upsert("theirs", rows)
    client.flush("theirs")
    yield client
    client.drop_collection("theirs")
    client.close()


def test_milvus_is_read_by_a_mapping_and_never_written(
    milvus_client: MilvusClient, milvus: Milvus, tmp_path: Path
) -> None:
    before = json.dumps(
        milvus_client.query("theirs", filter="pk >= 0", output_fields=["*"]), default=float, sort_keys=True
    )
    with MilvusConnector(client=milvus_client) as connector:
        with pytest.raises(InputError, match="attach it") as refused:
            connector.count("theirs")
        assert "cohorts attach" in hints.told(refused.value)
        found, proposed = look(connector, "theirs")
        assert (found.key, found.state, found.ours) == ("pk (INT64)", "Loaded", False)
        assert found.vectors[0].index.startswith("IVF_FLAT")
        assert set(proposed.paths) == {"age", "sex"}
        with pytest.raises(InputError, match="only reads collections of others on Milvus"):
            confirm(connector, proposed, tmp_path / "a.json", write=True)
        confirm(connector, proposed, tmp_path / "a.json", write=False)
        about = connector.describe("theirs")
        assert (about.collection.index, about.indexed) == (Ivf(8), N)
        where = parse_filter("age >= 20.5 and sex = 'F' and not (age = 30) and age is not null")
        found_hits = connector.search("theirs", THEIRS[:1], N, where=where).hits[0]
        assert {int(hit.id) for hit in found_hits} == {i for i in range(21, N) if i % 2 == 0 and i != 30}
        assert found_hits[0].score == pytest.approx(
            max(THEIRS[int(hit.id)] @ THEIRS[0] for hit in found_hits), abs=1e-5
        )
        back = connector.fetch("theirs", ["7", "nobody", "3"])
        assert list(back.ids) == ["7", "3"]
        np.testing.assert_allclose(back.vectors, THEIRS[[7, 3]], atol=1e-6)
        assert connector.count("theirs", parse_filter("age is null")) == 0
        ids = [int(one) for page in connector.find("theirs", where, 5) for one in page]
        assert sorted(ids) == sorted(int(hit.id) for hit in found_hits)
        ages = {key: value for page in connector.values("theirs", "age", 7) for key, value in page}
        assert ages == {str(i): i for i in range(N)}
        with pytest.raises(InputError, match="no field 'text'"):
            list(connector.values("theirs", "text"))
        assert sorted(int(one) for page in connector.scroll("theirs", 25) for one in page.ids) == list(
            range(N)
        )
        with pytest.raises(InputError, match="only reads it"):
            connector.upsert("theirs", Points(["1"], THEIRS[:1], [{}]))
        with pytest.raises(InputError, match="only reads it"):
            connector.delete("theirs", ["1"])
        with pytest.raises(InputError, match="only reads it"):
            connector.drop("theirs")
    assert (
        json.dumps(
            milvus_client.query("theirs", filter="pk >= 0", output_fields=["*"]),
            default=float,
            sort_keys=True,
        )
        == before
    )


def test_embedded_milvus_files_of_others_are_read_too(tmp_path: Path) -> None:
    store = f"milvus:{tmp_path}/theirs.db"
    client = MilvusClient(str(tmp_path / "theirs.db"))
    client.create_collection("theirs", dimension=DIM, metric_type="COSINE", id_type="int")
    client.insert("theirs", [{"id": i, "vector": THEIRS[i], "age": i} for i in range(N)])
    client.close()
    with open_store(store, "theirs") as connector:
        _, proposed = look(connector, "theirs")
        confirm(connector, proposed, tmp_path / "a.json", write=False)
        about = connector.describe("theirs")
        assert (about.collection.index, about.exact) == (Other("AUTOINDEX"), False)
        (note,) = connector.search("theirs", THEIRS[4:5], 1, params=SearchParams(exact=True)).notes
        assert f"{N} points were read and compared here" in note
        assert [hit.id for hit in connector.search("theirs", THEIRS[4:5], 1).hits[0]] == ["4"]
        assert connector.count("theirs") == N


def test_what_holds_no_collections_of_others_says_so(tmp_path: Path) -> None:
    for store in ("memory:", f"qdrant:{tmp_path}/s"):
        with open_store(store, "x") as connector, pytest.raises(InputError, match="no collections but ours"):
            look(connector, "x")
    with pytest.raises((InputError, EngineError)):
        look(QdrantConnector(client=QdrantClient(host="127.0.0.1", port=1, check_compatibility=False)), "x")
