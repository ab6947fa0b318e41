"""Damaged and strange files: a clear error, or a row in quarantine, and no content of a record in either."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest
from cohorts.errors import SourceError
from cohorts.records.sources.registry import open_source
from omop_forms.small import omop
from small_hospitals import Read


def as_parquet(folder: Path, table: str, **columns: bytes) -> Path:
    frame = pd.read_csv(folder / f"{table}.csv", dtype="str").assign(**columns)
    (folder / f"{table}.csv").unlink()
    frame.to_parquet(folder / f"{table.upper()}.parquet")
    return folder / f"{table.upper()}.parquet"


@pytest.mark.parametrize("table", ["condition_occurrence", "concept"])
def test_a_truncated_parquet_file_is_refused_by_name(tmp_path: Path, table: str) -> None:
    file = as_parquet(omop(tmp_path / "cdm"), table)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(SourceError, match=rf"{table.upper()}\.parquet.*complete"):
        open_source("omop", tmp_path / "cdm", work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv")


def test_parquet_in_parts_and_in_capitals_is_read_like_csv(read: Read, tmp_path: Path) -> None:
    plain, _ = read("omop", omop(tmp_path / "plain"))
    folder = omop(tmp_path / "parts")
    file = as_parquet(folder, "condition_occurrence")
    rows = pyarrow.parquet.read_table(file)
    file.unlink()
    (folder / "Condition_Occurrence").mkdir()
    for part in range(2):
        some = rows.slice(part * 3, 3 if part == 0 else None)
        pyarrow.parquet.write_table(some, folder / "Condition_Occurrence" / f"part-{part}.parquet")
    for name in ("person", "concept", "visit_occurrence"):
        as_parquet(folder, name)
    found, _ = read("omop", folder)
    pd.testing.assert_frame_equal(plain.codes, found.codes)


def test_a_column_of_bytes_is_refused(tmp_path: Path) -> None:
    as_parquet(omop(tmp_path / "cdm"), "note", note_text=b"no text")
    with pytest.raises(SourceError, match="note_text"):
        open_source("omop", tmp_path / "cdm", work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv")


def test_rows_of_wrong_types_are_bad_and_the_others_are_read(read: Read, tmp_path: Path) -> None:
    conditions = (
        "person_id,visit_occurrence_id,condition_concept_id,condition_start_date,condition_source_value\n"
        "3,6,255848,2021-05-01,\nsecret,6,255848,2021-05-01,\n3,6,255848,yesterday,\n3,6,1e5,2021-05-01,"
    )
    batch, report = read("omop", omop(tmp_path / "cdm", condition_occurrence=conditions), max_bad_share=1.0)
    assert report.quarantined == {"condition_occurrence": 3}
    assert (
        batch.codes["kind"] == "diagnosis"
    ).sum() == 3  # with those of an observation and of a measurement
    listed = (tmp_path / "work" / "bad.csv").read_text()
    assert "secret" not in listed
    assert "yesterday" not in listed


def test_a_folder_without_persons_is_refused(tmp_path: Path) -> None:
    omop(tmp_path / "cdm", person=None)
    with pytest.raises(SourceError, match="Table person is missing"):
        open_source("omop", tmp_path / "cdm", work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "person.csv").write_text("person_id\n1\n")
    with pytest.raises(SourceError, match="no database file"):
        open_source("omop", tmp_path / "person.csv", work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv")


def test_a_person_twice_and_a_visit_twice_are_bad(read: Read, tmp_path: Path) -> None:
    folder = omop(tmp_path / "cdm")
    for name in ("person", "visit_occurrence"):
        with (folder / f"{name}.csv").open("a") as stream:
            stream.write((folder / f"{name}.csv").read_text().splitlines()[-1] + "\n")
    batch, report = read("omop", folder, max_bad_share=1.0)
    assert len(batch) == 3
    assert report.quarantined["person"] == 1
