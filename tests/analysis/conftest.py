"""The kept records of a synthetic hospital by admissions, as every comparison reads them."""

from collections.abc import Iterator
from pathlib import Path

import cohorts
import pytest
from cohorts.analysis.compare.records_of import records_of
from cohorts.connectors.base import Collection
from cohorts.connectors.index import Hnsw
from cohorts.records.kept.reading import Kept


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis") / "hospital"
    cohorts.synthesize(folder, patients=500, seed=11)
    return folder


@pytest.fixture(scope="session")
def kept(ward: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """By admissions; from a source, so that no engine and no encoder is needed."""
    collection = Collection(name="stays", dim=2, index=Hnsw(), metadata={"as_of": "admission+24h"})
    folder = tmp_path_factory.mktemp("told")
    with (
        cohorts.open_source("mimic3", ward, unit="admission") as source,
        records_of(collection, folder, folder, source, lambda *_: None) as records,
    ):
        yield records.kept
