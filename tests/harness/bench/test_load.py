"""The harness's hands: building, searching at one client and at many, and what it costs, on real engines.

Vectors are synthetic. Nothing here is judged by how long it took: where times are compared, a schedule implies them.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import servers
from cohorts.connectors.base import Collection, Connector, Points
from cohorts.connectors.filters.conditions import Comparison
from cohorts.connectors.index import Annoy, Flat, Hnsw, Index, Ivf, SearchParams
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.connectors.qdrant.server import QdrantConnector
from cohorts.connectors.registry import connect
from cohorts.errors import CollectionNotFound, EngineError, InputError, MissingExtra, UnsupportedIndex
from cohorts.harness.bench.load import processes
from cohorts.harness.bench.load.arrivals import COLD, arrivals, closed_loop, open_loop, single
from cohorts.harness.bench.load.clients import ConnectorClient, Held, NullOpener, StoreOpener
from cohorts.harness.bench.load.samples import Samples
from cohorts.harness.bench.load.workers import Crowds
from cohorts.harness.bench.load.writes import Writes, while_writing
from cohorts.harness.bench.run import references as reference
from cohorts.harness.bench.run.build import Built, Rows, build, build_and_weigh
from cohorts.harness.bench.run.references import ReferenceClient
from engine_contract import cloud
from qdrant_client import models

N, DIM, K = 3_000, 32, 10
INDEX = Hnsw(m=16, ef_construction=100)
COLLECTION = Collection("c", DIM, INDEX, {"age": float, "sex": str})
VECTORS = cloud(N, DIM)
ROWS = Rows(VECTORS, {"age": np.arange(N) % 90 / 1.0, "sex": ["FM"[row % 2] for row in range(N)]})
QUERIES = VECTORS[:60]
PARAMS = SearchParams(ef_search=128)


def qdrant_address(node: servers.QdrantNode) -> str:
    return f"qdrant+grpc://127.0.0.1:{node.grpc}?check_compatibility=false"


@pytest.fixture(scope="module")
def crowds() -> Iterator[Crowds]:
    """Return what all tests run their clients in, as all measurements of an experiment do."""
    with Crowds() as running:
        yield running


@pytest.fixture
def embedded(tmp_path: Path) -> str:
    address = f"qdrant:{tmp_path}/store"
    with connect(address) as connector:
        build(connector, COLLECTION, ROWS)
    return address


@pytest.fixture
def served(qdrant: servers.QdrantNode) -> str:
    address = qdrant_address(qdrant)
    with connect(address) as connector:
        build(connector, COLLECTION, ROWS)
    return address


Store = pytest.mark.parametrize("store", ["embedded", pytest.param("served", marks=pytest.mark.server)])


def python(code: str) -> subprocess.Popen[str]:
    """Start a process that waits to be told, by a line, to go on; it has printed one before."""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return said(process)


class TestProcesses:
    @pytest.fixture
    def started(self) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
        all_started = []

        def start(code: str) -> subprocess.Popen[str]:
            all_started.append(python(code))
            return all_started[-1]

        yield start
        for process in all_started:
            process.kill()
            process.communicate()

    LISTEN = (
        "import socket, time; one = socket.create_server(({host!r}, {port}), family={family}); "
        "print(one.getsockname()[1], flush=True); input()"
    )

    @pytest.mark.parametrize(("host", "family"), [("127.0.0.1", 2), ("", 2), ("::1", 10)])
    def test_the_process_that_listens_is_found(self, started: Any, host: str, family: int) -> None:
        port = servers.free_port()  # of 127.0.0.1: on ::1 alone, somebody may listen there
        listening = started(self.LISTEN.format(host=host, family=family, port=port))
        assert processes.listening_pid(int(said(listening))) == listening.pid

    def test_the_address_of_a_server_leads_to_its_process(self, qdrant: servers.QdrantNode) -> None:
        assert qdrant.process is not None
        for address in (qdrant_address(qdrant), f"qdrant+http://localhost:{qdrant.http}"):
            assert processes.server_pid(address) == qdrant.process.pid

    def test_a_server_in_a_network_of_its_own_is_found_behind_its_relay(self, milvus: servers.Milvus) -> None:
        assert milvus.relay is not None
        pid = processes.server_pid(f"milvus+http://127.0.0.1:{milvus.port}")
        assert pid == milvus.relay.pid
        assert milvus.group in processes.family(pid)
        ours, all_of_it = processes.memory(milvus.group), processes.memory(pid)
        assert 50 < (ours.rss_anon_mib or 0) < (all_of_it.rss_anon_mib or 0)

    def test_what_can_not_be_seen_is_said_to_be_so(self, started: Any) -> None:
        assert processes.server_pid("qdrant+http://192.0.2.1:6333") is None
        assert processes.server_pid("qdrant:here") is None
        assert processes.listening_pid(servers.free_port()) is None
        for nobody in (None, 2**22 + 1):
            unseen = processes.memory(nobody)
            assert (unseen.rss_anon_mib, unseen.rss_file_mib) == (None, None)
            assert "not visible" in unseen.how
            assert processes.Meter(nobody).read().cores is None
        forwarder = started(
            "open('/proc/self/comm', 'w').write('docker-proxy'); "
            + self.LISTEN.format(host="", family=2, port=0)
        )
        assert processes.listening_pid(int(said(forwarder))) is None

    def test_memory_counts_what_children_hold(self, started: Any) -> None:
        parent = started(
            "import subprocess, sys; code = 'print(1, flush=True); input(); x = bytes(1) * (200 << 20); "
            "x = bytearray(x); print(2, flush=True); input()'; subprocess.run([sys.executable, '-c', code])"
        )
        said(parent)
        before = processes.memory(parent.pid)
        tell(parent)
        after = processes.memory(parent.pid)
        assert (after.rss_anon_mib or 0) - (before.rss_anon_mib or 0) >= 150
        assert abs((after.rss_file_mib or 0) - (before.rss_file_mib or 0)) < 50
        assert after.how == f"RssAnon of {parent_name(parent)} (pid {parent.pid}) and 1 of its children"

    def test_processor_time_counts_what_children_spend(self, started: Any) -> None:
        busy = "import time\nwhile time.process_time() < 0.5: pass"
        parent = started(
            f"import subprocess, sys; print(1, flush=True); input(); subprocess.run([sys.executable, '-c', {busy!r}]);"
            "print(2, flush=True); input()"
        )
        said(parent)
        meter, idle = processes.Meter(parent.pid), processes.Meter(os.getppid())
        tell(parent)  # the child has ended by then, and its time is its parent's
        assert (meter.spent_s() or 0.0) >= 0.4
        assert (meter.read().cores or 0.0) > 0.0
        assert f"pid {os.getppid()}" in idle.read().how

    def test_disk_is_what_is_allocated_and_a_file_of_two_names_counts_once(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "a").write_bytes(os.urandom(3 << 20))
        (tmp_path / "b").hardlink_to(tmp_path / "deep" / "a")
        with (tmp_path / "sparse").open("wb") as sparse:
            sparse.truncate(100 << 20)
        assert 3.0 <= processes.disk_mib(tmp_path) < 3.2

    def test_work_in_a_fresh_process_returns_raises_and_dies(self) -> None:
        assert processes.in_fresh_process(os.getpid) != os.getpid()
        with pytest.raises(ValueError, match="invalid literal"):
            processes.in_fresh_process(int, "x")
        with pytest.raises(EngineError, match="The process died"):
            processes.in_fresh_process(os._exit, 1)

    def test_a_signal_ends_a_fresh_process_with_the_command(self, signals: None) -> None:
        def end() -> BaseProcess:
            servers.wait_until(lambda: bool(active_children()), "the process")
            (child,) = active_children()
            os.kill(os.getpid(), signal.SIGTERM)
            return child

        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(end)
            with pytest.raises(KeyboardInterrupt):
                processes.in_fresh_process(time.sleep, 60)
        assert ended.result().exitcode == -signal.SIGTERM  # it was not waited for


def parent_name(process: subprocess.Popen[str]) -> str:
    return Path(f"/proc/{process.pid}/comm").read_text().strip()


class Lossy(QdrantEdgeConnector):
    def upsert(self, name: str, points: Points) -> None:
        super().upsert(name, Points(points.ids[1:], points.vectors[1:], points.payloads[1:]))


class Hasty(QdrantEdgeConnector):
    def finalize(self, name: str, *, timeout_s: float = 0.0) -> None:
        """Say that it is done."""


class HastyServer(QdrantConnector):
    def finalize(self, name: str, *, timeout_s: float = 0.0) -> None:
        """Say that it is done."""


class OtherServer(QdrantConnector):
    """Is told one index, says so, and builds another."""

    def finalize(self, name: str, *, timeout_s: float = 60.0) -> None:
        coarse = models.HnswConfigDiff(m=8, ef_construct=50)
        self._call(lambda client: client.update_collection(name, hnsw_config=coarse))
        super().finalize(name, timeout_s=timeout_s)


class Stubborn(QdrantEdgeConnector):
    def create(self, collection: Collection) -> None:
        super().create(replace(collection, index=Hnsw()))


class TestBuild:
    def check(self, built: Built, connector: Connector) -> None:
        assert built.rows == N
        assert 0 < built.load_s <= built.searchable_s <= built.indexed_s
        assert built.build_s == built.indexed_s - built.load_s
        assert N - 100 <= built.indexed <= N
        found = connector.fetch("c", ["0", "7", str(N - 1)])
        np.testing.assert_allclose(found.vectors, VECTORS[[0, 7, N - 1]], atol=1e-5)
        assert [payload["sex"] for payload in found.payloads] == ["F", "M", "M"]
        assert connector.count("c", Comparison("sex", "=", "F")) == N // 2

    def test_an_embedded_engine_is_built_and_weighed_in_a_process_of_its_own(self, tmp_path: Path) -> None:
        address, wide = f"qdrant:{tmp_path}/s", cloud(20_000, 128)
        collection = Collection("wide", 128, Flat())
        built, weight = build_and_weigh(address, collection, Rows(wide))
        assert (built.rows, built.engine, built.note) == (20_000, "qdrant-edge", "no index: search is exact")
        assert "less what it held before the build" in weight.how
        held = (weight.rss_anon_mib or 0) + (weight.rss_file_mib or 0)
        assert held > 0.5 * wide.nbytes / processes.MIB
        with connect(address) as connector:  # the other process has closed it
            assert connector.count("wide") == 20_000

    def test_a_server_is_weighed_from_outside(self, qdrant: servers.QdrantNode) -> None:
        address = qdrant_address(qdrant)
        built, weight = build_and_weigh(address, COLLECTION, ROWS)
        with connect(address) as connector:
            self.check(built, connector)
            connector.drop("c")
        assert built.says == "hnsw(m=16, ef_construction=100)"
        assert qdrant.process is not None
        assert weight.how == f"RssAnon of qdrant (pid {qdrant.process.pid})"
        assert (weight.rss_anon_mib or 0) > 1
        _, other = build_and_weigh(address, COLLECTION, ROWS, pid=os.getpid())
        assert f"pid {os.getpid()}" in other.how

    @pytest.mark.parametrize("address", ["qdrant:{}/s", "milvus:{}/s.db", "memory:"])
    def test_every_engine_is_built_alike(self, address: str, tmp_path: Path) -> None:
        with connect(address.format(tmp_path)) as connector:
            self.check(build(connector, COLLECTION, ROWS), connector)

    def test_milvus_tells_in_its_own_words_what_it_built(self, milvus: servers.Milvus) -> None:
        with connect(f"milvus+http://127.0.0.1:{milvus.port}") as connector:
            built = build(connector, COLLECTION, ROWS)
            self.check(built, connector)
        assert built.says == "HNSW {'M': '16', 'efConstruction': '100'}"

    def test_lost_rows_are_told(self, tmp_path: Path) -> None:
        with (
            Lossy(tmp_path / "s") as connector,
            pytest.raises(EngineError, match=r"holds 2,997 points of c after 3,000 were written"),
        ):
            build(connector, COLLECTION, ROWS)

    def test_an_unfinished_index_is_caught(self, tmp_path: Path, qdrant: servers.QdrantNode) -> None:
        hasty: list[Connector] = [
            Hasty(tmp_path / "s"),
            HastyServer(client=qdrant.client(prefer_grpc=True)),
        ]
        for connector in hasty:
            with connector, pytest.raises(EngineError, match=r"3,000 of 3,000 vectors of c have no index"):
                build(connector, COLLECTION, ROWS)

    def test_another_index_than_asked_is_caught(self, tmp_path: Path, qdrant: servers.QdrantNode) -> None:
        asked = r"hnsw\(m=16, ef_construction=100\) was asked for"
        with Stubborn(tmp_path / "s") as connector, pytest.raises(EngineError, match=rf"m=32.*{asked}"):
            build(connector, COLLECTION, ROWS)
        client = qdrant.client(prefer_grpc=True)
        with (
            OtherServer(client=client) as server,
            pytest.raises(EngineError, match=rf"{asked}.*built hnsw\(m=8"),
        ):
            build(server, COLLECTION, ROWS)
        client.close()

    def test_a_collection_too_small_for_an_index_is_not_measured_as_one(self, tmp_path: Path) -> None:
        with (
            connect(f"qdrant:{tmp_path}/s") as connector,
            pytest.raises(EngineError, match="take more vectors"),
        ):
            build(connector, COLLECTION, Rows(VECTORS[:5]))

    def test_batches_hold_every_row_once(self) -> None:
        batches = list(Rows(VECTORS[:2_500]).batches())
        assert [len(batch.ids) for batch in batches] == [1_000, 1_000, 500]
        assert [key for batch in batches for key in batch.ids] == [str(row) for row in range(2_500)]


def check_whole(samples: Samples, k: int = K) -> None:
    """Check what holds of every measurement on an engine that finds k for every query."""
    assert (samples.found == k).all()
    assert (samples.intended_ms <= samples.started_ms).all()
    assert (samples.started_ms < samples.ended_ms).all()
    assert (samples.latency_ms >= samples.ended_ms - samples.started_ms).all()


def check_found(samples: Samples) -> None:
    """Check that every query, a vector of the collection, found itself first."""
    assert samples.ids is not None
    assert samples.scores is not None
    assert samples.ids.shape == samples.scores.shape == (len(samples), K)
    assert samples.ids[:, 0].tolist() == [str(row) for row in samples.query]
    np.testing.assert_allclose(samples.scores[:, 0], 1, atol=1e-5)
    assert (np.diff(samples.scores, axis=1) <= 1e-6).all()


class TestSingle:
    @Store
    def test_every_query_is_answered_once_as_the_connector_answers(
        self, store: str, request: pytest.FixtureRequest
    ) -> None:
        address = request.getfixturevalue(store)
        seen = single(StoreOpener(address, "c", PARAMS), QUERIES, K)
        assert seen.warm.query.tolist() == list(range(len(QUERIES)))
        assert seen.cold.query.tolist() == list(range(COLD))
        for samples in (seen.cold, seen.warm):
            check_whole(samples)
            check_found(samples)
            assert (samples.client == 0).all()
            assert (samples.intended_ms == samples.started_ms).all()
        assert seen.client_cores > 0
        with connect(address) as connector:
            hits = connector.search("c", QUERIES, K, params=PARAMS).hits
        assert seen.warm.ids is not None
        assert seen.warm.ids.tolist() == [[hit.id for hit in row] for row in hits]

    def test_filters_and_short_answers_are_kept_as_they_came(self, embedded: str) -> None:
        few = Comparison("age", "<", 0.5)  # 34 of them
        samples = single(StoreOpener(embedded, "c", PARAMS, few), QUERIES, 50).warm
        assert samples.ids is not None
        assert samples.scores is not None
        assert (samples.found == 34).all()
        assert all(int(key) % 90 == 0 for key in samples.ids[:, :34].ravel())
        assert (samples.ids[:, 34:] == "").all()
        assert np.isnan(samples.scores[:, 34:]).all()

    def test_what_was_done_otherwise_is_counted(self, embedded: str) -> None:
        samples = single(StoreOpener(embedded, "c", SearchParams(ef_search=5)), QUERIES, K).warm
        assert samples.notes == {"ef_search=5 was asked; 10 neighbours need 10: it was used": len(QUERIES)}

    def test_the_floor_finds_nothing(self) -> None:
        seen = single(NullOpener(), QUERIES, K)
        assert len(seen.warm) == len(QUERIES)
        assert (seen.warm.found == 0).all()
        assert seen.warm.ids is not None
        assert (seen.warm.ids == "").all()

    def test_a_client_that_is_lent_stays_open(self, embedded: str) -> None:
        with connect(embedded) as connector:
            held = Held(ConnectorClient(connector, "c", PARAMS))
            check_found(single(held, QUERIES, K).warm)
            assert connector.count("c") == N
            with pytest.raises(EngineError, match="another connector"):
                single(StoreOpener(embedded, "c"), QUERIES, K)

    def test_no_queries_are_an_error(self, crowds: Crowds) -> None:
        with pytest.raises(InputError, match="0 queries and 1 clients"):
            single(NullOpener(), QUERIES[:0], K)
        with pytest.raises(InputError, match="60 queries and 0 clients"):
            closed_loop(crowds, NullOpener(), QUERIES, K, 0, 1.0)


class TestClosedLoop:
    @Store
    def test_clients_ask_one_after_the_other_until_the_end(
        self, store: str, request: pytest.FixtureRequest, crowds: Crowds
    ) -> None:
        run = closed_loop(
            crowds, StoreOpener(request.getfixturevalue(store), "c", PARAMS), QUERIES, K, 2, 0.5
        )
        samples = run.samples
        check_whole(samples)
        assert samples.ids is None
        assert set(samples.client) == {0, 1}
        for client in (0, 1):
            mine = samples.client == client
            first, many = client * len(QUERIES) // 2, mine.sum()
            assert samples.query[mine].tolist() == [(first + i) % len(QUERIES) for i in range(many)]
            assert (samples.started_ms[mine][1:] >= samples.ended_ms[mine][:-1]).all()
            assert (samples.ended_ms[mine] > 500).sum() <= 1
        assert run.qps == (samples.ended_ms <= 500).sum() / 0.5
        assert samples.started_ms.min() >= 0
        assert samples.started_ms.max() < 500
        assert run.how.startswith("2 processes" if store == "served" else "2 threads of one process")
        assert run.client_cores > 0

    def test_a_client_that_fails_ends_them_all_with_its_error(self, served: str, crowds: Crowds) -> None:
        with pytest.raises(CollectionNotFound, match="no collection elsewhere"):
            closed_loop(crowds, StoreOpener(served, "elsewhere"), QUERIES, K, 2, 0.1)
        again = closed_loop(crowds, StoreOpener(served, "c", PARAMS), QUERIES, K, 2, 0.1)
        check_whole(again.samples)

    def test_what_a_server_spends_is_counted_while_it_is_asked(
        self, qdrant: servers.QdrantNode, served: str, crowds: Crowds
    ) -> None:
        assert qdrant.process is not None
        opener, pid = StoreOpener(served, "c", PARAMS), qdrant.process.pid
        asked = closed_loop(crowds, opener, QUERIES, K, 2, 0.5, server=pid).server_cores
        left = open_loop(crowds, opener, QUERIES, K, np.array([0.0, 0.5]), 2, server=pid).server_cores
        assert asked is not None
        assert left is not None
        assert 0 <= left < asked / 3
        assert asked > 0.05
        assert closed_loop(crowds, opener, QUERIES, K, 2, 0.1).server_cores is None


class TestOpenLoop:
    def test_arrivals_are_those_of_strangers_and_the_same_again(self) -> None:
        times = arrivals(1_000, 10.0, seed=1)
        assert abs(len(times) - 10_000) < 500
        assert (np.diff(times) > 0).all()
        assert times[-1] < 10.0
        gaps = np.diff(times)
        assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
        np.testing.assert_array_equal(times, arrivals(1_000, 10.0, seed=1))
        assert len(arrivals(1_000, 10.0, seed=2)) != len(times)

    @Store
    def test_every_arrival_is_asked_once_at_its_time(
        self, store: str, request: pytest.FixtureRequest, crowds: Crowds
    ) -> None:
        times = arrivals(150, 0.8, seed=0)
        run = open_loop(
            crowds, StoreOpener(request.getfixturevalue(store), "c", PARAMS), QUERIES, K, times, 2
        )
        check_whole(run.samples)
        check_found(run.samples)
        np.testing.assert_allclose(run.samples.intended_ms, times * 1000, atol=1e-3)
        assert run.samples.query.tolist() == [i % len(QUERIES) for i in range(len(times))]

    def test_an_engine_that_can_not_keep_up_shows_in_what_users_wait(self, crowds: Crowds) -> None:
        delay_s, times = 0.02, arrivals(200, 0.5, seed=0)  # 4 times what one client can ask
        run = open_loop(crowds, NullOpener(delay_s), QUERIES, K, times, 1)
        ended_s = 0.0
        implied = []
        for arrival_s in times:
            ended_s = max(arrival_s, ended_s) + delay_s
            implied.append((ended_s - arrival_s) * 1000)
        assert len(run.samples) == len(times)
        assert (run.samples.latency_ms >= np.array(implied) - 1e-3).all()
        assert implied[-1] > 10 * implied[0]
        assert run.behind_ms >= np.mean(implied[-(len(times) // 10) :]) - 1000 * delay_s - 1e-3
        service_ms = run.samples.ended_ms - run.samples.started_ms
        assert (service_ms >= 1000 * delay_s).all()
        assert service_ms.mean() < run.samples.latency_ms.mean() / 2


class TestWhileWriting:
    @Store
    def test_searches_and_writes_both_happen(
        self, store: str, request: pytest.FixtureRequest, crowds: Crowds
    ) -> None:
        address, times = request.getfixturevalue(store), arrivals(100, 0.6, seed=0)
        new = [str(N + row) for row in range(200)]
        writes = Writes(
            Points(new, cloud(200, DIM, 9), [{"sex": "F"}] * 200),
            [str(2_000 + i) for i in range(60)],
            200,
            seconds=0.6,
        )
        run, written = while_writing(crowds, StoreOpener(address, "c", PARAMS), QUERIES, K, times, 2, writes)
        check_whole(run.samples)
        check_found(run.samples)
        np.testing.assert_allclose(run.samples.intended_ms, times * 1000, atol=1e-3)
        assert {int(client) for client in run.samples.client} <= {0, 1}
        assert written.ids.tolist() == [*new, *writes.deleted]
        assert written.deleted.tolist() == [False] * 200 + [True] * 60
        done = np.isfinite(written.ended_s)
        upserted = written.ids[done & ~written.deleted].tolist()
        deleted = written.ids[done & written.deleted].tolist()
        assert upserted == new[: len(upserted)] != []
        assert deleted == writes.deleted[: len(deleted)] != []
        assert done.sum() <= 200 * 0.6 + 10
        assert written.intended_s[done].max() <= 0.6
        for kind in (done & ~written.deleted, done & written.deleted):
            assert (np.diff(written.intended_s[kind]) >= 0).all()
        assert (written.intended_s <= written.started_s).all()
        assert (written.started_s[done] < written.ended_s[done]).all()
        assert np.isinf(written.started_s[~done]).all()
        with connect(address) as connector:
            assert connector.count("c") == N + len(upserted) - len(deleted)
            assert list(connector.fetch("c", written.ids[done].tolist()).ids) == upserted

    def test_a_writer_that_can_not_keep_up_leaves_what_is_not_begun_in_time(
        self, embedded: str, crowds: Crowds, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(QdrantEdgeConnector, "upsert", lambda *_: time.sleep(0.2))
        writes = Writes(Points([str(row) for row in range(200)], VECTORS[:200], [{}] * 200), [], 400, 0.5)
        opener, times = StoreOpener(embedded, "c", PARAMS), arrivals(20, 0.5, seed=0)
        _, written = while_writing(crowds, opener, QUERIES, K, times, 1, writes)
        assert 0 < np.isfinite(written.ended_s).sum() <= 30  # the fourth can't begin before 0.6 s

    def test_nothing_to_do_is_an_error(self, crowds: Crowds) -> None:
        writes = Writes(Points([], VECTORS[:0], []), [], 0, 1.0)
        with pytest.raises(InputError, match="above 0"):
            while_writing(crowds, StoreOpener("qdrant:x", "c"), QUERIES, K, np.array([0.1]), 1, writes)


class TestReference:
    @pytest.mark.parametrize(
        ("index", "much", "little"),
        [
            (Hnsw(m=16, ef_construction=100), SearchParams(ef_search=256), SearchParams(ef_search=1)),
            (Ivf(nlist=64), SearchParams(nprobe=64), SearchParams(nprobe=1)),
            (Annoy(n_trees=20), SearchParams(search_k=50_000), SearchParams(search_k=10)),
        ],
    )
    def test_it_finds_more_the_harder_it_looks(
        self, index: Index, much: SearchParams, little: SearchParams
    ) -> None:
        built_over, queries = VECTORS[:2_900], VECTORS[2_900:]
        nearest = np.argsort(-(queries @ built_over.T), axis=1)[:, :K]
        library, built = reference.build(index, built_over)
        recall = []
        for params in (much, little):
            samples = single(Held(ReferenceClient(library, params)), queries, K).warm
            assert samples.ids is not None
            assert samples.scores is not None
            rows = [[int(key) for key in row if key] for row in samples.ids]
            recall.append(
                np.mean([len({*row} & {*true}) / K for row, true in zip(rows, nearest.tolist(), strict=True)])
            )
            for at, row in enumerate(rows):
                np.testing.assert_allclose(
                    samples.scores[at, : len(row)], queries[at] @ built_over[row].T, atol=1e-4
                )
        assert recall[0] > 0.99
        assert recall[1] < recall[0] - 0.05
        assert (built.rows, built.engine) == (2_900, "annoy" if isinstance(index, Annoy) else "faiss")

    def test_several_threads_may_ask_it(self, crowds: Crowds) -> None:
        library, _ = reference.build(INDEX, VECTORS)
        run = closed_loop(crowds, Held(ReferenceClient(library, PARAMS)), QUERIES, K, 2, 0.2)
        check_whole(run.samples)

    def test_what_it_has_not_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for index in (Flat(), Hnsw(quantization="scalar")):
            with pytest.raises(UnsupportedIndex, match="reference"):
                reference.build(index, VECTORS)
        with pytest.raises(InputError, match=r"at least 256 vectors; 100 were given"):
            reference.build(Ivf(nlist=8, variant="pq"), VECTORS[:100])
        monkeypatch.setitem(sys.modules, "faiss", None)
        with pytest.raises(MissingExtra, match=r"pip install 'ehr-cohorts\[reference\]'"):
            reference.build(INDEX, VECTORS)
