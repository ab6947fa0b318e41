"""What every engine promises: one suite, inherited by each, on real engines.

`EngineContract` holds for all; `EmbeddedContract` adds what a store on disk promises, `ServerContract` a server.
"""

import random
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from cohorts.connectors.base import Collection, Connector, FieldType, Payload, Points, Vectors
from cohorts.connectors.filters.conditions import (
    All,
    AnyOf,
    Comparison,
    Contains,
    Filter,
    IsNull,
    Not,
    OneOf,
    matches,
    parse_filter,
    quoted,
)
from cohorts.connectors.index import Flat, Hnsw, SearchParams
from cohorts.connectors.registry import connect
from cohorts.errors import (
    CollectionExists,
    CollectionNotFound,
    EngineError,
    FilterError,
    InputError,
    PointError,
    UnsupportedIndex,
    VectorError,
)
from cohorts.search import neighbours
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import free_port

DIM = 16
FIELDS = {"age": float, "n": int, "sex": str, "died": bool, "admitted": date, "codes": list[str]}
ODD_NAMES = [
    "Admission Type",
    "admission type",
    "a.b",
    "chunk-no",
    "Größe (cm), 日",
    "x[0]",
    "it's",
    "id",
    "1st",
    "x" * 251,
]
HOSTILE = [
    "F",
    "' or 1=1 --",
    '" or age > 0 or "',
    "\\",
    "a\\'b",
    "é\n\t",
    "null",
    "%",
    "{}",
    "'",
    '"',
    "E11",
    "$x",
]

NASTY = [
    "\\n",
    "\\u0041",
    "\\x00",
    "\r\n",
    "\u2028",
    "\x7f",
    "\u200b",
    "\u202e",
    "e\u0301",
    "é",
    "𝔘",
    "🩺",
    " ",
    "  x ",
    "\t",
    "``",
    "--",
    "/*",
    ";",
    "(",
    ")",
    "[]",
    "[0]",
    "$meta",
    '{"a": 1}',
    "{{x}}",
    "%s",
    "%%",
    "true",
    "NULL",
    "0",
    "1e5",
    "-1",
    "in [",
    "or f_age > 0",
    "not (",
    "like '%'",
    "array_contains(",
    'id != ""',
    "\\'",
    '\\"',
    "<b>",
    "&amp;",
    "../..",
    "a,b",
    "a|b",
    "*",
    "?",
]


def cloud(n: int, dim: int = DIM, seed: int = 0) -> Vectors:
    """Return (n, dim) float32 unit rows in clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, dim))
    rows = centres[rng.integers(0, 20, n)] + rng.normal(scale=0.6, size=(n, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def payloads(n: int, seed: int = 0) -> list[dict[str, object]]:
    rng = random.Random(seed)

    def maybe(value: object) -> object:
        return None if rng.random() < 0.2 else value

    return [
        {
            "age": maybe(float(rng.randint(18, 90))),
            "n": maybe(rng.randint(-3, 3)),
            "sex": maybe(rng.choice(HOSTILE)),
            "died": maybe(rng.random() < 0.3),
            "admitted": maybe(f"21{rng.randint(0, 3):02}-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}"),
            "codes": maybe(rng.sample(HOSTILE, rng.randint(0, 3))),
            "title": "not to filter by",
        }
        for _ in range(n)
    ]


def hostile_strings(many: int) -> list[str]:
    """Return different strings of what ends, bends or escapes a literal somewhere."""
    pieces = [*HOSTILE, *NASTY]
    rng = random.Random(0)
    made = dict.fromkeys(pieces)
    while len(made) < many:
        made["".join(rng.choices(pieces, k=rng.randint(1, 6)))] = None
    return list(made)[:many]


def points(n: int, seed: int = 0) -> Points:
    return Points([str(10_000 + i) for i in range(n)], cloud(n, seed=seed), payloads(n, seed))  # type: ignore[arg-type]


class EngineContract:
    """Inherit, and give a fixture `store`, the address of a store that may hold other tests' leftovers."""

    @pytest.fixture
    def connector(self, store: str) -> Iterator[Connector]:
        with connect(store) as connector:
            for left in connector.collections():
                connector.drop(left)
            yield connector

    def filled(self, connector: Connector, batch: Points, index: Hnsw | Flat | None = None) -> None:
        connector.create(
            Collection("c", batch.vectors.shape[1], index or Hnsw(), FIELDS, {"encoder": "e", "x": 1})
        )
        connector.upsert("c", batch)
        connector.finalize("c")

    def test_create_twice_is_refused(self, connector: Connector) -> None:
        connector.create(Collection("c", DIM))
        with pytest.raises(CollectionExists, match="c already"):
            connector.create(Collection("c", DIM))
        assert connector.collections() == ["c"]

    def test_missing_collection_is_named_with_those_there_are(self, connector: Connector) -> None:
        connector.create(Collection("here", DIM))
        for call in (connector.describe, connector.count, connector.drop, connector.finalize):
            with pytest.raises(CollectionNotFound, match=r"gone.*here"):
                call("gone")
        with pytest.raises(CollectionNotFound):
            connector.search("gone", cloud(1), 1)

    def test_names_that_no_engine_takes_are_refused(self, connector: Connector) -> None:
        for name in ("", "1c", "a-b", "a b", "../c"):
            with pytest.raises(InputError, match="can't name a collection"):
                connector.create(Collection(name, DIM))

    def test_wrong_dimension_is_refused(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        with pytest.raises(VectorError, match=r"\(1, 8\).*\(n, 16\)"):
            connector.search("c", cloud(1, 8), 1)
        with pytest.raises(VectorError):
            connector.upsert("c", Points(["1"], cloud(1, 8), [{}]))

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0])
    def test_vectors_that_have_no_direction_are_refused_before_sending(
        self, connector: Connector, wrong: float
    ) -> None:
        self.filled(connector, points(5))
        vectors = cloud(2)
        vectors[1] = wrong
        with pytest.raises(VectorError, match="row 1"):
            connector.upsert("c", Points(["a", "b"], vectors, [{}, {}]))
        with pytest.raises(VectorError):
            connector.search("c", vectors, 1)
        assert connector.count("c") == 5

    def test_an_id_twice_in_a_batch_is_refused(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        with pytest.raises(InputError, match="twice"):
            connector.upsert("c", Points(["a", "a"], cloud(2), [{}, {}]))

    def test_empty_collection_and_empty_batch(self, connector: Connector) -> None:
        nothing = Points([], np.empty((0, DIM), np.float32), [])
        self.filled(connector, nothing)
        assert connector.count("c") == 0
        assert connector.search("c", cloud(2), 3).hits == [[], []]
        assert list(connector.scroll("c")) == []
        assert connector.fetch("c", ["1"]).ids == []

    def test_no_neighbours_and_no_queries(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        assert connector.search("c", np.empty((0, DIM), np.float32), 3).hits == []
        for k in (0, -1, connector.abilities.max_k + 1):
            with pytest.raises(InputError, match="neighbours were asked for"):
                connector.search("c", cloud(1), k)

    def test_k_above_n_gives_n(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        (hits,) = connector.search("c", cloud(1), 50).hits
        assert len(hits) == 5
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    def test_count_is_right_after_every_write(self, connector: Connector) -> None:
        connector.create(Collection("c", DIM))
        batch = points(30)
        for start in (0, 10, 20):
            some = slice(start, start + 10)
            connector.upsert("c", Points(batch.ids[some], batch.vectors[some], [{}] * 10))
            assert len(connector.fetch("c", batch.ids[some]).ids) == 10
            assert connector.count("c") == start + 10
        connector.upsert("c", Points(batch.ids[:10], batch.vectors[:10], [{}] * 10))
        assert connector.count("c") == 30
        connector.delete("c", [*batch.ids[:3], "not there"])
        assert connector.count("c") == 27
        assert connector.fetch("c", batch.ids[:4]).ids == [batch.ids[3]]

    def test_upsert_replaces_vector_and_whole_payload(self, connector: Connector) -> None:
        self.filled(connector, points(20))
        new = cloud(1, seed=9)
        connector.upsert("c", Points(["10003"], new, [{"sex": "M"}]))
        connector.finalize("c")
        (found,) = connector.search("c", new, 1).hits[0]
        assert (found.id, found.payload) == ("10003", {"sex": "M"})
        assert found.score == pytest.approx(1.0, abs=1e-5)
        assert connector.count("c") == 20

    def test_ids_and_payloads_round_trip(self, connector: Connector) -> None:
        ids = ["10006", "00123", "abc/é", str(uuid.uuid4()), str(2**64), "-1", "x" * 200]
        payload: Payload = {
            "age": 61.5,
            "n": 3,
            "sex": "é'\"\\",
            "died": False,
            "codes": ["E11", ""],
            "more": None,
            "z": "",
        }
        self.filled(connector, Points(ids, cloud(len(ids)), [payload] * len(ids)))
        assert connector.fetch("c", ["-1", "10006", "-1"]).ids == ["-1", "10006", "-1"]
        back = connector.fetch("c", [*reversed(ids), "not there"])
        assert list(back.ids) == list(reversed(ids))
        assert all(one == payload for one in back.payloads)
        np.testing.assert_allclose(back.vectors[::-1], cloud(len(ids)), atol=1e-6)
        assert {hit.id for hit in connector.search("c", cloud(1), 20).hits[0]} == set(ids)
        for size in (3, len(ids), 1_000):
            pages = [page.ids for page in connector.scroll("c", page=size)]
            assert sorted(one for page in pages for one in page) == sorted(ids), "every point once"
            assert all(0 < len(page) <= size for page in pages)

    def test_numpy_scalars_become_plain_and_nan_missing(self, connector: Connector) -> None:
        self.filled(connector, points(1))
        row: Any = {"age": np.float64(50), "n": np.int64(2), "died": np.bool_(True), "sex": float("nan")}
        connector.upsert("c", Points(["7"], cloud(1), [row]))
        assert connector.fetch("c", ["7"]).payloads[0] == {"age": 50.0, "n": 2, "died": True, "sex": None}
        with pytest.raises(InputError, match="age must be float"):
            connector.upsert("c", Points(["8"], cloud(1), [{"age": "old"}]))

    @pytest.mark.parametrize(
        "row",
        [{"n": 2**53 + 1}, {"age": float("inf")}, {"z": "\ud800"}, {"z": [1]}, {"_cohorts_id": "8"}, {3: 1}],
    )
    def test_payloads_that_some_engine_would_bend_are_refused(self, connector: Connector, row: Any) -> None:
        self.filled(connector, points(3))
        with pytest.raises(InputError):
            connector.upsert("c", Points(["new", "x"], cloud(2), [{}, row]))
        assert connector.count("c") == 3

    def test_a_payload_too_large_for_any_message_is_refused(self, connector: Connector) -> None:
        self.filled(connector, points(3))
        for large in ("x" * 1_000_001, ["x" * 1_000] * 1_001):
            with pytest.raises(PointError, match=r"z has 1,00[01],00[01] characters"):
                connector.upsert("c", Points(["new", "x"], cloud(2), [{}, {"z": large}]))
        assert connector.count("c") == 3

    def test_as_many_threads_write_at_once_as_the_engine_declares(self, connector: Connector) -> None:
        self.filled(connector, points(3))
        batch, many = points(2_003), connector.abilities.writers
        parts = [range(start, start + 100) for start in range(3, 2_003, 100)]

        def write(rows: range) -> None:
            ids, payloads = [batch.ids[row] for row in rows], [batch.payloads[row] for row in rows]
            connector.upsert("c", Points(ids, batch.vectors[rows.start : rows.stop], payloads))

        with ThreadPoolExecutor(many) as pool:
            list(pool.map(write, parts))
        assert connector.count("c") == 2_003
        back = connector.fetch("c", batch.ids[97::97])
        assert [dict(one) for one in back.payloads] == [dict(one) for one in batch.payloads[97::97]]
        np.testing.assert_allclose(back.vectors, batch.vectors[97::97], atol=1e-6)

    def test_ids_that_no_engine_takes_are_refused(self, connector: Connector) -> None:
        self.filled(connector, points(3))
        for wrong in ("", 7, "\ud800", ["x"]):
            ids: Any = ["new", wrong]
            with pytest.raises(InputError, match="An id is"):
                connector.upsert("c", Points(ids, cloud(2), [{}, {}]))
        assert connector.count("c") == 3

    def test_metadata_that_is_no_json_makes_no_collection(self, connector: Connector) -> None:
        wrong: Any = {"x": np.float32(1)}
        with pytest.raises(InputError, match="Metadata x"):
            connector.create(Collection("c", DIM, metadata=wrong))
        assert connector.collections() == []

    def test_score_is_cosine_whatever_the_length(self, connector: Connector) -> None:
        batch = points(50)
        scale = np.linspace(0.1, 9, 50, dtype=np.float32)[:, None]
        self.filled(connector, Points(batch.ids, batch.vectors * scale, batch.payloads))
        query = cloud(1, seed=3)
        expected = {key: float(score) for key, score in zip(batch.ids, batch.vectors @ query[0], strict=True)}
        (hits,) = connector.search("c", query * 7, 50).hits
        assert len(hits) == 50
        for hit in hits:
            assert hit.score == pytest.approx(expected[hit.id], abs=1e-5)

    def test_other_default_search_parameters_are_kept_or_refused(self, connector: Connector) -> None:
        self.filled(connector, points(50))
        connector.alias("live", "c")
        before = connector.describe("c").collection
        if type(connector).set_default_search is Connector.set_default_search:
            with pytest.raises(InputError, match="cohorts reindex"):
                connector.set_default_search("live", SearchParams(ef_search=77))
            assert connector.describe("c").collection == before
            return
        connector.set_default_search("live", SearchParams(ef_search=77))
        after = connector.describe("live").collection
        assert after == replace(before, search=SearchParams(ef_search=77))
        assert connector.count("c") == 50
        connector.search("c", cloud(1), 5)

    def test_recall_of_the_papers_index(self, connector: Connector) -> None:
        vectors = cloud(3_000, 32)
        ids = [str(i) for i in range(3_000)]
        connector.create(Collection("c", 32, Hnsw(m=32, ef_construction=400)))
        connector.upsert("c", Points(ids, vectors, [{}] * 3_000))
        connector.finalize("c")
        assert connector.describe("c").indexed == connector.describe("c").count == 3_000
        queries = cloud(50, 32, seed=1)
        scores = queries @ vectors.T
        tenth = np.sort(scores, axis=1)[:, -10]
        for params in (SearchParams(ef_search=128), SearchParams(exact=True)):
            found = connector.search("c", queries, 10, params=params).hits
            got = np.array([[scores[row, int(hit.id)] for hit in hits] for row, hits in enumerate(found)])
            assert (got >= tenth[:, None] - 1e-6).mean() >= (1.0 if params.exact else 0.99)

    def test_a_narrow_filter_still_finds_k_and_the_nearest(self, connector: Connector) -> None:
        vectors = cloud(6_000, 32)
        rows: list[Payload] = [{"n": i % 100} for i in range(6_000)]
        connector.create(Collection("c", 32, Hnsw(), {"n": int}))
        connector.upsert("c", Points([str(i) for i in range(6_000)], vectors, rows))
        connector.finalize("c")
        queries = cloud(20, 32, seed=1)
        for text, below in (("n = 0", 1), ("n < 10", 10)):
            scores = queries @ vectors[np.arange(6_000) % 100 < below].T
            fiftieth = np.sort(scores, axis=1)[:, -50]
            found = connector.search("c", queries, 50, where=parse_filter(text)).hits
            assert [len(hits) for hits in found] == [50] * 20
            got = np.array([[hit.score for hit in hits] for hits in found])
            assert (got >= fiftieth[:, None] - 1e-5).mean() >= 0.95

    def test_filters_agree_with_the_reference(self, connector: Connector) -> None:
        batch = points(300)
        self.filled(connector, batch)
        for text in (
            "age >= 60 and sex = 'F'",
            "not (age >= 60)",
            "age between 40 and 50 or died",
            "sex != 'F'",
            "sex not in ('F', 'E11')",
            "not (sex in ('F') or n > 0)",
            "codes contains 'E11'",
            "not codes contains 'E11'",
            "codes is null",
            "codes is not null and died = false",
            "codes not contains 'E11' or sex not in ('F')",
            "not (not (sex = 'F' and age < 60))",
            "n in (-3, 0, 3)",
            "n in (1, 1.5) or n < -1.5",
            "age not between 30 and 80",
            " or ".join(f"age = {age}" for age in range(20, 80)),
            "n = 1 or age = 44",
            "died is null and not (age < 30 and n <= 0)",
            "admitted >= '2101-06-01' and admitted < '2103-01-01'",
            "admitted between '2102-02-10' and '2102-12-31' or admitted is null",
            "admitted not between '2102-02-10' and '2102-12-31'",
            "admitted in ('2101-01-10', '2102-05-15') or admitted != '2103-03-13'",
            "n > 1.5 or n = 0.5 or n != 2.5 and n not in (0.5, 1.0)",
        ):
            self.same_as_reference(connector, batch, parse_filter(text))

    def test_fields_of_any_name_are_filtered_by(self, connector: Connector) -> None:
        kinds: list[FieldType] = [str, int, float, bool, date, list[str]]
        values: list[list[Any]] = [
            ["x", "it's"],
            [2, -3],
            [2.5, 0.0],
            [True, False],
            ["2101-01-10", "2102-02-11"],
            [["x"], ["y", "z"]],
        ]
        fields = {name: kinds[at % 6] for at, name in enumerate(ODD_NAMES)}
        rows: list[Payload] = [
            {name: values[at % 6][row] for at, name in enumerate(ODD_NAMES)} for row in (0, 1)
        ]
        rows.append({})
        connector.create(Collection("c", DIM, Flat(), fields))
        connector.upsert("c", Points(["1", "2", "3"], cloud(3), rows))
        connector.finalize("c")
        assert connector.describe("c").collection.fields == fields
        assert list(connector.fetch("c", ["1", "2"]).payloads) == rows[:2]
        for at, name in enumerate(ODD_NAMES):
            shown, (first, second) = quoted(name), values[at % 6]
            one = f"{shown} contains '{first[0]}'" if at % 6 == 5 else f"{shown} = {first!r}"
            assert connector.count("c", parse_filter(one)) == 1, one
            assert connector.count("c", parse_filter(f"{shown} is null and not ({one})")) == 1, name
            assert second == rows[1][name]

    def test_a_name_that_no_engine_can_filter_by_is_refused(self, connector: Connector) -> None:
        for name in ("", " ", 'a "b"', "a\\b", "a\nb", "\ud800", "_cohorts_x"):
            with pytest.raises((InputError, PointError), match=r"can't (name a field|be a key)"):
                connector.create(Collection("c", DIM, Flat(), {name: str}))
        assert connector.collections() == []

    def test_both_zeros_are_one_number(self, connector: Connector) -> None:
        zeros: list[Payload] = [
            {"age": age, "n": n} for age, n in ((-0.0, 0), (0.0, 0), (1.0, 1), (-1.0, -1))
        ]
        batch = Points(["1", "2", "3", "4", "5"], cloud(5), [*zeros, {"age": None, "n": None}])
        self.filled(connector, batch)
        for field in ("age", "n"):
            for zero in ("-0.0", "0"):
                conditions = [f"{field} {op} {zero}" for op in ("=", "!=", "<", ">=")]
                conditions += [f"{field} {op} ({zero}, 1)" for op in ("in", "not in")]
                for filter_ in map(parse_filter, conditions):
                    expected = sum(matches(filter_, payload) for payload in batch.payloads)
                    assert connector.count("c", filter_) == expected, filter_

    def test_hostile_values_change_no_filters_meaning(self, connector: Connector) -> None:
        batch = points(120, seed=4)
        self.filled(connector, batch)
        self.check_hostile_values(connector, batch)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(data=st.data())
    def check_hostile_values(self, connector: Connector, batch: Points, data: st.DataObject) -> None:
        texts = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        leaves = (
            st.builds(Comparison, st.just("sex"), st.sampled_from(["=", "!="]), texts)
            | st.builds(Contains, st.just("codes"), texts, st.booleans())
            | st.builds(
                OneOf, st.just("sex"), st.lists(texts, min_size=1, max_size=3).map(tuple), st.booleans()
            )
            | st.builds(
                Comparison, st.just("age"), st.sampled_from(["<", ">=", "=", "!="]), st.integers(17, 91)
            )
            | st.builds(IsNull, st.sampled_from(list(FIELDS)), st.booleans())
        )
        pairs = st.tuples(leaves, leaves)
        joined = leaves | st.builds(All, pairs) | st.builds(AnyOf, pairs)
        where = data.draw(joined | st.builds(Not, joined))
        self.same_as_reference(connector, batch, where)

    def same_as_reference(self, connector: Connector, batch: Points, where: Filter) -> None:
        wanted = {key for key, row in zip(batch.ids, batch.payloads, strict=True) if matches(where, row)}
        assert connector.count("c", where) == len(wanted), where
        found = connector.search("c", cloud(1), 300, where=where, params=SearchParams(exact=True)).hits[0]
        assert {hit.id for hit in found} == wanted, where

    def test_hostile_strings_as_values_and_ids_mean_themselves(self, connector: Connector) -> None:
        strings = hostile_strings(500)
        rows: list[Payload] = [{"sex": one, "codes": [one, "E11"]} for one in strings]
        batch = Points(strings, cloud(500), rows)
        connector.create(Collection("c", DIM, Flat(), {"sex": str, "codes": list[str]}))
        connector.upsert("c", batch)
        connector.finalize("c")
        assert connector.count("c") == 500
        assert list(connector.fetch("c", strings).ids) == strings
        for row, one in enumerate(strings):
            forms: list[Filter] = [
                Comparison("sex", "=", one),
                Contains("codes", one),
                OneOf("sex", (one, "not there")),
                All((Contains("codes", "E11"), Not(Comparison("sex", "!=", one)))),
            ]
            wanted = strings if one == "E11" and row % 4 == 1 else [one]
            found = connector.search("c", batch.vectors[:1], 500, where=forms[row % 4]).hits[0]
            assert {hit.id for hit in found} == set(wanted), (one, forms[row % 4])
        connector.delete("c", strings[::2])
        assert {one for page in connector.scroll("c", 60) for one in page.ids} == set(strings[1::2])

    def test_filters_on_unknown_fields_and_wrong_types_are_refused(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        for text in (
            "weight > 3",
            "age = 'old'",
            "sex > 'A'",
            "sex = 3",
            "age contains 'x'",
            "codes = 'E11'",
            "n",
            "admitted > 3",
            "admitted = '2101-1-1'",
            "admitted > 'yesterday'",
        ):
            with pytest.raises(FilterError):
                connector.count("c", parse_filter(text))

    def test_drop_removes_everything(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        connector.drop("c")
        assert connector.collections() == []
        self.filled(connector, points(3))
        assert connector.count("c") == 3

    def test_aliases_stand_for_a_collection_and_are_switched_in_one_step(self, connector: Connector) -> None:
        for name, many in (("one", 5), ("two", 7)):
            connector.create(Collection(name, DIM, fields=FIELDS))
            connector.upsert(name, points(many))
            connector.finalize(name)
        for name, many in (("one", 5), ("two", 7)):
            connector.alias("now", name)
            assert connector.aliases() == {"now": name}
            assert connector.describe("now").collection.name == name
            assert connector.count("now") == many
            assert len(connector.search("now", cloud(1), 50).hits[0]) == many
            assert len(connector.fetch("now", ["10000"]).ids) == 1
        connector.delete("now", ["10000"])
        assert (connector.count("one"), connector.count("two")) == (5, 6)
        with pytest.raises(CollectionExists):
            connector.alias("one", "two")
        with pytest.raises(CollectionExists):
            connector.create(Collection("now", DIM))
        with pytest.raises(CollectionNotFound):
            connector.alias("now", "gone")
        connector.drop("now")
        assert (connector.collections(), connector.aliases()) == (["one"], {})

    def test_what_was_done_otherwise_than_asked_is_told(self, connector: Connector) -> None:
        self.filled(connector, points(400))
        found = connector.search("c", cloud(2), 50, params=SearchParams(ef_search=10, nprobe=3))
        assert [len(hits) for hits in found.hits] == [50, 50]
        assert found.asked == 50
        assert "ef_search=10 was asked; 50 neighbours need 50: it was used" in found.notes
        assert "nprobe has no meaning for hnsw: it was not used" in found.notes
        assert connector.search("c", cloud(2), 5).notes == ()

    def test_without_payloads_ids_and_scores_stay(self, connector: Connector) -> None:
        batch = points(30)
        keys = [f"key {i}" if i % 2 else one for i, one in enumerate(batch.ids)]
        self.filled(connector, Points(keys, batch.vectors, batch.payloads))
        whole = connector.search("c", cloud(1), 10).hits[0]
        bare = connector.search("c", cloud(1), 10, with_payload=False).hits[0]
        assert [(hit.id, hit.payload) for hit in bare] == [(hit.id, {}) for hit in whole]

    def test_quantised_graphs_find_as_much(self, connector: Connector) -> None:
        spread = np.random.default_rng(0).normal(size=(DIM, 256)).astype(np.float32)
        vectors, queries = (
            rows / np.linalg.norm(rows, axis=1, keepdims=True)
            for rows in (cloud(1_000) @ spread, cloud(20, seed=1) @ spread)
        )
        tenth = np.sort(queries @ vectors.T, axis=1)[:, -10]
        for kind in connector.abilities.quantization:
            name = f"c_{kind}"
            connector.create(Collection(name, 256, Hnsw(quantization=kind)))
            connector.upsert(name, Points([str(i) for i in range(1_000)], vectors, [{}] * 1_000))
            connector.finalize(name)
            assert connector.describe(name).collection.index == Hnsw(quantization=kind)
            found = connector.search(name, queries, 10, params=SearchParams(ef_search=256)).hits
            rows = np.array([[int(hit.id) for hit in hits] for hits in found])
            got = np.einsum("qd,qkd->qk", queries, vectors[rows])
            assert (got >= tenth[:, None] - 1e-5).mean() >= 0.9, kind

    def test_patients_stand_once_however_many_units_they_have(
        self, connector: Connector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By all whole-number ids, one of 80 units near the query; past 20 points, those found are left out."""
        monkeypatch.setattr(neighbours, "WIDEST", 20)
        vectors, query = cloud(200), cloud(1, seed=2)[0]
        vectors[:80] = query + 0.05 * vectors[:80]
        whose: list[int | None] = [1] * 80 + [10_000 + i // 3 for i in range(117)] + [None] * 3
        rows: list[Payload] = [
            {"who": one, "n": i % 2} if one else {"n": i % 2} for i, one in enumerate(whose)
        ]
        fields: Mapping[str, FieldType] = {"who": int, "n": int}
        connector.create(Collection("c", DIM, Flat(), fields, {"patient_field": "who"}))
        connector.upsert("c", Points([str(i) for i in range(200)], vectors, rows))
        connector.finalize("c")
        scores = vectors @ query / np.linalg.norm(vectors, axis=1)
        for where, k in ((None, 5), (None, 100), (parse_filter("n = 1"), 12)):
            best: dict[str, float] = {}
            for i in np.flatnonzero([where is None or row["n"] == 1 for row in rows]):
                key = str(whose[i] or f"nobody {i}")
                best[key] = max(best.get(key, -1.0), float(scores[i]))
            found = neighbours.of_vector(connector, "c", query, k, where=where)
            expected = sorted(best.values(), reverse=True)[:k]
            assert [hit.score for hit in found.hits] == pytest.approx(expected, abs=1e-5)
            assert bool(found.shortfall) == (len(expected) < k)
        others = neighbours.of_patient(connector, "c", "1", 100).hits
        assert len(others) == 39 + 3
        assert 1 not in {hit.payload.get("who") for hit in others}

    def test_the_padding_of_units_is_found_and_not_asked_for(self, connector: Connector) -> None:
        """Of the stored vectors of a patient and of a text, whose own has none: the scan's scores, on every engine."""
        stored = cloud(80, seed=5)
        stored[:, -1] = np.linspace(0, 3, 80)
        stored /= np.linalg.norm(stored, axis=1, keepdims=True)
        connector.create(Collection("c", DIM, Flat(), {"n": int}, {"padding": DIM - 1}))
        ids = [f"u{row}" for row in range(80)]
        connector.upsert("c", Points(ids, stored, [{"n": row} for row in range(80)]))
        connector.finalize("c")
        for row in (0, 40, 79):
            asked = np.append(stored[row, :-1], np.float32(0))
            asked /= np.linalg.norm(asked)
            expected = dict(zip(ids, (stored @ asked).tolist(), strict=True))
            found = neighbours.of_patient(connector, "c", f"u{row}", 20).hits
            best = sorted((one for key, one in expected.items() if key != f"u{row}"), reverse=True)[:20]
            assert [hit.score for hit in found] == pytest.approx(best, abs=1e-4)
            assert [hit.score for hit in found] == pytest.approx(
                [expected[hit.id] for hit in found], abs=1e-4
            )
            of_text = neighbours.of_vector(connector, "c", asked, 21).hits
            assert [hit.id for hit in of_text if hit.id != f"u{row}"][:20] == [hit.id for hit in found]

    def test_closing_twice_is_no_error(self, connector: Connector) -> None:
        self.filled(connector, points(5))
        connector.close()
        connector.close()

    def test_an_index_the_engine_lacks_is_refused(self, connector: Connector) -> None:
        from cohorts.connectors.index import KINDS

        for kind in set(KINDS.values()) - set(connector.abilities.indexes):
            with pytest.raises(UnsupportedIndex, match="It has: "):
                connector.create(Collection("c", DIM, kind()))
        assert connector.collections() == []


class PersistentContract(EngineContract):
    """What every engine promises that outlives the connector."""

    def test_reopening_finds_data_and_definition(self, connector: Connector, store: str) -> None:
        batch = points(40)
        self.filled(connector, batch)
        before = connector.search("c", batch.vectors[:3], 5)
        connector.close()
        with connect(store) as again:
            description = again.describe("c")
            assert description.collection == Collection("c", DIM, Hnsw(), FIELDS, {"encoder": "e", "x": 1})
            assert description.count == 40
            assert again.search("c", batch.vectors[:3], 5) == before


class EmbeddedContract(PersistentContract):
    """What a store on disk promises: set `address`; {tmp} in it is a fresh folder."""

    address: str

    @pytest.fixture
    def store(self, tmp_path: Path) -> str:
        return self.address.format(tmp=tmp_path)

    def elsewhere(self, call: str, store: str) -> str:
        """Return what another process prints and complains of when it calls a method on the store."""
        code = (
            "import os; from cohorts.connectors.base import Collection\n"
            f"from cohorts.connectors.registry import connect; other = connect({store!r})\n"
            f"print({call}); other.close()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        return done.stdout + done.stderr

    def test_a_store_that_another_process_holds_is_refused(self, connector: Connector, store: str) -> None:
        self.filled(connector, points(5))
        for call in ("other.count('c')", "other.drop('c')", "other.create(Collection('d', 4))"):
            said = self.elsewhere(call, store)
            assert "cohorts.errors.EngineError" in said
            assert "another process has it open" in said
        assert connector.collections() == ["c"]
        assert connector.count("c") == 5

    def test_a_closed_store_is_open_to_others_and_survives_their_end(
        self, connector: Connector, store: str
    ) -> None:
        self.filled(connector, points(5))
        connector.close()
        assert self.elsewhere("other.count('c')", store) == "5\n"
        assert self.elsewhere("other.delete('c', ['10000']), os.kill(os.getpid(), 9)", store) == ""
        assert connector.count("c") == 4

    def test_a_store_is_opened_once_by_the_threads_that_ask_it_first(
        self, connector: Connector, store: str
    ) -> None:
        self.filled(connector, points(5))
        for _ in range(5):
            connector.close()
            together = threading.Barrier(4)

            def count(_: int, together: threading.Barrier = together) -> int:
                together.wait(60)
                return connector.count("c")

            with ThreadPoolExecutor(4) as pool:
                assert list(pool.map(count, range(4))) == [5] * 4

    def test_a_path_that_can_not_be_is_an_engine_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        connector = connect(self.address.format(tmp=tmp_path / "file"))
        with pytest.raises(EngineError, match="can't use its"):
            connector.create(Collection("c", DIM))


class Restartable(Protocol):
    """A real server that can be killed and started again with its data."""

    def kill(self) -> None: ...

    def start(self) -> None: ...


class ServerContract(PersistentContract):
    """What a server promises: give fixtures `server` and `store`."""

    def test_a_refused_connection_is_told_at_once(self, store: str) -> None:
        address = re.sub(r"127[^?]*", f"127.0.0.1:{free_port()}", store)
        with connect(address) as nowhere, pytest.raises(EngineError, match=r"failed"):
            nowhere.collections()

    def test_what_one_client_writes_another_counts_and_finds(self, connector: Connector, store: str) -> None:
        batch = points(30)
        self.filled(connector, batch)
        with connect(store) as other:
            assert other.count("c") == 30
            connector.delete("c", batch.ids[:10])
            assert other.count("c") == 20
            assert len(other.search("c", batch.vectors[:1], 30).hits[0]) == 20

    def test_a_server_killed_between_two_calls_and_back_has_lost_nothing(
        self, connector: Connector, server: Restartable
    ) -> None:
        batch = points(200)
        self.filled(connector, batch)
        before = connector.search("c", batch.vectors[:3], 5).hits
        server.kill()
        server.start()
        assert connector.count("c") == 200
        assert [[hit.id for hit in hits] for hits in connector.search("c", batch.vectors[:3], 5).hits] == [
            [hit.id for hit in hits] for hits in before
        ]
        connector.upsert("c", Points(["after"], batch.vectors[:1], [{}]))
        assert connector.count("c") == 201
