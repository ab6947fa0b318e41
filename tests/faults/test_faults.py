"""What goes wrong around a load: Ctrl-C, a second run, a full disk, a read-only journal, an engine that dies."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cohorts.connectors.addresses import parse_server
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.qdrant.server import QdrantConnector
from cohorts.connectors.qdrant.transport import Transport
from cohorts.connectors.registry import connect
from cohorts.loaders.journal.journal import Journal
from command_line import ok, refused
from loading import Rows, cohorts_in_chunks_of, content, ingest_arguments, make_hospital, run, vectors
from servers import Milvus, QdrantNode, wait_until

RESTARTS = 20
COHORTS = [sys.executable, "-c", "from cohorts.cli import main; main()"]
# The command itself, in small batches that take their time: there is always one in hand.
SLOWLY = """
import time
from cohorts.cli import main
from cohorts.loaders.journal import chunks
from cohorts.loaders.points import records as ingest
chunks.CHUNK_UNITS = 10
encoded = ingest.EncodedRecords.encoded
def slowly(self, some):
    for one in encoded(self, some):
        time.sleep(.05)
        yield one
ingest.EncodedRecords.encoded = slowly
main()
"""
MAY_MOUNT = subprocess.run(
    ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
    capture_output=True,
    check=False,
)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hospital(tmp_path_factory.mktemp("faults"), 600, 32)


def start(hospital: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *ingest_arguments(hospital, *more)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def acknowledged(folder: Path) -> int:
    file = folder / "cohorts.qdrant.runs" / "icu" / "journal.sqlite"
    if not file.exists():
        return 0
    with Journal(file) as journal:
        return sum(state == "acknowledged" for *_, state in journal.batches())


@pytest.mark.parametrize(("how", "form"), [(signal.SIGINT, "json"), (signal.SIGTERM, "text")])
def test_a_signal_ends_after_the_batch_in_hand(
    hospital: Path, tmp_path: Path, how: signal.Signals, form: str
) -> None:
    process = start(hospital, tmp_path, f"--log-format={form}")
    wait_until(lambda: acknowledged(tmp_path) > 3, "some batches")
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Stopping: the batches in hand are being written" in err
    assert "--resume goes on" in err
    assert "Traceback" not in err
    if form == "json":
        events = [json.loads(line)["event"] for line in err.splitlines()]
        assert [event for event in events if event != "progress"] == ["warning", "error"]
    with Journal(tmp_path / "cohorts.qdrant.runs" / "icu" / "journal.sqlite") as journal:
        assert {state for *_, state in journal.batches()} == {"acknowledged"}
        assert 0 < journal.count() < 600
    done = subprocess.run(
        [*COHORTS, *ingest_arguments(hospital, "--resume")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with connect(f"qdrant:{tmp_path}/cohorts.qdrant") as engine:
        assert engine.count("icu") == 600


def test_a_second_run_on_the_collection_is_refused(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(hospital, tmp_path)
    wait_until(lambda: acknowledged(tmp_path) > 0, "a batch")
    monkeypatch.chdir(tmp_path)
    message = refused(
        " ".join(ingest_arguments(hospital, "--store=qdrant:./cohorts.qdrant", "--run-dir=elsewhere"))
    )
    assert "Another run is writing to collection icu" in message
    process.kill()
    process.communicate()
    ok(" ".join(ingest_arguments(hospital, "--resume")))


def test_a_quarantine_folder_that_is_missing_is_told_at_once(hospital: Path, tmp_path: Path) -> None:
    message = refused(" ".join(ingest_arguments(hospital, f"--quarantine={tmp_path}/nowhere/bad.csv")))
    assert f"There is no folder {tmp_path}/nowhere" in message


SMALL_DISK = f"""
set -u
mount -t tmpfs -o size=$1 none disk
shift
cohorts() {{ {shlex.join(cohorts_in_chunks_of(20))} "$@"; }}
cohorts "$@"
echo "first $?"
$MEND
cohorts "$@" --resume
echo "second $?"
cohorts verify --full --store "$STORE" --collection icu --run-dir "$RUN"
echo "verified $?"
"""


def on_a_small_disk(
    hospital: Path, folder: Path, *, size: str, store: str, run_dir: str, mend: str
) -> subprocess.CompletedProcess[str]:
    (folder / "disk").mkdir()
    command = ingest_arguments(hospital, f"--store={store}", f"--run-dir={run_dir}")
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "bash", "-c", SMALL_DISK, "bash", size, *command],
        cwd=folder,
        env={**os.environ, "MEND": mend, "STORE": store, "RUN": run_dir},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(MAY_MOUNT.returncode != 0, reason="no tmpfs can be mounted here (unshare)")
@pytest.mark.parametrize(
    ("size", "store", "run_dir", "says"),
    [
        ("30k", "qdrant:./store", "disk", "The journal disk/journal.sqlite can't be used"),
        ("40m", "qdrant:./disk/store", "run", "Embedded Qdrant needs"),
        ("400k", "milvus:./disk/s.db", "run", "Embedded Milvus"),
    ],
)
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    hospital: Path, tmp_path: Path, size: str, store: str, run_dir: str, says: str
) -> None:
    mend = "mount -o remount,size=500m none disk"
    done = on_a_small_disk(hospital, tmp_path, size=size, store=store, run_dir=run_dir, mend=mend)
    assert "Traceback" not in done.stderr
    assert says in done.stderr, done.stderr
    assert done.stdout.splitlines()[0] in ("first 1", "first 2")
    assert done.stdout.splitlines()[1:] == ["second 0", "verified 0"], done.stderr


@pytest.mark.skipif(MAY_MOUNT.returncode != 0, reason="no tmpfs can be mounted here (unshare)")
def test_a_journal_that_is_read_only_is_told(hospital: Path, tmp_path: Path) -> None:
    """A full one first, so that it is there; then the disk is read-only; then it is not."""
    script = SMALL_DISK.replace(
        "$MEND",
        'mount -o remount,ro none disk; cohorts "$@" --resume; echo "read-only $?"\n'
        "mount -o remount,rw,size=500m none disk",
    )
    (tmp_path / "disk").mkdir()
    command = ingest_arguments(hospital, "--store=qdrant:./store", "--run-dir=disk")
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "bash", "-c", script, "bash", "60k", *command],
        cwd=tmp_path,
        env={**os.environ, "STORE": "qdrant:./store", "RUN": "disk"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["first 2", "read-only 2", "second 0", "verified 0"], done.stderr
    assert "readonly" in done.stderr or "Read-only" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="session")
def starter() -> Iterator[ThreadPoolExecutor]:
    """Give a thread that outlives the load's own: a server, the session's, ends with the thread that started it."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def restarted(starter: Executor, node: QdrantNode | Milvus, every: int, times: int) -> Callable[[int], None]:
    """Return what kills and restarts the server before every n-th batch that is read."""
    done = 0

    def restart() -> None:
        node.kill()
        time.sleep(0.3)
        node.start()

    def at(number: int) -> None:
        nonlocal done
        if number and number % every == 0 and done < times:
            done += 1
            starter.submit(restart).result()

    return at


def test_a_load_outlives_twenty_restarts_of_qdrant(
    starter: Executor, qdrant: QdrantNode, tmp_path: Path
) -> None:
    origin = Rows(20 * 200 + 100, per=20, at=restarted(starter, qdrant, 10, RESTARTS))
    with connect(f"qdrant+grpc://127.0.0.1:{qdrant.grpc}?check_compatibility=false") as engine:
        run(origin, engine, tmp_path)
        found = content(engine)
    assert found.keys() == set(origin.points.ids)
    assert {
        found[key][1]["share"] == row["share"]
        for key, row in zip(origin.points.ids, origin.points.payloads, strict=True)
    }


def test_an_index_that_a_restart_of_qdrant_stopped_is_asked_for_again(
    starter: Executor, qdrant: QdrantNode
) -> None:
    """Killed just after the request, the server comes back grey: it builds nothing until it is asked."""
    store = f"qdrant+http://127.0.0.1:{qdrant.http}?check_compatibility=false"
    restart = restarted(starter, qdrant, every=2, times=1)

    class Restarting(Transport):
        asked = 0

        def info(self, name: str) -> Any:
            self.asked += 1  # first for the definition, then whether the index is ready
            restart(self.asked)
            return super().info(name)

    with connect(store) as engine:
        engine.create(Collection("c", 64))
        engine.upsert("c", Points([str(i) for i in range(2_000)], vectors(2_000, 64), [{}] * 2_000))
    with QdrantConnector(parse_server(store)) as engine:
        engine._transport = Restarting(parse_server(store), None)
        with pytest.warns(UserWarning, match="stopped building the index of c"):
            engine.finalize("c", timeout_s=30)
        assert engine.describe("c").indexed > 1_900


def test_a_load_outlives_restarts_of_milvus(starter: Executor, milvus: Milvus, tmp_path: Path) -> None:
    """Twenty under `make soak`; each takes the server a while."""
    times = RESTARTS if "COHORTS_KILLS" in os.environ else 1
    origin = Rows(times * 200 + 100, per=20, at=restarted(starter, milvus, 10, times))
    with connect(f"milvus+http://127.0.0.1:{milvus.port}") as engine:
        run(origin, engine, tmp_path)
        assert content(engine).keys() == set(origin.points.ids)


def test_a_log_in_json_is_json_to_the_last_line(hospital: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COHORTS, *ingest_arguments(hospital, "--log-format=json")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    assert {event["event"] for event in events} == {"progress", "summary"}
    progress = [event for event in events if event["event"] == "progress"]
    assert {event["stage"] for event in progress} >= {"read", "encode", "write"}
    assert all(
        {"units", "per_s", "left_s", "waited_for_input_s", "waited_for_output_s"} <= set(one)
        for one in progress
    )
    assert events[-1]["bottleneck"] in ("read", "encode", "write")
    failed = subprocess.run(
        [*COHORTS, *ingest_arguments(hospital, "--log-format=json", "--store=qdrant+http://127.0.0.1:9")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    last = json.loads(failed.stderr.splitlines()[-1])
    assert (failed.returncode, last["event"], last["exit_code"]) == (1, "error", 1)
