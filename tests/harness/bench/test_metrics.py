"""Raw results of `cohorts bench` on disk, figures made of them by hand, and planted faults."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_answers import Answer, by_columns
from cohorts.commands import hints
from cohorts.errors import InputError, MeasurementError
from cohorts.harness.bench.plan.dataset import Dataset
from cohorts.harness.bench.plan.ground_truth import Truth, exact
from cohorts.harness.bench.report.metrics import (
    faults_of,
    queries_per_second,
    recall_by_query,
    rows_of,
    short_share,
)
from cohorts.harness.bench.results import (
    ANSWERS,
    MANIFEST,
    Answers,
    Manifest,
    finished,
    manifest_of,
    read,
    write,
)
from engine_contract import cloud
from hypothesis import given, settings
from hypothesis import strategies as st

PASSES = "uncorrelated_0_1"


def data_of(vectors: np.ndarray, queries: np.ndarray, passing: Sequence[int] = ()) -> Dataset:
    mask = np.zeros(len(vectors), np.bool_)
    mask[list(passing)] = True
    return Dataset(vectors.astype(np.float32), queries.astype(np.float32), {PASSES: mask}, True)


# Scores of query 0: 1, .8, .6, 0, and of query 1: 0, .6, .8, 1; row 4 is a twin of row 1.
PLANE = data_of(
    np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1], [0.8, 0.6]]), np.array([[1, 0], [0, 1]]), (2, 3)
)


def answer(query: int, ids: Sequence[Any], asked: int = 2, **changes: float) -> Answer:
    made = Answer(query, 1.0, asked, [str(key) for key in ids], [0.5] * len(ids), started_s=0.0)
    return made._replace(**changes)  # type: ignore[arg-type]


def perfect(data: Dataset, truth: Truth, k: int) -> Answers:
    return by_columns(
        Answer(query, 1.0, k, [str(row) for row in rows[:k]], scores[:k].tolist(), 0.0)
        for query, (rows, scores) in enumerate(zip(truth.rows.tolist(), truth.scores, strict=True))
    )


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([0, 1], 1.0),
        ([0, 4], 1.0),  # the twin of row 1 is as near
        ([1, 4], 1.0),  # both are as near as the second
        ([0, 2], 0.5),
        ([2, 3], 0.0),
        ([0], 0.5),
        ([], 0.0),
        ([0, 0], 0.5),
        ([1, 1], 0.5),
    ],
)
def test_recall_by_hand(ids: list[int], expected: float) -> None:
    truth = exact(PLANE, None, 2)
    assert recall_by_query(by_columns([answer(0, ids)]), truth, PLANE).tolist() == [expected]


def test_recall_is_by_the_true_score_and_within_the_tie() -> None:
    near = np.array([[1, 0], [1 - 4e-6, 0], [1 - 4e-5, 0]])
    data = data_of(near, np.array([[1, 0]]))
    truth = exact(data, None, 1)
    told = [replace(by_columns([answer(0, [row], 1)]), scores=np.ones(1, np.float32)) for row in range(3)]
    assert [recall_by_query(one, truth, data)[0] for one in told] == [1, 1, 0]


def test_recall_with_a_filter_is_of_what_passes() -> None:
    truth = exact(PLANE, PASSES, 4)  # rows 2 and 3 pass: fewer than 4
    short = by_columns([answer(0, [2], 4), answer(1, [2, 3], 4)])
    assert recall_by_query(short, truth, PLANE).tolist() == [0.5, 1.0]
    assert short_share(short, truth) == 0.5
    assert faults_of(short, truth, PLANE) == ()  # short under a filter is a figure, no fault
    outside = by_columns([answer(0, [0, 2], 4)])
    assert recall_by_query(outside, truth, PLANE).tolist() == [0.5]  # row 0 is nearer, and no answer
    assert faults_of(outside, truth, PLANE) == ("1 neighbours do not pass the filter uncorrelated_0_1",)


def test_a_truth_of_more_neighbours_serves_fewer() -> None:
    truth = exact(PLANE, None, 5)
    assert recall_by_query(by_columns([answer(0, [0, 2])]), truth, PLANE).tolist() == [0.5]


def test_several_answers_to_a_query_are_one_figure() -> None:
    truth = exact(PLANE, None, 2)
    answers = by_columns([answer(1, [3, 2]), answer(0, [0, 1]), answer(0, [0, 3]), answer(0, [2, 3])])
    assert recall_by_query(answers, truth, PLANE).tolist() == [0.5, 1.0]


def test_throughput_is_from_the_first_query_to_the_last_answer() -> None:
    closed = [answer(0, [0, 1], started_s=s, latency_ms=500) for s in (3.0, 3.5, 3.0, 3.5)]
    assert queries_per_second(by_columns(closed)) == pytest.approx(4)
    late = [*closed, answer(0, [0, 1], started_s=5.0, intended_s=3.0, latency_ms=3_000)]  # over at 6 s
    assert queries_per_second(by_columns(late)) == pytest.approx(5 / 3)
    due = [
        answer(0, [0, 1], started_s=2.0, intended_s=one, latency_ms=1_000 * (3 - one)) for one in (1.0, 2.0)
    ]
    assert queries_per_second(by_columns(due)) == pytest.approx(2 / 2)
    assert isnan(queries_per_second(by_columns([answer(0, [0, 1], started_s=nan)])))


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ([answer(0, []), answer(1, [])], "none of 2 answers holds a neighbour, as from an empty collection"),
        ([answer(0, [0, 1]), answer(1, [3])], "1 of 2 answers are short, and no filter was set"),
        ([answer(0, [0, 0]), answer(1, [3, 2])], "1 ids came twice in an answer"),
        ([answer(0, [0, 1, 4])], "1 answers hold more neighbours than were asked for"),
    ],
)
def test_planted_faults_are_told(answers: list[Answer], fault: str) -> None:
    told, truth = by_columns(answers), exact(PLANE, None, 2)
    assert recall_by_query(told, truth, PLANE).max() <= 1
    assert any(fault in one for one in faults_of(told, truth, PLANE))


def test_the_same_id_in_two_answers_is_no_duplicate() -> None:
    answers = by_columns([answer(0, [0, 1]), answer(1, [1, 0])])
    assert not any("twice" in fault for fault in faults_of(answers, exact(PLANE, None, 2), PLANE))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([], "No query was answered"),
        ([answer(2, [0, 1])], "Query 2 was asked; the truth is about 2 queries"),
        ([answer(-1, [0, 1])], "A query without truth"),
        ([answer(0, [0, 1], 3)], "3 neighbours were asked for; the truth holds 2"),
        ([answer(0, [0, 5])], "1 ids came back that were never loaded, as '5'"),
        ([answer(0, ["0", "-1"])], "never loaded, as '-1'"),
        ([answer(0, ["0", "p1"])], "never loaded, as 'p1'"),
        ([answer(0, ["0", "9" * 30])], "never loaded"),
        ([answer(0, ["0", "²"])], "never loaded"),
    ],
)
def test_what_no_figure_can_be_made_of_is_refused(answers: list[Answer], message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        faults_of(by_columns(answers), exact(PLANE, None, 2), PLANE)


def test_truth_of_other_vectors_is_refused() -> None:
    other = data_of(PLANE.vectors[::-1], PLANE.queries, (2, 3))
    with pytest.raises(MeasurementError, match="recall would mean nothing"):
        faults_of(by_columns([answer(0, [0, 1])]), exact(other, None, 2), PLANE)


def naive_recall(data: Dataset, query: int, ids: list[int], k: int, passing: list[int]) -> float:
    scores = [float(data.queries[query] @ data.vectors[row]) for row in passing]
    last = sorted(scores, reverse=True)[: min(k, len(scores))][-1]
    there = min(k, len(scores))
    good = {
        row for row in ids if row in passing and float(data.queries[query] @ data.vectors[row]) >= last - 1e-5
    }
    return min(len(good), there) / there


SETS = st.tuples(st.integers(0, 99), st.integers(1, 30), st.integers(1, 12), st.booleans())


@settings(max_examples=60, deadline=None)
@given(SETS, st.randoms(use_true_random=False))
def test_recall_is_that_of_a_naive_loop_and_never_above_one(sets: Any, random: Any) -> None:
    seed, rows, k, filtered = sets
    rng = np.random.default_rng(seed)
    signs = rng.choice([-0.6, 0.6], (rows, 2))  # many ties
    passing = list(range(0, rows, 2))
    data = data_of(signs, signs[:3], passing)
    truth = exact(data, PASSES if filtered else None, k)
    answers = [
        [random.randrange(rows) for _ in range(random.randrange(k + 1))] for _ in range(len(data.queries))
    ]
    found = recall_by_query(by_columns(answer(q, ids, k) for q, ids in enumerate(answers)), truth, data)
    kept = passing if filtered else list(range(rows))
    assert found.tolist() == [naive_recall(data, q, ids, k, kept) for q, ids in enumerate(answers)]
    assert found.max() <= 1


@settings(max_examples=40, deadline=None)
@given(SETS)
def test_the_truth_itself_has_recall_1_and_a_permutation_changes_nothing(sets: Any) -> None:
    seed, rows, k, filtered = sets
    rng = np.random.default_rng(seed)
    vectors, queries = cloud(rows, 4), cloud(50, 4)[::-1][:3]
    passing = list(range(0, rows, 3))
    data = data_of(vectors, queries, passing)
    where = PASSES if filtered else None
    truth = exact(data, where, k)
    answers = perfect(data, truth, min(k, truth.rows.shape[1]))
    assert recall_by_query(answers, truth, data).tolist() == [1, 1, 1]
    assert faults_of(answers, truth, data) == ()

    order = rng.permutation(rows)  # row i is now row place[i]
    place = np.argsort(order)
    moved = data_of(vectors[order], queries, place[passing].tolist())
    half = replace(answers, ids=np.where(rng.random(len(answers.ids)) < 0.5, answers.ids, "0"))
    elsewhere = replace(half, ids=place[half.ids.astype(int)].astype(np.str_))
    again = exact(moved, where, k)
    assert faults_of(half, truth, data) == faults_of(elsewhere, again, moved)
    np.testing.assert_array_equal(
        recall_by_query(half, truth, data), recall_by_query(elsewhere, again, moved)
    )


def test_ids_are_rows_as_text_or_numbers() -> None:
    assert rows_of(np.array(["3", "0"]), 4).tolist() == rows_of(np.array([3, 0]), 4).tolist() == [3, 0]
    assert rows_of(np.array([], np.str_), 4).tolist() == []


# ---- on disk

ASKED = {"k": 2, "store": "s", "search": {"ef_search": 3}, "filter": None, "seconds": 2.0}


def manifest(**changes: Any) -> Manifest:
    made = manifest_of(
        ASKED,
        "abc",
        synthetic=True,
        server="qdrant 1.16.3",
        effective_index={"kind": "flat"},
        effective_search={},
        notes=("a note",),
    )
    return replace(made, **changes)


MIXED = [
    answer(0, [0, 1], started_s=0.25),
    answer(1, [], started_s=1.0, intended_s=0.5, latency_ms=2.5),
    answer(0, [4, 2]),
]


@pytest.mark.parametrize("kind", [str, int])
def test_what_is_written_is_read(tmp_path: Path, kind: Callable[[Any], Any]) -> None:
    rows = [row._replace(ids=[kind(key) for key in row.ids]) for row in MIXED]
    answers = by_columns(rows)
    write(tmp_path / "a" / "b", answers, manifest())
    there, made = read(tmp_path / "a" / "b")
    for name, values in vars(answers).items():
        np.testing.assert_array_equal(getattr(there, name), values, strict=name != "ids")
    assert there.ids.dtype.kind == answers.ids.dtype.kind
    assert made == replace(manifest(), notes=["a note"], made=made.made)
    assert made.made["versions"]["numpy"] == np.__version__
    assert made.threads >= 1
    assert made.processor
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("rows", [[], [answer(0, [])]])
def test_nothing_is_written_and_read_too(tmp_path: Path, rows: list[Answer]) -> None:
    write(tmp_path / "c", by_columns(rows), manifest())
    assert len(read(tmp_path / "c")[0]) == len(rows)


def test_a_measurement_is_finished_only_as_it_was_asked(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    assert not finished(folder, ASKED, "abc")
    folder.mkdir()
    assert not finished(folder, ASKED, "abc")
    write(folder, by_columns(MIXED), manifest())
    assert finished(folder, ASKED, "abc")
    with pytest.raises(InputError, match=r"seconds 2\.0 there, 3\.0 now") as refused:
        finished(folder, ASKED | {"seconds": 3.0}, "abc")
    assert "--force" in hints.told(refused.value)
    with pytest.raises(InputError, match="data abc there, abd now"):
        finished(folder, ASKED, "abd")


def test_writing_again_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "c", by_columns(MIXED), manifest())
    write(tmp_path / "c", by_columns(MIXED[:1]), manifest(server="milvus 2.3.5"))
    answers, made = read(tmp_path / "c")
    assert (len(answers), made.server) == (1, "milvus 2.3.5")
    assert [one.name for one in tmp_path.iterdir()] == ["c"]


def test_what_fails_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "c", by_columns(MIXED), manifest())
    with pytest.raises(TypeError):
        write(tmp_path / "c", by_columns(MIXED[:1]), manifest(notes=[object()]))
    assert len(read(tmp_path / "c")[0]) == 3
    assert [one.name for one in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("name", [ANSWERS, MANIFEST])
@pytest.mark.parametrize("content", [None, b"{", json.dumps({"asked": 1}).encode()])
def test_a_damaged_measurement_is_told(tmp_path: Path, name: str, content: bytes | None) -> None:
    write(tmp_path / "c", by_columns(MIXED), manifest())
    (tmp_path / "c" / name).unlink()
    if content is not None:
        (tmp_path / "c" / name).write_bytes(content)
    with pytest.raises(MeasurementError, match=r"no whole measurement|manifest\.json"):
        read(tmp_path / "c")
