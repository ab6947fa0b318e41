"""A saved cohort as a file for others: CSV, Parquet, rows of OMOP's COHORT table, or a Group of FHIR R4."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

from cohorts.connectors.base import Collection
from cohorts.errors import InputError
from cohorts.plain_text import csv_cell
from cohorts.private_files import replace_private
from cohorts.saved_cohorts import SavedCohort

OMOP_COLUMNS = ("cohort_definition_id", "subject_id", "cohort_start_date", "cohort_end_date")
_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # https://hl7.org/fhir/R4/datatypes.html#id
_INTEGER = re.compile(r"-?[0-9]{1,18}")  # within a bigint
_TEST_DATA = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HTEST",
    "display": "test health data",
}


class ExportFormat(StrEnum):
    """What a cohort is exported as."""

    CSV = "csv"
    PARQUET = "parquet"
    OMOP = "omop"
    FHIR = "fhir"


def export(
    saved: SavedCohort,
    file: Path,
    form: ExportFormat,
    definition_id: int,
    collection: Collection | None,
    run_dir: Path,
) -> tuple[str, ...]:
    """Write a cohort to a new file, and return what is to be told of it. OMOP needs `collection`. Raises InputError."""
    if file.exists() or file.is_symlink():
        raise InputError(f"There is a file {file} already; move it away or take another name.")
    notes: tuple[str, ...] = ()
    match form:
        case ExportFormat.CSV:
            text = _csv(("unit", "patient", "score"), _rows(saved))
        case ExportFormat.OMOP:
            assert collection is not None  # noqa: S101 - the caller looked it up
            rows, notes = _omop_rows(saved, definition_id, collection, run_dir)
            text = _csv(OMOP_COLUMNS, rows)
        case ExportFormat.FHIR:
            text = json.dumps(fhir_group(saved), ensure_ascii=False, indent=2) + "\n"
        case ExportFormat.PARQUET:
            with _new(file) as stream:
                _write_parquet(saved, stream)
            return notes
    with _new(file) as stream:
        stream.write(text.encode())
    return notes


def fhir_group(saved: SavedCohort) -> dict[str, Any]:
    """Return a cohort as a Group of FHIR R4: actual persons, each a reference to Patient/ID. Raises InputError."""
    patients = list(dict.fromkeys(saved.patients))
    if wrong := sum(_FHIR_ID.fullmatch(one) is None for one in patients):
        raise InputError(
            f"{wrong:,} of the {len(patients):,} patients' ids can't be ids of FHIR, which have at most 64 letters, "
            "digits, - and . alone. Export as csv or parquet."
        )
    return {
        "resourceType": "Group",
        **({"meta": {"tag": [_TEST_DATA]}} if saved.synthetic else {}),
        "active": True,
        "type": "person",
        "actual": True,
        "name": saved.name,
        "quantity": len(patients),
        **({"member": [{"entity": {"reference": f"Patient/{one}"}} for one in patients]} if patients else {}),
    }


def _rows(saved: SavedCohort) -> Iterator[tuple[Any, ...]]:
    scores: Sequence[float | None] = saved.scores or [None] * len(saved.units)
    return zip(saved.units, saved.patients, scores, strict=True)


def _omop_rows(
    saved: SavedCohort, definition_id: int, collection: Collection, run_dir: Path
) -> tuple[list[tuple[Any, ...]], tuple[str, ...]]:
    """Return rows of COHORT, by unit: from the moment that the window ends, or admission, to discharge, by day."""
    from cohorts.analysis.saved.stays import stays_of

    if wrong := sum(_INTEGER.fullmatch(one) is None for one in set(saved.patients)):
        raise InputError(
            f"{wrong:,} of the {len(set(saved.patients)):,} patients' ids are no whole numbers, as OMOP's "
            "subject_id is. Export as csv, parquet or fhir, and join them with PERSON by person_source_value."
        )
    stays = stays_of(saved.units, collection, run_dir)
    rows = []
    for unit, patient in zip(saved.units, saved.patients, strict=True):
        if unit in stays:
            begins, ends = stays[unit]
            rows.append((definition_id, int(patient), begins.isoformat(), max(begins, ends).isoformat()))
    many = len(saved.units) - len(rows)
    told = f"{many:,} of {len(saved.units):,} are left out: no time of their stay is known, and COHORT needs both dates"
    return rows, (told,) if many else ()


def _csv(columns: Sequence[str], rows: Iterator[tuple[Any, ...]] | Sequence[tuple[Any, ...]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _write_parquet(saved: SavedCohort, stream: BinaryIO) -> None:
    """Write unit, patient and score; all else that is known of the cohort, but no question, stands in the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = asdict(replace(saved, units=(), patients=(), scores=()))
    for name in ("units", "patients", "scores", "question"):
        del about[name]
    table = pa.table(
        {
            "unit": pa.array(saved.units, pa.string()),
            "patient": pa.array(saved.patients, pa.string()),
            "score": pa.array(saved.scores or [None] * len(saved.units), pa.float64()),
        }
    )
    pq.write_table(table.replace_schema_metadata({"cohort": json.dumps(about)}), stream)


@contextmanager
def _new(file: Path) -> Iterator[BinaryIO]:
    """Yield a stream that becomes a new file when all is written. Raises InputError."""
    try:
        if not file.parent.is_dir():
            raise FileNotFoundError(2, "no such folder")
        with replace_private(file) as stream:
            yield stream
    except OSError as error:
        raise InputError(f"{file} can't be written: {error.strerror}. Nothing was exported.") from error
