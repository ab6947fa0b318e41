"""Vectors in parts, as Spark, Ray and pandas jobs write them: a folder, or the files that a pattern finds."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Points
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.loaders.files.vectors import VectorFile, open_vectors
from command_line import ok, refused
from command_line import run as command

DIM = 3


def part(path: Path, ids: Sequence[str | None], **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    vectors = [[float(len(one or "")), float(row), 1.0] for row, one in enumerate(ids)]
    table = {"id": pa.array(ids, pa.string()), "vector": pa.array(vectors, pa.list_(pa.float32()))}
    pq.write_table(pa.table(table | columns), path)
    return path


def folder(path: Path) -> Path:
    """Write what a job of Spark leaves behind: a part of no rows is of an empty partition."""
    part(path / "part-00002.snappy.parquet", ["e", "f"], age=[5, 6])
    part(path / "part-00000.snappy.parquet", ["a", "b", "c"], age=[1, 2, 3])
    part(path / "part-00001.snappy.parquet", [], age=pa.array([], pa.int64()))
    for name in (
        "_SUCCESS",
        "_metadata",
        "_started_123",
        ".part-00000.snappy.parquet.crc",
        ".hidden.parquet",
    ):
        (path / name).write_bytes(b"no part")
    (path / "_logs").mkdir()
    return path


def ids(file: VectorFile, rows: int = 1_000) -> list[str]:
    return [one for points in file.points(rows) for one in points.ids]


@pytest.mark.parametrize("rows", [1, 2, 4, 1_000])
def test_the_parts_of_a_folder_are_one_file_in_the_order_of_their_names(tmp_path: Path, rows: int) -> None:
    file = open_vectors(folder(tmp_path / "out.parquet"), filterable=["age"])
    assert (file.name, file.rows, file.dim, dict(file.fields)) == ("parquet", 5, DIM, {"age": int})
    pages = list(file.points(rows))
    assert [len(page.ids) for page in pages] == [min(rows, 5 - first) for first in range(0, 5, rows)]
    assert ids(file, rows) == list("abcef")
    np.testing.assert_array_equal(np.concatenate([page.vectors for page in pages])[:, 1], [0, 1, 2, 0, 1])
    assert [payload["age"] for page in pages for payload in page.payloads] == [1, 2, 3, 5, 6]


@pytest.mark.parametrize(
    "pattern",
    [
        "out/*.parquet",
        "out/part-0000[0-2]*",
        "o?t",
        "**/part-*.parquet",
        "{tmp}/out/*",
        "{tmp}/*",
        "out/**",
        "out",
    ],
)
def test_a_pattern_finds_the_same_parts_as_their_folder(
    pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    found = open_vectors(Path(pattern.format(tmp=tmp_path)))
    assert ids(found) == list("abcef")
    assert found.fingerprint == open_vectors(tmp_path / "out").fingerprint


def test_one_file_that_a_pattern_or_a_folder_holds_is_that_file(tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", np.ones((2, DIM), np.float32))
    assert open_vectors(tmp_path / "*.npy").name == "npy"
    file = open_vectors(part(tmp_path / "out" / "p.parquet", ["a"]))
    assert open_vectors(tmp_path / "out").fingerprint == file.fingerprint


def test_a_file_whose_name_reads_as_a_pattern_is_itself(tmp_path: Path) -> None:
    part(tmp_path / "a.parquet", ["a"])
    assert ids(open_vectors(part(tmp_path / "[ab].parquet", ["b"]))) == ["b"]


def test_the_fingerprint_is_of_every_part(tmp_path: Path) -> None:
    before = open_vectors(folder(tmp_path / "out")).fingerprint
    (tmp_path / "out" / "_SUCCESS").unlink()
    assert open_vectors(tmp_path / "out").fingerprint == before
    part(tmp_path / "out" / "part-00002.snappy.parquet", ["e", "g"], age=[5, 6])
    assert open_vectors(tmp_path / "out").fingerprint != before


def test_a_column_that_is_missing_in_all_rows_of_a_part_has_the_type_of_the_others(tmp_path: Path) -> None:
    empty = {"sex": pa.nulls(2), "codes": pa.array([[], []], pa.list_(pa.null()))}
    part(tmp_path / "a.parquet", ["a", "b"], **empty)
    part(tmp_path / "b.parquet", ["c"], codes=pa.array([["I10"]]), sex=["F"])
    pq.write_table(
        pa.table({"codes": [["E11"]], "id": ["d"], "vector": pa.nulls(1), "sex": ["M"]}),
        tmp_path / "c.parquet",
    )
    file = open_vectors(tmp_path, filterable=["sex", "codes"])
    assert dict(file.fields) == {"sex": str, "codes": list[str]}
    (points,) = file.points()
    assert [payload["sex"] for payload in points.payloads] == [None, None, "F", "M"]
    assert [payload["codes"] for payload in points.payloads] == [[], [], ["I10"], ["E11"]]
    assert np.isnan(points.vectors[3]).all()


@pytest.mark.parametrize(
    ("ids", "vectors", "told"),
    [
        (["a", None], [[1.0, 1.0], [1.0, 1.0]], r"b\.parquet has no id in row 1 "),
        (["a", "b"], [[1.0, 1.0], [1.0, 1.0, 1.0]], r"b\.parquet: the vector in row 1 .* has 3 numbers"),
    ],
)
def test_a_row_that_can_not_be_used_is_named_by_its_part(
    ids: list[str | None], vectors: list[list[float]], told: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"id": list("xyz"), "vector": [[1.0, 2.0]] * 3}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": ids, "vector": vectors}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=told):
        list(open_vectors(tmp_path).points())


def _two(path: Path, **columns: Any) -> Path:
    part(path / "a.parquet", ["a"], age=[1])
    part(path / "b.parquet", ["b"], **columns)
    return path


def _with(path: Path, name: str) -> Path:
    folder(path)
    (path / name).mkdir() if "." not in name else (path / name).touch()
    return path


def _damaged(path: Path, among: Path) -> Path:
    path.write_bytes(b"PAR1")
    return among


def _exports(path: Path) -> Path:
    for name in ("a", "b"):
        table = pa.table({"id": [name], "vector": [[1.0]]})
        pq.write_table(
            table.replace_schema_metadata({"cohorts": f'{{"name": "{name}"}}'}), path / f"{name}.parquet"
        )
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing in the folder": (lambda f: f, r"holds no file whose name ends in \.parquet"),
    "markers alone": (
        lambda f: part(f / "_hidden.parquet", ["a"]).parent,
        "holds no file whose name ends in",
    ),
    "nothing by the pattern": (lambda f: f / "*.parquet", r"\*\.parquet finds no file"),
    "markers alone by the pattern": (lambda f: folder(f) / "_*", "finds no file"),
    "no pattern": (lambda f: f / "**.parquet", "is no pattern"),
    "another type": (
        lambda f: _two(f, age=[1.5]),
        r"Column age of .*b\.parquet is double, and int64 in the parts",
    ),
    "another column": (lambda f: _two(f, years=[1]), r"b\.parquet has other columns than .*: age, years"),
    "a column less": (lambda f: _two(f), r"b\.parquet has other columns than .*: age"),
    "another length": (
        lambda f: _two(f, age=[1], vector=pa.array([[1.0] * 4], pa.list_(pa.float32()))),
        r"vectors of .*b\.parquet have 4 numbers and those of .*a\.parquet 3",
    ),
    "a damaged part": (lambda f: _damaged(f / "c.parquet", _two(f, age=[1])), r"c\.parquet can't be read"),
    "two exports": (_exports, r"b\.parquet was exported from another collection"),
    "another file": (lambda f: _with(f, "stats.json"), r"holds stats\.json, whose name does not end in"),
    "several that are no parts": (
        lambda f: _with(f, "m.npy") / "*",
        r"finds 4 files, .*m\.npy among them: only \.parquet",
    ),
    "a folder within": (lambda f: part(f / "run" / "a.parquet", ["a"]).parents[1], "holds a folder, run"),
    "partitions": (
        lambda f: part(f / "subject_id=10006" / "a.parquet", ["a"]).parents[1],
        "split into folders by subject_id",
    ),
    "partitions by a pattern": (
        lambda f: part(f / "subject_id=10006" / "a.parquet", ["a"]).parents[1] / "*" / "*.parquet",
        "split into folders by subject_id",
    ),
    "a Delta table": (lambda f: _with(f, "_delta_log"), "is a table of Delta"),
    "a Delta table by a pattern": (lambda f: _with(f, "_delta_log") / "*.parquet", "is a table of Delta"),
    "a folder of a Delta table": (
        lambda f: (_with(f, "_delta_log") and part(f / "sex=F" / "a.parquet", ["a"])).parent,
        "is a table of Delta",
    ),
    "a job that has not ended": (lambda f: _with(f, "_temporary"), "holds _temporary"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_parts_of_one_schema_is_refused_before_the_work(case: str, tmp_path: Path) -> None:
    make, told = REFUSED[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=told) as raised:
        open_vectors(path)
    assert "10006" not in str(raised.value)


def test_one_partition_can_be_loaded_by_its_name(tmp_path: Path) -> None:
    path = part(tmp_path / "sex=F" / "a.parquet", ["a"])
    assert ids(open_vectors(path.parent)) == ids(open_vectors(path.parent / "*.parquet")) == ["a"]


def test_a_load_of_parts_that_died_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        part(tmp_path / "out" / f"{name}.parquet", [f"{name}{row}" for row in range(600)])
    load = "load --vectors out --store qdrant:./s --collection c --made-by x"
    points = VectorFile.points

    def dying(self: VectorFile, rows: int = 1_000) -> Iterator[Points]:
        yield next(points(self, rows))
        raise InputError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(VectorFile, "points", dying)
        assert "the disk is gone" in refused(load)
    part(tmp_path / "more" / "d.parquet", ["d"])
    assert "--resume" in command(f"{load.replace('out', 'more')} --resume")[2]
    ok(f"{load.replace('out', chr(39) + 'out/*.parquet' + chr(39))} --resume")
    with connect("qdrant:./s") as connector:
        assert connector.count("c") == 1_800
