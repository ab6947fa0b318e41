"""Tables that nobody asks for are not read."""

import json
from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.base import FRAMES
from cohorts.records.sources.registry import open_source
from cohorts.records.transforms import Subset, reading
from command_line import ok
from small_hospitals import mimic3

ALWAYS = {"PATIENTS", "ADMISSIONS", "DIAGNOSES_ICD", "PROCEDURES_ICD", "PRESCRIPTIONS", "ICUSTAYS"}


def test_a_later_pass_may_ask_for_more(tmp_path: Path) -> None:
    folder = mimic3(tmp_path / "tables")
    with (
        open_source("mimic3", folder, work_dir=tmp_path, quarantine_file=tmp_path / "bad") as some,
        open_source("mimic3", folder, work_dir=tmp_path, quarantine_file=tmp_path / "worse") as whole,
    ):
        with reading(Subset(some, {"1", "2"}), frozenset({"notes"})):
            (batch,) = some.batches()
        assert set(some.report.rows) == {*ALWAYS, "NOTEEVENTS"}
        assert (batch.notes.empty, batch.measurements.empty, batch.events.empty) == (False, True, True)
        assert batch.units["icu_days"].notna().any()  # stays in the payload
        (later,), (all_of_it,) = some.batches(), whole.batches()
        assert some.frames == FRAMES
        for name, frame in all_of_it.of_units().items():
            pd.testing.assert_frame_equal(later.of_units()[name], frame)
        assert some.report.counts == whole.report.counts
        assert some.report.left_out == whole.report.left_out


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ("--encoder codes --no-events", set()),
        ("--encoder codes", {"LABEVENTS"}),
        ("--encoder lsa:min_df=1 --no-events", {"NOTEEVENTS"}),
    ],
)
def test_an_ingest_reads_what_its_encoder_and_its_events_are_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, read: set[str]
) -> None:
    mimic3(tmp_path / "tables")
    monkeypatch.chdir(tmp_path)
    ok(f"ingest --source mimic3 --path tables {options}")
    manifest = json.loads(Path("cohorts.qdrant.runs/cohorts/manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["rows"]) == ALWAYS | read
    assert manifest["bytes_read"]["strict"] < manifest["bytes_read"]["fast"]
