"""The synthetic hospital as OMOP and as MIMIC-III: the same patients have the same vectors."""

from pathlib import Path

import numpy as np
import pytest
from cohorts.encoders.base import Vectors
from cohorts.encoders.registry import DEFAULT, make_encoder, parse_encoder
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from other_forms.as_omop import as_omop

PATIENTS = 600  # all of them one part: what is learnt goes by the order of parts


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("forms")
    synthesize(folder / "mimic", PATIENTS, 5)
    return {"mimic3": folder / "mimic", "omop": as_omop(folder / "mimic", folder / "cdm")}


@pytest.mark.parametrize("encoder", [DEFAULT, "codes", "codes:columns=each"])
def test_vectors_are_the_same(forms: dict[str, Path], tmp_path: Path, encoder: str) -> None:
    made: dict[str, dict[str, Vectors]] = {}
    for name, path in forms.items():
        with open_source(name, path, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv") as source:
            trained = make_encoder(parse_encoder(encoder)).fit(source)
            made[name] = {
                unit: vector
                for batch in source.batches()
                for unit, vector in zip(batch.units["unit_id"], trained.encode(batch), strict=True)
            }
    assert made["mimic3"].keys() == made["omop"].keys()
    assert len(made["omop"]) == PATIENTS
    for unit, vector in made["mimic3"].items():
        np.testing.assert_allclose(made["omop"][unit], vector, atol=1e-6)


def test_values_and_outcomes_are_the_same(forms: dict[str, Path], tmp_path: Path) -> None:
    batches = {}
    for name, path in forms.items():
        with open_source(name, path, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv") as source:
            (batches[name],) = source.batches()
    ours, theirs = batches["mimic3"], batches["omop"]
    for column in (
        "unit_id",
        "admission_id",
        "admitted",
        "stay_days",
        "age",
        "sex",
        "died",
        "principal_code",
    ):
        assert ours.units[column].equals(theirs.units[column]), column
    for column in ("admitted", "discharged", "died", "readmitted", "last_contact"):
        assert ours.admissions[column].equals(theirs.admissions[column]), column
    assert ours.admissions["death"].dt.normalize().equals(theirs.admissions["death"].dt.normalize())
    labs = [batch.measurements[batch.measurements["kind"] == "laboratory"] for batch in (ours, theirs)]
    assert len(labs[0]) == len(labs[1])
    assert np.allclose(labs[0]["value"].sort_values(), labs[1]["value"].sort_values(), equal_nan=True)
