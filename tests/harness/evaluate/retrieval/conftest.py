"""A synthetic hospital and labelled notes that retrieval is measured on."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.base import Source
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital") / "tables"
    synthesize(folder, 250, seed=3)
    return folder


@pytest.fixture
def source(tables: Path, tmp_path: Path) -> Iterator[Source]:
    with open_source("mimic3", tables, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv") as opened:
        yield opened


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes.csv"
    topics = {
        "heart": "furosemide oedema dyspnoea",
        "knee": "pain swelling trauma",
        "skin": "rash itching cream",
    }
    rows = [
        {
            "id": f"{topic}{i}",
            "text": f"{words} visit {i}",
            "topic": f"{topic};Visit  {i % 2}",
            "more": "none",
        }
        for topic, words in topics.items()
        for i in range(12)
    ]
    pd.DataFrame(rows).to_csv(file, index=False)
    return file
