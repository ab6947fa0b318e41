"""The filter language and index settings: what is read, what is refused and with which words."""

from typing import Any

import pytest
from cohorts.connectors.filters import (
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
)
from cohorts.connectors.index import Annoy, Flat, Hnsw, Ivf, SearchParams, parse_index, parse_search
from cohorts.errors import FilterError, InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sex = 'F'", Comparison("sex", "=", "F")),
        ("60 <= age", Comparison("age", ">=", 60)),
        ("a <> 'it''s'", Comparison("a", "!=", "it's")),
        ("codes CONTAINS 'E11'", Contains("codes", "E11")),
        ("not codes contains 'E11'", Not(Contains("codes", "E11"))),
        ("codes not contains 'E11'", Contains("codes", "E11", negated=True)),
        ("not (sex in ('F'))", Not(OneOf("sex", ("F",)))),
        ("a not between 1 and 2", AnyOf((Comparison("a", "<", 1), Comparison("a", ">", 2)))),
        ("not (died is null)", IsNull("died", negated=True)),
        ("sex not in ('F', 'M')", OneOf("sex", ("F", "M"), negated=True)),
        ("age between -1.5 and 60", All((Comparison("age", ">=", -1.5), Comparison("age", "<=", 60)))),
        ("died is not null", IsNull("died", negated=True)),
        ("died", Comparison("died", "=", True)),
        ("not (a = 1 or b > 2)", Not(AnyOf((Comparison("a", "=", 1), Comparison("b", ">", 2))))),
        ("a = 1 or (b = 2)", AnyOf((Comparison("a", "=", 1), Comparison("b", "=", 2)))),
        ("a = 'x contains ''y'' or 1=1 --'", Comparison("a", "=", "x contains 'y' or 1=1 --")),
    ],
)
def test_reads(text: str, expected: Filter) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age >",
        "age > 3; drop table x",
        "age + 1 > 3",
        "sex = F",
        "lower(sex) = 'f'",
        "sex in (select 1)",
        "sex like 'F%'",
        "codes contains 11",
        "t.age > 3",
        "1 = 1",
        "'a'",
        "age > (select 3)",
        "age > 1e",
        "age > 1e400",
        "n = 9007199254740993",
        "sex = '\ud800'",
        "not (" * 30 + "n = 1" + ")" * 30,
    ],
)
def test_refuses_with_what_is_allowed(text: str) -> None:
    with pytest.raises(FilterError, match=r"filter|quotes"):
        parse_filter(text)


def test_a_name_without_quotes_is_told_of_quotes() -> None:
    with pytest.raises(FilterError, match="text goes in single quotes: 'F'"):
        parse_filter("sex = F")


COMPARISONS = [
    "sex = 'F'",
    "sex != 'F'",
    "age < 3",
    "sex not in ('F')",
    "age not between 1 and 2",
    "codes contains 'x'",
    "codes not contains 'x'",
    "age > 1 and sex = 'F'",
]


@pytest.mark.parametrize("text", COMPARISONS)
def test_a_missing_value_meets_no_comparison_and_so_its_negation(text: str) -> None:
    payloads: list[dict[str, Any]] = [{}, {"sex": None, "age": None, "codes": []}]
    for payload in payloads:
        assert not matches(parse_filter(text), payload)
        assert matches(parse_filter(f"not ({text})"), payload)


def test_index_and_search_settings() -> None:
    assert parse_index("hnsw:m=16,ef_construction=200") == Hnsw(16, 200)
    assert parse_index("hnsw") == Hnsw(32, 400)
    assert parse_index("ivf:nlist=64,variant=sq8") == Ivf(64, "sq8")
    assert parse_index("annoy") == Annoy(100)
    assert parse_index("FLAT") == Flat()
    assert parse_search("ef_search=64, exact=true") == SearchParams(ef_search=64, exact=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hsnw", "Indexes: flat, hnsw, ivf, annoy"),
        ("hnsw:m", "a key of: m, ef_construction"),
        ("hnsw:m=many", "whole number"),
        ("hnsw:m=1", "between 2 and 2,048"),
        ("ivf:variant=sq4", "flat, sq8, pq"),
        ("flat:m=3", "a key of: none"),
    ],
)
def test_wrong_index_settings_say_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_index(text)
