"""What every engine promises of filters: they mean what the reference says, whatever the values and names."""

from datetime import date
from itertools import chain
from typing import Any

import pytest
from cohorts.connectors.base import Collection, Connector, FieldType, Payload, Points
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
)
from cohorts.connectors.filters.reading import parse_filter, quoted
from cohorts.connectors.index import Flat, Hnsw, SearchParams
from cohorts.errors import CollectionNotFound, FilterError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_contract.batches import DIM, FIELDS, HOSTILE, ODD_NAMES, cloud, hostile_strings, points
from engine_contract.filled import Filled

TEXTS = (
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
)


class Filtering(Filled):
    """What every engine promises of filters: they mean what the reference says, whatever the values and names."""

    def test_filters_agree_with_the_reference(self, connector: Connector) -> None:
        batch = points(300)
        self.filled(connector, batch)
        for text in TEXTS:
            self.same_as_reference(connector, batch, parse_filter(text))

    def test_a_filter_by_fields_without_an_index_means_the_same(self, connector: Connector) -> None:
        batch, without = points(300, seed=9), tuple(field for field in FIELDS if field != "died")
        connector.create(Collection("c", DIM, Hnsw(), FIELDS, unindexed=without))
        connector.upsert("c", batch)
        connector.finalize("c")
        about = connector.describe("c").collection
        assert (about.fields, about.unindexed, [*about.indexed]) == (FIELDS, without, ["died"])
        for text in TEXTS:
            self.same_as_reference(connector, batch, parse_filter(text))
        with pytest.raises(FilterError):
            connector.count("c", parse_filter("title = 'x'"))

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
        assert sorted(chain.from_iterable(connector.find("c", where))) == sorted(wanted), where

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

    def test_a_filter_is_checked_anew_in_another_collection_of_the_name(self, connector: Connector) -> None:
        where = parse_filter("n = 1")
        for kind, value in ((int, 1), (str, "1")):
            connector.create(Collection("c", DIM, Flat(), {"n": kind}))
            connector.upsert("c", Points(["1"], cloud(1), [{"n": value}]))
            connector.finalize("c")
            if kind is int:
                assert [hit.id for hit in connector.search("c", cloud(1), 3, where=where).hits[0]] == ["1"]
            else:
                with pytest.raises(FilterError):
                    connector.search("c", cloud(1), 3, where=where)
            connector.drop("c")

    def test_ids_are_found_page_by_page(self, connector: Connector) -> None:
        batch, where = points(230, seed=6), parse_filter("not (age < 40) and sex is not null")
        keys = [f"key {i}" if i % 2 else one for i, one in enumerate(batch.ids)]
        self.filled(connector, Points(keys, batch.vectors, batch.payloads))
        wanted = [key for key, row in zip(keys, batch.payloads, strict=True) if matches(where, row)]
        for size in (7, len(wanted), 1_000):
            pages = list(connector.find("c", where, size))
            assert sorted(chain.from_iterable(pages)) == sorted(wanted), "each once"
            assert all(0 < len(page) <= size for page in pages)
        assert list(connector.find("c", parse_filter("n = 99"))) == []
        for text in ("weight > 3", "sex = 3"):
            with pytest.raises(FilterError):
                list(connector.find("c", parse_filter(text)))
        connector.delete("c", wanted[:3])
        assert sorted(chain.from_iterable(connector.find("c", where))) == sorted(wanted[3:])
        with pytest.raises(CollectionNotFound):
            list(connector.find("gone"))

    def test_the_values_of_a_field_are_read_page_by_page(self, connector: Connector) -> None:
        batch = points(60, seed=7)
        rows: list[Payload] = [{**row, "a.b": i} for i, row in enumerate(batch.payloads)]
        keys = [f"key {i}" if i % 2 else one for i, one in enumerate(batch.ids)]
        self.filled(connector, Points(keys, batch.vectors, rows))
        for field in (*FIELDS, "title", "a.b", "not there"):
            pages = list(connector.values("c", field, 25))
            assert all(0 < len(page) <= 25 for page in pages)
            held = list(chain.from_iterable(pages))
            wanted = {key: row.get(field) for key, row in zip(keys, rows, strict=True)}
            assert (len(held), dict(held)) == (60, wanted), field
