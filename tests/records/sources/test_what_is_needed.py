"""Tables that nobody asks for are not read."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from cohorts.encoders.registry import make_encoder
from cohorts.errors import InputError
from cohorts.records.base import FRAMES, Batch, Source, Unit
from cohorts.records.sources.registry import open_source
from cohorts.records.transforms import Subset, View, reading
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
    ("name", "unit"), [("mimic3", Unit.PATIENT), ("mimic3", Unit.ADMISSION), ("mimic4", Unit.PATIENT)]
)
def test_a_source_that_is_only_counted_tells_what_one_tells_whose_batches_are_made(
    shared_data: Path, tmp_path: Path, name: str, unit: Unit
) -> None:
    folder = shared_data / f"{name}-demo"
    with (
        open_source(name, folder, unit=unit, work_dir=tmp_path, quarantine_file=tmp_path / "bad") as counted,
        open_source(
            name, folder, unit=unit, work_dir=tmp_path, quarantine_file=tmp_path / "worse", memory_mib=256
        ) as made,
    ):
        assert sum(counted.counted()) == sum(map(len, made.batches())) > 0
        assert counted.report.counts == made.report.counts
        assert counted.report.left_out == made.report.left_out
        assert counted.report.selected == made.report.selected
        assert list(counted.report.categories.told(9)) == list(made.report.categories.told(9))
        assert counted.report.quarantined == made.report.quarantined


class _Told(View):
    """A source that keeps which frames every pass over it was to read."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.passes: list[frozenset[str]] = []

    def batches(self) -> Iterator[Batch]:
        """Yield the source's batches."""
        self.passes.append(self.frames)
        yield from self._source.batches()


def test_the_parts_of_concat_learn_from_no_more_than_they_look_at(tmp_path: Path) -> None:
    folder = mimic3(tmp_path / "tables")
    with open_source("mimic3", folder, work_dir=tmp_path, quarantine_file=tmp_path / "bad") as source:
        told = _Told(source)
        make_encoder("concat:codes:min_units=1+lsa").fit(told)
        assert set(told.passes) == {frozenset(), frozenset({"notes"})}
        assert told.passes[-1] == {"notes"}
        assert source.frames == FRAMES


def test_too_little_memory_is_refused(tmp_path: Path) -> None:
    folder = mimic3(tmp_path / "tables")
    with pytest.raises(InputError, match="256 MiB of memory or more, not in 255"):
        open_source("mimic3", folder, work_dir=tmp_path, quarantine_file=tmp_path / "bad", memory_mib=255)


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
