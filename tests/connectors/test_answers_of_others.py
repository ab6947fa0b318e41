"""Queries of collections whose payload others made: no key is taken for granted, in whatever format."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Scalar
from command_line import ok, refused
from loading import vectors

PAYLOADS: dict[str, list[Any]] = {
    "nothing": [{}] * 3,
    "names of our columns": [{"rank": "a", "similarity": "b", "age": "old", "died": "no"}] * 3,
    "not in every row": [{"age": 60.0}, {}, {"sex": "F", "reasons": ["because"]}],
}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("made_by", ["--made-by x", ""])
def test_ready_vectors_are_shown_in_every_format(
    payload: str, made_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Scalar]] = PAYLOADS[payload]
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = {key: [row.get(key) for row in rows] for key in keys}
    table = {"id": ["p1", "p2", "p3"], "vector": list(vectors(3)), **columns}
    pq.write_table(pa.table(table), "rows.parquet")
    ok(f"load --vectors rows.parquet --collection c {made_by}")
    for output in ("table", "csv", "json"):
        shown = ok(f"query --collection c --patient p1 -k 2 --format {output}")
        assert "p2" in shown
        assert "p3" in shown
    assert "keeps no explanations" in refused("query --collection c --patient p1 -k 2 --explain")
    assert "vectors" in ok("describe --collection c")
