"""Recall while rows are written and deleted: by hand, against a loop, with planted faults; then on real engines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import servers
from bench_answers import Answer, by_columns, experiment_from
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.index import Flat
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError, MeasurementError
from cohorts.harness.bench import results as raw
from cohorts.harness.bench.load.churn import BATCH, Churn, draw, taken_out
from cohorts.harness.bench.load.clients import of_store
from cohorts.harness.bench.load.modes import Target, arrivals
from cohorts.harness.bench.load.workers import WorkerPool
from cohorts.harness.bench.plan.dataset import Dataset, make_dataset
from cohorts.harness.bench.plan.experiment import Experiment
from cohorts.harness.bench.plan.ground_truth import exact
from cohorts.harness.bench.plan.matrix import Cell, asked, builds, cells
from cohorts.harness.bench.report.metrics import faults_of, recall_by_query
from cohorts.harness.bench.report.page import tables_of
from cohorts.harness.bench.report.run_table import csv_tables
from cohorts.harness.bench.report.summary import Summary, summarize
from cohorts.harness.bench.report.under_writes import under_writes
from cohorts.harness.bench.results import Written
from cohorts.harness.bench.run.build import Rows, build
from cohorts.harness.bench.run.runner import run
from engine_contract import cloud
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import inf
from planted.bench import figures_of

# Row i is the i-th nearest to the only query.
MANIFEST = raw.manifest_of(
    {}, "abc", synthetic=True, server="planted 1.0", effective_index={}, effective_search={}
)

ANGLES = np.arange(8) / 8
LINE = Dataset(
    np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32),
    np.array([[1, 0]], np.float32),
    {},
    synthetic=True,
)
# Row 0 is written from 1 to 2 s, row 1 never; row 2 is deleted from 3 to 4 s, row 3 never.
TOLD = Written(
    ids=np.array(["0", "1", "2", "3"]),
    deleted=np.array([False, False, True, True]),
    intended_s=np.array([1.0, inf, 3.0, inf]),
    started_s=np.array([1.0, inf, 3.0, inf]),
    ended_s=np.array([2.0, inf, 4.0, inf]),
)


def answer(ids: Sequence[int], started_s: float, ended_s: float, asked: int = 2) -> Answer:
    """Return an answer to a query that was due half a second before it was asked."""
    due_s = started_s - 0.5
    names = [str(row) for row in ids]
    return Answer(0, 1000 * (ended_s - due_s), asked, names, [0.5] * len(ids), started_s, due_s)


@pytest.mark.parametrize(
    ("ids", "started_s", "ended_s", "recall", "stale"),
    [
        ([2, 3], 0.0, 0.5, 1.0, 0.0),  # before anything: 2 and 3 are the nearest that are there
        ([0, 2], 0.0, 0.5, 0.5, 0.5),  # 0 can't be there yet
        ([2, 4], 0.0, 0.5, 0.5, 0.0),
        ([0, 2], 1.5, 1.7, 1.0, 0.0),  # 0 is being written: it may be there
        ([2, 3], 1.5, 1.7, 1.0, 0.0),  # or not
        ([2, 3], 1.5, 2.5, 1.0, 0.0),  # acknowledged only while it was asked
        ([2, 3], 2.0, 2.5, 0.5, 0.0),  # acknowledged before: a row that must be found is missing
        ([0, 2], 2.0, 2.5, 1.0, 0.0),
        ([0, 1], 2.0, 2.5, 0.5, 0.5),  # 1 is never written
        ([0, 2], 2.0, 3.5, 1.0, 0.0),  # 2 is being deleted: it may be there
        ([0, 3], 2.0, 3.5, 1.0, 0.0),  # or not
        ([0, 2], 3.9, 5.0, 1.0, 0.0),  # its delete was not acknowledged yet
        ([0, 2], 4.0, 5.0, 0.5, 0.5),  # a deleted row that is still found
        ([0, 3], 4.0, 5.0, 1.0, 0.0),
        ([3], 4.0, 5.0, 0.5, 0.0),
        ([], 4.0, 5.0, 0.0, 0.0),
        ([3, 3], 4.0, 5.0, 0.5, 0.0),
        ([0, 4], 2.0, 3.5, 0.5, 0.0),  # 4 is further than any that must be found
    ],
)
def test_recall_under_writes_by_hand(
    ids: list[int], started_s: float, ended_s: float, recall: float, stale: float
) -> None:
    found = under_writes(by_columns([answer(ids, started_s, ended_s)]), TOLD, exact(LINE, None, 6), LINE)
    assert found.recall.tolist() == [recall]
    assert found.stale == stale


def test_recall_is_the_mean_over_answers_and_stale_over_neighbours() -> None:
    answers = by_columns([answer([0, 2], 2.0, 2.5), answer([2], 4.0, 5.0)])
    found = under_writes(answers, TOLD, exact(LINE, None, 6), LINE)
    assert found.recall.tolist() == [0.5]
    assert found.stale == pytest.approx(1 / 3)


def test_a_tie_with_the_last_that_must_be_found_counts() -> None:
    vectors = LINE.vectors.copy()
    vectors[5] = vectors[3]
    data = Dataset(vectors, LINE.queries.copy(), {}, synthetic=True)
    found = under_writes(by_columns([answer([0, 5], 4.0, 5.0)]), TOLD, exact(data, None, 6), data)
    assert found.recall.tolist() == [1.0]


def test_a_truth_that_is_not_deep_enough_is_refused() -> None:
    with pytest.raises(MeasurementError, match="holds 5 neighbours of each query; 6 are needed"):
        under_writes(by_columns([answer([0, 2], 2.0, 2.5)]), TOLD, exact(LINE, None, 5), LINE)
    with pytest.raises(MeasurementError, match="never loaded, as '8'"):
        under_writes(by_columns([answer([0, 8], 2.0, 2.5)]), TOLD, exact(LINE, None, 6), LINE)


def test_twice_in_an_answer_is_a_fault_and_short_is_none() -> None:
    truth = exact(LINE, None, 6)
    short = by_columns([answer([0], 2.0, 2.5)])
    assert faults_of(short, truth, LINE, writing=True) == ()
    assert "short" in faults_of(short, truth, LINE)[0]
    (fault,) = faults_of(by_columns([answer([2, 2], 2.0, 2.5)]), truth, LINE, writing=True)
    assert "came twice" in fault


def naive(data: Dataset, ids: list[int], started_s: float, ended_s: float, told: Written, k: int) -> float:
    """Return the recall of an answer to query 0 by a loop over all rows."""
    scores = [float(row @ data.queries[0]) for row in data.vectors]
    must, gone = set(range(len(scores))), set()
    for name, deleted, begun, ended in zip(told.ids, told.deleted, told.started_s, told.ended_s, strict=True):
        if deleted:
            if begun < ended_s:
                must.discard(int(name))
            if ended <= started_s:
                gone.add(int(name))
        else:
            if ended > started_s:
                must.discard(int(name))
            if begun > ended_s:
                gone.add(int(name))
    last = sorted((scores[row] for row in must), reverse=True)[k - 1]
    return min(k, sum(scores[row] >= last - 1e-5 for row in set(ids) - gone)) / k


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(1, 5), st.integers(0, 6), st.integers(0, 6))
def test_recall_under_writes_is_that_of_a_naive_loop(seed: int, k: int, new: int, gone: int) -> None:
    rng, vectors = np.random.default_rng(seed), cloud(40, 4)
    data = Dataset(vectors, vectors[:1].copy(), {}, synthetic=True)
    near = np.argsort(-data.vectors @ data.queries[0])[
        :12
    ]  # what changes and what is found is about the threshold
    changed, times_s = rng.choice(near, new + gone, replace=False), rng.integers(0, 5, (2, new + gone)) / 1.0
    times_s[:, rng.random(new + gone) < 0.2] = inf
    told = Written(
        ids=changed.astype(np.str_),
        deleted=np.arange(new + gone) >= new,
        intended_s=times_s[0],
        started_s=times_s[0],
        ended_s=times_s[0] + times_s[1],
    )
    ids = rng.choice(near, k, replace=False).tolist()
    started_s, ended_s = sorted((rng.integers(0, 9, 2) / 1.0).tolist())
    answers = by_columns([answer(ids, started_s, ended_s, k)])
    found = under_writes(answers, told, exact(data, None, k + new + gone), data)
    assert found.recall.tolist() == [naive(data, ids, started_s, ended_s, told, k)]


def test_without_writes_recall_is_the_plain_one() -> None:
    no_time = np.empty(0)
    nothing = Written(
        ids=np.array([], np.str_),
        deleted=np.array([], np.bool_),
        intended_s=no_time,
        started_s=no_time,
        ended_s=no_time,
    )
    answers, truth = by_columns([answer([0, 3], 0.0, 1.0), answer([1, 0], 0.0, 1.0)]), exact(LINE, None, 2)
    found = under_writes(answers, nothing, truth, LINE)
    np.testing.assert_array_equal(found.recall, recall_by_query(answers, truth, LINE))


# ---- on disk


def test_what_was_written_is_kept_beside_the_answers_and_read(tmp_path: Path) -> None:
    folder, answers = tmp_path / "c", by_columns([answer([0, 2], 2.0, 2.5)])
    raw.write(folder, answers, MANIFEST, TOLD)
    there = raw.read_written(folder)
    for name, values in vars(TOLD).items():
        np.testing.assert_array_equal(getattr(there, name), values, strict=True)
    raw.write(folder, answers, MANIFEST)  # takes the place of all that was there
    with pytest.raises(MeasurementError, match="no whole measurement"):
        raw.read_written(folder)
    (folder / raw.WRITTEN).write_bytes(b"PAR1")
    with pytest.raises(MeasurementError, match="no whole measurement"):
        raw.read_written(folder)


# ---- on real engines

TEXT = """
name = "writes"
repeats = 2
queries = 40
k = [50]
rates = [150]
writes = [100]
seconds = 0.8
settle = 1
[data]
rows = 500
dim = 8
clusters = 5
[filters]
selectivities = [0.5]
[[store]]
name = "Engine"
address = "{address}"
[[store]]
name = "faiss"
address = "reference:faiss"
[[index]]
build = "flat"
stores = ["Engine"]
[[index]]
build = "hnsw"
stores = ["faiss"]
"""
WRITING = Churn(150, 100)


def writing(experiment: Experiment, repeat: int = 1) -> Cell:
    (cell,) = (one for one in cells(experiment, builds(experiment)[0], repeat) if one.mode == WRITING)
    return cell


def experiment_of(folder: Path, address: str, repeats: int = 2) -> Experiment:
    return replace(experiment_from(folder, TEXT.format(address=address)), repeats=repeats)


def test_figures_under_writes_are_those_of_the_files(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, "qdrant:nowhere")
    data, (written, deleted) = make_dataset(experiment), draw(500, 40, (0, 1))
    moments = np.full(80, inf)
    moments[:10], moments[40:45] = 0.0, 0.9  # of those written ten at once, of those deleted five, too late
    told = Written(
        ids=np.array([*written, *deleted], np.str_),
        deleted=np.arange(80) >= 40,
        intended_s=moments,
        started_s=moments,
        ended_s=moments,
    )
    nearest = exact(data, None, 50).rows.tolist()
    for repeat in (1, 2):
        cell = writing(experiment, repeat)
        answers = by_columns(
            Answer(query, 1.0, 50, [str(row) for row in rows], [0.5] * 50, query / 100, query / 100)
            for query, rows in enumerate(nearest)
        )
        manifest = replace(
            MANIFEST,
            asked=asked(experiment, cell, data.payload.told),
            checksum=data.checksum,
            effective_index={"kind": "flat"},
            measured={"behind_ms": float(repeat)},
        )
        raw.write(tmp_path / cell.path, answers, manifest, told)
    measured = figures_of(summarize(experiment, tmp_path), cell)
    assert measured["written_per_s"] == 10 / 0.8
    gone = np.isin(nearest, written[10:])
    assert 0 < measured["stale"] == pytest.approx(gone.mean())
    assert measured["recall"] == pytest.approx(1 - gone.mean())  # all others are nearer than the last
    assert measured["behind_ms"] == 2.0
    (tmp_path / cell.path / raw.WRITTEN).unlink()
    with pytest.raises(MeasurementError, match="no whole measurement"):
        summarize(experiment, tmp_path)


@pytest.fixture(params=["qdrant", "milvus", pytest.param("server", marks=pytest.mark.server)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "server":
        node = request.getfixturevalue("qdrant")
        return f"qdrant+grpc://127.0.0.1:{node.grpc}?check_compatibility=false"
    return f"{request.param}:{tmp_path}/store" + (".db" if request.param == "milvus" else "")


@pytest.fixture(autouse=True)
def few_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two clients take the arrivals: each is a process, which takes longer to start than what it measures."""
    monkeypatch.setattr("cohorts.harness.bench.load.modes.OPEN_CLIENTS", 2)


def measured_while_written(experiment: Experiment, out: Path) -> tuple[Mapping[str, float], Summary, Path]:
    folder = run(experiment, out, only=["Engine"])
    summary = summarize(experiment, folder)
    return figures_of(summary, writing(experiment)), summary, folder


def test_searches_under_writes_are_measured_and_shown(address: str, tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, address)
    measured, summary, folder = measured_while_written(experiment, tmp_path / "out")
    assert summary.faults == {}
    assert (measured["recall"], measured["stale"], measured["short"]) == (1.0, 0.0, 0.0)  # exact search
    assert measured["answers"] == sum(len(arrivals(150, 0.8, repeat)) for repeat in (1, 2))
    assert 0 < measured["p50_ms"] <= measured["p95_ms"] <= measured["p99_ms"]
    assert measured["qps"] > 0
    assert 0 < measured["written_per_s"] <= 110 / 0.8  # a batch more than was due
    told = [raw.read_written(folder / writing(experiment, repeat).path) for repeat in (1, 2)]
    assert all(len(set(one.ids)) == 80 and one.deleted.sum() == 40 for one in told)
    assert set(told[0].ids) != set(told[1].ids)
    (view,) = [one for one in tables_of(summary, 50) if "written and deleted" in one.title]
    (line,) = view.lines
    assert line.names[-1] == "150, 100"
    shown = dict(zip((one.title for one in view.columns), (cell.text for cell in line.cells), strict=True))
    assert (shown["recall@50"], shown["stale"]) == ("1.0000", "0 %")
    frame = csv_tables(summary.run)["settings"].set_index("writes_per_s").loc[100.0]
    assert (frame["mode"], frame["rate_per_s"], frame["written_per_s"]) == (
        "open",
        150,
        measured["written_per_s"],
    )


def test_a_server_whose_reads_may_lag_has_figures_and_no_fault(
    milvus: servers.Milvus, tmp_path: Path
) -> None:
    experiment = experiment_of(tmp_path, f"milvus+http://127.0.0.1:{milvus.port}", repeats=1)
    measured, summary, _ = measured_while_written(experiment, tmp_path / "out")
    assert summary.faults == {}
    assert 0 < measured["recall"] <= 1
    assert 0 <= measured["stale"] < 1
    assert measured["written_per_s"] > 0


def test_rows_are_put_back_whole_whatever_happens(address: str, tmp_path: Path) -> None:
    data = make_dataset(experiment_of(tmp_path, address))
    with connect(address) as connector:
        build(connector, Collection("c", 8, Flat(), data.fields), Rows(data.vectors, data.columns))
    churn = draw(500, 40, (0, 1))
    names = [[str(row) for row in rows] for rows in churn]

    def measure() -> None:
        there = Target(opener=of_store(address, "c"), data=data, k=10, pool=WorkerPool())
        with taken_out(there, *churn):
            with connect(address) as connector:
                assert connector.count("c") == 460
                assert list(connector.fetch("c", names[0] + names[1]).ids) == names[1]
                connector.delete("c", names[1])
            raise EngineError("The engine failed.")

    with pytest.raises(EngineError, match=r"The engine failed\."):
        measure()
    with connect(address) as connector:
        assert connector.count("c") == 500
        there = connector.fetch("c", [str(row) for row in range(500)])
    np.testing.assert_allclose(there.vectors, data.vectors, atol=1e-5)
    (wanted,) = Rows(data.vectors, data.columns).batches()
    assert list(there.payloads) == list(wanted.payloads)


def test_rows_that_are_not_put_back_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = experiment_of(tmp_path, f"qdrant:{tmp_path}/store", repeats=1)
    data, upsert = make_dataset(experiment), QdrantEdgeConnector.upsert

    def lose(connector: QdrantEdgeConnector, name: str, points: Points) -> None:
        if len(points.ids) != 80:
            upsert(connector, name, points)

    monkeypatch.setattr(QdrantEdgeConnector, "upsert", lose)
    _, summary, _ = measured_while_written(experiment, tmp_path / "out")
    assert list(summary.faults) == [str(writing(experiment).setting)]
    ((fault, *_),) = summary.faults.values()
    assert "of cohorts_bench_" in fault
    assert f"after {len(data.vectors)} were put back" in fault


def test_an_engine_that_goes_on_finding_what_was_deleted_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QdrantEdgeConnector, "delete", lambda *_: None)
    experiment = experiment_of(tmp_path, f"qdrant:{tmp_path}/store", repeats=1)
    measured, _, _ = measured_while_written(experiment, tmp_path / "out")
    assert measured["stale"] > 0
    assert measured["recall"] < 1  # they stand where others must be found


def test_an_engine_that_loses_what_it_acknowledged_has_less_recall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert = QdrantEdgeConnector.upsert

    def lose(connector: QdrantEdgeConnector, name: str, points: Points) -> None:
        if len(points.ids) > BATCH:  # what is built and put back
            upsert(connector, name, points)

    monkeypatch.setattr(QdrantEdgeConnector, "upsert", lose)
    experiment = experiment_of(tmp_path, f"qdrant:{tmp_path}/store", repeats=1)
    measured, _, _ = measured_while_written(experiment, tmp_path / "out")
    assert measured["recall"] < 1
    assert measured["stale"] == 0
