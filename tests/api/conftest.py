"""A small synthetic hospital, and a collection of its notes, for all tests of the public face."""

from collections.abc import Iterator
from pathlib import Path

import cohorts
import pytest

N = 90  # patients of the synthetic hospital


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cohorts.synthesize(tmp_path_factory.mktemp("api") / "hospital", patients=N, seed=7)


@pytest.fixture(scope="session")
def notes(hospital: Path) -> Iterator[cohorts.CollectionHandle]:
    """The synthetic hospital's patients by the words of their notes."""
    store = cohorts.connect(f"qdrant:{hospital.parent}/notes.qdrant")
    with cohorts.open_source("mimic3", hospital) as source:
        yield cohorts.ingest(source, "lsa:dim=16", store, "notes")
    store.close()
