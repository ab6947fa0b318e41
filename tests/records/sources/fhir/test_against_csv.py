"""The same four persons in Synthea's FHIR and in its CSV: the same records, but for what one export says alone."""

from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.base import Batch
from fhir_files import Open, read
from small_hospitals import OpenOwn

Pair = tuple[Batch, Batch]


@pytest.fixture
def both(shared_data: Path, open_fhir: Open, open_own: OpenOwn) -> Pair:
    """Return the batch of the Bundles, and the same persons' rows of the CSV."""
    (ours,) = read(open_fhir(shared_data / "synthea-notes" / "fhir"))
    source = open_own(shared_data / "synthea-notes", Path("synthea"))
    with source:
        (csv,) = source.batches()
    mine = set(ours.units["unit_id"])
    frames = {name: frame[frame["unit_id"].isin(mine)] for name, frame in csv.of_units().items()}
    return ours, Batch(units=csv.units[csv.units["unit_id"].isin(mine)], **frames)


def counted(frame: pd.DataFrame, *columns: str) -> "pd.Series[int]":
    return frame[list(columns)].fillna("").value_counts().sort_index()


@pytest.mark.parametrize("kind", ["diagnosis", "procedure", "drug"])
def test_codes(both: Pair, kind: str) -> None:
    fhir, csv = (
        counted(one.codes[one.codes["kind"] == kind], "admission_id", "system", "code") for one in both
    )
    pd.testing.assert_series_equal(fhir, csv)


def test_measurements_answers_notes_and_persons(both: Pair) -> None:
    for name, columns in (
        ("measurements", ["admission_id", "kind", "item", "loinc", "value", "uom"]),
        ("notes", ["admission_id", "category", "text"]),
        ("admissions", ["admission_id", "died"]),
        ("units", ["unit_id", "sex", "age", "admissions", "admission_id"]),
    ):
        fhir, csv = (counted(getattr(one, name), *columns) for one in both)
        pd.testing.assert_series_equal(fhir, csv)
    asked = [one.events[one.events["kind"].isin(["survey", "social history"])] for one in both]
    fhir, csv = (counted(one, "admission_id", "kind", "code") for one in asked)
    pd.testing.assert_series_equal(fhir, csv)


def test_what_differs_is_what_the_exports_say(both: Pair) -> None:
    fhir, csv = both
    pairs = fhir.admissions.merge(csv.admissions, on="admission_id")
    hours = (pairs["admitted_y"] - pairs["admitted_x"]).dt.total_seconds() / 3600
    assert set(hours) == {4, 5}  # summer and winter of Massachusetts, which the CSV has as UTC
    classes = set(zip(pairs["admission_type_x"], pairs["admission_type_y"], strict=True))
    assert classes == {
        ("AMB", "ambulatory"),
        ("AMB", "outpatient"),
        ("AMB", "wellness"),
        ("EMER", "emergency"),
        ("IMP", "snf"),
    }
    drugs = [one.codes[one.codes["kind"] == "drug"] for one in both]
    assert (drugs[0]["stop"].notna().sum(), drugs[1]["stop"].notna().sum()) == (0, 9)
    kinds = set(csv.events["kind"]) - set(fhir.events["kind"])
    assert kinds == {"allergy", "care plan", "device", "immunization"} & set(csv.events["kind"])
