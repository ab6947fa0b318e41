"""One run at a time on a collection: the lease, and two processes that reach one server by two addresses."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import servers
from cohorts.connectors.base import Abilities, Collection
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.loaders import lease as leases
from cohorts.loaders.lease import Lease
from cohorts.records.shards import Shard
from loading import content
from servers import Milvus, QdrantNode

MANY = 600


class Shared(MemoryConnector):
    """The exact reference, as a store that several runs can open at once."""

    abilities = Abilities("shared memory", (Flat,), max_k=100, leases=True)

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, str] = {}

    def leases(self, name: str) -> dict[str, str]:
        return dict(self.kept)

    def set_lease(self, name: str, owner: str, lease: str) -> None:
        self.kept[owner] = lease
        if not lease:
            del self.kept[owner]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    monkeypatch.setattr(leases, "_POLL_S", 0.01)
    monkeypatch.setattr(leases, "DEAD_S", 0.3)
    monkeypatch.setattr(leases, "SETTLE_S", 0.01)
    with Shared() as engine:
        engine.create(Collection("c", 4, Flat()))
        yield engine


def test_a_second_run_is_refused_and_the_first_goes_on(engine: Shared) -> None:
    with Lease(engine, "b", None) as first, Lease(engine, "a", None) as second:
        first.take("c")
        with pytest.raises(InputError, match="Another run is writing to collection c"):
            second.take("c")
        first.check()
    assert engine.kept == {}


def test_the_lease_of_a_dead_run_is_taken_over_and_the_dead_one_does_not_write_again(engine: Shared) -> None:
    with Lease(engine, "a", None) as first:
        first.take("c")
        first._ended.set()  # its thread is gone, as with a process that sleeps
        with Lease(engine, "b", None) as second:
            second.take("c")
            second.check()
            with pytest.raises(InputError, match="lost its lease"):
                first.check()


def test_after_a_crash_the_same_journal_goes_on_at_once(
    engine: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "DEAD_S", 1e9)
    first = Lease(engine, "a", None)
    first.take("c")
    first._ended.set()
    with Lease(engine, "a", None) as again:
        again.take("c")
        again.check()


def test_of_two_that_took_it_at_the_same_moment_the_smaller_id_stays(engine: Shared) -> None:
    with Lease(engine, "a", None) as small, Lease(engine, "b", None) as large:
        large.take("c")
        engine.kept[small._owner] = "whole 0"  # written before it saw the other's
        small._name = "c"
        small.check()
        with pytest.raises(InputError, match="Another run is writing"):
            large.check()


def test_shards_stand_beside_each_other_and_beside_nobody_else(engine: Shared) -> None:
    with (
        Lease(engine, "a", Shard(1, 2)) as first,
        Lease(engine, "b", Shard(2, 2)) as second,
        Lease(engine, "c", Shard(1, 2)) as twin,
        Lease(engine, "d", None) as whole,
    ):
        first.take("c")
        second.take("c")
        for one in (twin, whole):
            with pytest.raises(InputError, match="Another run"):
                one.take("c")
        first.check()
        second.check()


def test_a_store_that_one_process_alone_opens_needs_none() -> None:
    with MemoryConnector() as engine, Lease(engine, "a", None) as one:
        one.take("nothing")
        one.check()


# The command, which waits after every batch as long as there is a file `hold`, and not for ever.
HELD = """
import time
from pathlib import Path
from cohorts.cli import main
from cohorts.loaders.journal import chunks
from cohorts.loaders.load import Load
chunks.CHUNK_UNITS = 50
send, until = Load._send, time.monotonic() + 60
def send_and_wait(*arguments):
    sent = send(*arguments)
    while Path("hold").exists() and time.monotonic() < until:
        time.sleep(0.05)
    return sent
Load._send = send_and_wait
main()
"""


def start(store: str, which: int, folder: Path) -> subprocess.Popen[str]:
    given = ["load", f"--vectors={which}.npy", "--payload=ids.csv", "--made-by=x", "--collection=c"]
    command = [sys.executable, "-c", HELD, *given, f"--store={store}", f"--run-dir=run{which}"]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


def one_of_two_is_refused(stores: list[str], folder: Path, *, together: bool) -> None:
    """Two loads of the same ids with other vectors: what is there in the end is one load's, whole."""
    rows = [np.random.default_rng(which).normal(size=(MANY, 8)).astype(np.float32) for which in (0, 1)]
    for which in (0, 1):
        np.save(folder / f"{which}.npy", rows[which])
    (folder / "ids.csv").write_text("id\n" + "".join(f"{i}\n" for i in range(MANY)))
    (folder / "hold").touch()
    runs = [start(stores[0], 0, folder)]
    if not together:
        with connect(stores[0]) as engine:
            servers.wait_until(lambda: "c" in engine.aliases() and engine.count("c") > 0, "a first batch")
    runs.append(start(stores[1], 1, folder))
    servers.wait_until(lambda: any(run.poll() is not None for run in runs), "a run that is refused")
    (folder / "hold").unlink()
    errors = [run.communicate(timeout=120)[1] for run in runs]
    codes = [run.returncode for run in runs]
    assert sorted(codes) == [0, 2], errors
    assert together or codes == [0, 2]
    assert "nother run" in errors[codes.index(2)]
    winner = rows[codes.index(0)]
    winner /= np.linalg.norm(winner, axis=1, keepdims=True)
    with connect(stores[0]) as engine:
        held = {key: np.frombuffer(vector, np.float32) for key, (vector, _) in content(engine, "c").items()}
        assert engine.collections() == [engine.aliases()["c"]]
    assert len(held) == MANY
    there = np.array([held[str(i)] for i in range(MANY)])
    np.testing.assert_allclose(there / np.linalg.norm(there, axis=1, keepdims=True), winner, atol=1e-5)


@pytest.mark.parametrize("together", [True, False], ids=["at once", "one after the other"])
def test_two_spellings_of_one_qdrant_server(qdrant: QdrantNode, tmp_path: Path, together: bool) -> None:
    more = "check_compatibility=false"
    stores = [
        f"qdrant+http://127.0.0.1:{qdrant.http}?{more}",
        f"qdrant+grpc://localhost:{qdrant.grpc}?{more}",
    ]
    one_of_two_is_refused(stores, tmp_path, together=together)


def test_two_spellings_of_one_milvus_server(milvus: Milvus, tmp_path: Path) -> None:
    stores = [f"milvus+http://{host}:{milvus.port}" for host in ("127.0.0.1", "localhost")]
    one_of_two_is_refused(stores, tmp_path, together=False)
