"""An ingest into a collection of others writes to the points of its patients, by the owner's field of patients' ids."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.connectors.attached.attachment import Attachment
from cohorts.connectors.base import Collection
from cohorts.connectors.memory import MemoryConnector
from cohorts.errors import InputError
from cohorts.loaders.points.patients import points_of_patients
from cohorts.records.base import Unit
from command_line import ok, refused, run
from qdrant_client import QdrantClient, models
from servers import QdrantNode

PATIENTS = 40
NOTES = "--source notes-csv --path notes.csv --columns id=id,text=text"
ENCODER = "--encoder word2vec:dim=16,epochs=1"
IDS = [str(uuid.UUID(int=number + 1)) for number in range(PATIENTS)]


@pytest.fixture
def client(qdrant: QdrantNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantClient]:
    """A client of the owner of a collection; commands run in an empty folder, with notes of 40 patients."""
    monkeypatch.chdir(tmp_path)
    words = np.random.default_rng(0).choice(["cough", "fever", "fall", "pain", "rash"], (PATIENTS, 8))
    write_notes({row: " ".join(line) for row, line in enumerate(words)})
    client = qdrant.client()
    yield client
    client.close()


def write_notes(texts: dict[int, str]) -> None:
    lines = [f"{number},{text}\n" for number, text in texts.items()]
    Path("notes.csv").write_text("id,text\n" + "".join(lines))


def notes_there() -> dict[int, str]:
    lines = Path("notes.csv").read_text().splitlines()[1:]
    return {int(number): text for number, _, text in (line.partition(",") for line in lines)}


def collect(client: QdrantClient, ids: list[Any], payload_of: Callable[[int], dict[str, Any]]) -> None:
    sizes = {"note": 4, "cohorts": 16}
    vectors = {
        name: models.VectorParams(size=size, distance=models.Distance.COSINE) for name, size in sizes.items()
    }
    client.create_collection("theirs", vectors)
    note: Any = {"note": [1.0, 0.0, 0.0, 0.0]}
    points = [models.PointStruct(id=key, vector=note, payload=payload_of(row)) for row, key in enumerate(ids)]
    client.upsert("theirs", points, wait=True)


def held(client: QdrantClient) -> dict[Any, tuple[dict[str, Any], dict[str, Any], Any]]:
    """Return what stands under every id: the owner's payload, ours, and our vector."""
    records, _ = client.scroll("theirs", limit=1_000, with_payload=True, with_vectors=True)
    points = {}
    for record in records:
        parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for key, value in (record.payload or {}).items():
            parts[key.startswith("_cohorts_")][key] = value
        vectors: Any = record.vector
        points[record.id] = (*parts, vectors.get("cohorts"))
    return points


def at(qdrant: QdrantNode) -> str:
    return f"--store 'qdrant+http://127.0.0.1:{qdrant.http}?check_compatibility=false' --collection theirs"


@pytest.mark.parametrize(
    ("field", "payload_of"),
    [
        (
            'metadata."Subject Id"',
            lambda row: {"page_content": f"text {row}", "metadata": {"Subject Id": str(row), "ward": "W"}},
        ),
        ("patient_id", lambda row: {"page_content": f"text {row}", "patient_id": row}),
    ],
)
def test_patients_are_written_to_the_points_that_carry_them(
    field: str, payload_of: Callable[[int], dict[str, Any]], client: QdrantClient, qdrant: QdrantNode
) -> None:
    texts = notes_there()
    collect(client, [*IDS, str(uuid.UUID(int=9_999))], lambda row: payload_of(row) if row < PATIENTS else {})
    ok(f"attach {at(qdrant)} --vector note --patient-field '{field}' --write")
    ok(f"ingest {NOTES} {at(qdrant)} {ENCODER}")
    ok(f"verify {at(qdrant)} --full")
    first = held(client)
    assert [first[key][0] for key in IDS] == [payload_of(row) for row in range(PATIENTS)], "theirs stays"
    assert len(first) == PATIENTS + 1
    assert [key for key, (_, ours, vector) in first.items() if vector is None and not ours] == [
        str(uuid.UUID(int=9_999))
    ]

    texts[0] = "rash " * 8
    del texts[5]
    write_notes(texts)
    told = run(f"ingest {NOTES} {at(qdrant)} {ENCODER} --update --remove-vanished")[2]
    assert "units that stood there already 38" in " ".join(told.split())
    second = held(client)
    assert [row for row in range(PATIENTS) if second[IDS[row]][2] != first[IDS[row]][2]] == [0, 5]
    assert second[IDS[5]] == (payload_of(5), {}, None), "nothing of ours is left"

    ok(f"delete {at(qdrant)} --patient 3")
    third = held(client)
    assert third[IDS[3]] == (payload_of(3), {}, None)
    assert {**third, IDS[3]: second[IDS[3]]} == second


@pytest.mark.parametrize(
    ("payload_of", "told"),
    [
        (lambda row: {"subject_id": str(row % 30)}, "10 of 30 patients have several points in theirs"),
        (
            lambda row: {"subject_id": str(row) if row < 39 else row},
            "1 of 40 patients have no point in theirs by its field subject_id, which is read as text",
        ),
    ],
)
def test_nothing_is_written_where_a_patient_has_not_one_point(
    payload_of: Callable[[int], dict[str, Any]],
    told: str,
    client: QdrantClient,
    qdrant: QdrantNode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collect(client, list(range(PATIENTS)), payload_of)  # by their own ids there is a point for every patient
    before = held(client)
    ok(f"attach {at(qdrant)} --vector note --patient-field subject_id --write")

    def train(*_: object) -> None:
        raise AssertionError("An encoder was trained.")

    monkeypatch.setattr("cohorts.loaders.run.train", train)
    assert told in refused(f"ingest {NOTES} {at(qdrant)} {ENCODER}")
    assert held(client) == before


def test_where_units_go_by_their_own_ids_and_where_patients_share_points() -> None:
    fields = {"subject": list[str]}
    collection = Collection("theirs", 4, fields=fields, metadata={"patient_field": "subject"})
    mapping = Attachment(collection, "note", {"subject": "metadata.subject"})
    assert points_of_patients(MemoryConnector(), mapping, Unit.ADMISSION) is None
    own = replace(mapping, collection=replace(collection, metadata={}))
    assert points_of_patients(MemoryConnector(), own, Unit.PATIENT) is None
    with pytest.raises(
        InputError, match=r"metadata\.subject, which holds the patients' ids in theirs, is a list"
    ):
        points_of_patients(MemoryConnector(), mapping, Unit.PATIENT)
