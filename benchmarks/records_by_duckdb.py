"""The eight tables of benchmarks/records.py by plain DuckDB: typed, joined, dealt to parts by patient, read back.

Run as `records_by_duckdb.py TABLES PARTS`.
"""

import shutil
import sys
from pathlib import Path

import duckdb

PART_MB = 16
TABLES = (
    "PATIENTS ADMISSIONS ICUSTAYS DIAGNOSES_ICD PROCEDURES_ICD PRESCRIPTIONS LABEVENTS NOTEEVENTS".split()  # noqa: SIM905
)
JOINED = {
    "LABEVENTS": "SELECT labs.*, LABEL FROM rows AS labs LEFT JOIN items USING (ITEMID)",
    "NOTEEVENTS": "SELECT * FROM rows WHERE coalesce(ISERROR, '') <> '1'",
}


def main(tables: Path, parts: Path) -> None:
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()
    size = sum(file.stat().st_size for file in tables.iterdir())
    many = max(1, round(size / 1e6 / PART_MB))
    database = duckdb.connect(config={"threads": 1})
    database.sql(f"CREATE TABLE items AS FROM read_csv('{tables}/D_LABITEMS.csv')")
    for name in TABLES:
        read = f"read_csv('{tables}/{name}.csv', header = true, sample_size = 2000)"
        database.sql(
            f"COPY (SELECT *, hash(SUBJECT_ID) % {many} AS part FROM {read}) TO '{parts}/{name}' "
            "(FORMAT parquet, PARTITION_BY (part), COMPRESSION lz4)"
        )
    rows = 0
    for part in range(many):
        for name in TABLES:
            files = [str(file) for file in (parts / name / f"part={part}").glob("*.parquet")]
            if not files:
                continue
            rows_of = database.sql(f"FROM read_parquet({files})")
            known = database.sql(JOINED.get(name, "FROM rows").replace("rows", "rows_of", 1))
            rows += known.order("SUBJECT_ID").to_arrow_table().num_rows
            del rows_of
    print(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
