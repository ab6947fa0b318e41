"""Tables in several files, and views that SELECTs of a mapping share."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from cohorts.errors import SourceError
from small_hospitals import OpenOwn, Own, Read, mimic3


def in_parts(folder: Path, table: str, name: str, kind: str = "csv") -> Path:
    """Put the rows of a table into files of one row each, in a folder of its own."""
    rows = pd.read_csv(folder / f"{table}.csv", dtype=str, keep_default_na=False)
    (folder / f"{table}.csv").unlink()
    parts = folder / name
    parts.mkdir()
    for number in range(len(rows)):
        file = parts / f"part-{number:05}.{kind}"
        own = rows.iloc[[number]]
        own.to_csv(file, index=False) if kind == "csv" else own.to_parquet(file)
    (parts / "_SUCCESS").touch()
    (parts / ".part.crc").touch()
    return parts


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ADMISSIONS", "csv"),
        ("admissions", "parquet"),
        ("ADMISSIONS.csv", "csv"),
        ("admissions.parquet", "parquet"),
    ],
)
def test_a_table_in_parts_is_one_table(tmp_path: Path, read: Read, name: str, kind: str) -> None:
    whole, _ = read("mimic3", mimic3(tmp_path / "whole"))
    folder = mimic3(tmp_path / "parts")
    in_parts(folder, "ADMISSIONS", name, kind)
    batch, report = read("mimic3", folder)
    for frame in ("units", "admissions", "codes"):
        pd.testing.assert_frame_equal(getattr(batch, frame), getattr(whole, frame))
    assert report.rows["ADMISSIONS"] == 2


def test_a_bad_row_is_told_by_its_own_file_and_line(tmp_path: Path, read: Read) -> None:
    folder = mimic3(tmp_path / "parts")
    parts = in_parts(folder, "ADMISSIONS", "ADMISSIONS")
    bad = parts / "part-00001.csv"
    bad.write_text(bad.read_text() + "2,21,someday,,,ELECTIVE,0\n")
    batch, report = read("mimic3", folder, max_bad_share=0.5)
    assert len(batch) == 2
    assert report.quarantined == {"ADMISSIONS": 1}
    with (tmp_path / "work" / "bad.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["table"], row["row"], row["line"]) == (str(bad), "2", "3")


def test_a_part_that_lacks_a_column_is_refused_by_its_name(tmp_path: Path, read: Read) -> None:
    folder = mimic3(tmp_path / "parts")
    parts = in_parts(folder, "ADMISSIONS", "ADMISSIONS")
    (parts / "part-00001.csv").write_text("SUBJECT_ID,HADM_ID\n2,20\n")
    with pytest.raises(SourceError, match=r"part-00001\.csv has no column admittime"):
        read("mimic3", folder)


def with_views(own: Own, views: str, read: str) -> None:
    """Put views into the mapping, whose SELECTs read one of them in the place of the table persons."""
    tables, frames = own.mapping.read_text().split("[frames]")
    changed = frames.replace("FROM persons", f"FROM {read}")
    assert changed != frames
    own.mapping.write_text(f"{tables}[views]\n{views}\n[frames]{changed}")


def test_a_view_is_read_like_a_table(own: Own, open_own: OpenOwn) -> None:
    with open_own(own.folder, own.mapping) as source:
        (expected,) = source.batches()
    with_views(own, "first = 'SELECT * FROM persons'\nsecond = 'SELECT * FROM first'", "second")
    with open_own(own.folder, own.mapping) as source:
        (batch,) = source.batches()
    for frame, rows in expected.of_units().items():
        pd.testing.assert_frame_equal(getattr(batch, frame), rows)


@pytest.mark.parametrize(
    ("view", "told"),
    [
        ("persons = 'SELECT 1 AS a'", "table persons is declared twice"),
        ("some = 'SELECT nothing FROM nowhere'", "can't be run"),
        ("'a b' = 'SELECT 1 AS a'", "can't name a table"),
    ],
)
def test_a_view_that_can_not_be_used_is_refused(own: Own, open_own: OpenOwn, view: str, told: str) -> None:
    with_views(own, view, "some")
    with pytest.raises(SourceError, match=told):
        open_own(own.folder, own.mapping)
