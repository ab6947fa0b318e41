"""Tables as other programs write them: other separators, encodings, packings, JSON lines, Parquet."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from cohorts.errors import SourceError
from cohorts.harness.evaluate.space.sentence_pairs import read_pairs
from cohorts.records.sources.registry import open_source
from cohorts.records.tables.csv_records import MAX_RECORD_CHARS
from cohorts.records.tables.reading import Rows, content_bytes, find_table, read_rows

COLUMNS = ["patient id", "text"]
ROWS = [("1", 'says "no", Größe 3;5\tand\n|more'), ("2", "plain"), ("007", "")]
Write = Callable[[str], bytes]


def separated(delimiter: str, encoding: str = "utf-8", end: str = "\r\n") -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    rows = [("Patient ID", "day", "Text"), *((key, "3", text) for key, text in ROWS)]
    return end.join(delimiter.join(map(cell, row)) for row in rows).encode(encoding)


def json_lines(encoding: str = "utf-8", *, ascii_only: bool = False) -> bytes:
    rows = [{"Patient ID": key, "day": 3, "Text": text or None} for key, text in ROWS]
    return "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows).encode(encoding)


def parquet() -> bytes:
    stream = io.BytesIO()
    table = pa.table({"Patient ID": [key for key, _ in ROWS], "Text": pa.array([text for _, text in ROWS])})
    pq.write_table(table.set_column(1, "Text", table["Text"].dictionary_encode()), stream)
    return stream.getvalue()


FILES: dict[str, bytes] = {
    "semicolon.csv": separated(";"),
    "tab.tsv": separated("\t", end="\n"),
    "tab.txt": separated("\t"),
    "pipe.csv": separated("|"),
    "comma.txt": separated(","),
    "mark.csv": separated(";", "utf-8-sig"),
    "little.csv": b"\xff\xfe" + separated(";", "utf-16-le"),
    "big.csv": b"\xfe\xff" + separated("\t", "utf-16-be"),
    "unicode_text.txt": separated("\t", "utf-16"),
    "old.csv": separated(";", "cp1252"),
    "packed.tsv.gz": gzip.compress(separated("\t")),
    "packed.csv.bz2": bz2.compress(separated(",")),
    "packed.csv.XZ": lzma.compress(separated(";", "utf-16")),
    "lines.jsonl": json_lines(),
    "lines.ndjson": json_lines(ascii_only=True),
    "lines.jsonl.gz": gzip.compress(json_lines("utf-8-sig")),
    "lines.ndjson.bz2": bz2.compress(json_lines("utf-16")),
    "columns.parquet": parquet(),
    "columns.pq": parquet(),
}


def written(folder: Path, name: str, content: bytes | str) -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def only(path: Path, columns: list[str], *optional: str) -> Rows:
    (rows,) = read_rows(path, columns, optional)
    return rows


@pytest.mark.parametrize("name", FILES)
def test_one_table_is_the_same_in_every_form(name: str, tmp_path: Path) -> None:
    rows = only(written(tmp_path, name, FILES[name]), COLUMNS, "none")
    assert [(key, text) for key, text, _ in rows.values] == ROWS
    assert {none for *_, none in rows.values} == {""}
    assert (rows.numbers, rows.broken) == ([1, 2, 3], [])
    assert rows.recoded == (2 if name == "old.csv" else 0)


@pytest.mark.parametrize("name", FILES)
def test_a_hospitals_table_is_found_in_every_form(name: str, tmp_path: Path) -> None:
    end = name.partition(".")[2]
    file = written(tmp_path, f"Patients.{end}", FILES[name])
    written(tmp_path, "PATIENTS.csv.md5", "")
    written(tmp_path, "PATIENTS_2.csv", "")
    assert find_table(tmp_path, "PATIENTS") == file
    assert (content_bytes(file) > file.stat().st_size) == end.lower().endswith((".gz", ".bz2", ".xz"))


def test_a_broken_row_costs_nothing_but_itself_whatever_the_separator(tmp_path: Path) -> None:
    for delimiter in ",;\t|":
        body = (
            f'1{delimiter}a\n2{delimiter}"no end\n3{delimiter}b\n4{delimiter}c{delimiter}d\n5{delimiter}"e"\n'
        )
        rows = only(written(tmp_path, "n.csv", f"id{delimiter}text\n{body}"), ["id", "text"])
        assert [key for key, _ in rows.values] == ["1", "3", "5"], delimiter
        assert [(number, line) for number, line, _ in rows.broken] == [(2, 3), (4, 5)], delimiter


def test_a_single_column_and_separators_in_it_are_no_riddle(tmp_path: Path) -> None:
    assert only(written(tmp_path, "a.csv", "text\na;b|c\n"), ["text"]).values == [("a;b|c",)]
    assert only(written(tmp_path, "b.csv", "id;text, of note\n1;a,b\n"), ["text, of note"]).values == [
        ("a,b",)
    ]
    with pytest.raises(SourceError, match=r"can be read with ',' and ';' between its columns"):
        only(written(tmp_path, "c.csv", "x;id;y,id,z\n"), ["id"])


def test_a_column_that_is_missing_is_told_with_those_that_stand_between_the_right_separators(
    tmp_path: Path,
) -> None:
    for delimiter in ",;\t|":
        file = written(tmp_path, "n.csv", delimiter.join(["id", "note", "ward"]) + "\n")
        with pytest.raises(SourceError, match=r"no column text .* It has: id, note, ward\."):
            only(file, ["id", "text"])
    with pytest.raises(SourceError, match=r"no column text .* It has: ID, Note\."):
        only(written(tmp_path, "n.jsonl", '{"ID": 1, "Note": "a"}\n'), ["id", "text"])


def test_lines_that_are_no_objects_are_broken_rows_and_values_come_as_text(tmp_path: Path) -> None:
    lines = [
        '{"ID": 9007199254740993, "text": "a"}',
        "",
        '{"id": 105.0, "Text": true, "time": "x"}',
        '{"id": 3, "text": "cut',
        '["id", "text"]',
        '{"id": [1], "text": "b"}',
        '{"id": 4, "ID": 5, "text": "b"}',
        '{"id": 6, "text": "\\ud800"}',
        '{"id": ' * 100_000,
        '{"id": ' + "9" * 5_000 + "}",
        '{"id": 7, "text": "' + "x" * MAX_RECORD_CHARS + '"}',
        '{"text": null}',
    ]
    rows = only(written(tmp_path, "n.jsonl", "\n".join(lines)), ["id", "text"], "time")
    assert rows.values == [("9007199254740993", "a", ""), ("105.0", "true", "x"), ("", "", "")]
    assert rows.numbers == [1, 2, 11]
    assert rows.lines == [1, 3, 12]
    assert [(number, line) for number, line, _ in rows.broken] == [(at, at + 1) for at in range(3, 11)]
    assert [reason for *_, reason in rows.broken][:4] == [
        "the line holds no JSON",
        "the line holds an array, or begins one, and no JSON object",
        "id holds a list, an object or text that is no Unicode",
        "two keys of the object differ in case or blanks alone",
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("n.jsonl", "", "holds no JSON lines: one object a line with id was expected"),
        ("n.jsonl", '[\n{"id": 1}\n]', "holds no JSON lines"),
        ("n.csv", "sep=;\r\nid;x\r\n", "its first line, sep=…, is a program's own: remove it"),
        ("n.csv", "", "is empty: a header with id was expected"),
        (
            "n.csv",
            b"\xff\xfe" + "id;x\n1;\n".encode("utf-16-le")[:-1],
            "begins as text in UTF-16, and is damaged",
        ),
        ("n.csv", b"\xff\xfei\0d\0\n\0\x00\xd8\n\0", "begins as text in UTF-16, and is damaged"),
        ("n.csv", "id\n1".encode("utf-32"), "by its first bytes it is text in UTF-32"),
        ("n.csv.bz2", "id\n1", r"is no bzip2 file, though its name ends in \.bz2"),
        ("n.csv.xz", lzma.compress(b"id\n1\n" * 999)[:-40], r"can't be read\. Is the file complete"),
        ("n.csv.bz2", bz2.compress(b"id\n1\n" * 999)[:-40], r"can't be read\. Is the file complete"),
        (
            "n.jsonl",
            b"PK\x03\x04xl/",
            "Excel workbook .* Format its ids and codes as text, else 0389 becomes 389",
        ),
    ],
)
def test_what_can_not_be_read_is_told(name: str, content: bytes | str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=told):
        list(read_rows(written(tmp_path, name, content), ["id"]))


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.binary(), pa.struct([("a", pa.string())])])
def test_columns_of_parquet_that_are_no_cells_are_refused(kind: pa.DataType, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"], "text": pa.array([None], kind)}), tmp_path / "n.parquet")
    with pytest.raises(
        SourceError, match=r"Column text of .* a cell must be text, a number, a flag or a time"
    ):
        list(read_rows(tmp_path / "n.parquet", ["id", "text"]))
    assert only(tmp_path / "n.parquet", ["id"]).values == [("1",)]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "NOTEEVENTS.xlsx",
            b"PK\x03\x04xl/",
            r"NOTEEVENTS\.xlsx is no table .* Excel .* Tables are read from \.csv",
        ),
        ("noteevents.csv.zip", b"PK\x03\x04x", r"a zip archive\. Unpack it\. Tables are read from \.csv"),
        ("NOTEEVENTS.csv.zst", b"\x28\xb5\x2f\xfd", r"a zstd file\. Unpack it\."),
    ],
)
def test_a_table_of_a_kind_that_is_not_read_is_not_taken_for_missing(
    name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    written(tmp_path, name, content)
    with pytest.raises(SourceError, match=told):
        find_table(tmp_path, "NOTEEVENTS")


def test_a_table_in_two_forms_is_refused(tmp_path: Path) -> None:
    for name in ("A.csv", "a.parquet"):
        written(tmp_path, name, "x")
    with pytest.raises(SourceError, match=r"holds table A twice: A\.csv and a\.parquet"):
        find_table(tmp_path, "A")


def test_pairs_are_read_in_every_form(tmp_path: Path) -> None:
    file = written(tmp_path, "p.tsv", "TEXT_A\tText_B\tscore\na, b\tc\t3\nd\te\t1\nf\tg\t2\n")
    assert len(read_pairs(file).score) == 3


def as_form(file: Path, form: str) -> None:
    """Write a table of CSV in another form, beside it, and remove it."""
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    other = file.with_suffix(form)
    if form == ".parquet":
        codes = pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in ("icd9_code", "ICD9_CODE", "drug", "DRUG")}
        )
        pq.write_table(pyarrow.csv.read_csv(file, convert_options=codes), other)
    elif form == ".jsonl":
        other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with other.open("w", newline="", encoding="utf-16") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t")
            writer.writeheader()
            writer.writerows(rows)
    file.unlink()


@pytest.mark.parametrize("form", [".parquet", ".jsonl", ".tsv"])
def test_the_demo_of_mimic_3_is_the_same_patients_in_every_form(
    form: str, shared_data: Path, tmp_path: Path
) -> None:
    batches = []
    for name in ("plain", "other"):
        folder = tmp_path / name
        folder.mkdir()
        for table in (
            "PATIENTS",
            "ADMISSIONS",
            "DIAGNOSES_ICD",
            "PROCEDURES_ICD",
            "NOTEEVENTS",
            "PRESCRIPTIONS",
        ):
            file = find_table(shared_data / "mimic3-demo", table)
            assert file is not None
            copy = written(folder, file.name, file.read_bytes())
            if name == "other" and file.suffix == ".csv" and table != "NOTEEVENTS":  # which is empty
                as_form(copy, form)
        bad = tmp_path / f"{name}.bad.csv"
        with open_source("mimic3", folder, work_dir=tmp_path / "w", quarantine_file=bad) as source:
            batches.append(next(iter(source.batches())))
    plain, other = batches
    assert plain.units.equals(other.units)
    assert plain.codes.equals(other.codes)
