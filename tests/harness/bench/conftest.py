"""What several tests of the benchmark stand on."""

from pathlib import Path

import pytest
from planted.bench import Planter, experiment_of


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planter:
    monkeypatch.setattr(
        "cohorts.measures.intervals.RESAMPLES", 40
    )  # intervals are tested where they are made
    planter = Planter(experiment_of(tmp_path), tmp_path / "planted")
    planter.all()
    return planter
