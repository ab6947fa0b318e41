"""Encoding on Ray: the same bytes in the same order, nothing left behind, no patient text in errors."""

import dataclasses
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from checkpoints import make_checkpoint
from cohorts.connectors.registry import connect
from cohorts.encoders.base import Encoder
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.bert.transformer import Transformer
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.errors import (
    EncoderError,
    EngineError,
    FingerprintMismatch,
    InputError,
    MissingExtra,
    SourceError,
)
from cohorts.loaders.points import ray as ray_encode
from cohorts.loaders.points.ray import encode_on_ray
from cohorts.records.base import CODE_COLUMNS, Batch
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.tables import partition
from command_line import ok
from loading import content

# Lines of C++ that can't be turned off: Ray's own, and gRPC's where an earlier test of this process has used it.
NOT_OURS = ("max_restarts > 0", "fork_posix.cc")
# Not importorskip: what Ray listens on is settled when it is imported.
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'ehr-cohorts[ray]'"
)
SECRET = "Featherstonehaugh"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Batch], Path]:
    """Return a synthetic hospital in seven batches or so, and the folder of an encoder trained on it."""
    folder = tmp_path_factory.mktemp("hospital")
    synthesize(folder / "tables", 120, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "PART_BYTES", 64 * 1024)
        with open_source(
            "mimic3", folder / "tables", work_dir=folder, quarantine_file=folder / "bad.csv"
        ) as source:
            make_encoder("word2vec:dim=16,input=both").fit(source).save(folder / "encoder")
            batches = list(source.batches())
    assert len(batches) > 3
    return batches, folder / "encoder"


def children() -> set[str]:
    """Return the names of this process's living children."""
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "stat=,comm="], capture_output=True, text=True
    )
    return {line.split()[1] for line in listed.stdout.splitlines() if not line.startswith("Z")}


def sessions() -> set[Path]:
    return set(Path("/tmp").glob(".cohorts-*"))


def same(first: Batch, second: Batch) -> None:
    for field in dataclasses.fields(Batch):
        pd.testing.assert_frame_equal(getattr(first, field.name), getattr(second, field.name))


@needs_ray
def test_two_workers_give_the_same_bytes_and_leave_nothing(
    hospital: tuple[list[Batch], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches, folder = hospital
    encoder, before = load_encoder(folder), sessions()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")  # of some cluster that was not asked for
    pairs = encode_on_ray(batches, folder, tmp_path / "spool", workers=2)
    for number, expected in enumerate(batches):
        batch, vectors = next(pairs)
        same(batch, expected)
        assert vectors.dtype == np.float32
        assert vectors.flags.writeable
        assert vectors.tobytes() == encoder.encode(expected).tobytes()
        if number == 0:
            ray = sys.modules["ray"]
            assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}
            (spool,) = (tmp_path / "spool").iterdir()
            assert spool.stat().st_mode & 0o777 == 0o700
            assert "raylet" in children()
    assert next(pairs, None) is None
    assert list((tmp_path / "spool").iterdir()) == []
    assert sessions() == before
    assert not children() & {"raylet", "gcs_server"}
    with pytest.raises(sys.modules["ray"].exceptions.RaySystemError, match="not been started"):
        sys.modules["ray"].put(0)  # as Ray's own threads do, which may live on: it must not start anew
    assert not sys.modules["ray"].is_initialized()
    said = capfd.readouterr()
    assert said.out == ""
    assert [line for line in said.err.splitlines() if not any(part in line for part in NOT_OURS)] == []


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Start a Ray of two nodes with one CPU each, on this machine, and return its address."""
    ray = ray_encode._import_ray(local=True)
    cluster_of: Any = importlib.import_module("ray.cluster_utils").Cluster
    # In a folder of its own with a short name, for sockets stand in it.
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as session,
    ):
        patch.setenv("RAY_TMPDIR", session)
        nodes = cluster_of(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            nodes.add_node(num_cpus=1)
            yield nodes.address
        finally:
            ray.shutdown()
            nodes.shutdown()


@needs_ray
def test_a_cluster_is_left_as_it_was(
    hospital: tuple[list[Batch], Path], tmp_path: Path, cluster: str
) -> None:
    batches, folder = hospital
    encoder = load_encoder(folder)
    for _ in range(2):
        got = [v.tobytes() for _, v in encode_on_ray(batches, folder, tmp_path, workers=2, address=cluster)]
        assert got == [encoder.encode(batch).tobytes() for batch in batches]
        assert not sys.modules["ray"].is_initialized()
    some = encode_on_ray(batches, folder, tmp_path, workers=2, address=cluster)
    next(some)
    some.close()  # type: ignore[attr-defined]
    assert not any(map(ray_encode._is_ray_data, sys._current_frames().values()))
    assert list(tmp_path.iterdir()) == []
    assert not sys.modules["ray"].is_initialized()


@needs_ray
def test_errors_of_workers_come_back_without_patient_text(
    hospital: tuple[list[Batch], Path], tmp_path: Path, cluster: str, capfd: pytest.CaptureFixture[str]
) -> None:
    batches, folder = hospital
    broken = dataclasses.replace(
        batches[1], notes=batches[1].notes.assign(unit_id=SECRET)
    )  # a KeyError of it
    with pytest.raises(EngineError, match=r"failed with KeyError in word2vec\.py, line \d+") as caught:
        list(encode_on_ray([batches[0], broken], folder, tmp_path / "spool", workers=1, address=cluster))
    assert SECRET not in "".join(traceback.format_exception(caught.value))

    def batches_and_then_no_encoder() -> Iterator[Batch]:
        yield batches[0]
        shutil.rmtree(tmp_path / "encoder")

    shutil.copytree(folder, tmp_path / "encoder")
    with pytest.raises(EncoderError, match=r"No encoder in .*encoder\.json is missing"):
        list(
            encode_on_ray(
                batches_and_then_no_encoder(),
                tmp_path / "encoder",
                tmp_path / "spool",
                workers=1,
                address=cluster,
            )
        )
    assert list((tmp_path / "spool").iterdir()) == []
    assert SECRET not in "".join(capfd.readouterr())
    logs = Path(os.environ["RAY_TMPDIR"]).glob("**/session_2*/logs/**/*")
    texts = [file.read_bytes() for file in logs if file.is_file()]
    assert texts
    assert not [text for text in texts if SECRET.encode() in text]


@needs_ray
def test_a_batch_that_kills_its_workers_is_given_up(
    hospital: tuple[list[Batch], Path], tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(ray_encode._Worker):
        def _load(self) -> Encoder:
            os._exit(1)

    monkeypatch.setattr(ray_encode, "_Worker", Dying)
    with pytest.raises(EngineError, match="3 Ray workers died"):
        list(encode_on_ray(hospital[0], hospital[1], tmp_path, workers=1, address=cluster))
    assert list(tmp_path.iterdir()) == []


@needs_ray
def test_a_cluster_that_is_not_there(hospital: tuple[list[Batch], Path], tmp_path: Path) -> None:
    for address in ("127.0.0.1:9", "nowhere.invalid:6379"):
        with pytest.raises(EngineError, match=f"no Ray at {address}"):
            next(encode_on_ray(hospital[0], hospital[1], tmp_path, workers=1, address=address))
    assert list(tmp_path.iterdir()) == []


@needs_ray
def test_two_workers_that_read_notes_share_a_cache(
    hospital: tuple[list[Batch], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, _ = hospital
    texts = [note for batch in batches for note in batch.notes["text"]]
    encoder = make_encoder(f"bert:{make_checkpoint(tmp_path / 'tiny', texts)},precision=fp32")
    encoder.save(tmp_path / "encoder")
    monkeypatch.setenv(FOLDER, str(tmp_path / "alone"))
    alone = [encoder.encode(batch) for batch in batches]
    monkeypatch.setenv(FOLDER, str(tmp_path / "shared"))
    on_ray = [made for _, made in encode_on_ray(batches, tmp_path / "encoder", tmp_path / "spool", workers=2)]
    np.testing.assert_allclose(np.concatenate(on_ray), np.concatenate(alone), atol=1e-5)

    def embed(self: Transformer, windows: list[Any], pooling: str) -> Any:
        assert not windows
        return np.zeros((0, encoder.dim), np.float32)

    monkeypatch.setattr(Transformer, "embed", embed)
    from_cache = load_encoder(tmp_path / "encoder")
    assert [from_cache.encode(batch).tobytes() for batch in batches] == [made.tobytes() for made in on_ray]


@pytest.mark.parametrize(
    ("gpus", "workers", "each"), [(0, 4, 0), (1, 1, 1), (8, 2, 1), (2, 3, 0.5), (1, 3, 0.3333)]
)
def test_workers_share_the_gpus(gpus: int, workers: int, each: float) -> None:
    assert ray_encode.gpus_each(gpus, workers) == each


def test_frames_come_back_exactly_as_they_were(hospital: tuple[list[Batch], Path], tmp_path: Path) -> None:
    units = pd.DataFrame(
        {
            "unit_id": pd.Series(["a", None, "c"], dtype="str"),
            "rank": pd.array([1, None, 2**60 + 1], dtype="Int64"),
            "died": pd.array([True, None, False], dtype="boolean"),
            "admissions": np.array([1, 2, 3], np.int64),
            "age": [90.0, np.nan, -0.0],
            "time": np.array(["2101-01-01T00:00:00.000001", "NaT", "1899-12-31"], "datetime64[us]"),
            "label_given": pd.Series(["x", None, "z"], dtype="str"),
        },
        index=[4, 2, 9],
    )
    empty = pd.DataFrame(columns=list(CODE_COLUMNS), dtype="str")
    odd = Batch(units, empty, units[:0], pd.DataFrame())
    for batch in (odd, *hospital[0]):
        ray_encode._write(batch, tmp_path / "0.arrow")
        same(ray_encode._read(tmp_path / "0.arrow"), batch)


def worker(folder: Path, spool: Path, fingerprint: str | None = None) -> ray_encode._Worker:
    return ray_encode._Worker(folder, fingerprint or load_encoder(folder).fingerprint, spool)


def test_a_worker_refuses_another_encoder_and_an_unshared_folder(
    hospital: tuple[list[Batch], Path], tmp_path: Path
) -> None:
    batches, folder = hospital
    ray_encode._write(batches[0], tmp_path / "0.arrow")
    answer = worker(folder, tmp_path, "another")({"number": 0})
    assert answer["error"] == FingerprintMismatch.__name__
    assert "All nodes need the same folder" in answer["message"]
    answer = worker(folder, tmp_path / "nowhere")({"number": 0})
    assert answer["error"] == EngineError.__name__
    assert "All nodes must share" in answer["message"]
    answer = worker(folder, tmp_path)({"number": 0})
    assert answer["error"] == ""
    assert answer["vectors"] == load_encoder(folder).encode(batches[0]).tobytes()


def test_refusals_come_before_anything_is_read(
    hospital: tuple[list[Batch], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = iter(hospital[0])
    with pytest.raises(InputError, match="at least 1"):
        next(encode_on_ray(unread, hospital[1], tmp_path, workers=0))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ehr-cohorts\[ray\]'"):
        next(encode_on_ray(unread, hospital[1], tmp_path, workers=1, address="127.0.0.1:9"))
    assert next(unread) is hospital[0][0]
    assert list(tmp_path.iterdir()) == []


@needs_ray
def test_no_batches_and_a_source_that_fails(hospital: tuple[list[Batch], Path], tmp_path: Path) -> None:
    def failing() -> Iterator[Batch]:
        yield hospital[0][0]
        raise SourceError("the table ends in the middle")

    assert list(encode_on_ray([], hospital[1], tmp_path, workers=1)) == []
    with pytest.raises(SourceError):
        next(encode_on_ray(failing(), hospital[1], tmp_path, workers=1))
    assert list(tmp_path.iterdir()) == []


@needs_ray
def test_an_ingest_on_ray_writes_what_one_without_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cohorts.loaders.journal.chunks.CHUNK_UNITS", 20)
    ok("synth hospital --patients 60 --seed 3")
    ok("fit --source mimic3 --path hospital --encoder word2vec:dim=16 --out encoder")
    ingest = "ingest --source mimic3 --path hospital --encoder encoder --collection icu"
    ok(f"{ingest} --store qdrant:./here")
    ok(f"{ingest} --store qdrant:./ray --ray-workers 2")
    with connect("qdrant:./here") as here, connect("qdrant:./ray") as there:
        assert content(here, "icu") == content(there, "icu")
    for name in ("events.parquet", "outcomes.parquet"):
        assert Path("ray.runs/icu", name).read_bytes() == Path("here.runs/icu", name).read_bytes()
    assert not list(Path("ray.runs/icu").glob(".cohorts-*"))
