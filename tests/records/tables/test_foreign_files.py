"""Files that are not what their names say, are damaged, or have lines and quotes without an end."""

import gzip
import io
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.errors import InputError, SourceError
from cohorts.harness.evaluate.retrieval.grades import Judged
from cohorts.harness.evaluate.retrieval.population import Population
from cohorts.harness.evaluate.space.sentence_pairs import read_pairs
from cohorts.harness.live.queries import read_queries
from cohorts.loaders.files.vectors import open_vectors
from cohorts.records.sources.registry import open_source
from cohorts.records.tables import csv_records
from cohorts.records.tables.reading import read_rows

h5py: Any = import_module("h5py")  # which has no types
SECRET = "Jane Roe has sepsis"


def zipped(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, SECRET)
    return stream.getvalue()


def written(write: Callable[[Path], object]) -> Callable[[Path], bytes]:
    def content(folder: Path) -> bytes:
        write(folder / "made")
        return (folder / "made").read_bytes()

    return content


def as_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["train"] = np.eye(3, dtype=np.float32)


def as_npy(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.eye(3))


TEXT = f"id,text\n1,{SECRET}\n"
FOREIGN: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "xlsx": (lambda _: zipped("[Content_Types].xml", "xl/workbook.xml"), r"an Excel workbook \(\.xlsx\)"),
    "xlsx, sheets first": (lambda _: zipped("xl/worksheets/sheet1.xml"), r"an Excel workbook \(\.xlsx\)"),
    "xls": (lambda _: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, r"an Excel workbook \(\.xls\)"),
    "zip": (lambda _: zipped("notes.csv"), "a zip archive"),
    "gzip": (lambda _: gzip.compress(TEXT.encode()), "a gzip file"),
    "UTF-16": (lambda _: TEXT.encode("utf-16"), "text in UTF-16"),
    "UTF-16, big end first": (lambda _: b"\xfe\xff" + TEXT.encode("utf-16-be"), "text in UTF-16"),
    "UTF-16 without its mark": (lambda _: TEXT.encode("utf-16-le"), "text in UTF-16"),
    "parquet": (written(lambda path: pq.write_table(pa.table({"id": [SECRET]}), path)), "a Parquet file"),
    "hdf5": (written(as_hdf5), "an HDF5 file"),
    "npy": (written(as_npy), "a NumPy file"),
    "bzip2": (lambda _: b"BZh91AY&SY" + bytes(range(99)), "a bzip2 file"),
    "unknown": (lambda _: bytes(range(256)) * 4, "a binary file"),
}


def reader(name: str) -> Callable[[Path], object]:
    """Return what reads a file of this name: as notes, as pairs, as judgements, beside vectors, as vectors."""

    def payload(path: Path) -> object:
        np.save(path.parent / "matrix.npy", np.eye(3))
        return open_vectors(path.parent / "matrix.npy", payload=path)

    def judged(path: Path) -> object:
        return Judged(path, Population([], np.zeros(0, np.intp), [], np.zeros((0, 0), np.bool_), {}))

    def queries(path: Path) -> object:
        return read_queries(path, 3, 1, 0, lambda texts: np.eye(len(texts), 3, dtype=np.float32))

    readers: dict[str, Callable[[Path], object]] = {
        "pairs": read_pairs,
        "judged": judged,
        "payload": payload,
        "queries": queries,
        "vectors": open_vectors,
        "notes": lambda path: list(read_rows(path, ["id", "text"])),
    }
    return readers[name]


READ = [
    *(("notes", ".csv"), ("notes", ".csv.gz"), ("notes", ".parquet"), ("pairs", ".csv"), ("judged", ".csv")),
    *(("queries", ".txt"), ("queries", ".npy"), ("queries", ".hdf5")),
    *(("payload", ".csv"), ("payload", ".parquet"), ("vectors", ".npy"), ("vectors", ".hdf5")),
]


TABLES = [("notes", ".csv"), ("notes", ".csv.gz"), ("pairs", ".csv"), ("judged", ".csv")]
MARKED = ["UTF-16", "UTF-16, big end first"]  # which tables are read in


@pytest.mark.parametrize(
    ("kind", "read", "suffix"),
    [
        (kind, *how)
        for kind in FOREIGN
        for how in READ
        if how[1] != f".{kind}" and not (kind in MARKED and how in TABLES)
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, kind: str, read: str, suffix: str) -> None:
    make, named = FOREIGN[kind]
    content = make(tmp_path)
    path = tmp_path / f"{SECRET[:4]}{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".csv.gz" else content)
    with pytest.raises(InputError, match=rf"by its first bytes it is {named}") as caught:
        reader(read)(path)
    assert SECRET not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_table_of_another_kind_is_named_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "PATIENTS.csv").write_bytes(zipped("xl/workbook.xml"))
    with pytest.raises(
        SourceError,
        match=r"PATIENTS\.csv is no table of text: .*Excel.* ids and codes as text, .* save its sheet as CSV, UTF-8\.",
    ):
        open_source("mimic3", tmp_path, work_dir=tmp_path, quarantine_file=tmp_path / "q.csv")


@pytest.mark.parametrize("content", [TEXT.encode(), zipped("a")])
def test_gz_in_a_name_alone_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "n.csv.gz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"is no gzip file, though its name ends in \.gz"):
        list(read_rows(path, ["id"]))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_text_with_a_mark_or_old_bytes_is_no_foreign_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"n{suffix}"
    for content in (
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.replace("Roe", "Ro\xe9").encode("cp1252"),
        b"id,text\n1,\0\n",
    ):
        path.write_bytes(gzip.compress(content) if suffix == ".csv.gz" else content)
        assert sum(len(chunk.values) for chunk in read_rows(path, ["id", "text"])) == 1


# What does not end

MB = 1_000_000
ENDLESS = {
    "a line": "2," + "x" * MB,
    "a line of cells": "2,x" * (MB // 3),
    "a quoted cell": '2,"' + "x" * MB,
    "a quoted cell of many lines": '2,"' + "xxxxxxx\n" * (MB // 32),
    "quoted cells of many lines": '2,"a' + '\n","b' * (MB // 32),
}


@pytest.fixture
def small_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a record have few characters, so that files of a MB show what files of many GB do."""
    monkeypatch.setattr(csv_records, "MAX_RECORD_CHARS", 20_000)


def endless(path: Path, head: str, case: str) -> Path:
    content = f"{head}{ENDLESS[case]}\n3,last\n".encode()
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    ("case", "name"),
    [*((case, "n.csv") for case in ENDLESS), ("a line", "n.csv.gz"), ("a quoted cell", "n.csv.gz")],
)
@pytest.mark.usefixtures("small_records")
def test_a_row_without_an_end_costs_nothing_but_itself(tmp_path: Path, case: str, name: str) -> None:
    path = endless(tmp_path / name, "id,text\n1,first\n", case)
    tracemalloc.start()
    (chunk,) = read_rows(path, ["id", "text"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (chunk.values[0], chunk.values[-1]) == (("1", "first"), ("3", "last"))
    (_, line, why) = chunk.broken[0]
    assert line == 3
    assert why.startswith(("a line of more than 20,000 characters", "a quote in this row is not closed"))
    assert peak < 0.75 * MB


@pytest.mark.parametrize("name", ["n.csv", "n.csv.gz"])
@pytest.mark.parametrize(
    "case", ["a line", "a line of cells", "a quoted cell", "a quoted cell of many lines"]
)
@pytest.mark.usefixtures("small_records")
def test_a_header_without_an_end_is_refused(tmp_path: Path, case: str, name: str) -> None:
    path = endless(tmp_path / name, "", case)
    tracemalloc.start()
    with pytest.raises(
        SourceError, match="begins with an empty line, or one or a quote without an end"
    ) as caught:
        list(read_rows(path, ["id", "text"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "xx" not in str(caught.value)
    assert peak < 0.75 * MB


@pytest.mark.usefixtures("small_records")
def test_quotes_that_swallow_every_row_behind_them_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_records, "_MAX_AGAIN_CHARS", 200_000)
    path = tmp_path / "n.csv"
    path.write_text(
        "id,text\n" + 'x","\n' * 10_000
    )  # each line opens a quote, and closes that of the one before
    with pytest.raises(
        SourceError, match=r"quotes of .*n\.csv are not closed or not doubled in so many rows"
    ):
        list(read_rows(path, ["id", "text"]))


# Damage


def test_a_damaged_gzip_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "n.csv.gz"
    sound = gzip.compress(b"id,text\n" + b"1,a\n" * 40_000)
    for at in (20, len(sound) // 2, len(sound) - 6):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 255]) + sound[at + 1 :])
        with pytest.raises(SourceError, match=r"n\.csv\.gz can't be read\. Is the file complete"):
            list(read_rows(path, ["id"]))


def header(text: bytes, size: int | None = None, version: bytes = b"\x01\0") -> bytes:
    size_bytes = 2 if version == b"\x01\0" else 4
    return (
        b"\x93NUMPY" + version + (len(text) if size is None else size).to_bytes(size_bytes, "little") + text
    )


@pytest.mark.parametrize(
    "content",
    [
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), "),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3)}") + b"\0" * 9,
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 3)}"),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999, 9999999999)}"),
        header(b"{'descr': 'Jane Roe', 'fortran_order': False, 'shape': (3, 3)}"),
        header(b"{'Jane Roe': 1}"),
        header(b"Jane Roe has sepsis"),
        header(b"(" * 9_000),
        header(b"{'a': '''"),
        header(b"\xff\xfe\0" * 9, version=b"\x03\0"),
        header(b"x" * 99, 0xFFFFFFF0, b"\x02\0"),
        header(b"", 7, b"\x09\0"),
        header(b""),
        b"\x93NUMPY",
    ],
)
def test_a_damaged_header_of_npy_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v.npy"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"v\.npy (can't be read|is damaged)") as caught:
        open_vectors(path)
    assert "Jane" not in str(caught.value)
    assert str(caught.value).isprintable()


def sound_parquet(path: Path) -> None:
    ids = [f"{SECRET}{row}" for row in range(40)]
    pq.write_table(pa.table({"id": ids, "vector": np.eye(40, 4).tolist()}), path)


def sound_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("train", data=np.eye(40, 4), chunks=(10, 4), compression="gzip")
        file["id"] = [f"{SECRET}{row}" for row in range(40)]


@pytest.mark.parametrize("write", [sound_parquet, sound_hdf5])
def test_a_damaged_file_of_vectors_is_an_error_of_ours(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / f"v.{write.__name__.partition('_')[2]}"
    write(path)
    sound, rng, refused = path.read_bytes(), random.Random(3), 0
    for _ in range(60):
        damaged = bytearray(sound)
        for _ in range(rng.choice([1, 5, 50])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            many = sum(len(points.ids) for points in open_vectors(path).points())
        except InputError as error:
            refused += 1
            told = str(error)
            if SECRET in told or not told.isprintable():
                pytest.fail(told)
        else:
            assert many == 40
    assert refused > 15
