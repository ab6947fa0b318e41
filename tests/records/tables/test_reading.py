"""Reading tables row by row: a broken row costs nothing but itself."""

import csv
import gzip
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.errors import SourceError
from cohorts.records.tables.reading import find_table, read_rows

HEADER = ["ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CATEGORY", "TEXT"]


def write(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    return path


def note(number: int, text: str) -> list[str]:
    return [str(number), str(10_000 + number), "", "2150-01-01", "Nursing", text]


def read(path: Path) -> tuple[dict[str, str], list[tuple[int, int, str]]]:
    chunks = list(read_rows(path, ["row_id", "text"]))
    return {k: v for c in chunks for k, v in c.values}, [b for c in chunks for b in c.broken]


def test_quoted_newlines_quotes_and_case_of_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "N.csv", [note(1, 'pt said "no",\nthen\r\nleft'), note(2, "plain")])
    good, broken = read(path)
    assert good == {"1": 'pt said "no",\nthen\r\nleft', "2": "plain"}
    assert broken == []


def test_gzip_and_parquet_read_alike(tmp_path: Path) -> None:
    plain = write(tmp_path / "N.csv", [note(1, "a\nb"), note(2, "ü")])
    zipped = tmp_path / "N.csv.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    parquet = tmp_path / "N.parquet"
    pq.write_table(pa.table({"Row_Id": [1, 2], "Text": ["a\nb", "ü"]}), parquet)
    assert read(plain) == read(zipped) == read(parquet) == ({"1": "a\nb", "2": "ü"}, [])


def test_bytes_that_are_not_utf8_are_read_as_windows_1252_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "N.csv"
    path.write_bytes(b"\xef\xbb\xbfid,text\n1,37\xb0C na\xc3\xafve\n")
    (chunk,) = read_rows(path, ["id", "text"])
    assert chunk.values == [("1", "37°C naïve")]
    assert chunk.recoded == 1


UNCLOSED = '9,10009,,2150-01-01,Nursing,"no end of quote'


@pytest.mark.parametrize(
    "broken",
    [
        UNCLOSED,
        UNCLOSED + "\nsecond line of it\n\nlast, line",
        '9,10009,,2150-01-01,Nursing,"said "ouch" loudly"',
        '9,10009,,2150-01-01,Nursing,"said "ouch"\nand, then "left"\n"home" at last',
        "9,10009,,2150-01-01",
        "9,10009,,2150-01-01,Nursing,two,fields too many",
        '9,10009,,2150-01-01,Nursing,"quoted",and\nmore',
    ],
)
@pytest.mark.parametrize(
    "neighbour",
    [
        "plain",
        "line one\nline two, with comma",
        '"quoted" start\nand end"',
        "\nstarts with a newline",
        ",",
        "",
    ],
)
def test_a_broken_row_costs_nothing_but_itself(tmp_path: Path, broken: str, neighbour: str) -> None:
    path = write(tmp_path / "N.csv", [note(1, "before"), note(2, neighbour)])
    with path.open("a", newline="") as stream:
        stream.write(broken + "\n")
        csv.writer(stream).writerows([note(3, neighbour), note(4, "after\nit")])
    good, rows = read(path)
    assert good == {"1": "before", "2": neighbour, "3": neighbour, "4": "after\nit"}
    # number 3 is the place of the broken row; what it leaves behind is not counted again
    assert [number for number, _, _ in rows][:1] == [3]
    assert len(rows) <= 2


def test_five_percent_broken_rows_lose_none_of_the_good_ones(tmp_path: Path) -> None:
    rng = random.Random(5)
    path = tmp_path / "N.csv"
    good, broken = {}, 0
    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(HEADER)
        for number in range(2000):
            text = "\n".join(rng.choice(['pt "ok"', "a, b", "", "x" * 50]) for _ in range(rng.randint(1, 6)))
            if number % 20 == 7:
                broken += 1
                stream.write(
                    rng.choice([UNCLOSED, UNCLOSED + "\nmore", "9,10009", "9,1,,,Nursing,a,b"]) + "\n"
                )
            else:
                good[str(number)] = text
                out.writerow(note(number, text))
    found, rows = read(path)
    assert found == good
    assert len(rows) == broken


def test_a_quote_that_never_closes_leaves_the_rest_of_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "N.csv"
    lines = [",".join(HEADER), UNCLOSED, *(",".join(note(n, "t")) for n in range(20, 2000))]
    path.write_text("\n".join(lines))
    good, rows = read(path)
    assert len(good) == 1980
    assert len(rows) == 1


def test_missing_column_is_named_with_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "N.csv", [])
    with pytest.raises(SourceError, match=r"no column weight.*It has: ROW_ID, SUBJECT_ID"):
        list(read_rows(path, ["row_id", "weight"]))


def test_truncated_gzip_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "N.csv.gz"
    path.write_bytes(gzip.compress(b"ROW_ID,TEXT\n" + b"1,abcdefgh\n" * 1000)[:-20])
    with pytest.raises(SourceError, match="Is the file complete"):
        read(path)


def test_a_table_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").touch()
    (tmp_path / "NOTES.csv.gz").touch()
    with pytest.raises(SourceError, match="twice"):
        find_table(tmp_path, "NOTES")
