"""Typed rows of a table: their types, and rows that are passed over."""

from pathlib import Path

import pyarrow as pa
from cohorts.records.tables.columns import BadRow, Kind, Table, read_table

CHARTED = {
    "itemid": Kind.KEY,
    "time": Kind.TIME_OR_NONE,
    "value": Kind.NUMBER,
    "warning": Kind.FLAG,
    "text": Kind.TEXT,
}


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(["itemid,time,value,warning,text", *lines, ""]))
    return path


def test_rows_have_arrows_types_and_null_where_nothing_is(tmp_path: Path) -> None:
    lines = ["7,2101-02-03 04:05:06,1.5,1,a", "8.0,NA,,NULL,NULL", "9,,x,,"]
    (chunk,) = read_table(written(tmp_path / "n.csv", lines), Table("CHARTED", CHARTED))
    stamp, number = pa.timestamp("us"), pa.float64()
    kinds = [pa.int64(), pa.int64(), pa.string(), stamp, number, pa.bool_(), pa.string()]
    assert chunk.rows.schema.types == kinds
    assert chunk.rows.schema.names == ["row", "line", *CHARTED]
    assert [list(map(str, row.values())) for row in chunk.rows.to_pylist()] == [
        ["1", "2", "7", "2101-02-03 04:05:06", "1.5", "True", "a"],
        ["2", "3", "8", *["None"] * 4],
    ]
    assert chunk.bad == [BadRow("CHARTED", 3, 4, "value is not a number")]


def test_rows_of_other_values_are_passed_over_and_nothing_is_found_fault_with(tmp_path: Path) -> None:
    lines = ["7,,1.5,,a", "8,,no,,b", "x,,2,,", ",,3,,", "9.0,,4,,c", "9,,no,,d", "9"]
    table = Table("CHARTED", CHARTED, only={"itemid": frozenset({"7", "9"})})
    (chunk,) = read_table(written(tmp_path / "n.csv", lines), table)
    assert chunk.rows["value"].to_pylist() == [1.5, 4.0]
    assert chunk.rows["row"].to_pylist() == [1, 5]
    assert chunk.passed_over == 3
    assert [(row.number, row.reason) for row in chunk.bad] == [
        (6, "value is not a number"),
        (7, "1 fields where the header has 5"),
    ]
