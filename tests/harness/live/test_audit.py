"""Recall of collections in service, on real engines, against a naive computation; and that nothing is changed."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.commands.output.recall import advice
from cohorts.connectors.base import Collection, Connector, Description, Found, Points
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Annoy, Flat, Hnsw, Index, Ivf, SearchParams, parse_index
from cohorts.connectors.milvus import searching
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.connectors.registry import connect
from cohorts.errors import FilterError, InputError
from cohorts.harness.live.audit import Audit, audit
from cohorts.harness.live.queries import Sample, perturbed
from cohorts.harness.live.reader import (
    Pace,
    Reader,
    answers,
    draw,
    exact_neighbours,
    recall_by_query,
)
from cohorts.harness.live.tune import Built, Step, Tuned, grid, rebuild, tune, winner, write_default
from cohorts.measures.intervals import of_mean
from command_line import ok, refused
from engine_contract import cloud
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models
from servers import Milvus, QdrantNode

N, DIM, K = 2_000, 24, 10
VECTORS = cloud(N, DIM)
POOR = Hnsw(m=2, ef_construction=4)
FAST = Pace(1e9)


def fill(
    connector: Connector, name: str, index: Index, search: SearchParams | None = None, n: int = N
) -> None:
    connector.create(Collection(name, DIM, index, {"n": int}, {"unit": "patient"}, search or SearchParams()))
    ids = [f"p{i}" for i in range(n)]
    connector.upsert(name, Points(ids, VECTORS[:n], [{"n": i % 100} for i in range(n)]))
    connector.finalize(name)


@pytest.fixture(params=["qdrant:{}/s", "milvus:{}/s.db", pytest.param("server", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "server":
        node: QdrantNode = request.getfixturevalue("qdrant")
        return f"qdrant+grpc://127.0.0.1:{node.grpc}?check_compatibility=false"
    return str(request.param).format(tmp_path)


def look(connector: Connector, name: str, **more: Any) -> Audit:
    return audit(Reader(connector, name, FAST), **more)


def naive_recall(connector: Connector, sample: Sample, passes: Callable[[int], bool], **search: Any) -> float:
    """Return recall@10 from the engine's answers and a brute-force truth; no two vectors here are alike."""
    passing = [i for i in range(N) if passes(i)]
    recall = []
    for own, vector in zip(sample.selves, sample.vectors, strict=True):
        scores = {f"p{i}": float(VECTORS[i] @ vector) for i in passing if f"p{i}" != own}
        true = sorted(scores, key=lambda key: -scores[key])[:K]
        (hits,) = connector.search("c", vector[None, :], K + (own is not None), **search).hits
        found = [hit.id for hit in hits if hit.id != own][:K]
        recall.append(len(set(found) & set(true)) / len(true))
    return float(np.mean(recall))


def test_recall_by_filter_is_that_of_a_naive_computation(store: str) -> None:
    poor = Ivf(nlist=64) if store.startswith("milvus") else POOR
    params = SearchParams(ef_search=16, nprobe=1)
    with connect(store) as connector:
        fill(connector, "c", poor, params)
        found = look(connector, "c", queries=100, wheres=["n < 50", "n = 7"])
        assert [(row.kind, row.where) for row in found.rows] == [
            (kind, where) for kind in ("own", "perturbed") for where in ("", "n < 50", "n = 7")
        ]
        shares = [(N, 1.0), (N // 2, 0.5), (N // 100, 0.01)]
        assert [(row.count, row.share) for row in found.rows] == 2 * shares
        whole, half, narrow = found.rows[:3]
        assert whole.recall < 0.95
        assert whole.recall_low <= whole.recall <= whole.recall_high < 1
        assert whole.recall_p5 <= whole.recall
        drawn = draw(Reader(connector, "c", FAST), 100, 0)
        new = perturbed(drawn.own, drawn.nearest, 0)
        assert whole.recall == pytest.approx(naive_recall(connector, drawn.own, lambda i: True), abs=1e-9)
        for row, sample, text, passes in (
            (half, drawn.own, "n < 50", lambda i: i % 100 < 50),
            (narrow, drawn.own, "n = 7", lambda i: i % 100 == 7),
            (found.rows[4], new, "n < 50", lambda i: i % 100 < 50),
        ):
            naive = naive_recall(connector, sample, passes, where=parse_filter(text))
            assert row.recall == pytest.approx(naive, abs=1e-9)
        assert {row.asked for row in found.rows} == {100 * K}
        assert [row.got for row in found.rows] == [100 * K] * 6
        assert [row.short for row in found.rows] == [0] * 6
        better = look(connector, "c", queries=100, search=SearchParams(ef_search=N, nprobe=64)).rows[0]
        assert better.recall > whole.recall
        assert (whole.exact_p50_ms > 0) != store.startswith("milvus")  # there, one scan finds all
        assert len(whole.worst) == 5


def test_the_worst_queries_are_those_with_the_least_recall(tmp_path: Path) -> None:
    with connect(f"qdrant:{tmp_path}/s") as connector:
        fill(connector, "c", POOR, SearchParams(ef_search=16))
        reader = Reader(connector, "c", FAST)
        sample = draw(reader, 50, 0).own
        ((exact,),) = exact_neighbours(reader, [sample], K, [None])
        recall = recall_by_query(reader, sample, exact, answers(reader, sample, K, None, None))
        least = set(np.array(sample.ids)[recall < np.sort(recall)[5]])
        assert least <= set(look(connector, "c", queries=50).rows[0].worst)
        assert look(connector, "c", queries=50, search=SearchParams(exact=True)).rows[0].worst == ()


def test_flat_has_recall_1_and_is_said_to_be_exact(store: str) -> None:
    with connect(store) as connector:
        fill(connector, "c", Flat(), n=300)
        found = look(connector, "c", queries=50, wheres=["n < 50"])
        assert [row.recall for row in found.rows] == [1.0] * 4
        assert found.line == "no index: search is exact"
        with pytest.raises(InputError, match="nothing to tune"):
            tune(Reader(connector, "c", FAST), 0.9)


def test_a_query_is_no_neighbour_of_itself_and_ties_are_no_misses(store: str) -> None:
    twins = np.repeat(cloud(40, DIM), 3, axis=0)  # every vector three times: each has two at distance 0
    with connect(store) as connector:
        connector.create(Collection("c", DIM, Hnsw(), {"n": int}))
        ids = [f"p{i}" for i in range(120)]
        connector.upsert("c", Points(ids, twins, [{"n": i} for i in range(120)]))
        connector.finalize("c")
        reader = Reader(connector, "c", FAST)
        sample = draw(reader, 120, 0).own
        ((exact,),) = exact_neighbours(reader, [sample], 1, [None])
        given_ = answers(reader, sample, 1, None, None)
        for own, true, found in zip(sample.ids, exact.ids, given_.ids, strict=True):
            assert own not in true + found
            assert int(true[0][1:]) // 3 == int(own[1:]) // 3
        other = {own: f"p{int(own[1:]) // 3 * 3 + (int(own[1:]) + 1) % 3}" for own in sample.ids}
        twin = replace(given_, ids=[[other[own]] for own in sample.ids])
        assert recall_by_query(reader, sample, exact, twin).tolist() == [1.0] * 120
        wrong = replace(given_, ids=[[f"p{(int(own[1:]) + 60) % 120}"] for own in sample.ids])
        assert recall_by_query(reader, sample, exact, wrong).tolist() == [0.0] * 120


def test_a_neighbour_that_does_not_pass_the_filter_or_comes_twice_does_not_count(tmp_path: Path) -> None:
    with connect(f"qdrant:{tmp_path}/s") as connector:
        fill(connector, "c", Hnsw(), n=300)
        reader, where = Reader(connector, "c", FAST), parse_filter("n < 50")
        sample = draw(reader, 20, 0).own
        ((within, among_all),) = exact_neighbours(reader, [sample], K, [where, None])
        unfiltered = replace(answers(reader, sample, K, None, SearchParams(exact=True)), ids=among_all.ids)
        recall = recall_by_query(reader, sample, within, unfiltered)
        passing = [sum(int(key[1:]) % 100 < 50 for key in keys) / K for keys in among_all.ids]
        assert recall.tolist() == pytest.approx(passing)
        twice = replace(unfiltered, ids=[[keys[0]] * K for keys in within.ids])
        assert recall_by_query(reader, sample, within, twice).tolist() == pytest.approx([1 / K] * 20)


def test_short_answers_are_counted(tmp_path: Path) -> None:
    class Short(QdrantEdgeConnector):
        def search(self, *args: Any, **more: Any) -> Found:
            found = super().search(*args, **more)
            exact = more["params"] is not None and more["params"].exact
            return found if exact else replace(found, hits=[hits[:5] for hits in found.hits])

    with Short(tmp_path / "s") as connector:
        fill(connector, "c", Hnsw(), n=300)
        own, new = look(connector, "c", queries=20).rows
    assert [(row.asked, row.short) for row in (own, new)] == [(200, 20)] * 2
    assert (own.got, new.got) == (20 * 4, 20 * 5)  # its own point was among the five
    assert [own.recall, new.recall] == pytest.approx([0.4, 0.5])


def test_what_can_t_be_audited_says_why(tmp_path: Path) -> None:
    with connect(f"qdrant:{tmp_path}/s") as connector:
        fill(connector, "empty", Hnsw(), n=0)
        fill(connector, "few", Hnsw(), n=10)
        fill(connector, "c", Hnsw(), n=300)
        with pytest.raises(InputError, match="empty holds 0 vectors"):
            look(connector, "empty")
        with pytest.raises(InputError, match=r"few holds 10 vectors; for 10 neighbours .* at least 11"):
            look(connector, "few")
        assert look(connector, "few", k=9).rows[0].queries == 10
        with pytest.raises(FilterError, match=r"There is no field 'weight'.*Fields: n"):
            look(connector, "c", wheres=["weight > 3"])
        with pytest.raises(InputError, match="0 points pass the filter 'n = 777'"):
            look(connector, "c", wheres=["n = 777"])
        for target in (0.0, 1.5, -1.0, float("nan")):
            with pytest.raises(InputError, match="target recall"):
                tune(Reader(connector, "c", FAST), target)
        with pytest.raises(InputError, match="must be above 0"):
            Pace(0)


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=60), st.floats(0.5, 50), st.floats(0, 1e5))
def test_the_schedule_lets_no_more_than_the_rate_start_in_a_second(
    gaps_s: list[float], rate: float, begin_s: float
) -> None:
    clock = Clock(begin_s)
    pace = Pace(rate, clock=lambda: clock.now_s, sleep=clock.sleep)
    starts = []
    for gap_s in gaps_s:
        clock.now_s = asked_s = clock.now_s + gap_s
        pace.wait()
        assert clock.now_s >= asked_s
        starts.append(clock.now_s)
    assert starts[0] == begin_s + gaps_s[0]
    for first in starts:
        assert sum(first <= start < first + 1 for start in starts) <= rate + 1 + 1e-6


def test_no_wait_where_the_last_request_is_long_ago() -> None:
    clock = Clock(9.0)
    pace = Pace(2, clock=lambda: clock.now_s, sleep=clock.sleep)
    pace.wait()
    clock.now_s = 10.0
    pace.wait()
    assert clock.now_s == 10.0
    clock.now_s = 10.1
    pace.wait()
    assert clock.now_s == pytest.approx(10.5)


def test_every_request_waits_for_its_turn(tmp_path: Path) -> None:
    clock, seen = Clock(), []

    class Watched(QdrantEdgeConnector):
        def search(self, *args: Any, **more: Any) -> Found:
            seen.append(clock.now_s)
            return super().search(*args, **more)

        def fetch(self, name: str, ids: Sequence[str]) -> Points:
            seen.append(clock.now_s)
            return super().fetch(name, ids)

        def count(self, *args: Any) -> int:
            seen.append(clock.now_s)
            return super().count(*args)

        def describe(self, name: str) -> Description:
            seen.append(clock.now_s)
            return super().describe(name)

        def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
            for points in super().scroll(name, page):
                seen.append(clock.now_s)
                yield points

    with Watched(tmp_path / "s") as connector:
        fill(connector, "c", POOR, SearchParams(ef_search=16))
        seen.clear()
        pace = Pace(4, clock=lambda: clock.now_s, sleep=clock.sleep)
        audit(Reader(connector, "c", pace), queries=20, wheres=["n < 50"])
    assert len(seen) >= 1 + 1 + 1 + 8 * 20
    assert np.diff(seen).min() >= 0.25 - 1e-9


def fingerprint(connector: Connector) -> str:
    """Return all that a store holds, in one hash."""
    whole = hashlib.sha256(repr((connector.collections(), connector.aliases())).encode())
    for name in connector.collections():
        whole.update(repr((connector.describe(name), connector.count(name))).encode())
        rows = [
            (key, row.tobytes(), json.dumps(payload, sort_keys=True))
            for page in connector.scroll(name)
            for key, row, payload in zip(page.ids, page.vectors, page.payloads, strict=True)
        ]
        whole.update(repr(sorted(rows)).encode())
    return whole.hexdigest()


def test_audit_and_tune_change_nothing(store: str) -> None:
    index = Ivf(nlist=16) if store.startswith("milvus") else POOR
    with connect(store) as connector:
        fill(connector, "c", index, SearchParams(ef_search=16, nprobe=1))
        before = fingerprint(connector)
        look(connector, "c", queries=20, wheres=["n < 50"])
        reader = Reader(connector, "c", FAST)
        tune(reader, 0.8, queries=20)
        tune(reader, 0.8, queries=20, where="n < 50")
        assert fingerprint(connector) == before
        connector.set_default_search("c", SearchParams(ef_search=17))
        assert fingerprint(connector) != before


def test_a_short_answer_is_not_completed_by_reading_too_many_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(f"milvus:{tmp_path}/s.db") as connector:
        fill(connector, "c", Ivf(nlist=64), SearchParams(nprobe=1))
        whole = connector.search("c", VECTORS[:1], 500)
        assert (len(whole.hits[0]), "scanned exactly" in whole.notes[0]) == (500, True)
        monkeypatch.setattr(searching, "MAX_SCAN", N - 1)
        short = connector.search("c", VECTORS[:1], 500)
        assert (len(short.hits[0]) < 500, "2,000 match, too many to scan" in short.notes[0]) == (True, True)


def test_tune_finds_the_least_that_reaches_as_a_full_sweep_does(tmp_path: Path) -> None:
    with connect(f"milvus:{tmp_path}/s.db") as connector:
        fill(connector, "c", Ivf(nlist=64))  # more cells than clusters, so that one cell is never enough
        reader = Reader(connector, "c", FAST)
        drawn = draw(reader, 50, 0)
        sample = perturbed(drawn.own, drawn.nearest, 0)
        ((exact,),) = exact_neighbours(reader, [sample], K, [None])
        lows = {}
        for nprobe in range(1, 17):
            given_ = answers(reader, sample, K, None, SearchParams(nprobe=nprobe))
            lows[nprobe], _ = of_mean(
                recall_by_query(reader, sample, exact, given_), np.random.default_rng(0)
            )
        target = lows[5]
        assert lows[1] < target <= lows[16]
        tuned = tune(reader, target, queries=50)
        assert tuned.choice.params.nprobe == min(nprobe for nprobe, low in lows.items() if low >= target)
        assert tuned.choice.low == lows[tuned.choice.params.nprobe or 0]
        assert {step.params.nprobe: step.low for step in tuned.steps}.items() <= lows.items()


def test_tune_of_a_graph_says_each_step_and_stops_at_the_least(tmp_path: Path) -> None:
    with connect(f"qdrant:{tmp_path}/s") as connector:
        fill(connector, "c", Hnsw(m=4, ef_construction=8))
        tuned = tune(Reader(connector, "c", FAST), 0.9, queries=50)
    steps = {step.params.ef_search or 0: step for step in tuned.steps}
    chosen = tuned.choice.params.ef_search or 0
    assert tuned.reached
    assert tuned.choice.low >= 0.9
    assert min(steps) == K
    assert chosen == K or steps[chosen - 1].low < 0.9
    assert f"ef_search={chosen} is the least that reaches 0.9 with confidence" in tuned.line


def test_a_target_that_is_not_reached_is_said(tmp_path: Path) -> None:
    with connect(f"milvus:{tmp_path}/s.db") as connector:
        fill(connector, "c", Ivf(nlist=16, variant="sq8"))
        tuned = tune(Reader(connector, "c", FAST), 1.0, queries=100)
        assert not tuned.reached
        assert tuned.choice.recall < 1
        assert (
            "1 is not reached with confidence, even by nprobe=16, the most that this index allows"
            in tuned.line
        )
        assert tuned.choice.low == max(step.low for step in tuned.steps)
        with pytest.raises(InputError, match="Nothing was written: 1 is not reached"):
            write_default(connector, "c", tuned)
        assert connector.describe("c").collection.search == SearchParams()


def test_what_is_written_is_described_and_used(store: str) -> None:
    index = Ivf(nlist=128) if store.startswith("milvus") else POOR
    with connect(store) as connector:
        fill(connector, "v1", index, SearchParams(ef_search=K, nprobe=1))
        connector.alias("c", "v1")
        before = look(connector, "c", queries=50).rows[1].recall
        tuned = tune(Reader(connector, "c", FAST), 0.9, queries=50)
        write_default(connector, "c", tuned)
        after = look(connector, "c", queries=50).rows[1].recall
        assert before == pytest.approx(tuned.steps[0].recall)
        assert after == pytest.approx(tuned.choice.recall)
        assert before < after
    with connect(store) as connector:
        assert connector.describe("c").collection.search == tuned.choice.params
        assert connector.count("c") == N


def test_an_index_matched_by_recall_tells_that_its_search_was_set_since(tmp_path: Path) -> None:
    with connect(f"qdrant:{tmp_path}/s") as connector:
        connector.create(Collection("c", DIM, Hnsw(), translation="annoy(n_trees=5) → hnsw"))
        for ef in (40, 50):
            connector.set_default_search("c", SearchParams(ef_search=ef))
        translation = connector.describe("c").collection.translation
    assert translation == "annoy(n_trees=5) → hnsw; set since to ef_search=50"


def test_rebuild_tries_indexes_on_the_side_and_names_the_command(tmp_path: Path) -> None:
    with connect(f"qdrant:{tmp_path}/s") as connector:
        fill(connector, "c", POOR, SearchParams(ef_search=16))
        before = fingerprint(connector)
        built = rebuild(connector, Reader(connector, "c", FAST), 0.9)
        assert fingerprint(connector) == before
    assert [one.index for one in built] == grid(POOR, N)
    best = winner(built)
    assert best is not None
    assert best.tuned.reached
    told = advice("qdrant:./s", "c", built)
    assert isinstance(best.index, Hnsw)
    asked = f"hnsw:m={best.index.m},ef_construction={best.index.ef_construction}"
    assert f"cohorts reindex --store qdrant:./s --collection c --index {asked} --search ef_search=" in told
    assert parse_index(asked) == best.index


def built_of(index: Index, low: float, p50_ms: float) -> Built:
    step = Step(params=SearchParams(ef_search=10), recall=low, low=low, high=low, p50_ms=p50_ms)
    tuned = Tuned(target=0.9, k=K, queries="100 points", steps=(step,), choice=step)
    return Built(index=index, rows=100, tuned=tuned)


def test_the_winner_is_the_smallest_of_the_fast_ones_that_reach() -> None:
    small, middle, large = Hnsw(8), Hnsw(16), Hnsw(32)

    def best(*figures: tuple[float, float]) -> Index | None:
        built = [built_of(one, *two) for one, two in zip((small, middle, large), figures, strict=True)]
        found = winner(built)
        return found.index if found else None

    assert best((0.95, 1.1), (0.95, 1.0), (0.95, 1.0)) == small
    assert best((0.95, 3.0), (0.95, 1.1), (0.95, 1.0)) == middle
    assert best((0.8, 0.1), (0.8, 0.1), (0.95, 1.0)) == large
    assert best((0.8, 0.1), (0.8, 0.1), (0.8, 0.1)) is None
    assert advice("s", "c", [built_of(small, 0.8, 1)]) == "None of these indexes reaches 0.9 with confidence."


def test_the_grid_keeps_the_kind_and_what_is_there() -> None:
    assert {type(one) for index in (Flat(), Hnsw(), Annoy()) for one in grid(index, N)} == {Hnsw}
    assert {one.quantization for one in grid(Hnsw(quantization="scalar"), N) if isinstance(one, Hnsw)} == {
        "scalar"
    }
    assert Hnsw(5, 7) in grid(Hnsw(5, 7), N)
    nlists = [one.nlist for one in grid(Ivf(nlist=100, variant="sq8"), 4_096) if isinstance(one, Ivf)]
    assert nlists == [64, 100, 256]
    sizes = [one.m for one in grid(Hnsw(5, 7), N) if isinstance(one, Hnsw)]
    assert sizes == sorted(sizes)


def test_milvus_servers_scan_once_and_keep_no_other_default(milvus: Milvus) -> None:
    with connect(f"milvus+http://127.0.0.1:{milvus.port}") as connector:
        fill(connector, "c", Ivf(nlist=16), SearchParams(nprobe=1))
        row = look(connector, "c", queries=50).rows[0]
        sample = draw(Reader(connector, "c", FAST), 50, 0).own
        assert row.recall == pytest.approx(naive_recall(connector, sample, lambda i: True), abs=1e-9)
        tuned = tune(Reader(connector, "c", FAST), 0.9, queries=50)
        with pytest.raises(InputError, match="A reindexing makes a new version") as lacking:
            write_default(connector, "c", tuned)
        assert lacking.value.hint == "reindex_search"  # for which the command line names cohorts reindex


def test_a_collection_of_others_is_audited_and_never_written(
    qdrant: QdrantNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = qdrant.client()
    client.create_collection("theirs", models.VectorParams(size=DIM, distance=models.Distance.COSINE))
    rows = [models.PointStruct(id=i, vector=VECTORS[i].tolist(), payload={"age": i % 90}) for i in range(500)]
    client.upsert("theirs", rows, wait=True)
    there = f"--store 'qdrant+http://127.0.0.1:{qdrant.http}?check_compatibility=false' --collection theirs"
    ok(f"attach {there}")
    before = client.get_collection("theirs").model_dump_json()
    out = ok(f"audit {there} --where 'age < 45' --queries 20 --rate 10000 --out found")
    assert "1.0000" in out
    with (tmp_path / "found" / "audit.csv").open(encoding="utf-8") as file:
        whole, part, *new = csv.DictReader(file)
    assert (whole["count"], part["where"], part["count"]) == ("500", "age < 45", "270")
    assert [row["kind"] for row in (whole, part, *new)] == ["own", "own", "perturbed", "perturbed"]
    manifest = json.loads((tmp_path / "found" / "manifest.json").read_text())
    assert manifest["note"] == "no index yet or too few vectors for one: search is exact"
    assert "?" not in manifest["store"]
    assert "nothing to tune" in refused(f"tune {there} --target-recall .9 --write --rate 10000")
    assert client.get_collection("theirs").model_dump_json() == before
    client.close()


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with connect("qdrant:./s") as connector:
        fill(connector, "c", Hnsw(m=4, ef_construction=8))
    there = "--store qdrant:./s --collection c --rate 100000 --queries 30"
    out = ok(f"audit {there} --where 'n < 50' --search ef_search=12")
    assert "n < 50" in out
    assert "1,000   50 %" in out
    assert [line.split()[0] for line in out.splitlines() if "n < 50" in line] == 2 * ["own", "perturbed"]
    steps = ok(f"tune {there} --target-recall .9 --write")
    assert "← chosen" in steps
    (chosen,) = (line.split()[0] for line in steps.splitlines() if "← chosen" in line)
    assert chosen in ok("describe --store qdrant:./s --collection c")
    assert "leave one of them out" in refused(f"tune {there} --target-recall .9 --write --where 'n < 50'")
    assert "leave --where out" in refused(f"tune {there} --target-recall .9 --rebuild --where 'n < 50'")
