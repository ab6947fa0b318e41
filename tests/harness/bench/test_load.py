"""Modes of load, at one client and at many, on real engines.

Vectors are synthetic. Nothing here is judged by how long it took: where times are compared, a schedule implies them.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import servers
from bench_answers import (
    COLLECTION,
    DIM,
    PARAMS,
    QUERIES,
    ROWS,
    K,
    N,
    check_whole,
    kept,
    qdrant_address,
    slow_opener,
    target,
)
from cohorts.connectors.base import Points
from cohorts.connectors.filters.conditions import Comparison
from cohorts.connectors.index import SearchParams
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.connectors.registry import connect
from cohorts.errors import CollectionNotFound, EngineError, InputError
from cohorts.harness.bench.load import modes
from cohorts.harness.bench.load.churn import Churn, Writes, while_writing
from cohorts.harness.bench.load.clients import NOBODY, lent, of_store, store_client
from cohorts.harness.bench.load.modes import COLD, Closed, Open, Single, arrivals, ask_as_due, one_by_one
from cohorts.harness.bench.load.samples import Log, Samples, merged
from cohorts.harness.bench.load.workers import WorkerPool
from cohorts.harness.bench.plan.dataset import Dataset
from cohorts.harness.bench.run.build import build
from engine_contract import cloud


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """Return what all tests run their clients in, as all measurements of an experiment do."""
    with WorkerPool() as running:
        yield running


@pytest.fixture(autouse=True)
def two_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two clients take arrivals."""
    monkeypatch.setattr(modes, "OPEN_CLIENTS", 2)


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


def check_found(samples: Samples) -> None:
    """Check that every query, a vector of the collection, found itself first."""
    ids, scores = kept(samples)
    assert ids.shape == scores.shape == (len(samples), K)
    assert ids[:, 0].tolist() == [str(row) for row in samples.query]
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 1e-6).all()


class TestSingle:
    @Store
    def test_every_query_is_answered_once_as_the_connector_answers(
        self, store: str, request: pytest.FixtureRequest
    ) -> None:
        address = request.getfixturevalue(store)
        seen = one_by_one(of_store(address, "c", PARAMS), QUERIES, K)
        assert seen.warm.query.tolist() == list(range(len(QUERIES)))
        assert seen.cold.query.tolist() == list(range(COLD))
        for samples in (seen.cold, seen.warm):
            check_whole(samples)
            check_found(samples)
            assert (samples.client == 0).all()
            assert (samples.intended_s == samples.started_s).all()
        assert seen.client_cores > 0
        with connect(address) as connector:
            hits = connector.search("c", QUERIES, K, params=PARAMS).hits
        assert kept(seen.warm)[0].tolist() == [[hit.id for hit in row] for row in hits]

    def test_filters_and_short_answers_are_kept_as_they_came(self, embedded: str) -> None:
        few = Comparison("age", "<", 0.5)  # 34 of them
        samples = one_by_one(of_store(embedded, "c", PARAMS, few), QUERIES, 50).warm
        assert (samples.found == 34).all()
        assert (samples.asked == 50).all()
        assert all(int(key) % 90 == 0 for key in samples.ids)
        assert len(samples.ids) == len(samples.scores) == 34 * len(QUERIES)
        assert np.isfinite(samples.scores).all()

    def test_what_was_done_otherwise_is_counted(self, embedded: str) -> None:
        samples = one_by_one(of_store(embedded, "c", SearchParams(ef_search=5)), QUERIES, K).warm
        assert samples.notes == {"ef_search=5 was asked; 10 neighbours need 10: it was used": len(QUERIES)}

    def test_the_floor_finds_nothing(self) -> None:
        seen = one_by_one(NOBODY, QUERIES, K)
        assert len(seen.warm) == len(QUERIES)
        assert (seen.warm.found == 0).all()
        assert len(seen.warm.ids) == 0

    def test_a_client_that_is_lent_stays_open(self, embedded: str) -> None:
        with connect(embedded) as connector:
            held = lent(store_client(connector, "c", PARAMS))
            check_found(one_by_one(held, QUERIES, K).warm)
            assert connector.count("c") == N
            with pytest.raises(EngineError, match="another connector"):
                one_by_one(of_store(embedded, "c"), QUERIES, K)

    def test_no_queries_are_an_error(self, pool: WorkerPool) -> None:
        nothing = Dataset(QUERIES, QUERIES[:0], {}, synthetic=True)
        with pytest.raises(InputError, match="0 queries and 1 clients"):
            Single().measure(target(pool, NOBODY, data=nothing))
        with pytest.raises(InputError, match="60 queries and 0 clients"):
            Closed(0).measure(target(pool, NOBODY))


def test_what_several_clients_found_comes_in_the_order_of_the_arrivals() -> None:
    def log(arrivals_ns: list[int], ids: list[str], found: list[int]) -> Log:
        asked = [[at, at, at + 1, at + 2, 3, many] for at, many in zip(arrivals_ns, found, strict=True)]
        scores = np.array([int(key) for key in ids], np.float32)
        return Log(asked=np.array(asked), ids=np.array(ids), scores=scores, notes={"n": 1}, processor_s=0.0)

    logs = [log([40, 10], ["4", "4", "1"], [2, 1]), log([20, 30], ["300", "301", "302"], [0, 3])]
    samples = merged(logs, 0)
    assert samples.query.tolist() == [10, 20, 30, 40]
    assert samples.client.tolist() == [0, 1, 1, 0]
    assert samples.got.tolist() == [1, 0, 3, 2]
    assert samples.ids.tolist() == ["1", "300", "301", "302", "4", "4"]
    assert samples.scores.tolist() == [1, 300, 301, 302, 4, 4]
    assert samples.notes == {"n": 2}


class TestClosedLoop:
    @Store
    def test_clients_ask_one_after_the_other_until_the_end(
        self, store: str, request: pytest.FixtureRequest, pool: WorkerPool
    ) -> None:
        opener = of_store(request.getfixturevalue(store), "c", PARAMS)
        run = Closed(2).measure(target(pool, opener, seconds=0.5))
        samples = run.samples
        check_whole(samples)
        assert len(samples.ids) == samples.got.sum() == 0
        assert set(samples.client) == {0, 1}
        for client in (0, 1):
            mine = samples.client == client
            first, many = client * len(QUERIES) // 2, mine.sum()
            assert samples.query[mine].tolist() == [(first + i) % len(QUERIES) for i in range(many)]
            assert (samples.started_s[mine][1:] >= samples.ended_s[mine][:-1]).all()
            assert (samples.ended_s[mine] > 0.5).sum() <= 1
        assert run.facts["qps"] == (samples.ended_s <= 0.5).sum() / 0.5
        assert samples.started_s.min() >= 0
        assert samples.started_s.max() < 0.5
        expected = "2 processes" if store == "served" else "2 threads of one process"
        assert run.facts["how"].startswith(expected)
        assert run.facts["client_cores"] > 0
        assert run.facts["fewest_found"] == K

    def test_a_client_that_fails_ends_them_all_with_its_error(self, served: str, pool: WorkerPool) -> None:
        with pytest.raises(CollectionNotFound, match="no collection elsewhere"):
            Closed(2).measure(target(pool, of_store(served, "elsewhere"), seconds=0.1))
        again = Closed(2).measure(target(pool, of_store(served, "c", PARAMS), seconds=0.1))
        check_whole(again.samples)

    def test_what_a_server_spends_is_counted_while_it_is_asked(
        self, qdrant: servers.QdrantNode, served: str, pool: WorkerPool
    ) -> None:
        assert qdrant.process is not None
        asking = target(pool, of_store(served, "c", PARAMS), server=qdrant.process.pid, seconds=0.5)
        asked = Closed(2).measure(asking).facts["server_cores"]
        left = ask_as_due(asking, np.array([0.0, 0.5])).server_cores
        assert asked is not None
        assert left is not None
        assert 0 <= left < asked / 3
        assert asked > 0.05
        unseen = target(pool, of_store(served, "c", PARAMS), seconds=0.1)
        assert Closed(2).measure(unseen).facts["server_cores"] is None


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
        self, store: str, request: pytest.FixtureRequest, pool: WorkerPool
    ) -> None:
        times = arrivals(150, 0.8, seed=0)
        opener = of_store(request.getfixturevalue(store), "c", PARAMS)
        samples = Open(150).measure(target(pool, opener, seconds=0.8)).samples
        check_whole(samples)
        check_found(samples)
        np.testing.assert_allclose(samples.intended_s, times, atol=1e-6)
        assert samples.query.tolist() == [i % len(QUERIES) for i in range(len(times))]

    def test_an_engine_that_can_not_keep_up_shows_in_what_users_wait(
        self, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(modes, "OPEN_CLIENTS", 1)
        delay_s, times = 0.02, arrivals(200, 0.5, seed=0)  # 4 times what one client can ask
        run = Open(200).measure(target(pool, slow_opener(delay_s), seconds=0.5))
        samples = run.samples
        ended_s = 0.0
        implied = []
        for arrival_s in times:
            ended_s = max(arrival_s, ended_s) + delay_s
            implied.append((ended_s - arrival_s) * 1000)
        assert len(samples) == len(times)
        assert (samples.latency_ms >= np.array(implied) - 1e-3).all()
        assert implied[-1] > 10 * implied[0]
        behind_ms = run.facts["behind_ms"]
        assert behind_ms >= np.mean(implied[-(len(times) // 10) :]) - 1000 * delay_s - 1e-3
        service_ms = 1000 * (samples.ended_s - samples.started_s)
        assert (service_ms >= 1000 * delay_s).all()
        assert service_ms.mean() < samples.latency_ms.mean() / 2


class TestWhileWriting:
    @Store
    def test_searches_and_writes_both_happen(
        self, store: str, request: pytest.FixtureRequest, pool: WorkerPool
    ) -> None:
        address, times = request.getfixturevalue(store), arrivals(100, 0.6, seed=0)
        new = [str(N + row) for row in range(200)]
        writes = Writes(
            points=Points(new, cloud(200, DIM, 9), [{"sex": "F"}] * 200),
            deleted=[str(2_000 + i) for i in range(60)],
            rate_per_s=200,
            seconds=0.6,
        )
        run = while_writing(target(pool, of_store(address, "c", PARAMS)), times, writes)
        samples, written = run.samples, run.written
        assert written is not None
        check_whole(samples)
        check_found(samples)
        np.testing.assert_allclose(samples.intended_s, times, atol=1e-6)
        assert {int(client) for client in samples.client} <= {0, 1}
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
        self, embedded: str, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(QdrantEdgeConnector, "upsert", lambda *_: time.sleep(0.2))
        monkeypatch.setattr(modes, "OPEN_CLIENTS", 1)
        points = Points([str(row) for row in range(200)], ROWS.vectors[:200], [{}] * 200)
        writes = Writes(points=points, deleted=[], rate_per_s=400, seconds=0.5)
        asking = target(pool, of_store(embedded, "c", PARAMS))
        written = while_writing(asking, arrivals(20, 0.5, seed=0), writes).written
        assert written is not None
        assert 0 < np.isfinite(written.ended_s).sum() <= 30  # the fourth can't begin before 0.6 s

    def test_nothing_to_do_is_an_error(self, pool: WorkerPool) -> None:
        writes = Writes(points=Points([], ROWS.vectors[:0], []), deleted=[], rate_per_s=0, seconds=1.0)
        with pytest.raises(InputError, match="above 0"):
            while_writing(target(pool, of_store("qdrant:x", "c")), np.array([0.1]), writes)

    def test_nothing_is_written_into_a_library(self, pool: WorkerPool) -> None:
        with pytest.raises(InputError, match="writes need a store"):
            Churn(10, 10).measure(target(pool, NOBODY))
