"""A hospital's own tables, as its mapping declares them; every mistake is told before a table is read."""

import csv
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from cohorts import open_source as open_from_python
from cohorts.errors import InputError, SourceError, TooManyBadRows
from cohorts.records.base import Batch, Unit
from cohorts.records.shards import Shard
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.tables import partition
from command_line import ok, refused
from small_hospitals import OpenOwn, Own


def read(source: PartitionedSource) -> list[Batch]:
    with source:
        return list(source.batches())


def assert_same(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        pd.testing.assert_frame_equal(one.units, other.units)
        for name, frame in one.of_units().items():
            pd.testing.assert_frame_equal(frame, other.of_units()[name])


def bad_rows(tmp_path: Path) -> list[tuple[str, str, str]]:
    with (tmp_path / "bad.csv").open(newline="") as stream:
        return [(row["table"], row["row"], row["reason"]) for row in csv.DictReader(stream)]


def test_the_example_is_read_as_its_mapping_says(own: Own, open_own: OpenOwn) -> None:
    source = open_own(*own)
    (batch,) = read(source)
    assert source.has_notes
    assert source.has_codes
    assert batch.units["patient_id"].tolist() == ["P-001", "P-002", "P-003"]
    first, second, third = batch.units.to_dict("records")
    assert (first["sex"], first["age"], first["admissions"], first["admission_id"]) == ("F", 71, 2, "V3")
    assert (second["died"], second["principal_code"], second["principal_system"]) == (True, "J189", "ICD-10")
    assert (third["admissions"], bool(pd.isna(third["age"]))) == (0, True)
    assert batch.codes["code"].tolist() == ["E119", "I10", "I10", "J189"]
    creatinine, glucose = batch.measurements.sort_values("item").to_dict("records")
    assert (creatinine["uom"], creatinine["value"]) == ("mg/dL", pytest.approx(88 / 88.4, rel=2e-3))
    assert (glucose["value"], glucose["admission_id"], glucose["loinc"]) == (182, "V1", "2345-7")
    assert batch.notes["category"].tolist() == ["Discharge summary", "Radiology", "Letter"]
    assert source.report.left_out == {
        "rows of labs that refer to nothing in visits": 1,
        "rows of labs without a number": 1,
    }
    assert source.report.selected == {
        "patients": 3,
        "admissions": 3,
        "codes": 4,
        "measurements": 3,
        "notes": 3,
    }


def test_units_are_admissions_too(own: Own, open_own: OpenOwn) -> None:
    (batch,) = read(open_own(*own, unit=Unit.ADMISSION))
    assert batch.units["unit_id"].tolist() == ["V1", "V3", "V2"]
    assert batch.measurements["unit_id"].tolist() == ["V1", "V1"]


def as_parquet(own: Own) -> None:
    for file in own.folder.glob("*.csv"):
        kinds = pyarrow.csv.ConvertOptions(column_types={"rank": pa.int64()}, strings_can_be_null=True)
        pyarrow.parquet.write_table(
            pyarrow.csv.read_csv(file, convert_options=kinds), file.with_suffix(".parquet")
        )
        file.unlink()


def as_lines(own: Own) -> None:
    for file in own.folder.glob("*.csv"):
        with file.open(newline="") as stream:
            lines = [json.dumps(row) + "\n" for row in csv.DictReader(stream)]
        file.with_suffix(".jsonl").write_text("".join(lines))
        file.unlink()


def as_duckdb(own: Own) -> Path:
    file = own.folder.parent / "hospital.duckdb"
    with duckdb.connect(str(file)) as database:
        for table in own.folder.glob("*.csv"):
            database.execute(f"CREATE TABLE {table.stem} AS FROM read_csv('{table}', header = true)")
        database.execute("CREATE TABLE secrets (a BLOB)")
    return file


def as_sqlite(own: Own) -> Path:
    file = own.folder.parent / "hospital.sqlite"
    database = sqlite3.connect(file)
    for table in own.folder.glob("*.csv"):
        with table.open(newline="") as stream:
            header, *rows = csv.reader(stream)
        columns = ", ".join(f'"{one}" NUMERIC' for one in header)
        database.execute(f"CREATE TABLE {table.stem} ({columns})")
        marks = ", ".join("?" * len(header))
        database.executemany(
            f"INSERT INTO {table.stem} VALUES ({marks})", [[cell or None for cell in row] for row in rows]
        )
    database.commit()
    database.close()
    return file


@pytest.mark.parametrize("made", [as_parquet, as_lines])
def test_other_files_give_the_same(own: Own, open_own: OpenOwn, made: Callable[[Own], None]) -> None:
    expected = read(open_own(*own))
    made(own)
    assert_same(read(open_own(*own)), expected)


@pytest.mark.parametrize("made", [as_duckdb, as_sqlite])
def test_a_database_gives_the_same(
    own: Own, open_own: OpenOwn, made: Callable[[Own], Path], tmp_path: Path
) -> None:
    expected = read(open_own(*own))
    file = made(own)
    own.replace("[tables.reports]\n", '[tables.letters]\nfile = "REPORTS"\n')
    own.replace("FROM reports", "FROM letters")
    source = open_own(file, own.mapping)
    copies = list((tmp_path / "work").glob("*/*.parquet"))
    assert sorted(copy.stem for copy in copies) == [
        "diagnoses",
        "labs",
        "letters",
        "persons",
        "tests",
        "visits",
    ]
    assert {copy.stat().st_mode & 0o777 for copy in copies} == {0o600}
    before = source.fingerprint
    assert_same(read(source), expected)
    assert not list((tmp_path / "work").iterdir())
    assert open_own(file, own.mapping).fingerprint == before
    with file.open("ab") as stream:  # behind what is read
        stream.write(b"\0")
    assert open_own(file, own.mapping).fingerprint != before


@pytest.mark.parametrize("made", [as_duckdb, as_sqlite])
def test_what_a_database_lacks_is_told(own: Own, open_own: OpenOwn, made: Callable[[Own], Path]) -> None:
    file = made(own)
    own.replace('kind = "text", begin', 'sort = "text", begin')
    with pytest.raises(
        SourceError, match=r"Table visits of .* has no column sort .* It has: visit, person, kind"
    ):
        open_own(file, own.mapping)
    own.replace("[tables.visits]\n", '[tables.visits]\nfile = "stays"\n')
    with pytest.raises(SourceError, match=r"has no table stays\. It has: .*diagnoses.*visits"):
        open_own(file, own.mapping)


def test_what_is_no_database_is_refused(own: Own, open_own: OpenOwn, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"persons\.csv is no database file .* name the folder"):
        open_own(own.folder / "persons.csv", own.mapping)
    with pytest.raises(SourceError, match="no folder, and no database file"):
        open_own(tmp_path / "nowhere", own.mapping)
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"SQLite format 3\0" + b"Pat Doe" * 1000)
    with pytest.raises(SourceError, match="can't be read as a database") as told:
        open_own(broken, own.mapping)
    assert "Pat Doe" not in str(told.value)


def test_a_view_that_reads_a_file_is_refused(own: Own, open_own: OpenOwn, tmp_path: Path) -> None:
    file = tmp_path / "views.duckdb"
    with duckdb.connect(str(file)) as database:
        for table in own.folder.glob("*.csv"):
            database.execute(f"CREATE VIEW {table.stem} AS FROM read_csv('{table}')")
    with pytest.raises(SourceError, match=r"can't be read as a database.*Does a view of it read files\?"):
        open_own(file, own.mapping)


def test_parts_and_shards_have_each_patient_once(
    own: Own, open_own: OpenOwn, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read(open_own(*own))
    monkeypatch.setattr(partition, "PART_BYTES", 100)
    batches = read(open_own(*own))
    assert len(batches) > 1
    found = pd.concat([batch.measurements for batch in batches])
    assert sorted(found["value"]) == sorted(whole[0].measurements["value"])
    of_shards = [read(open_own(*own, shard=Shard(number, 2))) for number in (1, 2)]
    ids = [batch.units["unit_id"].tolist() for batches in of_shards for batch in batches]
    assert sorted(one for some in ids for one in some) == ["P-001", "P-002", "P-003"]
    many = [sum(len(batch.measurements) for batch in batches) for batches in of_shards]
    assert sum(many) == 2


def test_the_mapping_is_part_of_the_fingerprint(own: Own, open_own: OpenOwn) -> None:
    before = open_own(*own).fingerprint
    assert open_own(*own).fingerprint == before
    own.replace("'laboratory' AS kind", "'vital' AS kind")
    assert open_own(*own).fingerprint != before


def test_a_hospital_of_notes_and_patients_alone(own: Own, open_own: OpenOwn) -> None:
    own.mapping.write_text(
        """
[tables.reports]
patient = "person"
columns = { person = "id", written = "time?", type = "text", body = "text" }
[frames]
patients = "SELECT DISTINCT person AS patient_id FROM reports"
notes = "SELECT person AS patient_id, type AS category, written AS time, body AS text FROM reports"
events = "SELECT person AS patient_id, 'visit' AS kind, min(written) AS time FROM reports GROUP BY 1"
"""
    )
    source = open_own(*own)
    (batch,) = read(source)
    assert batch.units["unit_id"].tolist() == ["P-001", "P-002", "P-003"]
    assert batch.units["admissions"].tolist() == [0, 0, 0]
    assert batch.units[["age", "stay_days", "died"]].isna().all(axis=None)
    assert len(batch.notes) == len(batch.events) == 3
    assert source.report.counts == {
        "patients": 3,
        "admissions": 0,
        "visit": 3,
        "measurements": 0,
        "notes": 3,
    }
    with pytest.raises(InputError, match="no frame admissions, so it knows no admissions"):
        open_own(*own, unit=Unit.ADMISSION)


def test_only_some_rows_are_read(own: Own, open_own: OpenOwn) -> None:
    own.replace('via = "visits"\n', 'via = "visits"\nonly = { test = "wanted" }\n')
    own.replace("[frames]\n", '[values]\nwanted = ["CREA"]\n\n[frames]\n')
    source = open_own(*own)
    (batch,) = read(source)
    assert batch.measurements["item"].tolist() == ["Creatinine"]
    assert source.report.rows["labs"] == 4


def test_tables_and_columns_that_may_be_lacking_are_told(own: Own, open_own: OpenOwn) -> None:
    (own.folder / "reports.csv").unlink()
    persons = own.folder / "persons.csv"
    persons.write_text(persons.read_text().replace("sex", "gender"))
    own.replace(
        'patient = "person"\ncolumns = { person = "id", sex',
        'patient = "person"\nwithout = { sex = "sex is not known" }\ncolumns = { person = "id", sex',
    )
    source = open_own(*own)
    assert not source.has_notes
    assert read(source)[0].units["sex"].isna().all()
    assert source.report.warnings == [
        "persons has no column sex: sex is not known",
        f"No table reports in {own.folder}: no notes",
    ]


def test_rows_without_a_place_are_listed_under_their_select(
    own: Own, open_own: OpenOwn, tmp_path: Path
) -> None:
    own.replace('icd10 AS code, rank,\n  "table", row, line', "replace('1' || icd10, 'x', '') AS code, rank")
    own.replace('icd = { kind = "diagnosis", code = "icd10", version = "10" }\n', "")
    own.replace("'ICD-10' AS system", "'ICD-9' AS system")
    source = open_own(*own, max_bad_share=1)
    read(source)
    assert {(table, row) for table, row, _ in bad_rows(tmp_path)} == {("SELECT of codes", "0")}
    assert source.report.quarantined == {"SELECT of codes": 4}
    with pytest.raises(TooManyBadRows, match="4 of 4 rows of SELECT of codes are bad"):
        read(open_own(*own))


def test_bad_rows_are_named_by_their_place(own: Own, open_own: OpenOwn, tmp_path: Path) -> None:
    for name, line in (
        ("diagnoses", "V2,P-001,1,I10"),  # another's visit
        ("diagnoses", "V1,P-001,1,38x."),
        ("visits", "V1,P-001,again,2020-01-02 10:00,,no"),
        ("labs", "V1,GLU,2020-13-02,1,mg/dL"),
    ):
        file = own.folder / f"{name}.csv"
        file.write_text(file.read_text() + line + "\n")
    read(open_own(*own, max_bad_share=1))
    places = {(table, row): reason for table, row, reason in bad_rows(tmp_path)}
    assert places.keys() == {("diagnoses", "5"), ("diagnoses", "6"), ("visits", "4"), ("labs", "5")}
    assert places["diagnoses", "5"] == "an admission of another patient"


def test_what_goes_with_a_mapping_is_said(own: Own, tmp_path: Path) -> None:
    path = f"--path {own.folder} --run-dir {tmp_path / 'run'} --dry-run"
    assert "name it with --mapping" in refused(f"ingest --source tables {path}")
    told = refused(f"ingest --source mimic3 --mapping {own.mapping} {path}")
    assert "mimic3 has none: leave it out." in told
    assert "can't be read" in refused(f"ingest --source tables --mapping {tmp_path / 'none.toml'} {path}")
    own.mapping.write_bytes(b"\xff\xfe")
    assert "it is no UTF-8" in refused(f"ingest --source tables --mapping {own.mapping} {path}")


def test_it_is_opened_from_python(own: Own) -> None:
    with open_from_python("tables", own.folder, mapping=own.mapping) as source:
        (batch,) = source.batches()
    assert len(batch) == 3


def test_an_update_sends_whom_a_changed_file_changed(
    own: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ingest = f"ingest {own} --store qdrant:./q --encoder codes:dim=4"

    def manifest() -> dict[str, Any]:
        found: dict[str, Any] = json.loads((tmp_path / "q.runs/cohorts/manifest.json").read_text())
        return found

    ok(ingest)
    assert manifest()["written"] == 2  # P-003 has no codes
    file = own.folder / "diagnoses.csv"
    file.write_text(file.read_text().replace("V2,P-002,1,J18.9", "V2,P-002,1,I10"))
    ok(f"{ingest} --update")
    assert manifest()["written"] == 1
    own.replace("'diagnosis' AS kind", "'procedure' AS kind")
    assert "source was tables" in refused(f"{ingest} --resume")


def test_a_run_that_ended_early_goes_on_and_shards_load_beside_each_other(
    own: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labs = own.folder / "labs.csv"
    labs.write_text(labs.read_text() + "V1,GLU,2020-13-02,1,mg/dL\n")
    ingest = f"ingest {own} --store qdrant:./q"
    assert "1 of 5 rows of labs are bad" in refused(f"{ingest} --encoder codes:dim=4")
    ok(f"{ingest} --encoder codes:dim=4 --resume --max-bad-share 1")
    assert json.loads((tmp_path / "q.runs/cohorts/manifest.json").read_text())["written"] == 2
    labs.write_text(labs.read_text().replace("2020-13-02", "2020-12-02"))
    ok(f"fit {own} --encoder codes:dim=4 --out encoder")
    for shard in ("1/2", "2/2"):
        ok(f"{ingest} --encoder encoder --collection sharded --shard {shard}")
    for patient in ("P-001", "P-002"):
        assert "P-00" in ok(f"query --store qdrant:./q --collection sharded --patient {patient} -k 1")
