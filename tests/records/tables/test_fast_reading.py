"""The two readers of CSV together give what the strict one alone gives, whatever the file."""

import os
import random
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pytest
from cohorts.errors import SourceError
from cohorts.records.tables import csv_pieces, csv_records
from cohorts.records.tables.columns import BadRow, Kind, Table, read_column, read_table
from cohorts.records.tables.reading import read_rows
from cohorts.records.tables.times import Dates
from mutated_tables import mutated, read_real

FILES = int(os.environ.get("COHORTS_FUZZED", "240"))
GROUPS = 6
NO_TEXT = {"", r"\N", "NULL", "(null)", "<null>", "NaN", "nan", "NaT", "<NA>"}
RECODED = "bytes are not UTF-8, read as Windows-1252"
KINDS = {
    Kind.TIME: pa.timestamp("us"),
    Kind.TIME_OR_NONE: pa.timestamp("us"),
    Kind.NUMBER: pa.float64(),
    Kind.FLAG: pa.bool_(),
}


class Read(NamedTuple):
    """All that there is of a table."""

    rows: list[dict[str, object]]
    bad: list[BadRow]
    remarks: dict[str, int]
    passed_over: int


def strictly(path: Path, table: Table, dates: Dates) -> Read | str:
    """Read a table record by record and its columns whole, by the definition; return the message of what is raised."""
    try:
        chunks = list(read_rows(path, list(table.columns)))
    except SourceError as error:
        return str(error)
    values = [fields for chunk in chunks for fields in chunk.values]
    frame = pd.DataFrame(values, columns=list(table.columns), dtype="str")
    places = [place for chunk in chunks for place in zip(chunk.numbers, chunk.lines, strict=True)]
    frame["row"], frame["line"] = (
        (list(map(int, one)) for one in zip(*places, strict=True)) if places else ([], [])
    )
    read = len(frame)
    for name, among in table.only.items():
        cells = frame[name].astype("str")
        if table.columns[name] is not Kind.TEXT:
            cells = read_column(name, table.columns[name], cells, dates).values
        frame = frame[cells.isin(among - NO_TEXT).to_numpy()].reset_index(drop=True)
    typed = {name: pa.array(frame[name].tolist(), pa.int64()) for name in ("row", "line")}
    reasons: list[str] = [""] * len(frame)
    remarked: dict[str, list[bool]] = {}
    for name, kind in table.columns.items():
        if kind is Kind.TEXT:
            texts = [None if text.strip() in NO_TEXT else text for text in frame[name]]
            typed[name] = pa.array(texts, pa.string())
            continue
        column = read_column(name, kind, frame[name].astype("str"), dates)
        typed[name] = pa.array(column.values, KINDS.get(kind, pa.string()), from_pandas=True)
        why = pd.Series(column.reason, index=frame.index)
        for at in [at for at, wrong in enumerate(column.wrong) if wrong]:
            reasons[at] = reasons[at] or why[at]
        for remark, those in column.remarked.items():
            remarked[remark] = [a or b for a, b in zip(remarked.get(remark, those), those, strict=True)]
        shapes = [int(those.sum()) for those in column.shapes.values()]
        if shapes and shapes[1] > shapes[0] / 2:
            return f"{name} look like 3/5/94"
        if shapes and dates is Dates.ISO and shapes[2] > shapes[0] / 2:
            return f"{name} look like 03/05/2094"
    good = [not reason for reason in reasons]
    bad = [
        BadRow(table.name, r, n, why)
        for r, n, why in zip(frame["row"], frame["line"], reasons, strict=True)
        if why
    ]
    bad += [BadRow(table.name, *broken) for chunk in chunks for broken in chunk.broken]
    remarks = {key: sum(a and b for a, b in zip(those, good, strict=True)) for key, those in remarked.items()}
    remarks[RECODED] = sum(chunk.recoded for chunk in chunks)
    rows = pa.table(typed).filter(pa.array(good, pa.bool_())).to_pylist()
    told = {key: many for key, many in remarks.items() if many}
    return Read(rows, sorted(bad, key=lambda row: row.number), told, read - len(frame))


def fast(path: Path, table: Table, dates: Dates, workers: int) -> tuple[Read | str, Counter[str]]:
    """Read a table as it is read; return also how many bytes went which way."""
    rows, bad, remarks, passed_over = [], [], Counter[str](), 0
    ways: Counter[str] = Counter()
    try:
        for chunk in read_table(path, table, dates, workers=workers):
            rows += chunk.rows.to_pylist()
            bad += chunk.bad
            remarks += chunk.remarks
            passed_over += chunk.passed_over
            ways.update(fast=chunk.bytes_fast, strict=chunk.bytes_strict)
    except SourceError as error:
        return str(error), ways
    return Read(rows, bad, dict(remarks), passed_over), ways


def differs(left: Read | str, right: Read | str) -> str:
    """Return in what two readings differ; "" in nothing. Of two errors, one must say what the other does."""
    if isinstance(left, str) or isinstance(right, str):
        same = isinstance(left, str) and isinstance(right, str) and (left in right or right in left)
        return "" if same else f"{left!r:.300} and {right!r:.300}"
    for name, one, other in zip(Read._fields, left, right, strict=True):
        if one != other:
            return f"{name}: {one!r:.2000}\n and {other!r:.2000}"
    return ""


@cache
def real(shared: Path) -> list[tuple[Table, bytes]]:
    return read_real(shared)


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_file_is_read_as_the_strict_reader_alone_reads_it(
    group: int, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: Counter[str] = Counter()
    for seed in range(group, FILES, GROUPS):
        case, rng = mutated(seed, real(shared_data)), random.Random(seed)
        small = rng.choice([40, 150, 400, 1_000])
        monkeypatch.setattr(csv_pieces, "SMALL_BYTES", small)
        monkeypatch.setattr(csv_pieces, "BLOCK_BYTES", small * rng.choice([1, 2, 4]))
        monkeypatch.setattr(csv_pieces, "STRICT_ROWS", rng.choice([1, 3, 1_000]))
        monkeypatch.setattr(csv_records, "MAX_RECORD_CHARS", rng.choice([300, 2_000, 16 * 1024**2]))
        table, dates = case.table, rng.choice(list(Dates))
        if rng.random() < 0.2:
            seen = [text.strip() for text in case.content.decode("latin-1").replace("\n", ",").split(",")]
            table = replace(table, only={rng.choice(list(table.columns)): frozenset(rng.choices(seen, k=5))})
        path = tmp_path / case.name
        path.write_bytes(case.content)
        found, went = fast(path, table, dates, rng.choice([1, 2, 3]))
        fault = differs(strictly(path, table, dates), found)
        assert not fault, f"seed {seed}: {fault}"
        ways += went
    assert ways["fast"] > 0.3 * ways["strict"]  # else nothing was shown
