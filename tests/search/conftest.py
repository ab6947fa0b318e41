"""A synthetic hospital that was ingested by notes and codes, for all tests of what is asked."""

from pathlib import Path

import pytest
from command_line import ok


@pytest.fixture(scope="session")
def icu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with `hospital` and the store `cohorts.qdrant`, for who changes to it."""
    folder = tmp_path_factory.mktemp("icu")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("synth hospital --patients 80 --seed 3")
        ok("ingest --source mimic3 --path hospital --encoder concat:lsa:dim=16+codes:dim=16")
    return folder
