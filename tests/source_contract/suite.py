"""The suite: whole patients once each, in a stable order; what shards, updates and windows do; what is never told."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cohorts.records.base import Batch, Source, Unit
from cohorts.records.shards import Shard
from cohorts.records.sources import registry
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.window import AsOf, parse_window
from command_line import ok

from source_contract.hospital import ICD9, SECRET, Patient, patients

FRAMES = ("units", "admissions", "codes", "notes", "measurements", "events")


class SourceContract:
    """The suite. A subclass gives the `name` of the source, and writes patients in its form.

    A source of notes alone has `has_stays` false: it knows no admissions and no codes. `icd` is how it codes diagnoses.
    """

    name: str
    has_stays, icd = True, "ICD-10"

    def write(self, folder: Path, people: Sequence[Patient]) -> Path:
        """Write the patients below a folder, and return what `--path` names."""
        raise NotImplementedError

    def spoil(self, path: Path) -> None:
        """Add a row of a patient that can't be used, with SECRET in one of its cells."""
        raise NotImplementedError

    def coded(self, icd10: str) -> str:
        """Return a diagnosis as the source holds it."""
        return icd10 if self.icd == "ICD-10" else ICD9[icd10]

    def options(self, path: Path) -> dict[str, Any]:
        """Return the options by which it is opened; a mapping stands beside the path."""
        return {}

    def arguments(self, path: Path) -> str:
        """Return the same as they are typed."""
        return "".join(f" --{option} {value}" for option, value in self.options(path).items())

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return self.write(tmp_path / "hospital", patients())

    def opened(self, path: Path, tmp_path: Path, **more: Any) -> PartitionedSource:
        options = self.options(path) | more
        return registry.open_source(
            self.name, path, work_dir=tmp_path / "work", quarantine_file=tmp_path / "bad.csv", **options
        )

    def read(self, path: Path, tmp_path: Path, **more: Any) -> list[Batch]:
        with self.opened(path, tmp_path, **more) as source:
            return list(source.batches())

    def test_it_stands_among_the_others(self) -> None:
        assert self.name in registry.source_names()

    def test_opening_reads_no_patient_and_says_what_there_is(self, path: Path, tmp_path: Path) -> None:
        with self.opened(path, tmp_path) as source:
            assert source.name == self.name
            assert source.has_codes is self.has_stays
            assert source.report.counts == {}

    def test_every_patient_comes_once_and_whole(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = joined(self.read(path, tmp_path))
        monkeypatch.setattr("cohorts.records.tables.partition.PART_BYTES", 512)
        batches = self.read(path, tmp_path)
        units = pd.concat([batch.units for batch in batches])
        assert sorted(units["patient_id"]) == sorted(str(one.number) for one in patients())
        assert max(map(len, batches)) < len(units) / 2  # a part, and never all of them, is in memory
        for batch in batches:
            for name, frame in batch.of_units().items():
                assert set(frame["unit_id"]) <= set(batch.units["unit_id"]), name
        for name, frame in joined(batches).items():
            pd.testing.assert_frame_equal(by_unit(frame), by_unit(whole[name]))

    def test_the_order_is_stable(self, path: Path, tmp_path: Path) -> None:
        with self.opened(path, tmp_path) as source:
            passes = [joined(list(source.batches())) for _ in range(2)]
        passes.append(joined(self.read(path, tmp_path)))
        for name in FRAMES:
            for again in passes[1:]:
                pd.testing.assert_frame_equal(again[name], passes[0][name])

    def test_what_was_written_is_read(self, path: Path, tmp_path: Path) -> None:
        frames = joined(self.read(path, tmp_path))
        if not self.has_stays:
            assert sorted(frames["notes"]["text"]) == sorted(one.note for one in patients())
            return
        assert dict(frames["units"][["patient_id", "sex"]].itertuples(index=False)) == {
            str(one.number): one.sex for one in patients()
        }
        codes = frames["codes"].merge(frames["admissions"][["admission_id", "discharged"]])
        diagnoses = codes[codes["kind"] == "diagnosis"]
        assert set(diagnoses["system"]) == {self.icd}
        stays = [stay for one in patients() for stay in one.stays]
        assert sorted(
            zip(diagnoses["admitted"], diagnoses["discharged"], diagnoses["code"], strict=True)
        ) == sorted(
            (pd.Timestamp(stay.admitted), pd.Timestamp(stay.discharged), self.coded(code))
            for stay in stays
            for code in stay.diagnoses
        )
        drugs = codes[codes["kind"] == "drug"]
        assert sorted(zip(drugs["code"], drugs["time"], strict=True)) == sorted(
            (name, pd.Timestamp(time)) for stay in stays for name, time in stay.drugs
        )

    def test_a_fingerprint_follows_the_files(self, path: Path, tmp_path: Path) -> None:
        def fingerprint(place: Path) -> str:
            with self.opened(place, tmp_path) as source:
                return source.fingerprint

        assert fingerprint(path) == fingerprint(path)
        other = self.write(tmp_path / "other", patients(39))
        assert fingerprint(path) != fingerprint(other)

    def test_bad_rows_are_told_by_their_place_and_never_by_what_is_in_them(
        self, path: Path, tmp_path: Path
    ) -> None:
        self.spoil(path)
        with self.opened(path, tmp_path) as source:
            units = pd.concat([batch.units for batch in source.batches()])
            assert sum(source.report.quarantined.values()) == 1
            assert SECRET not in repr(source.report)
        assert len(units) == len(patients())
        written = (tmp_path / "bad.csv").read_text()
        assert SECRET not in written
        (row,) = csv.DictReader(written.splitlines())
        assert int(row["row"]) > 0
        assert row["table"]
        assert row["reason"]

    def test_shards_are_apart_and_together_all(self, path: Path, tmp_path: Path) -> None:
        parts = [
            joined(self.read(path, tmp_path, shard=Shard(number, 3)))["units"]["patient_id"]
            for number in (1, 2, 3)
        ]
        assert all(len(part) for part in parts)
        assert sorted(pd.concat(parts)) == sorted(str(one.number) for one in patients())

    def test_a_window_cuts_what_came_later(self, path: Path, tmp_path: Path) -> None:
        if not self.has_stays:
            return
        with self.opened(path, tmp_path, unit=Unit.ADMISSION) as source:
            seen: Source = AsOf(source, parse_window("admission+24h"))
            codes = joined(list(seen.batches()))["codes"]
        assert set(codes["code"]) == {"Furosemide"}  # diagnoses are known at the end, the other drug later
        assert len(codes) == 2 * len(patients())

    def test_an_update_sends_whom_a_change_concerns(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        where = f"--source {self.name} --path {path}{self.arguments(path)}"
        ok(f"fit {where} --encoder {'codes' if self.has_stays else 'lsa'}:dim=8 --out encoder")
        ingest = f"ingest {where} --store qdrant:store --encoder encoder --collection c --run-dir run"
        ok(ingest)
        self.write(path if path.is_dir() else path.parent, patients(41))
        ok(f"{ingest} --update")
        manifest = json.loads(Path("run/manifest.json").read_text())
        assert (manifest["unchanged"], manifest["written"]) == (40, 1)


def joined(batches: Sequence[Batch]) -> dict[str, pd.DataFrame]:
    """Return the frames of all batches, one after the other."""
    return {
        name: pd.concat([getattr(batch, name) for batch in batches], ignore_index=True) for name in FRAMES
    }


def by_unit(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("unit_id", kind="stable", ignore_index=True)
