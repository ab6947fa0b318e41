"""One patient erased: from every version, journal and file of rejected rows, and nothing of another patient."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError, PatientNotFound
from cohorts.loaders.erase import Erased, erase
from cohorts.loaders.holding import holding
from cohorts.loaders.journal.journal import Journal
from cohorts.records.shards import shard_of
from command_line import ok, refused, run
from loading import content, ingest_arguments, make_hospital, vectors


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hospital(tmp_path_factory.mktemp("erase"), 60, 16)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def patients_of(store: str) -> dict[str, str]:
    with connect(store) as engine:
        return {key: str(payload["patient_id"]) for key, (_, payload) in content(engine, "icu").items()}


@pytest.mark.parametrize(("store", "unit"), [("milvus:./s.db", "patient"), ("qdrant:./s", "admission")])
def test_every_unit_of_the_patient_is_erased_and_none_of_another(
    hospital: Path, tmp_path: Path, store: str, unit: str
) -> None:
    ingest = " ".join(ingest_arguments(hospital, f"--store={store}", f"--unit={unit}"))
    ok(ingest)
    before = patients_of(store)
    (file,) = tmp_path.glob("*.runs/icu/journal.sqlite")
    with Journal(file) as journal:
        ((_, first, *_),) = journal.batches()
    several = max(set(before.values()), key=list(before.values()).count)
    patient = several if unit == "admission" else first
    units = {key for key, whose in before.items() if whose == patient}
    assert (len(units) > 1) is (unit == "admission")
    ok(f"delete --patient {patient} --store {store} --collection icu")
    assert patients_of(store) == {key: whose for key, whose in before.items() if key not in units}
    assert not [key for key in units if key.encode() in file.read_bytes()]
    ok(f"verify --store {store} --collection icu --full")
    message = refused(f"delete --patient {patient} --store {store} --collection icu")
    assert "hold nothing of this patient" in message
    assert not [one for one in {*before, *before.values()} if one in message.split()], "nobody is listed"


def test_what_was_erased_is_sent_again_by_a_source_that_holds_it(hospital: Path) -> None:
    ingest = " ".join(ingest_arguments(hospital, "--store=qdrant:./s"))
    ok(ingest)
    before = patients_of("qdrant:./s")
    patient = next(iter(before))
    _, _, told = run(f"delete --patient {patient} --store qdrant:./s --collection icu")
    assert "1 points, 1 notes of runs" in told
    assert "would be sent again" in told
    ok(f"{ingest} --update")
    assert patients_of("qdrant:./s") == before
    ok("verify --store qdrant:./s --collection icu --full")


def test_the_journal_of_every_shard_forgets(hospital: Path) -> None:
    for number in (1, 2):
        ok(" ".join(ingest_arguments(hospital, "--store=qdrant:./s", f"--shard={number}/2")))
    there = patients_of("qdrant:./s")
    for number in (1, 2):
        patient = next(one for one in there if shard_of(one, 2) == number)
        ok(f"delete --patient {patient} --store qdrant:./s --collection icu")
    ok("verify --store qdrant:./s --collection icu --full")


def test_a_row_that_could_not_be_written_is_erased_too(tmp_path: Path) -> None:
    rows = vectors(5)
    rows[1] = rows[3] = np.nan
    pq.write_table(pa.table({"id": list("abcde"), "vector": list(rows)}), "rows.parquet")
    assert run("load --vectors rows.parquet --collection c --made-by x")[0] == 3
    ok("delete --patient b --collection c")
    file = tmp_path / "cohorts.qdrant.runs" / "c" / "rejected.csv"
    with file.open() as stream:
        assert [row["id"] for row in csv.DictReader(stream)] == ["d"]
    assert file.stat().st_mode & 0o077 == 0
    ok("delete --patient d --collection c --log-format json")
    assert not file.exists()


def test_chunks_of_a_patient_are_erased_in_every_version_that_is_there(tmp_path: Path) -> None:
    """Also where the owner of a row is a whole number, or one of several, and where nothing can be filtered by it."""
    kinds: Sequence[tuple[dict[str, type], list[object]]] = [
        ({"whose": int}, [7, 8, 7]),
        ({"whose": list[str]}, [["7", "9"], ["8"], ["7"]]),
        ({"whose": str}, ["7", "8", "7"]),
        ({}, [7, 8, "7"]),
    ]
    for number, (fields, owners) in enumerate(kinds):
        with MemoryConnector() as engine:
            for version in ("c_v1", "c_v2"):
                engine.create(Collection(version, 16, fields=fields, metadata={"patient_field": "whose"}))
                rows = [{"whose": owner} for owner in owners]
                engine.upsert(version, Points(["a", "7", "c"], vectors(3), rows))  # type: ignore[arg-type]
            engine.alias("c", "c_v1")
            folder = tmp_path / str(number)
            with holding(engine, "memory:", "c", folder) as held:
                assert erase(engine, "c", "7", held, folder) == Erased(points=4)
                assert engine.count("c_v1") == engine.count("c_v2") == 1
                assert list(engine.fetch("c_v2", ["7"]).ids) == ["7"], "the id of another patient's chunk"
                with pytest.raises(PatientNotFound):
                    erase(engine, "c", "7", held, folder)


def test_points_that_stay_are_an_error(tmp_path: Path) -> None:
    class Keeping(MemoryConnector):
        def delete(self, name: str, ids: Sequence[str]) -> None:
            pass

    with Keeping() as engine, holding(engine, "memory:", "c", tmp_path) as held:
        engine.create(Collection("c", 16))
        engine.upsert("c", Points(["7"], vectors(1), [{}]))
        with pytest.raises(EngineError, match="still found"):
            erase(engine, "c", "7", held, tmp_path)


def test_a_collection_that_is_not_there_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    assert "There is no collection" in refused("delete --patient 7 --store qdrant:./s --collection nowhere")
    assert not list(tmp_path.glob("*.runs"))
