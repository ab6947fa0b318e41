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
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.tables import csv_pieces, csv_records
from cohorts.records.tables.columns import BadRow, Kind, Table, read_column, read_table
from cohorts.records.tables.csv_records import Records
from cohorts.records.tables.reading import read_rows, read_strings
from cohorts.records.tables.text_files import open_text
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
        small = rng.choice([100, 300, 1_000, 3_000])
        monkeypatch.setattr(csv_pieces, "SMALL_BYTES", small)
        monkeypatch.setattr(csv_pieces, "BLOCK_BYTES", small * rng.choice([1, 2, 4]))
        monkeypatch.setattr(csv_pieces, "STRICT_ROWS", rng.choice([7, 1_000]))
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
    assert ways["fast"] > 0.1 * ways["strict"]  # else nothing was shown


FOUR = Table("notes", {"id": Kind.ID, "time": Kind.TIME_OR_NONE, "text": Kind.TEXT, "flag": Kind.FLAG})
ONE = Table("texts", {"text": Kind.TEXT})
REGULAR = {
    "plain lines": "1,,a,1\n2,2101-01-01,b,0\n",
    "lines that end as Windows writes them": '1,,a,1\r\n2,,"b\r\nb",0\r\n',
    "quotes about fields, and two by two within": '"1","","a ""b"" c",1\n2,,"""d""",""\n',
    "breaks and delimiters within quotes": '1,,"a\n\nb, c\n",1\n2,,"\n",0\n',
    "a field that ends with a delimiter": '1,,a,"1"\n2,,b,"no, "" or\nyes,"\n',
    "letters of other scripts": '"Ä",,a,1\n中,,\ufeff\u2028\x85b,0\n',
    "NUL": "1,,a\0b,1\n2,,\0,0\n",
}
IRREGULAR = {
    "a return within quotes, which ends a line": (FOUR, b'1,,"a\rb",1\n2,,c,1\n'),
    "a return that ends a record": (FOUR, b"1,,a,1\r2,,b,0\n3,,c,0\n"),
    "a quote within a field": (FOUR, b'1,,a"b,1\n2,,c",0\n'),
    "two quotes within a field": (FOUR, b'1,,a "b",1\n2,,c,0\n'),
    "a quote that closes within a field": (FOUR, b'1,,"a"b,1\n2,,c,0\n'),
    "a blank behind a quote": (FOUR, b'1,,"a" ,1\n2,,c,0\n'),
    "a line of tabs": (FOUR, b"1\t\ta\t1\n\t\t\t\n2\t\tb\t0\n"),
    "a line of a wide blank": (ONE, "a\n\u00a0\nb\n".encode()),
    "a line of a wider blank": (ONE, "a\n\u3000\nb\n".encode()),
    "a mark of UTF-8 behind the header": (FOUR, "\ufeff1,,a,1\n2,,b,0\n".encode()),
    "Windows-1252": (FOUR, b"1,,caf\xe9,1\n2,,b,0\n"),
    "half of a pair of UTF-16": (FOUR, b"1,,\xed\xa0\x80,1\n2,,b,0\n"),
    "a record that swallowed the start of another": (FOUR, b'7,,a,"cut\n8,,b,"\n9,,c,1\n'),
    "one of Windows that did so": (FOUR, b'7,,a,"cut\r\n8,,b,"\r\n9,,c,1\r\n'),
    "a record that is too long": (FOUR, b"1,," + b"long " * 500 + b",1\n2,,b,0\n"),
    "a field too many": (FOUR, b"1,,a,1\n2,,b,0,\n"),
    "a field too few": (FOUR, b"1,,a,1\n2,,b\n"),
}


@pytest.mark.parametrize("name", [*REGULAR, *IRREGULAR])
def test_what_is_regular_goes_the_fast_way_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_records, "MAX_RECORD_CHARS", 2_000)
    table, records = IRREGULAR.get(name) or (FOUR, REGULAR[name].encode())
    header = ",".join(table.columns).encode() + b"\n"
    header = header.replace(b",", b"\t") if b"\t" in records else header
    path = tmp_path / "n.csv"
    path.write_bytes(header + records)
    found, ways = fast(path, table, Dates.ISO, 1)
    assert not differs(strictly(path, table, Dates.ISO), found)
    assert ways["fast"] == (len(records) if name in REGULAR else 0)


@pytest.mark.parametrize("folder", ["mimic3-demo", "mimic4-demo", "mtsamples", "a synthetic hospital"])
def test_sound_files_go_the_fast_way(folder: str, shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / folder
    if not root.exists():
        root = tmp_path
        synthesize(root, patients=100, seed=1)
    ways: Counter[str] = Counter()
    for path in sorted(root.rglob("*.csv*")):
        with open_text(path) as stream:
            header = Records(stream, ",").header() or []
        for strings, _ in read_strings(path, header, [], lambda strings: strings):
            ways.update(fast=strings.bytes_fast, strict=strings.bytes_strict)
    assert ways["strict"] < 0.01 * ways["fast"]
