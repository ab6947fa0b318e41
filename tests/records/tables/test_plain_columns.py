"""Columns typed at once: what comes out is what the reading of single values gives, or nothing does."""

import random
from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pytest
from cohorts.records.tables import cells
from cohorts.records.tables.columns import _TYPES, Kind, Table, _plain, _typed, read_column
from cohorts.records.tables.strings import Strings, places
from cohorts.records.tables.times import Dates

ODD = (
    "", " ", "NA", "null", r"\N", "-", "--", ".", "1.", ".5", "-0", "1.2.3", "0", "1", "2", "007", "+7", "1e5", "105.0",
    "9" * 18, "9" * 19, "٣", " 5", "5 ", "5\xa0", "N179", "\ufeff5", "a", "(null)", "true",
    "2164-10-23", "2164-10-23 21:09:00", "2164-10-23T21:09:00", "2164-02-30", "2164-13-01", "2164-10-23 24:00:00",
    "2164-10-23 21:09:60", "2164-10-23\t21:09:00", "1699-12-31 10:00:00", "2261-01-01 10:00:00", "9999-01-01",
    "2164/10/23", "2164-10-23 21:09", "23/10/2164 21:09:00", "2164-10-23 21:09:00Z",
)  # fmt: skip
PLAIN: dict[Kind, Callable[[random.Random], str]] = {
    Kind.KEY: lambda rng: str(rng.randrange(10**6)),
    Kind.REFERENCE: lambda rng: rng.choice(["", str(rng.randrange(10**6))]),
    Kind.NUMBER: lambda rng: rng.choice(["", f"{rng.uniform(-1e6, 1e6):.{rng.randrange(9)}f}"]),
    Kind.FLAG: lambda rng: rng.choice(["0", "1", ""]),
    Kind.CODE: lambda rng: rng.choice(["4019", "V4581", "N179", "é12"]),
    Kind.CODE_OR_NONE: lambda rng: rng.choice(["4019", "V4581", "", "NA"]),
    Kind.TIME: lambda rng: (
        f"2164-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02} 21:09:{rng.randrange(60):02}"
    ),
    Kind.TIME_OR_NONE: lambda rng: rng.choice(
        ["", f"2164-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"]
    ),
}


def one_by_one(kind: Kind, texts: pa.Array) -> pa.Array | None:
    """Return the column as single values are read, None where one of them is wrong or there is something to say."""
    column = read_column("x", kind, pd.Series(texts.to_pandas(), dtype="str"), Dates.ISO)
    told = any(those.any() for those in column.remarked.values())
    wrong = pd.Series(column.wrong).any()
    return None if told or wrong else pa.array(column.values, _TYPES.get(kind, pa.string()), from_pandas=True)


@pytest.mark.parametrize("kind", PLAIN)
def test_what_is_plain_is_read_as_single_values_are(kind: Kind) -> None:
    rng, plain = random.Random(kind.name), 0
    for _ in range(400):
        drawn = [PLAIN[kind](rng) for _ in range(rng.randrange(1, 9))]
        if rng.random() < 0.6:
            drawn[rng.randrange(len(drawn))] = rng.choice(ODD)
        # What stands before and behind a slice is no part of it.
        texts = pa.array(["x y", *drawn, "2164-99-99"], pa.string()).slice(1, len(drawn))
        made = _plain(kind, texts)
        if made is not None:
            plain += 1
            assert made.equals(one_by_one(kind, texts)), drawn
    assert plain > 100


def test_text_is_null_where_it_says_that_nothing_is_there() -> None:
    given = [
        "",
        "NULL",
        " NaN\t",
        "\xa0nan",
        "null",
        "NULLS",
        "Nothing",
        " " * 90,
        "<NA>" + " " * 90,
        "a ",
        "é",
    ]
    texts = pa.array(["before", *given]).slice(1)
    assert cells.texts(texts).to_pylist() == [
        None, None, None, None, "null", "NULLS", "Nothing", None, None, "a ", "é",
    ]  # fmt: skip
    assert cells.texts(texts.slice(0, 0)).to_pylist() == []


def test_dates_that_are_plain_count_among_those_given() -> None:
    """One odd block of a column must not make a refusal of it: what is given is counted over all blocks."""
    table = Table("T", {"when": Kind.TIME_OR_NONE})
    strings = Strings([pa.array(["2164-10-23", "", "2164-10-24"])], places([1, 2, 3], [2, 3, 4]))
    made = _typed(table, ["when"], strings, Dates.ISO)
    assert {shape.name: many for (_, shape), many in made.shapes.items()} == {"GIVEN": 2}
