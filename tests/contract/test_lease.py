"""One run at a time on a collection: the lease, and two processes that reach one server by two addresses."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cohorts.connectors.base import Abilities, Collection
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.loaders import lease as leases
from cohorts.loaders.lease import Lease
from cohorts.records.shards import Shard
from loading import cohorts_in_chunks_of, content
from servers import Milvus, QdrantNode, wait_until


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


def load(store: str, which: int, folder: Path) -> list[str]:
    command = ["load", f"--vectors={which}.npy", "--payload=ids.csv", "--made-by=x", "--collection=c"]
    return [*cohorts_in_chunks_of(5), *command, f"--store={store}", f"--run-dir={folder}/run{which}"]


def one_of_two_is_refused(stores: list[str], folder: Path, *, together: bool) -> None:
    """Two loads of the same ids with other vectors: what is there in the end is one load's, whole."""
    rows = [np.random.default_rng(which).normal(size=(1_500, 8)).astype(np.float32) for which in (0, 1)]
    for which in (0, 1):
        np.save(folder / f"{which}.npy", rows[which])
    (folder / "ids.csv").write_text("id\n" + "".join(f"{i}\n" for i in range(1_500)))
    runs = []
    for which, store in enumerate(stores):
        runs.append(
            subprocess.Popen(load(store, which, folder), cwd=folder, stderr=subprocess.PIPE, text=True)
        )
        if not together and which == 0:
            with connect(stores[0]) as engine:
                wait_until(lambda: "c" in engine.aliases() and engine.count("c") > 0, "a first batch")
    errors = [run.communicate(timeout=120)[1] for run in runs]
    codes = [run.returncode for run in runs]
    assert sorted(codes) == [0, 2], errors
    assert "nother run" in errors[codes.index(2)]
    winner = rows[codes.index(0)]
    winner /= np.linalg.norm(winner, axis=1, keepdims=True)
    with connect(stores[0]) as engine:
        held = {key: np.frombuffer(vector, np.float32) for key, (vector, _) in content(engine, "c").items()}
        assert engine.collections() == [engine.aliases()["c"]]
    assert len(held) == 1_500
    there = np.array([held[str(i)] for i in range(1_500)])
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
