"""What `cohorts bench` measures on: its vectors, queries and filters, and the exact truth about them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from array_files import hdf5
from bench_answers import Answer, by_columns
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.filters.conditions import Comparison
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.errors import InputError, MeasurementError, VectorError
from cohorts.harness.bench.plan import ground_truth as truths
from cohorts.harness.bench.plan.dataset import Dataset, attributes, from_file, make_dataset, synthetic
from cohorts.harness.bench.plan.experiment import Experiment, FromFile, Share, Synthetic
from cohorts.harness.bench.plan.ground_truth import Truth, cached, exact
from cohorts.harness.bench.report.metrics import faults_of, recall_by_query, short_share
from cohorts.harness.bench.run.build import Rows
from cohorts.loaders.files.export import export
from engine_contract import cloud
from hypothesis import given, settings
from hypothesis import strategies as st

RANDOM, NEAR = Share(0.1, correlated=False), Share(0.1, correlated=True)


def experiment(data: Synthetic | FromFile, **changes: object) -> Experiment:
    made = Experiment(
        name="t",
        seed=1,
        repeats=1,
        queries=20,
        k=(10,),
        clients=(),
        rates=(),
        writes=(),
        seconds=1,
        data=data,
        filters=(RANDOM, NEAR),
        stores=(),
        plans=(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def small(seed: int = 1, rows: int = 500) -> Dataset:
    return make_dataset(experiment(Synthetic(rows, 8, 5), seed=seed))


def test_synthetic_vectors_are_unit_rows_that_follow_from_the_seed() -> None:
    one, again, other = small(), small(), small(seed=2)
    assert one.vectors.shape == (500, 8)
    assert one.queries.shape == (20, 8)
    assert one.vectors.dtype == one.queries.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(one.vectors, axis=1), 1, rtol=1e-6)
    assert one.synthetic
    assert one.checksum == again.checksum != other.checksum
    with pytest.raises(ValueError, match="read-only"):
        one.vectors[0, 0] = 3


def test_a_larger_set_begins_with_the_smaller_one() -> None:
    less, queries = synthetic(Synthetic(9_000, 4, 3), 10, 0)
    more, same = synthetic(Synthetic(20_000, 4, 3), 10, 0)
    np.testing.assert_array_equal(more[:9_000], less)
    np.testing.assert_array_equal(same, queries)
    assert len(np.unique(more, axis=0)) > 19_990  # the chunks differ


def test_no_query_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = synthetic(Synthetic(1_000, 4, 3), 100, 0)
    monkeypatch.setattr(
        "cohorts.harness.bench.plan.dataset._QUERIES", 1
    )  # that of the vectors: they come first again
    vectors, queries = synthetic(Synthetic(1_000, 4, 3), 100, 0)
    assert len(queries) == 100
    assert not {row.tobytes() for row in queries} & {row.tobytes() for row in vectors}


def test_clusters_are_clusters() -> None:
    vectors, _ = synthetic(Synthetic(400, 64, 4), 1, 0)
    near = vectors @ vectors.T
    # In a cluster the cosine is about 1/2, across clusters about 0: nothing between is common.
    assert ((near > 0.2) & (near < 0.3)).mean() < 0.1
    assert 0.15 < (near > 0.25).mean() < 0.4


def test_filters_pass_their_share_the_fewer_within_the_more() -> None:
    vectors = cloud(1_000, 16)
    shares = [Share(s, how) for how in (False, True) for s in (0.5, 0.1, 0.001)]
    masks = attributes(vectors, shares, 3)
    assert [int(masks[one.column].sum()) for one in shares] == [500, 100, 1] * 2
    for kind in ("uncorrelated", "correlated"):
        assert (masks[f"{kind}_0_1"] <= masks[f"{kind}_0_5"]).all()
    np.testing.assert_array_equal(
        attributes(vectors, shares[1:2], 3)["uncorrelated_0_1"], masks["uncorrelated_0_1"]
    )


def test_correlated_filters_cut_through_the_space_and_others_do_not() -> None:
    vectors = cloud(1_000, 16)
    masks = attributes(vectors, [RANDOM, NEAR], 3)
    lengths = {column: np.linalg.norm(vectors[mask].mean(axis=0)) for column, mask in masks.items()}
    assert lengths["correlated_0_1"] > 2 * lengths["uncorrelated_0_1"]


def test_the_checksum_is_over_everything() -> None:
    one = small()
    flipped = {**one.attributes, RANDOM.column: ~one.attributes[RANDOM.column]}
    renamed = dict(zip(["b", "a"], one.attributes.values(), strict=True))
    others = [
        Dataset(one.vectors[::-1], one.queries, one.attributes, True),
        Dataset(one.vectors, one.queries[::-1], one.attributes, True),
        Dataset(one.vectors, one.queries, flipped, True),
        Dataset(one.vectors, one.queries, renamed, True),
        Dataset(one.vectors, one.queries, {}, True),
    ]
    assert len({one.checksum, *(other.checksum for other in others)}) == 6
    assert Dataset(one.vectors.copy(), one.queries, one.attributes, True).checksum == one.checksum


@pytest.mark.parametrize("filters", [(RANDOM, NEAR), ()])
def test_points_are_the_rows_with_their_filters(filters: tuple[Share, ...]) -> None:
    data = make_dataset(experiment(Synthetic(25, 4, 2), filters=filters))
    pages = list(Rows(data.vectors, data.attributes).batches(10))
    assert [len(page.ids) for page in pages] == [10, 10, 5]
    np.testing.assert_array_equal(np.concatenate([page.vectors for page in pages]), data.vectors)
    assert [key for page in pages for key in page.ids] == [str(row) for row in range(25)]
    payloads = [payload for page in pages for payload in page.payloads]
    assert payloads == [{key: bool(mask[row]) for key, mask in data.attributes.items()} for row in range(25)]
    assert {**data.payload.fields, **{one.column: bool for one in filters}} == data.fields


def test_queries_of_ann_benchmarks_are_used_in_their_order(tmp_path: Path) -> None:
    base, asked = cloud(300, 8), cloud(50, 8)[::-1]
    file = hdf5(tmp_path / "v.hdf5", train=base * 3, test=asked, neighbors=np.zeros((50, 10), np.int32))
    vectors, queries, made, _ = from_file(file, 20, 0)
    np.testing.assert_allclose(vectors, base, atol=1e-6)
    np.testing.assert_allclose(queries, asked[:20], atol=1e-6)
    assert not made
    with pytest.raises(InputError, match="holds 50 queries of 8 dimensions; 51 of 8"):
        from_file(file, 51, 0)


def test_rows_are_held_out_where_a_file_has_no_queries(tmp_path: Path) -> None:
    base = cloud(300, 8)
    for file in (hdf5(tmp_path / "v.h5", train=base), tmp_path / "v.npy"):
        np.save(tmp_path / "v.npy", base)
        vectors, queries, *_ = from_file(file, 20, 0)
        assert (len(vectors), len(queries)) == (280, 20)
        both = np.concatenate([vectors, queries])
        np.testing.assert_allclose(np.sort(both, axis=0), np.sort(base, axis=0), atol=1e-6)
        assert not np.array_equal(from_file(file, 20, 1)[1], queries)
        with pytest.raises(InputError, match="300 vectors, of which 300"):
            from_file(file, 300, 0)


def test_an_exported_collection_is_data_and_says_whether_it_is_synthetic(tmp_path: Path) -> None:
    rows = cloud(100, 8)
    with MemoryConnector() as connector:
        connector.create(Collection("c", 8, Flat(), metadata={"synthetic": True}))
        connector.upsert("c", Points([f"p{row}" for row in range(100)], rows, [{"age": 3}] * 100))
        export(connector, "c", tmp_path / "c.parquet", lambda *_: None)
    data = make_dataset(experiment(FromFile(tmp_path / "c.parquet")))
    assert data.synthetic
    assert (len(data.vectors), len(data.queries)) == (80, 20)
    assert data.attributes[NEAR.column].sum() == 8


def test_a_file_that_will_not_do_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((40, 4), np.float32))
    with pytest.raises(VectorError, match="all zeros"):
        make_dataset(experiment(FromFile(tmp_path / "v.npy")))
    np.save(tmp_path / "v.npy", cloud(25, 4))
    with pytest.raises(InputError, match="k = 10 neighbours were asked for; there are 5 rows"):
        make_dataset(experiment(FromFile(tmp_path / "v.npy")))
    with pytest.raises(InputError, match="passes none of 9 rows"):
        make_dataset(experiment(FromFile(tmp_path / "v.npy"), queries=16, k=(1,)))
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "v.parquet")
    with pytest.raises(InputError, match="no column vector"):
        make_dataset(experiment(FromFile(tmp_path / "v.parquet")))


def naive(data: Dataset, where: str | None, k: int) -> list[list[tuple[float, int]]]:
    """Return the (score, row) of the best k by a loop, in float64."""
    found = []
    for query in data.queries.astype(float):
        pairs = [
            (float(sum(query * row)), number)
            for number, row in enumerate(data.vectors.astype(float))
            if where is None or data.attributes[where][number]
        ]
        found.append(sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:k])
    return found


@pytest.mark.parametrize("where", [None, RANDOM.column, NEAR.column])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_truth_is_that_of_a_naive_loop(where: str | None, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truths, "_QUERIES", 7)
    monkeypatch.setattr(truths, "_ROWS", 33)
    data = small()
    found, expected = exact(data, where, k), naive(data, where, k)
    assert found.rows.shape == found.scores.shape == (20, min(k, 500 if where is None else 50))
    np.testing.assert_allclose(found.scores, [[score for score, _ in row] for row in expected], atol=1e-6)
    assert found.rows.tolist() == [[number for _, number in row] for row in expected]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 9), st.integers(0, 9))
def test_blocks_of_any_size_give_the_same_scores(rows: int, k: int, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (rows, 3)).astype(np.float32)  # many ties
    data = Dataset(vectors, vectors[: rows // 2 + 1].copy(), {}, True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truths, "_ROWS", block)
        found = exact(data, None, k)
    expected = -np.sort(-(data.queries @ vectors.T), axis=1)[:, :k]
    np.testing.assert_array_equal(found.scores, expected)
    assert all(len(set(row)) == len(row) for row in found.rows.tolist())


def test_a_filter_without_rows_has_no_truth() -> None:
    one = small()
    nobody = {"nobody": np.zeros(500, np.bool_)}
    with pytest.raises(InputError, match="No row passes the filter nobody"):
        exact(Dataset(one.vectors, one.queries, nobody, True), "nobody", 3)
    with pytest.raises(InputError, match=r"no filter other\. Filters: nobody"):
        exact(Dataset(one.vectors, one.queries, nobody, True), "other", 3)


def test_truth_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = small()
    first = cached(tmp_path / "new", data, NEAR.column, 7)
    cached(tmp_path / "new", data, None, 7)
    cached(tmp_path / "new", data, None, 8)
    assert len(list((tmp_path / "new").iterdir())) == 3
    monkeypatch.delattr(truths, "exact")
    again = cached(tmp_path / "new", data, NEAR.column, 7)
    np.testing.assert_array_equal(again.rows, first.rows)
    np.testing.assert_array_equal(again.scores, first.scores)
    assert (again.checksum, again.where, again.k) == (data.checksum, NEAR.column, 7)


def test_truth_of_other_vectors_is_refused() -> None:
    with pytest.raises(MeasurementError, match="recall would mean nothing"):
        exact(small(), None, 3).check(small(seed=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda truth, other: replace(truth, checksum=other.checksum), "recall would mean nothing"),
        (lambda truth, other: replace(truth, rows=other.rows, scores=other.scores), "was damaged"),
        (lambda truth, _: replace(truth, rows=truth.rows + 500), "was damaged"),
        (lambda truth, _: replace(truth, rows=truth.rows[1:], scores=truth.scores[1:]), "was damaged"),
        (lambda truth, _: replace(truth, k=4), "another filter or k"),
        (lambda truth, _: replace(truth, where=NEAR.column), "another filter or k"),
    ],
)
def test_a_cache_that_holds_something_else_is_refused(
    tmp_path: Path, change: Callable[[Truth, Truth], Truth], message: str
) -> None:
    data = small()
    truth = cached(tmp_path, data, None, 3)
    (file,) = tmp_path.iterdir()
    truths._write(file, change(truth, exact(small(seed=2), None, 3)))
    with pytest.raises(MeasurementError, match=message):
        cached(tmp_path, data, None, 3)


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04 half"])
def test_a_cache_that_cannot_be_read_is_told(tmp_path: Path, content: bytes) -> None:
    data = small()
    cached(tmp_path, data, None, 3)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    with pytest.raises(MeasurementError, match=r"can't be read\. Delete it"):
        cached(tmp_path, data, None, 3)


@pytest.mark.parametrize("share", [None, RANDOM, NEAR])
def test_an_exact_engine_has_recall_1_through_the_seam(share: Share | None) -> None:
    data = small()
    with MemoryConnector() as connector:
        connector.create(Collection("c", 8, Flat(), data.fields))
        for points in Rows(data.vectors, data.attributes).batches(100):
            connector.upsert("c", points)
        where = Comparison(share.column, "=", True) if share else None
        found = connector.search("c", data.queries, 10, where=where, with_payload=False).hits
    answers = by_columns(
        Answer(query, 1.0, 10, [hit.id for hit in hits], [hit.score for hit in hits], 0.0)
        for query, hits in enumerate(found)
    )
    truth = exact(data, share.column if share else None, 10)
    assert set(recall_by_query(answers, truth, data)) == {1.0}
    assert short_share(answers, truth) == 0
    assert faults_of(answers, truth, data) == ()
