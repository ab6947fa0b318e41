"""Opens FHIR from a folder, with a quarantine file that a test can read."""

from pathlib import Path
from typing import Any

import pytest
from cohorts.records.base import Batch, Report, Unit
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from fhir_files import Json, Open, ReadFhir, read, write_ndjson


@pytest.fixture
def open_fhir(tmp_path: Path) -> Open:
    def opened(path: Path, unit: Unit = Unit.PATIENT, **options: Any) -> PartitionedSource:
        return open_source(
            "fhir",
            path,
            unit=unit,
            work_dir=tmp_path / "work",
            quarantine_file=tmp_path / "bad.csv",
            **options,
        )

    return opened


@pytest.fixture
def read_fhir(tmp_path: Path, open_fhir: Open) -> ReadFhir:
    """Read resources that are written as NDJSON."""

    def reading(resources: list[Json], unit: Unit = Unit.PATIENT) -> tuple[Batch, Report]:
        source = open_fhir(write_ndjson(tmp_path / "fhir", resources), unit, max_bad_share=1)
        (batch,) = read(source)
        return batch, source.report

    return reading
