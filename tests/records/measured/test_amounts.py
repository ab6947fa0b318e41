"""Amounts and rates in one system of units."""

from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from cohorts.records.measured.amounts import amounts_in_one_system
from cohorts.records.measured.packaged import read_rows
from cohorts.records.measured.units import as_written

ROWS = read_rows("amounts.csv")


def converted(*rows: tuple[float | None, str | None]) -> list[tuple[float | None, str | None]]:
    """Return amounts as they come out, and hold that as rates they come out alike."""
    values, uoms = (list(column) for column in zip(*rows, strict=True))
    events = pa.table(
        {
            "value": pa.array(values, pa.float64()),
            "uom": pa.array(uoms, pa.string()),
            "code": pa.array(["x"] * len(rows)),
            "rate": pa.array(values, pa.float64()),
            "rate_uom": pa.array(uoms, pa.string()).dictionary_encode(),
        }
    )
    made = amounts_in_one_system(events)
    assert made.schema == events.schema
    assert made.column("code") == events.column("code")
    amounts = list(zip(made["value"].to_pylist(), made["uom"].to_pylist(), strict=True))
    assert amounts == list(zip(made["rate"].to_pylist(), made["rate_uom"].to_pylist(), strict=True))
    return amounts


def test_each_kind_comes_into_one_unit_and_what_is_unknown_stays() -> None:
    made = converted(
        (0.05, "mcgkgmin"),
        (0.05, "mcg/kg/min"),
        (3.0, "mcg/kg/hour"),
        (0.5, "µg/min"),
        (2.4, "Uhr"),
        (0.04, "units/min"),
        (10.0, "mEq./hour"),
        (250.0, "mcg"),
        (1.5, "grams"),
        (2.0, "L"),
        (90.0, "min"),
        (1.5, "hour"),
        (1.0, "dose"),
        (7.0, None),
        (None, "gm"),
        (None, None),
    )
    expected = [
        (0.05, "mcg/kg/min"),
        (0.05, "mcg/kg/min"),
        (0.05, "mcg/kg/min"),
        (0.03, "mg/hour"),
        (2.4, "units/hour"),
        (2.4, "units/hour"),
        (10.0, "mEq/hour"),
        (0.25, "mg"),
        (1500.0, "mg"),
        (2000.0, "mL"),
        (90.0, "min"),
        (90.0, "min"),
        (1.0, "dose"),
        (7.0, None),
        (None, "mg"),
        (None, None),
    ]
    for (value, uom), (wanted, unit) in zip(made, expected, strict=True):
        assert uom == unit
        assert value == (wanted if wanted is None else pytest.approx(wanted, rel=1e-12))


def test_what_is_in_one_system_stays_as_it_is() -> None:
    rows = [(0.1, row["in"]) for row in ROWS]
    assert converted(*rows) == rows
    assert converted((0.1, None)) == [(0.1, None)]


def test_a_spelling_is_written_as_it_is_looked_up_and_means_one_unit() -> None:
    spellings = [one for row in ROWS for one in row["written"].split()]
    assert len(set(spellings)) == len(spellings)
    assert [one for one in spellings if as_written(one) != one] == []
    scale = {row["unit"]: (row["in"], Fraction(row["scale"])) for row in ROWS}
    assert len(scale) == len(ROWS)
    for row in ROWS:
        assert scale[row["in"]] == (row["in"], Fraction(1))
        assert as_written(row["unit"]) in row["written"].split() or row["unit"].startswith("g/")


def test_of_the_real_inputs_all_but_doses_are_in_one_system(shared_data: Path) -> None:
    table = pyarrow.csv.read_csv(shared_data / "mimic3-demo" / "INPUTEVENTS_MV.csv.gz")
    names = {"amount": "value", "amountuom": "uom", "rate": "rate", "rateuom": "rate_uom"}
    events = table.rename_columns([name.lower() for name in table.column_names]).select(list(names))
    made = amounts_in_one_system(events.rename_columns(list(names.values())))
    assert set(made["uom"].to_pylist()) == {"mL", "mg", "units", "mEq", "mmol", "dose"}
    wanted = {"", "mcg/kg/min", "mg/hour", "units/hour", "mL/hour", "mL/kg/hour", "mEq/hour"}
    assert set(made["rate_uom"].to_pylist()) == wanted
