"""`import cohorts` as a user has it: the example word for word, on every engine, and what it takes and refuses."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cohorts
import numpy as np
import pandas as pd
import psutil
import pytest
from cohorts.connectors import parse_filter
from cohorts.errors import (
    EncoderError,
    FingerprintMismatch,
    InputError,
    PatientNotFound,
    VectorError,
)
from command_line import ok
from qdrant_client import models
from servers import Milvus, QdrantNode

EXAMPLE = """
import cohorts
source  = cohorts.open_source("mimic3", "mimic3-demo", unit="patient")
encoder = cohorts.make_encoder("codes", dim=64)                  # or any object with fit/encode/save
store   = cohorts.connect("qdrant:./cohorts.qdrant")             # or a ready QdrantClient / MilvusClient
icu     = cohorts.ingest(source, encoder, store, "icu", index=cohorts.Hnsw(m=32))
icu     = store.collection("icu")                                # later: its encoder is found and checked
found   = icu.like_patient("10006", k=20, where="age >= 60")     # or like_text("…") on notes, like_vector(v)
found.to_pandas()                                                # and a table in a notebook (_repr_html_)
"""
N = 90  # patients of the synthetic hospital


@pytest.fixture
def here(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, with mimic3-demo in it."""
    (tmp_path / "mimic3-demo").symlink_to(shared_data / "mimic3-demo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def answer(example: str) -> cohorts.Found:
    names: dict[str, Any] = {}
    exec(example, names)
    found = names["found"]
    assert isinstance(found, cohorts.Found)
    return found


def of_the_command_line(store: str) -> list[str]:
    query = f"query --store {store} --collection icu --patient 10006 -k 20 --where 'age >= 60' --format json"
    return [row["patient"] for row in json.loads(ok(query))["neighbours"]]


def test_the_example_runs_word_for_word_and_answers_as_the_command_line_does(here: Path) -> None:
    run = f"{EXAMPLE}\nprint(*found.to_pandas()['id'])"
    done = subprocess.run([sys.executable, "-c", run], check=True, capture_output=True, text=True)
    ids = done.stdout.split()
    assert len(ids) == 20
    assert done.stderr == ""
    assert ids == of_the_command_line("qdrant:./cohorts.qdrant")
    assert not list(here.glob("cohorts-work-*/*"))  # temporary files, which hold patients' facts


def test_the_example_on_embedded_milvus(here: Path) -> None:
    found = answer(EXAMPLE.replace("qdrant:./cohorts.qdrant", "milvus:./cohorts.db"))
    assert [hit.id for hit in found] == of_the_command_line("milvus:./cohorts.db")


@pytest.mark.parametrize("prefer_grpc", [False, True])
def test_the_example_with_a_ready_client_of_qdrant(here: Path, qdrant: QdrantNode, prefer_grpc: bool) -> None:
    client = qdrant.client(prefer_grpc=prefer_grpc)
    store = cohorts.connect(client)
    exact = EXAMPLE.replace('cohorts.connect("qdrant:./cohorts.qdrant") ', "STORE")
    names: dict[str, Any] = {"STORE": store}
    exec(exact, names)
    assert len(names["found"]) == 20
    protocol, port = ("grpc", qdrant.grpc) if prefer_grpc else ("http", qdrant.http)
    assert [hit.id for hit in names["found"]] == of_the_command_line(
        f"qdrant+{protocol}://127.0.0.1:{port}?check_compatibility=false"
    )
    assert store.run_dir("icu") == Path("cohorts.runs", f"qdrant-{protocol}-127.0.0.1-{port}", "icu")
    assert names["icu"].encoder.name == "codes"
    store.close()
    assert client.count("icu").count > 20  # the client is left open
    client.close()


def test_the_example_with_a_ready_client_of_milvus(here: Path, milvus: Milvus) -> None:
    from pymilvus import MilvusClient

    client = MilvusClient(f"http://127.0.0.1:{milvus.port}", dedicated=True)
    store = cohorts.connect(client, runs=here / "kept")
    names: dict[str, Any] = {"STORE": store}
    exec(EXAMPLE.replace('cohorts.connect("qdrant:./cohorts.qdrant") ', "STORE"), names)
    assert len(names["found"]) == 20
    assert {file.name for file in (here / "kept" / "icu").iterdir()} == {
        "encoders",
        "journal.sqlite",
        "manifest.json",
        "events.parquet",
        "outcomes.parquet",
        "quarantine.csv",  # four laboratory values that can't be
    }
    assert not (here / "cohorts.runs").exists()  # nothing is kept elsewhere
    assert cohorts.connect(client, runs=here / "kept").collection("icu").encoder.name == "codes"
    assert client.list_collections() == ["icu_v1"]
    client.close()


def test_a_source_needs_no_with_and_its_bad_rows_stand_in_the_run_folder(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    cohorts.synthesize(broken, patients=40)
    file = broken / "ADMISSIONS.csv"
    rows = file.read_text().splitlines()
    rows[1] = rows[1].replace(rows[1].split(",")[2], "no date", 1)
    file.write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = cohorts.open_source("mimic3", broken)
    sum(len(batch) for batch in source.batches())  # read before the ingest
    assert source.report.quarantined
    assert source.quarantine.exists()
    assert str(source.quarantine) not in {one.path for one in psutil.Process().open_files()}
    store = cohorts.connect(f"qdrant:{tmp_path}/s")
    cohorts.ingest(source, "codes:dim=8", store, "broken")
    kept = store.run_dir("broken") / "quarantine.csv"
    assert source.quarantine == kept
    lines = kept.read_text().splitlines()
    assert lines[0] == "table,row,line,reason"
    assert len(lines) == 1 + sum(source.report.quarantined.values())
    assert list(tmp_path.glob("cohorts-work-*/*"))
    source.close()
    source.close()
    assert kept.exists()
    assert not list(tmp_path.glob("cohorts-work-*/*"))


def test_ingest_updates_replaces_and_resumes_as_the_command_line_does(hospital: Path, tmp_path: Path) -> None:
    store = cohorts.connect(f"qdrant:{tmp_path}/s")
    with cohorts.open_source("mimic3", hospital) as source:
        first = cohorts.ingest(source, "codes:dim=8", store, "icu")
        assert (first.manifest["written"], first.manifest["unchanged"]) == (N, 0)
        again = cohorts.ingest(source, "codes:dim=8", store, "icu", update=True)
        assert (again.manifest["written"], again.manifest["unchanged"]) == (0, N)
        cohorts.ingest(source, "codes:dim=16", store, "icu", replace=True, index="flat")
        assert store.collection("icu").describe().collection.index == cohorts.Flat()
        assert store.collection("icu").describe().collection.dim == 16
        with pytest.raises(FingerprintMismatch):
            cohorts.ingest(source, "codes:dim=8", store, "icu")
        with pytest.raises(InputError, match="to replace one goes with no update"):
            cohorts.ingest(source, "codes:dim=8", store, "icu", replace=True, update=True)
        seen: list[tuple[str, int]] = []
        cohorts.ingest(
            source,
            None,
            store,
            "all",
            progress=lambda stage, units, expected=None: seen.append((stage, units)),
        )
    assert {stage for stage, _ in seen} >= {"train", "write"}
    assert store.collections() == ["all", "icu"]
    assert store.collection("all").encoder.name == "concat"
    with pytest.raises(cohorts.CohortsError, match="no collection"):
        store.collection("ICU2")


def test_a_shard_is_the_sources_and_the_runs(hospital: Path, tmp_path: Path) -> None:
    store = cohorts.connect(f"qdrant:{tmp_path}/s")
    encoder = cohorts.make_encoder("codes", dim=8)
    with cohorts.open_source("mimic3", hospital) as source:
        encoder.fit(source)
    for shard in ("1/2", "2/2"):
        with cohorts.open_source("mimic3", hospital, shard=shard) as source:
            cohorts.ingest(source, encoder, store, "icu")
    assert store.collection("icu").count() == N
    assert {file.name for file in store.run_dir("icu").glob("journal*.sqlite")} == {
        "journal-1-of-2.sqlite",
        "journal-2-of-2.sqlite",
    }


def test_texts_and_vectors_are_asked_by_the_collections_own_encoder(notes: cohorts.CollectionHandle) -> None:
    by_text = notes.like_text("worsening heart failure, furosemide, leg oedema", k=5)
    assert len(by_text) == 5
    (vector,) = notes.encoder.encode_text(["worsening heart failure, furosemide, leg oedema"])
    assert notes.like_vector(vector, 5) == by_text
    assert notes.like_vector(list(map(float, 3 * vector)), 5).hits[0].id == by_text[0].id
    assert notes.like_vector(pd.Series(vector), 5) == by_text
    assert notes.like_vector(vector[None, :].astype(np.float64), 5) == by_text
    itself = notes.fetch(["10006"])
    assert itself.vectors.shape == (1, 16)
    assert itself.vectors.dtype == np.float32
    near = [hit.id for hit in notes.like_vector(itself.vectors[0], N) if hit.id != "10006"]
    assert near == [hit.id for hit in notes.like_patient("10006", N)]


@pytest.mark.parametrize(
    "patient", ["10006", 10006, np.int64(10006), pd.Series([10006]), pd.Series(["10006"]), np.array(10006)]
)
def test_a_patients_id_is_taken_as_it_comes(notes: cohorts.CollectionHandle, patient: Any) -> None:
    assert notes.like_patient(patient, np.int64(3)) == notes.like_patient("10006", 3)


def test_ids_are_taken_as_they_come(notes: cohorts.CollectionHandle) -> None:
    wanted = ["10007", "10006"]
    for ids in (
        wanted,
        (10007, 10006),
        np.array([10007, 10006]),
        pd.Series([10007, 10006]),
        pd.Index(wanted),
    ):
        assert list(notes.fetch(ids).ids) == wanted
    assert list(notes.fetch(10006).ids) == ["10006"]


def test_a_filter_is_text_or_an_object(notes: cohorts.CollectionHandle) -> None:
    text = "age >= 60 and sex = 'F'"
    assert notes.like_patient(10006, where=parse_filter(text)) == notes.like_patient(10006, where=text)
    assert 0 < notes.count(text) < notes.count() == N


def test_search_parameters_are_text_dict_or_object(notes: cohorts.CollectionHandle) -> None:
    ways: list[Any] = ["exact=true", {"exact": True}, cohorts.SearchParams(exact=True)]
    first, *others = [notes.like_patient(10006, search=way) for way in ways]
    assert others == [first, first]


def test_an_index_is_text_dict_or_object(hospital: Path, tmp_path: Path) -> None:
    with cohorts.open_source("mimic3", hospital) as source:
        encoder = cohorts.make_encoder("codes:dim=8").fit(source)
        ways: list[Any] = ["hnsw:m=8", {"kind": "hnsw", "m": 8}, cohorts.Hnsw(m=8)]
        for index in ways:
            store = cohorts.connect("memory:", runs=tmp_path)
            made = cohorts.ingest(source, encoder, store, "icu", index=index)
            assert made.describe().collection.index == cohorts.Hnsw(m=8)


def test_labels_and_columns_are_text_list_dict_or_column(shared_data: Path) -> None:
    file = shared_data / "aci-bench" / "train.csv"
    ways: list[tuple[Any, Any]] = [
        ("id=encounter_id,text=note", "dataset"),
        ({"id": "encounter_id", "text": "note"}, ["dataset"]),
        ({"id": "encounter_id", "text": "note"}, pd.Series(["dataset"])),
    ]
    prints = set()
    for columns, labels in ways:
        with cohorts.open_source("notes-csv", str(file), columns=columns, labels=labels) as source:
            prints.add(source.fingerprint)
            assert "label_dataset" in next(iter(source.batches())).units
    assert len(prints) == 1


def test_what_is_not_there_is_told(notes: cohorts.CollectionHandle, tmp_path: Path) -> None:
    with pytest.raises(PatientNotFound, match="holds no patient 3"):
        notes.like_patient(3)
    with pytest.raises(PatientNotFound, match="The nearest ids: 1"):
        notes.like_patient(9, suggest=True)
    with pytest.raises(VectorError):
        notes.like_vector([1.0, 2.0])
    with pytest.raises(cohorts.CohortsError, match="phenotype"):
        cohorts.make_encoder("codes", withhold=["headache"])
    with pytest.raises(cohorts.CohortsError, match="dimm"):
        cohorts.make_encoder("codes", dimm=3)
    moved = notes.store.run_dir("notes") / "encoders"
    moved.rename(moved.with_name("elsewhere"))
    try:
        with pytest.raises(EncoderError, match="No encoder in"):
            notes.store.collection("notes").like_text("pain")
        assert len(notes.store.collection("notes").like_patient(10006, 3)) == 3  # which needs none
    finally:
        moved.with_name("elsewhere").rename(moved)


def test_what_is_kept_as_a_collections_encoder_is_checked(hospital: Path, tmp_path: Path) -> None:
    store = cohorts.connect(f"qdrant:{tmp_path}/s")
    with cohorts.open_source("mimic3", hospital) as source:
        made = cohorts.ingest(source, "lsa:dim=16", store, "notes")
        (kept,) = (store.run_dir("notes") / "encoders").iterdir()
        other = cohorts.make_encoder("lsa", dim=16, min_df=20).fit(source)
    shutil.rmtree(kept)
    other.save(kept)
    assert len(made.like_patient("10006", 3)) == 3  # which needs none
    with pytest.raises(
        FingerprintMismatch, match=f"the one at hand is lsa with fingerprint {other.fingerprint}"
    ):
        store.collection("notes").like_text("chest pain")


def test_phenotypes_are_withheld_by_name(hospital: Path) -> None:
    ways: list[Any] = ["sepsis,stroke", ["stroke", "sepsis"], pd.Series(["sepsis", "stroke"])]
    prints = set()
    with cohorts.open_source("mimic3", hospital) as source:
        for withhold in ways:
            made = cohorts.make_encoder("codes", dim=8, withhold=withhold).fit(source)
            assert made.describe()["withheld"] == ["sepsis", "stroke"]
            prints.add(made.fingerprint)
    assert len(prints) == 1


def test_a_collection_that_others_made_is_asked_as_it_is_mapped(
    qdrant: QdrantNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = qdrant.client()
    client.create_collection("theirs", models.VectorParams(size=4, distance=models.Distance.COSINE))
    client.create_payload_index("theirs", "metadata.subject_id", models.PayloadSchemaType.INTEGER)
    vectors = np.random.default_rng(5).normal(size=(40, 4))
    points = [
        models.PointStruct(
            id=i, vector=vectors[i].tolist(), payload={"metadata": {"subject_id": 100 + i // 2, "age": i}}
        )
        for i in range(40)
    ]
    client.upsert("theirs", points, wait=True)
    address = f"qdrant+http://127.0.0.1:{qdrant.http}?check_compatibility=false"
    ok(
        f"attach --store {address} --collection theirs --patient-field subject_id --field age=metadata.age:integer"
    )
    for store in (cohorts.connect(address), cohorts.connect(client)):
        theirs = store.collection("theirs")
        found = theirs.like_patient(103, k=5, where="age >= 20")
        assert len(found) == 5
        assert all(int(str(hit.payload["age"])) >= 20 for hit in found)
        with pytest.raises(EncoderError, match="no encoder"):
            theirs.like_text("pain")
        assert len(theirs.like_vector(vectors[0], 3)) == 3
    client.close()
    assert re.match("<Collection theirs in qdrant", repr(theirs))
