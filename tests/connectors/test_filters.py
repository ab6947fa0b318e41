"""The filter language and index settings: what is read, what is refused and with which words."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest
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
from cohorts.connectors.filters.reading import check_filter, parse_filter, quoted
from cohorts.connectors.filters.writing import written
from cohorts.connectors.index import Annoy, Flat, Hnsw, Ivf, SearchParams, parse_index, parse_search
from cohorts.errors import FilterError, InputError
from hypothesis import given, settings
from hypothesis import strategies as st


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
        ("chunk-no = 2", Comparison("chunk-no", "=", 2)),
        ("2 < chunk-no-2", Comparison("chunk-no-2", ">", 2)),
        ("meta.chunk-no in (1, 2)", OneOf("meta.chunk-no", (1, 2))),
        ("not self-report contains 'x'", Not(Contains("self-report", "x"))),
        ("age>-1", Comparison("age", ">", -1)),
    ],
)
def test_reads_and_writes_what_reads_the_same(text: str, expected: Filter) -> None:
    assert parse_filter(text) == expected
    assert parse_filter(written(expected)) == expected


FILTERS = st.recursive(
    st.one_of(
        st.builds(
            Comparison, st.sampled_from(["a", "b c", "not"]), st.sampled_from(["=", "!="]), st.text("x'%\\é")
        ),
        st.builds(
            Comparison, st.just("a"), st.sampled_from(["<", ">="]), st.floats(-1e9, 1e9) | st.integers(-9, 9)
        ),
        st.builds(OneOf, st.just("b c"), st.tuples(st.integers(-9, 9), st.integers(0, 99)), st.booleans()),
        st.builds(Contains, st.just("codes"), st.text("E1'"), st.booleans()),
        st.builds(IsNull, st.just("a"), st.booleans()),
    ),
    lambda part: (
        st.builds(Not, part) | st.builds(All, st.tuples(part, part)) | st.builds(AnyOf, st.tuples(part, part))
    ),
    max_leaves=6,
)
PAYLOADS: list[dict[str, Any]] = [
    {},
    {"a": 3, "b c": "x", "not": "x", "codes": ["E1"]},
    {"a": "x'", "b c": 5, "codes": []},
    {"a": -0.5, "b c": "", "not": "é", "codes": ["E1'", ""]},
]


@given(FILTERS)
@settings(max_examples=100)
def test_what_is_written_holds_of_the_same(filter_: Filter) -> None:
    again = parse_filter(written(filter_))
    for payload in PAYLOADS:
        assert holds(again, payload) == holds(filter_, payload), written(filter_)


def holds(filter_: Filter, payload: dict[str, Any]) -> object:
    try:
        return matches(filter_, payload)
    except TypeError:  # a text is not above a number
        return TypeError


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
        "chunk - no > 3",
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("age >", "something is missing before or behind '>'"),
        ("age > = 3", "something is missing before or behind"),
        ("contains 'x'", "something is missing before or behind"),
        ("age between 1", "something is missing before or behind"),
        ("sex in ('F', 'M'", r"\) is missing behind \"'M'\""),
        ("age = 1)", r"'\)' can't stand there"),
        ("sex = 'F", "a quote or a comment in it has no end"),
        ("   ", "The filter is empty"),
        ("-- sex = 'F'", "The filter is empty"),
        ("sex = 'F'; died", "holds 2 statements"),
        ("sex = null", "ask FIELD is null"),
        ("lower(sex) = 'f'", r"can't use \"LOWER\(sex\) = 'f'\""),
        ("age::int = 3", r"can't use 'CAST\(age AS INT\) = 3'"),
    ],
)
def test_what_can_not_be_read_is_told_in_the_words_of_the_filter(text: str, told: str) -> None:
    with pytest.raises(FilterError, match=told):
        parse_filter(text)


KEYWORDS = (
    "order",
    "group",
    "case",
    "in",
    "and",
    "or",
    "not",
    "is",
    "null",
    "true",
    "contains",
    "select",
    "end",
    "date",
)
NAMES = (
    "Admission Type",
    "a.b",
    "chunk-no",
    "ärztin",
    'the "old" one',
    "it's",
    "back\\slash",
    "a, b",
    "x is null or y",
    "age --",
    "/* age",
    "1st",
    "2020",
    "-",
    ".",
    " ",
    "age ",
    "líneá\nnext",
    "日本",
    *KEYWORDS,
    *(word.upper() for word in KEYWORDS),
    *(f"{word}-x" for word in KEYWORDS),
    *(f"{word}.x" for word in KEYWORDS),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_in_a_filter_as_it_is_shown(name: str) -> None:
    shown = quoted(name)
    assert parse_filter(f"{shown} = 2") == Comparison(name, "=", 2)
    assert parse_filter(f"a = 1 and not 2 < {shown}") == All(
        (Comparison("a", "=", 1), Not(Comparison(name, ">", 2)))
    )
    assert parse_filter(
        f"{shown} not contains 'x' or {shown} is null or {shown} or {shown} in ('x')"
    ) == AnyOf(
        (
            Contains(name, "x", negated=True),
            IsNull(name),
            Comparison(name, "=", True),
            OneOf(name, ("x",)),
        )
    )


@given(st.text(st.sampled_from("aA1_-. \"'(),=<>*/\\nä"), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_name_stands_in_a_filter_as_it_is_shown(name: str) -> None:
    assert parse_filter(f"not {quoted(name)} between 1 and 2") == Not(
        All((Comparison(name, ">=", 1), Comparison(name, "<=", 2)))
    )


def test_names_are_shown_without_quotes_where_they_need_none() -> None:
    bare = ["age", "label_ward", "_x", "chunk-no", "metadata.subject_id", "date", "year", "ä"]
    assert [quoted(name) for name in bare] == bare
    assert quoted("Admission Type") == '"Admission Type"'
    assert quoted('the "old" one') == '"the ""old"" one"'


def test_fields_are_named_in_messages_as_a_filter_takes_them() -> None:
    fields: dict[str, Any] = {"Admission Type": str, "age": float}
    with pytest.raises(FilterError, match=r'"Admission Type"[.] Fields: "Admission Type", age'):
        check_filter(parse_filter("admission-type = 'x'"), fields)
    with pytest.raises(FilterError, match='"Admission Type" is text'):
        check_filter(parse_filter('"Admission Type" = 1'), fields)
    with pytest.raises(FilterError, match='a name with blanks or signs in it stands in "double quotes"'):
        parse_filter("Admission Type = 'x'")


WORDS = (
    "age sex codes = != <> < <= > >= in between and or not is null contains ( ) , 'F' \"F\" 1 -1 1e true like ilike "
    "similar exists select from where group order by union case when then end cast as date interval + * / % ^ & | ~ "
    "[ ] { } . ; : ? @ $ ` -- /* */ x'1F' 0x1F any array[ lower( if( @> -> ->> := => distinct overlaps collate drop "
    "table set show use comment execute explain alter over partition unnest glob regexp xor div <=> == && ::"
)


@given(st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=9).map(" ".join))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_filter_or_refused_and_no_class_of_the_parser_is_named(text: str) -> None:
    told = ""
    with listening() as logged:
        try:
            parse_filter(text)
        except FilterError as error:
            told = str(error)
    assert not re.search("sqlglot|<class|expressions", told)
    assert logged == []


@contextmanager
def listening() -> Iterator[list[str]]:
    """Yield what is logged meanwhile: a filter holds values of patients."""
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield logged
    finally:
        logging.getLogger().removeHandler(handler)


FIELDS = {"age": float, "admissions": int, "sex": str, "died": bool, "codes": list[str], "seen": date}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Sex = 'F'", "no field 'Sex' to filter by. Nearest: sex. Fields: age, admissions, sex"),
        ("ages > 3", "Nearest: age. Fields"),
        ("admission = 3", "Nearest: admissions. Fields"),
        ("ward = 'x'", "no field 'ward' to filter by. Fields: age"),
        ("age > 'sixty'", r"age is a number; it can't be compared with 'sixty'\.$"),
        ("age > '60'", "age is a number; it can't be compared with '60'. Write 60 without quotes."),
        ("admissions in (1, '2')", "Write 2 without quotes"),
        ("died = 'yes'", "died is true or false; it can't be compared with 'yes'"),
        ("died = 1", "died is true or false; it can't be compared with 1"),
        ("sex = 1", "sex is text, in single quotes; it can't be compared with 1"),
        ("sex > 'F'", "can be compared by = and != only"),
        ("codes = '428'", "codes is a list; ask codes contains"),
        ("sex contains 'F'", "sex is no list"),
        ("seen > '1/2/2020'", "seen is a date, 'YYYY-MM-DD'"),
    ],
)
def test_fields_and_values_of_a_wrong_kind_are_told_what_is_right(text: str, told: str) -> None:
    with pytest.raises(FilterError, match=told):
        check_filter(parse_filter(text), FIELDS)


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
