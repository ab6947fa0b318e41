"""The loader: stages, journal, resuming, updating, verifying, and what it leaves out."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.commands.hints import told
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError, InputError, Stopped
from cohorts.loaders.journal.chunks import chunks_of_batch
from cohorts.loaders.journal.journal import Journal
from cohorts.loaders.stages import AHEAD, Prefetcher, Times, in_flight
from cohorts.loaders.targets import LoadRequest
from cohorts.records.base import Batch
from cohorts.records.sources.registry import open_source
from command_line import ok, refused
from command_line import run as command
from loading import Rows, content, ingest_arguments, make_hospital, run, vectors


class Failing(MemoryConnector):
    """The exact engine, which fails at the n-th upsert, as a server that stays away does."""

    def __init__(self, fail_at: int) -> None:
        super().__init__()
        self.fail_at, self.upserted = fail_at, list[str]()

    def upsert(self, name: str, points: Points) -> None:
        self.fail_at -= 1
        if self.fail_at == 0:
            raise EngineError("gone")
        super().upsert(name, points)
        self.upserted += points.ids


# -- stages


def test_stages_hand_on_in_order_and_hold_few() -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(100):
            made += 1
            yield number

    times = Times()
    with closing(Prefetcher(items(), times.of("read"), times.of("write"))) as ahead:
        assert next(ahead) == 0
        time.sleep(0.3)
        assert made <= AHEAD + 3, "back-pressure, not buffering"
        assert list(ahead) == list(range(1, 100))
    assert times.of("read").blocked_s > 0.1, "reading waited for writing"


def test_a_stage_that_fails_tells_the_one_behind() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise EngineError("gone")

    times = Times()
    with (
        closing(Prefetcher(items(), times.of("read"), times.of("write"))) as ahead,
        pytest.raises(EngineError, match="gone"),
    ):
        list(ahead)


def test_closing_ends_every_stage() -> None:
    before = threading.active_count()
    times = Times()
    first = Prefetcher(iter(range(10_000)), times.of("read"), times.of("encode"))

    def passed() -> Iterator[int]:
        with closing(first):
            yield from first

    second = Prefetcher(passed(), times.of("encode"), times.of("write"))
    assert next(second) == 0
    second.close()
    assert threading.active_count() == before


def test_in_flight_keeps_the_order_and_the_number() -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1
        return number * 2

    assert list(in_flight(iter(range(20)), work, 3, Times().of("write"))) == list(range(0, 40, 2))
    assert most == 3


# -- chunks


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hospital(tmp_path_factory.mktemp("loading"), 120, 16)


@pytest.fixture
def batch(hospital: Path, tmp_path: Path) -> Iterator[Batch]:
    with open_source(
        "mimic3", hospital / "hospital", work_dir=tmp_path, quarantine_file=tmp_path / "q.csv"
    ) as source:
        yield next(source.batches())


def test_a_chunk_has_its_units_rows_and_no_others(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohorts.loaders.journal.chunks.CHUNK_UNITS", 50)
    chunks = list(chunks_of_batch(batch))
    assert [len(chunk) for chunk in chunks] == [50, 50, 20]
    assert [len(chunk) for chunk in chunks_of_batch(batch, small=True)] == [32, 32, 32, 24]
    for chunk in chunks:
        assert isinstance(chunk.body, Batch)
        assert chunk.body.units["unit_id"].tolist() == list(chunk.ids)
        for whole, part in ((batch.notes, chunk.body.notes), (batch.codes, chunk.body.codes)):
            expected = whole[whole["unit_id"].isin(chunk.ids)].reset_index(drop=True)
            assert part.equals(expected)


def test_the_hash_of_a_unit_changes_with_any_of_its_rows_alone(batch: Batch) -> None:
    (before,) = chunks_of_batch(batch)
    patient = before.ids[7]
    row = batch.notes.index[batch.notes["unit_id"] == patient][0]
    batch.notes.loc[row, "text"] += "."
    (after,) = chunks_of_batch(batch)
    changed = [key for key, a, b in zip(before.ids, before.contents, after.contents, strict=True) if a != b]
    assert changed == [patient]
    assert before.digest != after.digest


# -- resuming


def test_a_resumed_run_neither_encodes_nor_sends_again_what_was_acknowledged(tmp_path: Path) -> None:
    origin = Rows(1_000)
    with Failing(fail_at=6) as engine:
        with pytest.raises(EngineError, match="gone"):
            run(origin, engine, tmp_path)
        acknowledged = list(engine.upserted)
        assert acknowledged[:500] == list(origin.points.ids[:500])
        with Journal(tmp_path / "journal.sqlite") as journal:
            states = [(number, state) for number, *_, state in journal.batches()]
        assert states[:5] == [(n, "acknowledged") for n in range(1, 6)]
        assert (6, "sent") in states
        assert "600" not in acknowledged or (7, "acknowledged") in states, "those in flight with it are noted"
        again = Rows(1_000)
        summary = run(again, engine, tmp_path, LoadRequest("c", resume=True))
        assert sorted(engine.upserted) == sorted(origin.points.ids), "each once"
        assert not set(again.encoded_ids) & set(acknowledged)
        assert summary.unchanged == len(acknowledged) == 1_000 - summary.written
        assert engine.collections() == ["c_v1"]


def test_a_run_that_is_not_resumed_writes_everything_again(tmp_path: Path) -> None:
    with Failing(fail_at=0) as engine:
        run(Rows(300), engine, tmp_path)
        run(Rows(300), engine, tmp_path)
        assert len(engine.upserted) == 600
        run(Rows(300), engine, tmp_path, LoadRequest("c", resume=True))
        assert len(engine.upserted) == 600, "the run before was whole"


@pytest.mark.parametrize("died_at", range(1, 7))
def test_a_replacement_that_died_is_finished_or_begun_anew_and_leaves_nothing(
    died_at: int, tmp_path: Path
) -> None:
    """At every step of making the new version, and of taking the name, the run dies; the old one answers all along."""

    class Dying(MemoryConnector):
        steps = 0

        def step(self) -> None:
            self.steps += 1
            if self.steps == died_at:
                raise KeyboardInterrupt

        def create(self, collection: Collection) -> None:
            self.step()
            super().create(collection)
            self.step()

        def alias(self, alias: str, name: str) -> None:
            self.step()
            super().alias(alias, name)
            self.step()

        def drop(self, name: str) -> None:
            self.step()
            super().drop(name)
            self.step()

    with Dying() as engine:
        engine.steps = 100
        run(Rows(300), engine, tmp_path)
        engine.steps = 0
        fresh = Rows(300, seed=1)
        with pytest.raises(KeyboardInterrupt):
            run(fresh, engine, tmp_path, LoadRequest("c", replace=True), source="fresh")
        assert engine.count("c") == 300
        run(Rows(300, seed=1), engine, tmp_path, LoadRequest("c", replace=True, resume=True), source="fresh")
        assert engine.collections() == ["c_v2"]
        assert engine.aliases() == {"c": "c_v2"}
        assert {key: vector for key, (vector, _) in content(engine).items()} == {
            key: vector.tobytes() for key, vector in zip(fresh.points.ids, fresh.points.vectors, strict=True)
        }


def test_stopping_writes_what_is_in_hand_and_says_how_to_go_on(tmp_path: Path) -> None:
    stop = Event()
    origin = Rows(2_000, at=lambda number: stop.set() if number == 15 else None)
    with MemoryConnector() as engine:
        with pytest.raises(Stopped, match="Resume the run to go on") as stopped:
            run(origin, engine, tmp_path, stop=stop)
        assert "--resume goes on" in told(stopped.value)
        written = engine.count("c")
        assert 0 < written < 2_000
        with Journal(tmp_path / "journal.sqlite") as journal:
            assert {state for *_, state in journal.batches()} == {"acknowledged"}
            assert journal.count() == written
        run(Rows(2_000), engine, tmp_path, LoadRequest("c", resume=True))
        assert engine.count("c") == 2_000


@pytest.mark.parametrize("what", ["source", "encoder", "collection", "unit"])
def test_a_run_about_something_else_is_not_resumed(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ok("synth other --patients 50 --seed 9")
    ok("fit --source mimic3 --path other --encoder word2vec:dim=16 --out other-encoder")
    given = {
        "path": hospital / "hospital",
        "encoder": hospital / "encoder",
        "collection": "icu",
        "unit": "patient",
    }
    first = " ".join(f"--{name} {value}" for name, value in given.items())
    ok(f"ingest --source mimic3 {first} --run-dir run")
    given |= {
        "source": {"path": "other"},
        "encoder": {"encoder": "other-encoder"},
        "collection": {"collection": "another"},
        "unit": {"unit": "admission"},
    }[what]
    second = " ".join(f"--{name} {value}" for name, value in given.items())
    message = refused(f"ingest --source mimic3 {second} --run-dir run --resume")
    assert f"{what} was" in message or f"{what} asked was" in message
    assert ok(f"ingest --source mimic3 {first} --run-dir run --resume") == ""


# -- updating


def test_update_sends_what_changed_and_removes_what_vanished_when_asked(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ok("synth hospital --patients 60 --seed 3")
    ok("synth more --patients 61 --seed 4")
    ingest = f"ingest --source mimic3 --path hospital --encoder {hospital}/encoder --collection icu"
    ok(ingest)
    with connect("qdrant:./cohorts.qdrant") as engine:
        before = content(engine, "icu")
    notes = Path("hospital/NOTEEVENTS.csv")
    patients = Path("hospital/PATIENTS.csv")
    changed = "10003"
    written = pd.read_csv(notes, dtype=str, keep_default_na=False)
    own = written["SUBJECT_ID"] == changed
    assert own.any()
    written.assign(TEXT=written["TEXT"].mask(own, "sepsis sepsis " + written["TEXT"])).to_csv(
        notes, index=False
    )
    gone = "10005"
    patients.write_text(
        "".join(line for line in patients.read_text().splitlines(keepends=True) if f",{gone}," not in line)
    )
    ok(f"{ingest} --update --max-bad-share 1")
    manifest = json.loads(Path("cohorts.qdrant.runs/icu/manifest.json").read_text())
    assert (manifest["units"], manifest["vanished"], manifest["removed"]) == (59, 1, 0)
    assert 1 <= manifest["written"] <= 2
    with connect("qdrant:./cohorts.qdrant") as engine:
        after = content(engine, "icu")
    assert after.keys() == before.keys(), "nothing is removed unasked"
    assert {key for key in before if before[key] != after[key]} <= {changed}
    ok(f"{ingest} --update --remove-vanished --max-bad-share 1")
    with connect("qdrant:./cohorts.qdrant") as engine:
        assert content(engine, "icu").keys() == before.keys() - {gone}
    ok("verify --collection icu --full")


def test_update_of_a_unit_that_has_nothing_left_to_encode_removes_its_point(tmp_path: Path) -> None:
    class Emptied(Rows):
        def encoded(self, chunks: Iterator) -> Iterator:  # type: ignore[type-arg]
            for chunk, points in super().encoded(chunks):
                rows = [row for row, key in enumerate(points.ids) if key != "5"]
                yield (
                    chunk,
                    Points(
                        [points.ids[row] for row in rows],
                        points.vectors[rows],
                        [points.payloads[row] for row in rows],
                    ),
                )

    with MemoryConnector() as engine:
        run(Rows(100), engine, tmp_path)
        changed = Emptied(100)
        changed.points.payloads[5]["sex"] = "M?"  # type: ignore[index]
        summary = run(changed, engine, tmp_path, LoadRequest("c", update=True))
        assert (summary.unchanged, summary.not_encodable) == (99, 1)
        assert "5" not in content(engine)


def test_update_after_a_reindex_still_knows_what_is_there(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ingest = " ".join(ingest_arguments(hospital))
    ok(ingest)
    ok("reindex --collection icu --index flat")
    ok("verify --collection icu --full")
    ok(f"{ingest} --update")
    manifest = json.loads(Path("cohorts.qdrant.runs/icu/manifest.json").read_text())
    assert (manifest["unchanged"], manifest["written"]) == (120, 0)
    assert "does not know what is in icu" in refused(f"{ingest} --update --run-dir elsewhere")


def test_a_run_whose_collection_is_gone_is_not_resumed(tmp_path: Path) -> None:
    with MemoryConnector() as engine:
        run(Rows(300), engine, tmp_path)
        engine.drop("c")
        with pytest.raises(InputError, match="c_v1, which the run before wrote to, is not there any more"):
            run(Rows(300), engine, tmp_path, LoadRequest("c", resume=True))
        run(Rows(300), engine, tmp_path)
        assert engine.count("c") == 300


# -- what can't be written


def test_a_bad_point_costs_nothing_but_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = vectors(2_500)
    rows[17, 3] = np.nan
    rows[1_999] = 0
    ids = [f"p{i}" for i in range(2_500)]
    ids[2_100] = "p3"  # with another vector: not the same point
    ids[2_200], rows[2_200] = "p4", rows[4]
    notes = ["x"] * 2_500
    notes[2_200] = notes[4]
    notes[700] = "y" * 70_000  # Milvus keeps 65,535 bytes
    table = {"id": ids, "vector": list(rows), "note": notes}
    pq.write_table(pa.table(table), "rows.parquet")
    code, _, err = command("load --vectors rows.parquet --store milvus:./s.db --collection c --made-by x")
    assert code == 3, err
    assert "4 points could not be written" in err
    with Path("s.db.runs/c/rejected.csv").open() as file:
        rejected = dict(line.rstrip("\n").split(",", 1) for line in file)
    assert rejected.keys() == {"id", "p17", "p1999", "p3", "p700"}
    assert "NaN" in rejected["p17"]
    assert "zeros" in rejected["p1999"]
    assert "twice with different content" in rejected["p3"]
    assert "70,0" in rejected["p700"]
    assert "yyy" not in json.dumps(rejected)
    with connect("milvus:./s.db") as engine:
        assert engine.count("c") == 2_500 - 5, "the same row twice is one point, and no fault"
    code, _, _ = command(
        "load --vectors rows.parquet --store milvus:./s.db --collection c --made-by x --resume"
    )
    assert code == 3, "they are still missing"


# -- verifying
