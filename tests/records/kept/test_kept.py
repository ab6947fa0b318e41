"""What is kept of a batch and read again: every row with its values, no note, and nothing that was changed since."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import cohorts
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from cohorts.errors import InputError
from cohorts.records.base import Batch
from cohorts.records.kept import writing
from cohorts.records.kept.reading import Kept, measured, open_kept
from cohorts.records.kept.rows import EVENTS, OUTCOMES
from cohorts.records.kept.writing import EVENTS_FILE, OUTCOMES_FILE, KeptWriter, rows_of_patient, write_less
from wards import NOTE, ward_batch

PATIENTS = {f"{100 + i}": 0.5 + i for i in range(12)}


def written(folder: Path, *batches: Batch, shard: str = "") -> Counter[str]:
    """Write batches as an ingest does, with a manifest that tells of them; return what was left out."""
    writer = KeptWriter(folder)
    for batch in batches:
        writer.add(batch, batch.units["unit_id"].tolist())
    writer.finish()
    told = {}
    for name, rows in writer.rows.items():
        called = name.replace(".", f"{shard}.", 1)
        (folder / name).rename(folder / called)
        told[called] = asdict(measured(folder / called, rows))
    (folder / f"manifest{shard}.json").write_text(json.dumps({"kept": told}))
    return writer.left_out


def events(kept: Kept, **columns: str) -> pd.DataFrame:
    frame: pd.DataFrame = kept.events.to_table().to_pandas()
    for name, value in columns.items():
        frame = frame[frame[name] == value]
    return frame.reset_index(drop=True)


def test_every_row_is_there_with_its_values(tmp_path: Path) -> None:
    batch = ward_batch(PATIENTS)
    assert not written(tmp_path, batch)
    kept = open_kept(tmp_path)
    assert kept.events.schema.names == EVENTS.names
    assert kept.outcomes.schema.names == OUTCOMES.names
    assert kept.events.count_rows() == len(batch.codes) + len(batch.measurements) + len(batch.events)
    for kind, frame in (
        ("drug", batch.codes[batch.codes["kind"] == "drug"]),
        ("diagnosis", batch.codes[batch.codes["kind"] == "diagnosis"]),
        ("laboratory", batch.measurements),
        ("icu stay", batch.events),
    ):
        there = events(kept, kind=kind)
        assert there["patient_id"].tolist() == there["unit_id"].tolist() == list(PATIENTS)
        for name in sorted({*map(str, frame)} - {"admitted"}):  # which the outcomes tell
            told, want = there["name" if name == "item" else name], frame[name].reset_index(drop=True)
            pd.testing.assert_series_equal(told, want, check_names=False, check_dtype=False)
    admissions = kept.outcomes.to_table().to_pandas()
    for column in batch.admissions:
        want = batch.admissions[column]
        pd.testing.assert_series_equal(admissions[column], want, check_names=False, check_dtype=False)


def test_every_row_of_real_records_is_kept_and_none_of_their_texts_is_a_note(
    shared_data: Path, tmp_path: Path
) -> None:
    source = cohorts.open_source("mimic3", shared_data / "mimic3-demo", work_dir=tmp_path / "work")
    batches = list(source.batches())
    source.close()
    assert not written(tmp_path, *batches)
    kept = open_kept(tmp_path)
    for name in ("codes", "measurements", "events"):
        rows = pd.concat(getattr(batch, name) for batch in batches)
        for kind, many in rows["kind"].value_counts().items():
            assert kept.events.count_rows(filter=pc.field("kind") == str(kind)) == many > 0
    outcomes = kept.outcomes.to_table().to_pandas()
    admissions = pd.concat(batch.admissions for batch in batches)
    assert outcomes["admission_id"].tolist() == admissions["admission_id"].tolist()
    assert outcomes["death"].notna().all(), "of the demo's patients, all of whom died"
    assert outcomes["described"].sum() == len(pd.concat(batch.units for batch in batches)) == 100


def test_rows_whose_kind_is_not_told_are_kept(tmp_path: Path) -> None:
    batch = ward_batch(PATIENTS)
    batch.measurements.loc[3, "kind"] = None
    batch.codes["kind"] = None
    written(tmp_path, batch)
    kept = open_kept(tmp_path)
    assert kept.events.count_rows() == len(batch.codes) + len(batch.measurements) + len(batch.events)
    assert kept.events.to_table()["kind"].null_count == len(batch.codes) + 1


def test_a_unit_has_one_outcome_that_its_row_describes(tmp_path: Path) -> None:
    batch = ward_batch({"7": -1.0, **PATIENTS, "9": -1.0})
    written(tmp_path, batch)
    outcomes = open_kept(tmp_path).outcomes.to_table().to_pandas()
    described = outcomes[outcomes["described"]].reset_index(drop=True)
    assert described["unit_id"].tolist() == batch.units["unit_id"].tolist()
    pd.testing.assert_frame_equal(
        described[["age", "sex", "admission_id"]],
        batch.units[["age", "sex", "admission_id"]],
        check_dtype=False,
    )
    assert len(outcomes) == 2 * len(PATIENTS) + 2


def test_no_text_that_may_be_a_note_is_kept(tmp_path: Path) -> None:
    batch = ward_batch(PATIENTS)
    batch.measurements.loc[3, "item"] = f"{NOTE}\nand on the next line"
    batch.codes.loc[5, "dose"] = "Quillfeather " * 30
    batch.admissions.loc[2, "discharge_location"] = f"{NOTE}\r"
    batch.events.loc[1, "name"] = "M" * 255
    assert written(tmp_path, batch) == {"name": 1, "dose": 1, "discharge_location": 1}
    kept = open_kept(tmp_path)
    assert kept.events.count_rows() == len(batch.codes) + len(batch.measurements) + len(batch.events)
    assert events(kept, kind="laboratory")["name"].isna().tolist() == [i == 3 for i in range(12)]
    assert events(kept, kind="icu stay")["name"][1] == "M" * 255
    for file in tmp_path.glob("*.parquet"):
        content = file.read_bytes()
        assert b"100" in content, "so small a page is not compressed"
        assert b"Quill" not in content


def test_rows_of_some_units_are_found_in_their_blocks_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "BLOCK_ROWS", 30)
    monkeypatch.setattr(writing, "GROUP_ROWS", 3)
    batches = [ward_batch({f"{n}{i}": 1.0 + i for i in range(5)}) for n in range(1, 8)]
    written(tmp_path, *batches)
    kept = open_kept(tmp_path)
    foot = pq.read_metadata(tmp_path / EVENTS_FILE)
    place = {foot.schema.column(i).name: i for i in range(foot.num_columns)}
    for group in (foot.row_group(i) for i in range(foot.num_row_groups)):
        assert group.num_rows <= 3
        for name in ("kind", "block"):
            bounds = group.column(place[name]).statistics
            assert bounds.min == bounds.max, "groups of one kind, and of whole units of one block"
    everything = kept.events.to_table().to_pandas()
    assert everything["block"].max() == 3, "two batches make a block"
    asked = ["31", "72", "nobody"]
    found, outcomes = kept.of_units(asked)
    want = everything[everything["unit_id"].isin(asked)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.to_pandas(), want)
    assert set(outcomes["unit_id"].to_pylist()) == {"31", "72"}
    blocks = everything.groupby("unit_id")["block"].agg(set)
    told = kept.outcomes.to_table().to_pandas().groupby("unit_id")["block"].agg(set)
    assert blocks.equals(told)
    assert blocks.map(len).max() == 1


def test_what_was_changed_since_is_refused(tmp_path: Path) -> None:
    batch = ward_batch(PATIENTS)
    written(tmp_path, batch)
    for name in (EVENTS_FILE, OUTCOMES_FILE):
        file = tmp_path / name
        good = file.read_bytes()
        file.write_bytes(good[:-1] + b"2")
        with pytest.raises(InputError, match=f"{name} is not what the run wrote"):
            open_kept(tmp_path)
        file.unlink()
        with pytest.raises(InputError, match=f"{name} can't be read: No such file"):
            open_kept(tmp_path)
        file.write_bytes(good)
    open_kept(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace(EVENTS_FILE, "../events.parquet"))
    with pytest.raises(InputError, match="no name of a kept file"):
        open_kept(tmp_path)
    manifest.write_text('{"kept": {}}')
    with pytest.raises(InputError, match="holds no events"):
        open_kept(tmp_path)


def test_shards_are_read_together_and_none_may_lack(tmp_path: Path) -> None:
    halves = [dict(list(PATIENTS.items())[start::2]) for start in range(2)]
    written(tmp_path, ward_batch(halves[0]), shard="-1-of-2")
    with pytest.raises(InputError, match="lacks the events of shard 2 of 2"):
        open_kept(tmp_path)
    written(tmp_path, ward_batch(halves[1]), shard="-2-of-2")
    kept = open_kept(tmp_path)
    assert set(kept.outcomes.to_table()["unit_id"].to_pylist()) == set(PATIENTS)
    found, _ = kept.of_units(["103", "104"])
    assert sorted(set(found["unit_id"].to_pylist())) == ["103", "104"]
    written(tmp_path, ward_batch(PATIENTS))
    with pytest.raises(InputError, match="divided the source otherwise"):
        open_kept(tmp_path)


def test_a_file_is_written_again_without_a_patient_always_alike(tmp_path: Path) -> None:
    batch = ward_batch(PATIENTS)
    written(tmp_path, batch)
    for name, schema in ((EVENTS_FILE, EVENTS), (OUTCOMES_FILE, OUTCOMES)):
        before = pq.read_table(tmp_path / name).to_pandas()
        for less in ("a", "b"):
            write_less(tmp_path / name, tmp_path / less, schema, "100")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        mine = before["patient_id"] == "100"
        assert rows_of_patient(tmp_path / name, "100") == mine.sum() > 0
        assert rows_of_patient(tmp_path / "a", "100") == 0
        want = before[~mine].reset_index(drop=True)
        pd.testing.assert_frame_equal(pq.read_table(tmp_path / "a").to_pandas(), want)


def test_a_batch_without_units_and_a_source_without_rows_are_kept(tmp_path: Path) -> None:
    written(tmp_path, ward_batch({}))
    assert open_kept(tmp_path).events.count_rows() == 0
    assert open_kept(tmp_path).of_units(["7"])[1].num_rows == 0
