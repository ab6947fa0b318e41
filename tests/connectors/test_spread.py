"""Vectors that hardly differ, and encoders that learnt from too few units, are told where someone may rely on them."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Collection, Connector, Points, Scalar, Vectors
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.padding import PADDING
from cohorts.connectors.registry import connect
from cohorts.connectors.spread import spread
from cohorts.errors import EngineError
from cohorts.harness.live.audit import audit, write_audit
from cohorts.harness.live.reader import Pace, Reader
from cohorts.search.neighbours import Neighbours, of_patient, of_vector
from command_line import ok, run
from loading import vectors

DIM = 16
OURS: dict[str, Scalar] = {"encoder": "word2vec", "encoder_fingerprint": "f", "unit": "patient"}
DIFFER, FEW, ADVICE = "hardly differ", "an encoder trained on so few", "ingest with another encoder"


def parallel(n: int) -> Vectors:
    rows = 0.05 * vectors(n, DIM)
    rows[:, 0] += 1
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def fill(connector: Connector, rows: Vectors, metadata: dict[str, Scalar] | None = None) -> None:
    connector.create(Collection("c", rows.shape[1], Flat(), {}, OURS if metadata is None else metadata))
    connector.upsert("c", Points([f"p{i}" for i in range(len(rows))], rows, [{}] * len(rows)))
    connector.finalize("c")


def notes(found: Neighbours) -> str:
    return " | ".join(found.notes)


@pytest.fixture(params=["memory:", "qdrant:{}/s", "milvus:{}/s.db"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connector]:
    made = MemoryConnector() if request.param == "memory:" else connect(request.param.format(tmp_path))
    with made as connector:
        yield connector


@pytest.mark.parametrize(("rows", "told"), [(parallel(150), True), (vectors(150, DIM), False)])
def test_a_query_and_an_audit_tell_whether_vectors_differ(
    engine: Connector, rows: Vectors, told: bool, tmp_path: Path
) -> None:
    fill(engine, rows)
    for found in (of_patient(engine, "c", "p3", 5), of_vector(engine, "c", rows[0], 5)):
        assert (DIFFER in notes(found), ADVICE in notes(found)) == (told, told)
    audited = audit(Reader(engine, "c", Pace(1e9)), queries=5, k=3)
    assert (DIFFER in audited.warning) is told
    write_audit(tmp_path / "found", audited, {})
    written = json.loads((tmp_path / "found" / "manifest.json").read_text())["warnings"]
    assert written == ([audited.warning] if told else [])


@pytest.mark.parametrize(("n", "told"), [(1, True), (9, True), (10, False), (0, False)])
@pytest.mark.parametrize(
    ("metadata", "learns"),
    [(OURS, True), (OURS | {"encoder": "bert"}, False), (OURS | {"encoder": "external"}, False), ({}, False)],
)
def test_too_few_units_are_told_of_an_encoder_that_learns_from_them(
    n: int, told: bool, metadata: dict[str, Scalar], learns: bool
) -> None:
    with MemoryConnector() as engine:
        fill(engine, vectors(n, DIM), metadata)
        found = notes(of_vector(engine, "c", vectors(1, DIM)[0], 5))
        assert (FEW in found) is (told and learns)
        assert DIFFER not in found


def test_vectors_of_others_are_told_without_advice_to_ingest() -> None:
    of_others: list[dict[str, Scalar]] = [{"attached": True}, OURS | {"encoder": "external"}]
    for metadata in of_others:
        with MemoryConnector() as engine:
            fill(engine, parallel(50), metadata)
            found = notes(of_patient(engine, "c", "p3", 5))
            assert DIFFER in found
            assert ADVICE not in found


def padded(rows: Vectors, share: float) -> Vectors:
    """Return unit rows with a padding component that makes up a `share` of their squared length."""
    padding = np.full((len(rows), 1), np.sqrt(share))
    return np.asarray(np.hstack([np.sqrt(1 - share) * rows, padding]), np.float32)


@pytest.mark.parametrize(("rows", "told"), [(vectors(50, DIM), False), (parallel(50), True)])
def test_padding_is_no_likeness(rows: Vectors, told: bool) -> None:
    with MemoryConnector() as engine:
        stored = padded(rows, 0.995)
        low, high = spread(stored) or (0.0, 1.0)
        assert high - low < 0.02, "with its padding, every unit is like every other"
        fill(engine, stored, OURS | {PADDING: DIM})
        assert (DIFFER in notes(of_patient(engine, "c", "p3", 5))) is told


def test_units_with_nothing_in_common_differ() -> None:
    with MemoryConnector() as engine:
        fill(engine, np.eye(50, dtype=np.float32))
        assert notes(of_patient(engine, "c", "p3", 5)) == ""


def test_zeros_are_left_out_and_lengths_do_not_count() -> None:
    rows = vectors(30, DIM)
    many = np.concatenate([rows * np.arange(1, 31)[:, None], np.zeros((70, DIM))]).astype(np.float32)
    assert spread(many) == pytest.approx(spread(rows), abs=1e-6)
    assert spread(many[21:]) is None


def test_a_collection_is_looked_at_once_and_what_can_t_be_read_fails_no_search() -> None:
    class Counting(MemoryConnector):
        looks, fails = 0, False

        def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
            self.looks += 1
            if self.fails:
                raise EngineError("no")
            return super().scroll(name, page)

    with Counting() as engine:
        fill(engine, parallel(50))
        for _ in range(3):
            assert DIFFER in notes(of_patient(engine, "c", "p3", 5))
        assert engine.looks == 1
    with Counting() as engine:
        fill(engine, parallel(50))
        engine.fails = True
        assert len(of_patient(engine, "c", "p3", 5).hits) == 5


def test_an_ingest_and_a_query_tell_it_on_real_records(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = f"--source mimic3 --path {shared_data / 'mimic3-demo'}"
    for encoder, told in (("word2vec:input=codes,pooling=mean", True), ("codes", False)):
        code, _, err = run(f"ingest {source} --encoder {encoder} --store qdrant:{told} --collection c")
        assert code == 0, err
        assert (DIFFER in err.replace("\n", " ")) is told
        manifest = json.loads(Path(f"{told}.runs/c/manifest.json").read_text())
        assert any(DIFFER in one for one in manifest["warnings"]) is told
        asked = json.loads(ok(f"query --store qdrant:{told} --collection c --patient 10006 --format json"))
        assert any(DIFFER in one for one in asked["notes"]) is told
        _, _, err = run(f"audit --store qdrant:{told} --collection c --queries 5 --rate 10000")
        assert (DIFFER in err.replace("\n", " ")) is told


def test_vectors_that_were_loaded_ready_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"id": [str(i) for i in range(50)], "vector": list(parallel(50))}), "v.parquet")
    code, out, err = run(
        "load --vectors v.parquet --store qdrant:s --collection c --made-by x --log-format json"
    )
    assert code == 0, err
    assert DIFFER in out + err
    (warning,) = json.loads(Path("s.runs/c/manifest.json").read_text())["warnings"]
    assert DIFFER in warning
    assert ADVICE not in warning
