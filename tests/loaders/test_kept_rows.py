"""Events and outcomes in the run folder: what they hold after every kind of run, after none, and after an erasure."""

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cohorts
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.memory import MemoryConnector
from cohorts.errors import InputError, SourceError
from cohorts.loaders.erase import Erased, erase
from cohorts.loaders.holding import holding
from cohorts.loaders.kept_rows import Keeping, erase_kept
from cohorts.loaders.points.patients import PatientPoints
from cohorts.loaders.targets import LoadRequest
from cohorts.records.kept.reading import open_kept
from cohorts.records.kept.writing import KeptWriter
from cohorts.records.shards import Shard
from cohorts.workspace import file_of_shard
from command_line import ok
from command_line import run as command
from loading import ingest_arguments, make_hospital
from wards import Ward, ward_batch

WARD = {f"{100 + i}": 0.5 + i for i in range(10)}
SOME, MORE = dict(list(WARD.items())[:6]), dict(list(WARD.items())[4:])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder") / "codes"
    made = cohorts.make_encoder("codes:dim=2")
    made.fit(Ward(WARD))
    made.save(folder)
    return folder


class Stand(NamedTuple):
    """A store, the encoder of all runs, and the run folder."""

    store: cohorts.Store
    encoder: Path
    folder: Path

    def ingest(self, patients: Mapping[str, float], breaks_after: int = 1_000, **more: Any) -> Any:
        source = Ward(patients, breaks_after=breaks_after)
        return cohorts.ingest(source, self.encoder, self.store, "kept", **more).manifest


@pytest.fixture
def stand(tmp_path: Path, encoder: Path) -> Stand:
    return Stand(cohorts.connect("memory:", runs=tmp_path), encoder, tmp_path / "kept")


def values(folder: Path) -> dict[str, float]:
    """Return every unit's laboratory value, and look that its other rows and outcomes are there once."""
    kept = open_kept(folder)
    events, outcomes = (one.to_table().to_pandas() for one in (kept.events, kept.outcomes))
    assert set(events.groupby("unit_id").size()) <= {4}
    assert set(outcomes.groupby("unit_id")["described"].sum()) <= {1}
    assert set(outcomes["unit_id"]) == set(events["unit_id"])
    assert set(zip(events["unit_id"], events["block"], strict=True)) == set(
        zip(outcomes["unit_id"], outcomes["block"], strict=True)
    )
    labs = events[events["kind"] == "laboratory"]
    return dict(zip(labs["unit_id"], labs["value"], strict=True))


def left_behind(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.name.startswith(".cohorts-")]


def test_an_ingest_keeps_the_rows_of_all_units_and_tells_of_them(stand: Stand) -> None:
    told = stand.ingest(WARD)["kept"]
    assert values(stand.folder) == WARD
    for name, rows in (("events.parquet", 40), ("outcomes.parquet", 20)):
        file = stand.folder / name
        assert told[name]["rows"] == rows == pq.read_metadata(file).num_rows
        assert told[name]["bytes"] == file.stat().st_size
        assert file.stat().st_mode & 0o777 == 0o600
    assert not left_behind(stand.folder)


def test_a_run_that_fails_leaves_the_files_and_one_that_resumes_makes_them_whole(stand: Stand) -> None:
    stand.ingest(SOME)
    before = {file: file.read_bytes() for file in stand.folder.glob("*.parquet")}
    with pytest.raises(SourceError):
        stand.ingest(WARD, breaks_after=2, replace=True)
    assert {file: file.read_bytes() for file in stand.folder.glob("*.parquet")} == before
    assert values(stand.folder) == SOME
    assert not left_behind(stand.folder)
    stand.ingest(WARD, replace=True, resume=True)
    assert values(stand.folder) == WARD


def test_an_update_keeps_what_the_collection_holds(stand: Stand) -> None:
    stand.ingest(WARD)
    changed = {key: 99.0 if key == "105" else value for key, value in MORE.items()}
    manifest = stand.ingest(changed, update=True)
    assert manifest["written"] == 1
    assert manifest["vanished"] == 4
    assert values(stand.folder) == WARD | changed
    stand.ingest(changed, update=True, remove_vanished=True)
    assert values(stand.folder) == changed


def test_two_sources_in_one_collection_are_both_kept_and_a_new_version_is_alone(stand: Stand) -> None:
    stand.ingest(SOME)
    stand.ingest(MORE)
    assert values(stand.folder) == WARD
    stand.ingest(SOME, replace=True)
    assert values(stand.folder) == SOME


def test_without_events_those_of_earlier_runs_go(stand: Stand) -> None:
    assert stand.ingest(WARD, events=False)["kept"] == {}
    with pytest.raises(InputError, match="holds no events"):
        open_kept(stand.folder)
    stand.ingest(WARD, update=True)
    assert values(stand.folder) == WARD
    manifest = stand.ingest(WARD, update=True, events=False)
    assert manifest["kept"] == {}
    assert any("events.parquet and outcomes.parquet" in told for told in manifest["warnings"])
    assert not list(stand.folder.glob("*.parquet"))
    manifest = stand.ingest(SOME, update=True)
    assert any("of 4 units that the source has no more" in told for told in manifest["warnings"])


def test_files_that_were_changed_are_told_and_not_carried_on(stand: Stand) -> None:
    stand.ingest(WARD)
    (stand.folder / "events.parquet").write_bytes(b"PAR1")
    manifest = stand.ingest(SOME, update=True)
    assert any("are lost" in told for told in manifest["warnings"])
    assert values(stand.folder) == SOME


def test_a_full_disk_is_told_and_leaves_what_was_there(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    stand.ingest(SOME)
    monkeypatch.setattr(KeptWriter, "_write", full)
    with pytest.raises(InputError, match=r"events can't be kept .* No space left on device"):
        stand.ingest(WARD)
    monkeypatch.undo()
    assert values(stand.folder) == SOME


def test_units_go_by_the_ids_of_their_points_in_a_collection_of_others(tmp_path: Path) -> None:
    points = PatientPoints("theirs", "patient", str, {key: f"point-{key}" for key in WARD})
    with Keeping(tmp_path, LoadRequest("c"), wanted=True) as keeping:
        assert sum(map(len, keeping.source(Ward(WARD), points).batches())) == len(WARD)
        told = keeping.publish(lambda _: ())
    (tmp_path / "manifest.json").write_text(json.dumps({"kept": told}))
    kept = open_kept(tmp_path)
    for one in (kept.events, kept.outcomes):
        pairs = one.to_table(columns=["patient_id", "unit_id"]).to_pylist()
        assert {row["unit_id"] for row in pairs} == {f"point-{key}" for key in WARD}
        assert all(row["unit_id"] == f"point-{row['patient_id']}" for row in pairs)


def test_ready_vectors_leave_the_files_but_not_those_of_a_version_that_they_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = pa.table({"id": ["a", "b"], "vector": list(np.eye(2, dtype=np.float32))})
    pq.write_table(rows, "rows.parquet")
    load = "load --vectors rows.parquet --made-by x --collection kept --run-dir kept"
    ok(load)
    before = ingest_into(Path("kept"))
    ok(load)
    assert json.loads(Path("kept/manifest.json").read_text())["kept"] == before
    assert values(Path("kept")) == WARD
    ok(f"{load} --replace")
    assert json.loads(Path("kept/manifest.json").read_text())["kept"] == {}
    assert not list(Path("kept").glob("events*"))


def ingest_into(folder: Path, patients: Mapping[str, float] = WARD, **goal: Any) -> dict[str, Any]:
    """Put files into a run folder as an ingest does, and its manifest; return what that tells of them."""
    request = LoadRequest("kept", **goal)
    with Keeping(folder, request, wanted=True) as keeping:
        keeping.add(ward_batch(patients), list(patients))
        told = keeping.publish(lambda _: ())
    manifest = folder / file_of_shard("manifest.json", request.shard)
    manifest.write_text(json.dumps({"kept": told, "collection": "kept"}))
    return told


def test_a_new_version_leaves_none_of_the_shards_before(tmp_path: Path) -> None:
    ingest_into(tmp_path, SOME, shard=Shard(1, 2))
    ingest_into(tmp_path, dict(list(MORE.items())[2:]), shard=Shard(2, 2))
    assert values(tmp_path) == WARD
    ingest_into(tmp_path, SOME, replace=True)
    assert values(tmp_path) == SOME
    assert sorted(file.name for file in tmp_path.glob("*.parquet")) == ["events.parquet", "outcomes.parquet"]


def test_an_erased_patient_leaves_no_byte(tmp_path: Path) -> None:
    ingest_into(tmp_path, WARD | {"777123": 31.25})
    files = list(tmp_path.glob("*.parquet"))
    marks = (b"777123", np.float64(31.25).tobytes())
    assert all(marks[0] in file.read_bytes() for file in files)
    assert any(marks[1] in file.read_bytes() for file in files)
    assert erase_kept(tmp_path, "777123") == 6
    assert not [mark for file in files for mark in marks if mark in file.read_bytes()]
    assert values(tmp_path) == WARD
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["kept"]["events.parquet"]["rows"] == 40
    assert manifest["collection"] == "kept"
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert not left_behind(tmp_path)
    assert erase_kept(tmp_path, "777123") == 0


@pytest.mark.parametrize("dies_at", [1, 2, 3, 4])
def test_an_erasure_that_was_stopped_is_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    """Each file takes two steps: the manifest is put in its place, then the file."""
    ingest_into(tmp_path)
    steps, real = 0, Path.replace

    def replace(file: Path, target: Path) -> Path:
        nonlocal steps
        steps += 1
        if steps == dies_at:
            raise KeyboardInterrupt
        return real(file, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        erase_kept(tmp_path, "103")
    monkeypatch.undo()
    assert erase_kept(tmp_path, "103") > 0
    assert values(tmp_path) == {key: value for key, value in WARD.items() if key != "103"}


def test_a_patient_by_a_whole_number_is_erased_however_it_is_written(tmp_path: Path) -> None:
    ingest_into(tmp_path, {"7": 1.0, "8": 2.0})
    with MemoryConnector() as engine:
        engine.create(Collection("c", 2, fields={"whose": int}, metadata={"patient_field": "whose"}))
        engine.upsert("c", Points(["a"], np.eye(1, 2, dtype=np.float32), [{"whose": 7}]))
        with holding(engine, "memory:", "erased by number", tmp_path) as held:
            assert erase(engine, "c", "007", held, tmp_path) == Erased(points=1, events=6)
    assert values(tmp_path) == {"8": 2.0}


def test_an_erasure_does_not_vouch_for_what_was_changed(tmp_path: Path) -> None:
    ingest_into(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    ingest_into(other, SOME)
    (other / "events.parquet").replace(tmp_path / "events.parquet")
    assert erase_kept(tmp_path, "103") == 6
    with pytest.raises(InputError, match="is not what the run wrote"):
        open_kept(tmp_path)
    (tmp_path / "events.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="Remove it, then erase again"):
        erase_kept(tmp_path, "103")


def test_the_command_line_keeps_shards_and_erases_from_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hospital = make_hospital(tmp_path, 40, 8)
    for number in (1, 2):
        ok(" ".join(ingest_arguments(hospital, "--store=qdrant:./s", f"--shard={number}/2")))
    folder = tmp_path / "s.runs" / "icu"
    kept = open_kept(folder)
    ids = kept.outcomes.to_table()["patient_id"].unique().to_pylist()
    assert len(ids) == 40
    for patient in (ids[0], ids[-1]):
        _, _, told = command(f"delete --patient {patient} --store qdrant:./s --collection icu")
        many = kept.events.to_table()["patient_id"].to_pylist().count(patient)
        many += kept.outcomes.to_table()["patient_id"].to_pylist().count(patient)
        assert f"{many:,} rows of events" in " ".join(told.split())
    left = open_kept(folder)
    assert left.outcomes.to_table()["patient_id"].unique().to_pylist() == ids[1:-1]
    ok(" ".join(ingest_arguments(hospital, "--store=qdrant:./none", "--no-events")))
    assert not list((tmp_path / "none.runs" / "icu").glob("*.parquet"))
