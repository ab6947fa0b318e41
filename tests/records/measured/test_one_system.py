"""Measurements in one system of units: whole columns give what row by row gives, and nothing is guessed."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from cohorts.errors import SourceError
from cohorts.records.measured.measures import measure_of
from cohorts.records.measured.mimic_items import mimic_items
from cohorts.records.measured.one_system import Measured, to_one_system
from cohorts.records.measured.units import conversion
from hypothesis import given, settings
from hypothesis import strategies as st

Row = tuple[str | None, str | None, float | None, str | None]
COLUMNS = {"code": pa.string(), "loinc": pa.string(), "value": pa.float64(), "uom": pa.string()}


def table(*rows: Row) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([] for _ in COLUMNS)
    return pa.table(
        {name: pa.array(cells, kind) for (name, kind), cells in zip(COLUMNS.items(), columns, strict=True)}
    )


def one_by_one(row: Row, mimic: bool) -> tuple[float | None, str | None, str | None]:
    """Value, unit and reason of one row, as its documentation has it."""
    code, loinc, value, uom = row
    measure = measure_of(code, loinc, mimic=mimic)
    item = mimic_items().get(code or "") if mimic else None
    way = conversion(measure.name, uom, item.unit if item else "") if measure else None
    if measure is None or way is None:
        return value, uom, None
    if value is not None:
        value = (value + way.offset) * (way.factor_up_to_1 if value <= 1 else way.factor)
    impossible = value is not None and not measure.lowest <= value <= measure.highest
    return value, measure.unit, measure.bound if impossible else None


def told(measured: Measured) -> list[tuple[float | None, str | None, str | None]]:
    reasons = iter(measured.reasons.to_pylist())
    columns = (measured.rows["value"], measured.rows["uom"], measured.impossible)
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return [(value, uom, next(reasons) if wrong else None) for value, uom, wrong in rows]


# chart items by definition, laboratory items, others' items; codes alone; units known, unknown and missing
CODES = ["211", "678", "223835", "50912", "50889", "51249", "50819", "221906", "50855", "99", "", None]
LOINCS = ["2160-0", "2345-7", "8310-5", "718-7", "4711-8", "", None]
UOMS = ["mg/dL", "MG/DL", "umol/L", "%", "mmol/L", "Deg. F", "degC", "mg", "mg/L", " ", "", None]
VALUES = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, 37.0, 100.0, 1e6, -1.0]), st.floats(-1e5, 1e5))
ROWS = st.lists(
    st.tuples(st.sampled_from(CODES), st.sampled_from(LOINCS), VALUES, st.sampled_from(UOMS)), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, mimic=st.booleans(), dictionaries=st.booleans(), cut=st.integers(0, 60))
def test_whole_columns_give_what_row_by_row_gives(
    rows: list[Row], mimic: bool, dictionaries: bool, cut: int
) -> None:
    given_rows = table(*rows)
    if dictionaries:
        for place, name in enumerate(given_rows.column_names):
            if name != "value":
                given_rows = given_rows.set_column(place, name, pc.dictionary_encode(given_rows[name]))
    pieces = pa.concat_tables([given_rows.slice(0, cut), given_rows.slice(cut)])
    measured = to_one_system(pieces, mimic=mimic)
    assert told(measured) == [one_by_one(row, mimic) for row in rows]
    assert measured.rows.schema == given_rows.schema
    assert measured.rows["code"].to_pylist() == [code for code, *_ in rows]
    names = [measure_of(code, loinc, mimic=mimic) for code, loinc, *_ in rows]
    assert measured.measures.to_pylist() == [one.name if one else None for one in names]


@settings(max_examples=30, deadline=None)
@given(rows=ROWS)
def test_what_is_in_one_system_stays(rows: list[Row]) -> None:
    once = to_one_system(table(*rows), mimic=True)
    again = to_one_system(once.rows, mimic=True)
    assert again.converted == 0
    assert told(again) == told(once)
    assert again.rows == once.rows


def test_worked_rows() -> None:
    measured = to_one_system(
        table(
            ("50912", "2160-0", 1.2, "mg/dL"),
            (None, "2160-0", 106.08, "umol/L"),
            ("678", None, 98.6, None),
            ("223835", None, 0.4, None),
            ("223835", None, 1.0, None),
            ("223835", None, 40.0, None),
            ("50971", None, 4.1, "mEq/L"),
            ("220045", None, 900.0, "bpm"),
            ("226559", None, 350.0, "mL"),
            ("999999", None, 900.0, "bpm"),
        ),
        mimic=True,
    )
    values = measured.rows["value"].to_pylist()
    assert values == pytest.approx([1.2, 1.2, 37.0, 40.0, 100.0, 40.0, 4.1, 900.0, 350.0, 900.0], rel=1e-3)
    assert measured.rows["uom"].to_pylist() == [
        "mg/dL",
        "mg/dL",
        "degC",
        "%",
        "%",
        "%",
        "mmol/L",
        "/min",
        "mL",
        "bpm",
    ]
    assert measured.impossible.to_pylist() == [False] * 7 + [True, False, False]
    assert measured.reasons.to_pylist() == ["heart rate is outside 0 to 500 /min"]
    assert (measured.known, measured.converted, measured.without_unit) == (9, 5, 0)


def test_a_reason_tells_the_bound_and_not_the_value() -> None:
    measured = to_one_system(table(("50912", None, 123456.0, "mg/dL")), mimic=True)
    assert measured.reasons.to_pylist() == ["creatinine is outside 0 to 100 mg/dL"]


def test_a_missing_unit_stays_missing_and_unchecked_unless_the_item_has_one() -> None:
    rows = table(("50912", None, 5000.0, None), ("211", None, 5000.0, None), ("51237", None, 5000.0, None))
    measured = to_one_system(rows, mimic=True)
    assert measured.rows["uom"].to_pylist() == [None, "/min", "1"]
    assert measured.impossible.to_pylist() == [False, True, True]
    assert measured.without_unit == 1


def test_item_ids_of_another_hospital_are_none_of_mimic() -> None:
    rows = table(("211", None, 5000.0, "bpm"))
    measured = to_one_system(rows, mimic=False)
    assert measured.rows == rows
    assert measured.known == 0


def test_the_reference_range_comes_along_and_other_columns_stay() -> None:
    rows = table((None, "2345-7", 5.5, "mmol/L"), (None, "2345-7", 99.0, "mg/dL"))
    rows = rows.append_column("low", pa.array([3.9, 70.0])).append_column("high", pa.array([5.6, None]))
    rows = rows.append_column("item", pa.array(["Glucose", None]))
    measured = to_one_system(rows, mimic=False).rows.to_pydict()
    assert measured["value"] == pytest.approx([99.0858, 99.0])
    assert measured["low"] == pytest.approx([70.26084, 70.0])
    assert measured["high"] == [pytest.approx(100.88736), None]
    assert measured["item"] == ["Glucose", None]
    assert measured["uom"] == ["mg/dL", "mg/dL"]


def test_infinity_is_impossible_and_no_number_is_nothing() -> None:
    values = [np.inf, -np.inf, np.nan, None]
    measured = to_one_system(table(*(("50912", None, value, "mg/dL") for value in values)), mimic=True)
    assert measured.impossible.to_pylist() == [True, True, False, False]


def test_a_column_that_is_missing_or_of_another_kind_is_named() -> None:
    with pytest.raises(SourceError, match="no column uom"):
        to_one_system(table().drop_columns(["uom"]), mimic=True)
    numbers = table(("211", None, 80.0, None)).set_column(0, "code", pa.array([211]))
    with pytest.raises(SourceError, match="column code holds int64; it must hold string"):
        to_one_system(numbers, mimic=True)


def test_columns_of_nulls_alone_need_no_kind() -> None:
    nothing = pa.nulls(2)
    rows = pa.table(
        {"code": ["678", "99"], "loinc": nothing, "value": [98.6, 1.0], "uom": nothing, "low": nothing}
    )
    measured = to_one_system(rows, mimic=True)
    assert measured.rows["uom"].to_pylist() == ["degC", None]
    assert measured.rows["low"].to_pylist() == [None, None]


def test_a_dictionary_may_hold_null() -> None:
    uoms = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2]), pa.array(["mEq/L", None, "mmol/L"]))
    rows = table(*(("50971", None, 4.0, None) for _ in range(4))).set_column(3, "uom", uoms)
    measured = to_one_system(rows, mimic=True)
    assert measured.rows["uom"].to_pylist() == ["mmol/L", None, None, "mmol/L"]
    assert measured.without_unit == 2


def laboratory(folder: Path) -> pa.Table:
    """LABEVENTS of the demonstration, with LOINC codes where its dictionary has them."""
    read: Any = {"dtype": str, "keep_default_na": False, "na_values": ["", "NA", " "]}
    rows = pd.read_csv(folder / "LABEVENTS.csv.gz", **read).rename(columns=str.lower)
    loinc = pd.read_csv(folder / "D_LABITEMS.csv", **read).set_index("ITEMID")["LOINC_CODE"]
    columns = {"code": rows["itemid"], "loinc": rows["itemid"].map(loinc), "uom": rows["valueuom"]}
    texts = {name: pa.array(column, pa.string(), from_pandas=True) for name, column in columns.items()}
    values = pd.to_numeric(rows["valuenum"])
    return pa.table({**texts, "value": pa.array(values, pa.float64(), from_pandas=True)})


def test_real_laboratory_values(shared_data: Path) -> None:
    rows = laboratory(shared_data / "mimic3-demo")
    numbers = rows.filter(pc.is_valid(rows["value"]))
    measured = to_one_system(numbers, mimic=True)
    assert measured.known / len(numbers) > 0.9
    assert measured.without_unit / len(numbers) < 0.002
    # A creatinine of 138 mg/dL, 2 % of oxygen, PEEP of 450 and 154 cmH2O: looked at one by one.
    assert sorted(measured.reasons.to_pylist()) == [
        "FiO2 is outside 20 to 100 %",
        "PEEP is outside 0 to 100 cmH2O",
        "PEEP is outside 0 to 100 cmH2O",
        "creatinine is outside 0 to 100 mg/dL",
    ]
