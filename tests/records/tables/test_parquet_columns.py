"""Cells of Parquet as text: what Python writes of a value, whatever its type, and however often it stands there."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.records.tables import parquet_columns
from cohorts.records.tables.reading import read_rows

NOON = datetime(2101, 2, 3, 12, 0, 0, 5)
COLUMNS = {
    "floats": pa.array([0.0, -0.0, None, float("nan"), 1e22, 0.1, float("inf"), -0.0], pa.float64()),
    "small floats": pa.array([0.1, -0.0, None, 0.0, 3.0, 0.1, 5.0, 6.0], pa.float32()),
    "half floats": pa.array(np.array([0.1, -0.0, 0.0, 3, 0.1, 5, 6, 7], np.float16)),
    "whole numbers": pa.array([1, 1, None, -5, 2**60, 0, 7, 8]),
    "flags": pa.array([True, False, None, True, True, False, True, True]),
    "texts": pa.array(["a", "", None, " a", "a", "NULL", "é", "a"]),
    "large texts": pa.array(["a", "", None, " a", "a", "NULL", "é", "a"], pa.large_string()),
    "categories": pa.array(["a", "b", None, "a", "b", "c", "c", ""]).dictionary_encode(),
    "times": pa.array([NOON, None, *[NOON + timedelta(days=n) for n in range(6)]], pa.timestamp("us")),
    "times of nanoseconds": pa.array([NOON, None, *[NOON] * 6], pa.timestamp("ns")),
    "times with a zone": pa.array([NOON.replace(tzinfo=UTC), *[None] * 7], pa.timestamp("us", "UTC")),
    "days": pa.array([date(2101, 2, 3), None, *[date(1, 1, 1)] * 6]),
    "times of day": pa.array([time(1, 2, 3), None, *[time(0)] * 6]),
    "decimals": pa.array([Decimal("1.50"), None, *[Decimal("-0.05")] * 6], pa.decimal128(9, 2)),
    "nothing": pa.nulls(8),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_cell_is_what_python_writes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_columns, "BATCH_ROWS", 3)
    path = tmp_path / "n.parquet"
    pq.write_table(pa.table({name: COLUMNS[name]}), path)
    written = ["" if value is None else str(value) for value in pq.read_table(path)[name].to_pylist()]
    if name in ("small floats", "half floats"):  # as it was written, and not what 64 bits make of it
        written = ["0.1" if text.startswith(("0.1", "0.0999")) else text for text in written]
    chunks = list(read_rows(path, [name], ["another"]))
    assert [fields for chunk in chunks for fields in chunk.values] == [(text, "") for text in written]
    assert [number for chunk in chunks for number in chunk.numbers] == list(range(1, 9))
