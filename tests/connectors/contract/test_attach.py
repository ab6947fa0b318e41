"""What `cohorts attach` takes, tells and refuses of collections that someone else made."""

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.connectors.addresses import parse_server, place_of
from cohorts.workspace import default_run_dir
from command_line import ok, refused, run
from engine_contract import cloud
from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient
from qdrant_client import QdrantClient, models
from servers import Milvus, QdrantNode

ROWS, DIM = 40, 16
UNITS = cloud(ROWS, DIM)


@pytest.fixture
def client(qdrant: QdrantNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantClient]:
    """A client of the owner of a collection; commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    client = qdrant.client()
    yield client
    client.close()


def collect(
    client: QdrantClient, payload_of: Any, vectors: Any = UNITS, distance: models.Distance | None = None
) -> None:
    """Make collection `theirs`, whose points have the rows' numbers for ids."""
    client.create_collection(
        "theirs", models.VectorParams(size=DIM, distance=distance or models.Distance.COSINE)
    )
    points = [
        models.PointStruct(id=i, vector=row, payload=payload_of(i)) for i, row in enumerate(vectors.tolist())
    ]
    client.upsert("theirs", points, wait=True)


def at(qdrant: QdrantNode, protocol: str = "http") -> str:
    port = qdrant.http if protocol == "http" else qdrant.grpc
    return f"--store 'qdrant+{protocol}://127.0.0.1:{port}?check_compatibility=false' --collection theirs"


def nearest(there: str, **asked: str) -> list[Any]:
    options = " ".join(f"--{name} {shlex.quote(value)}" for name, value in asked.items())
    found = json.loads(ok(f"query {there} {options} -k 5 --format json"))
    return list(found["neighbours"])


def test_patients_are_named_by_text_that_nobody_mapped_or_indexed(
    client: QdrantClient, qdrant: QdrantNode
) -> None:
    collect(client, lambda i: {"text": f"secret {i}", "metadata": {"subject_id": f"P{i // 2}"}})
    for named in ("subject_id", "metadata.subject_id"):
        ok(f"attach {at(qdrant)} --patient-field {named}")
        assert len({row["patient"] for row in nearest(at(qdrant), patient="P3")} - {"P3"}) == 5
    assert "secret" not in str(nearest(at(qdrant), patient="P3"))


def test_fields_are_taken_as_the_inspection_prints_them(client: QdrantClient, qdrant: QdrantNode) -> None:
    collect(client, lambda i: {"metadata": {"ward": f"W{i % 3}", "chunk-no": i % 2, "dose": i}})
    client.create_payload_index("theirs", "metadata.ward", models.PayloadSchemaType.KEYWORD, wait=True)
    for field in (
        "metadata.ward",
        "ward",
        "metadata.ward:keyword",
        "ward=metadata.ward:text",
        "ward=metadata.ward:VARCHAR",
    ):
        shown = ok(f"attach {at(qdrant)} --field {field}")
        assert "metadata.ward keyword, filter by ward" in " ".join(shown.split())
    asked = ("ward = 'W1' and chunk_no = 1", "metadata.ward = 'W1' and chunk-no = 1")
    one, other = (nearest(at(qdrant), patient="4", where=where) for where in asked)
    assert one == other
    assert {(row["ward"], row["chunk_no"]) for row in one} == {("W1", 1)}


def test_keys_with_blanks_dots_and_signs_are_filtered_by(client: QdrantClient, qdrant: QdrantNode) -> None:
    odd = {"Admission Type": "UE", "a.b": (0, 1), "p:q": (1.5, 2.5), 'q"x': (1, 2)}
    collect(client, lambda i: {"metadata": {key: pair[i % 2] for key, pair in odd.items()}, "Größe": i})
    owner_indexes = {'metadata."Admission Type"': "keyword", "Größe": "integer"}
    for path, kind in owner_indexes.items():
        client.create_payload_index("theirs", path, models.PayloadSchemaType(kind), wait=True)
    shown = " ".join(ok(f"attach {at(qdrant)}").split())
    for told in (
        'field metadata."Admission Type" keyword, filter by Admission_Type',
        'field metadata."a.b" integer, filter by a_b',
        'field metadata."p:q" float, filter by p_q',
        "field Größe integer",
    ):
        assert told in shown
    assert 'q"x' not in shown
    assert shown.count("Größe") == 1
    named = "Admission_Type = 'E' and a_b = 1 and p_q > 2 and Gr__e >= 37"
    asked = (
        named,
        '"metadata.Admission Type" = \'E\' and metadata.a.b = 1 and "p:q" > 2 and "Größe" >= 37',
    )
    for where in asked:
        found = nearest(at(qdrant), patient="3", where=where)
        assert {(row["Gr__e"], row["Admission_Type"], row["a_b"], row["p_q"]) for row in found} == {
            (37, "E", 1, 2.5),
            (39, "E", 1, 2.5),
        }
    for field in ("metadata.Admission Type", 'x=metadata."Admission Type":text', "Admission Type:keyword"):
        ok(f"attach {at(qdrant)} --field {shlex.quote(field)}")
    options = """--field 'metadata."p:q":number' --patient-field 'Admission Type'"""
    ok(f"attach {at(qdrant)} {options}")
    assert {row["patient"] for row in nearest(at(qdrant), patient="E")} == {"U"}


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (
            "--field 'Admision Type'",
            "Admision Type is no path on Qdrant. A key that holds anything but letters",
        ),
        ("--field '\"Ward No\"'", 'has a field "Ward No".'),
        ("--patient-field 'q\"x'", "one that holds a double quote itself can't be reached"),
        ("--field 'q\"x'", "one that holds a double quote can't be a field"),
        (
            "--field metadata.wrad:text",
            "No point of theirs has a field metadata.wrad. Nearest: metadata.ward",
        ),
        ("--patient-field subjectid", "has a field subjectid. Nearest: metadata.subject_id."),
        ("--field ward=metadata.ward:words", "a type of: text, integer,"),
        ("--field no", "may be one of several in theirs; give one: bed.no, room.no"),
    ],
)
def test_a_path_that_no_point_has_is_refused_with_the_nearest(
    client: QdrantClient, qdrant: QdrantNode, option: str, told: str
) -> None:
    collect(
        client, lambda i: {"metadata": {"ward": "W", "subject_id": i}, "bed": {"no": 1}, "room": {"no": 1}}
    )
    assert told in refused(f"attach {at(qdrant)} {option}")


def test_a_path_that_stands_in_no_point_of_the_sample_is_found(
    client: QdrantClient, qdrant: QdrantNode
) -> None:
    many = cloud(150, DIM)
    collect(client, lambda i: {"late": i} if i > 140 else {}, many)
    assert "late" not in ok(f"attach {at(qdrant)}")
    ok(f"attach {at(qdrant)} --field late")
    assert nearest(at(qdrant), patient="3", where="late >= 149")[0]["late"] == 149


def test_points_without_the_patient_and_ids_of_two_types_are_told_with_their_count(
    client: QdrantClient, qdrant: QdrantNode
) -> None:
    collect(client, lambda i: {} if i % 8 == 3 else {"subject_id": f"P{i}" if i % 8 == 5 else i})
    code, _, told = run(f"attach {at(qdrant)} --patient-field subject_id")
    assert code == 0
    assert "5 of 40 points have no subject_id" in told
    assert "5 of 40 points hold no whole number under subject_id" in told
    code, _, told = run(f"attach {at(qdrant)} --patient-field subject_id --field subject_id:text")
    assert (code, "30 of 40 points hold a number" in told) == (0, True)


def test_a_mapping_is_found_from_any_folder_however_the_address_is_spelt(
    client: QdrantClient, qdrant: QdrantNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect(client, lambda i: {"subject_id": f"P{i}"})
    ok(f"attach {at(qdrant)} --patient-field subject_id")
    monkeypatch.chdir("/")
    for spelt in ("localhost:{}?", "LOCALHOST:{}/?timeout_s=9&", "127.0.0.1:{}/?"):
        there = f"--store 'qdrant+http://{spelt.format(qdrant.http)}check_compatibility=false' --collection theirs"
        assert nearest(there, patient="P3")
    (file,) = (Path(os.environ["XDG_DATA_HOME"]) / "cohorts" / "attached").glob("*/theirs/attachment.json")
    folders = [folder for folder in file.parents if folder.is_relative_to(os.environ["XDG_DATA_HOME"])]
    assert [path.stat().st_mode & 0o77 for path in (file, *folders)] == [0] * (1 + len(folders))
    # Where an earlier version kept it.
    monkeypatch.chdir(tmp_path)
    old = default_run_dir(f"qdrant+http://127.0.0.1:{qdrant.http}", "theirs") / "attachment.json"
    old.parent.mkdir(parents=True)
    file.rename(old)
    assert nearest(at(qdrant), patient="P3")


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("qdrant+grpc://localhost:6334", "qdrant+http://127.0.0.1:6333/?timeout_s=5"),
        ("qdrant+grpc://a,b:7001", "qdrant+http://B:7000,a"),
        ("qdrant+http://[::1]", "qdrant+http://localhost"),
        ("milvus+http://Db.example.org./default", "milvus+https://db.example.org:19530"),
    ],
)
def test_addresses_of_one_server_have_one_place(address: str, same: str) -> None:
    assert place_of(parse_server(address, {})) == place_of(parse_server(same, {}))


@pytest.mark.parametrize(
    "other", ["milvus+http://a/x", "milvus+http://b", "milvus+http://a:19531", "qdrant+http://a:19530"]
)
def test_addresses_of_two_servers_have_two_places(other: str) -> None:
    assert place_of(parse_server(other, {})) != place_of(parse_server("milvus+http://a", {}))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            {
                "vectors_config": {
                    "late": models.VectorParams(
                        size=DIM,
                        distance=models.Distance.COSINE,
                        multivector_config=models.MultiVectorConfig(
                            comparator=models.MultiVectorComparator.MAX_SIM
                        ),
                    )
                }
            },
            "'late' is several vectors a point",
        ),
        (
            {"vectors_config": {}, "sparse_vectors_config": {"bm25": models.SparseVectorParams()}},
            "'bm25' is sparse",
        ),
        (
            {
                "vectors_config": models.VectorParams(
                    size=DIM, distance=models.Distance.COSINE, datatype=models.Datatype.UINT8
                )
            },
            "'' is of uint8",
        ),
        (
            {"vectors_config": models.VectorParams(size=DIM, distance=models.Distance.MANHATTAN)},
            "compared by Manhattan; cohorts compares by cosine, or, where all vectors have length 1, by Dot or Euclid",
        ),
    ],
)
def test_vectors_that_cohorts_does_not_read_are_refused_with_the_reason(
    client: QdrantClient, qdrant: QdrantNode, made: dict[str, Any], told: str
) -> None:
    client.create_collection("theirs", **made)
    assert told in refused(f"attach {at(qdrant)}")


@pytest.mark.parametrize("distance", [models.Distance.DOT, models.Distance.EUCLID])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_unit_vectors_that_are_compared_otherwise_are_read_as_by_cosine(
    client: QdrantClient, qdrant: QdrantNode, distance: models.Distance, protocol: str
) -> None:
    collect(client, lambda i: {"n": i}, distance=distance)
    shown = " ".join(ok(f"attach {at(qdrant, protocol)}").split())
    assert "as cosine: all of 40 that were looked at have length 1" in shown
    cosines = UNITS @ UNITS[7]
    for where in ({}, {"where": "n >= 20"}):
        rows = nearest(at(qdrant, protocol), patient="7", **where)
        least = 20 if where else 0
        expected = [int(i) for i in np.argsort(-cosines) if i != 7 and i >= least][:5]
        assert [int(row["patient"]) for row in rows] == expected
        assert [row["similarity"] for row in rows] == pytest.approx(cosines[expected], abs=1e-4)


@pytest.mark.parametrize("distance", [models.Distance.DOT, models.Distance.EUCLID])
def test_vectors_of_other_lengths_that_are_not_compared_by_cosine_are_refused(
    client: QdrantClient, qdrant: QdrantNode, distance: models.Distance
) -> None:
    vectors = UNITS.copy()
    vectors[33] *= 1.1
    collect(client, lambda i: {"n": i}, vectors, distance)
    assert "1 of 40 that were looked at have another length" in refused(f"attach {at(qdrant)}")


def make_in_milvus(
    client: MilvusClient, metric: str, vectors: Any = UNITS, *, dynamic: bool = False, patient: Any = None
) -> None:
    """Make collection `theirs`, as its owner does before any flush."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=dynamic)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("n", DataType.INT64)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="FLAT", metric_type=metric)
    if client.has_collection("theirs"):
        client.drop_collection("theirs")
    client.create_collection("theirs", schema=schema, index_params=index, consistency_level="Strong")
    rows = [
        {"pk": i, "embedding": row, "n": i, "text": f"T{i // 2}", **(patient(i) if patient else {})}
        for i, row in enumerate(vectors.tolist())
    ]
    client.insert("theirs", rows)


@contextmanager
def owner_of_lite() -> Iterator[MilvusClient]:
    """The owner's client of an embedded file, which is let go before commands open it."""
    client = MilvusClient("theirs.db")
    yield client
    client.close()
    server_manager_instance.release_server("theirs.db")


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.server)])
def milvus_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Any]:
    """Where commands find collection `theirs`, and a context in which its owner works."""
    monkeypatch.chdir(tmp_path)
    if request.param == "lite":
        return "--store milvus:./theirs.db --collection theirs", owner_of_lite
    server: Milvus = request.getfixturevalue("milvus")

    @contextmanager
    def owner() -> Iterator[MilvusClient]:
        client = MilvusClient(f"http://127.0.0.1:{server.port}", timeout=60, dedicated=True)
        yield client
        client.close()

    return f"--store milvus+http://127.0.0.1:{server.port} --collection theirs", owner


def test_rows_of_milvus_that_are_not_flushed_yet_are_counted_and_unit_vectors_read(
    milvus_store: tuple[str, Any],
) -> None:
    there, owner = milvus_store
    cosines = UNITS @ UNITS[7]
    expected = [int(i) for i in np.argsort(-cosines) if i != 7][:5]
    for metric in ("IP", "L2"):
        with owner() as client:
            make_in_milvus(client, metric)
        shown = " ".join(ok(f"attach {there}").split())
        assert "vectors 40 " in shown
        assert "as cosine: all of 40 that were looked at have length 1" in shown
        rows = nearest(there, patient="7")
        assert [int(row["patient"]) for row in rows] == expected
        assert [row["similarity"] for row in rows] == pytest.approx(cosines[expected], abs=1e-4)
    with owner() as client:
        make_in_milvus(client, "L2", 2 * UNITS)
    assert "40 of 40 that were looked at have another length" in refused(f"attach {there}")


def test_patients_of_milvus_in_long_text_and_in_keys_that_no_column_declares(
    milvus_store: tuple[str, Any],
) -> None:
    there, owner = milvus_store
    with owner() as client:
        make_in_milvus(
            client,
            "COSINE",
            dynamic=True,
            patient=lambda i: {} if i % 8 == 3 else {"subject_id": 100 + i // 2},
        )
    ok(f"attach {there} --patient-field text")
    assert {row["patient"] for row in nearest(there, patient="T3")}.isdisjoint({"T3"})
    code, shown, told = run(f"attach {there} --patient-field subject_id --field n:INT64")
    assert code == 0
    assert "subject_id INT64, filter by subject_id" in " ".join(shown.split())
    assert "5 of 40 points have no subject_id" in told
    rows = nearest(there, patient="102", where="not (n < 20) and subject_id is not null")
    assert len(rows) == 5
    assert all(row["patient"] >= 110 for row in rows)
    assert "Nearest: subject_id." in refused(f"attach {there} --patient-field subjectid")


def test_vectors_of_milvus_that_cohorts_does_not_read_are_refused_with_the_reason(
    milvus_store: tuple[str, Any],
) -> None:
    there, owner = milvus_store
    schema = MilvusClient.create_schema(auto_id=False)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    kind = ("binary", DataType.BINARY_VECTOR) if "http" in there else ("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("bits", kind[1], **({"dim": DIM} if kind[0] == "binary" else {}))
    with owner() as client:
        client.create_collection("theirs", schema=schema)
    assert f"'bits' is {kind[0]}" in refused(f"attach {there}")
