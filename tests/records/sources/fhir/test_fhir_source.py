"""FHIR as files: bulk exports and Bundles of all forms give the same; Synthea's goes through the command line."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pandas as pd
import pytest
from cohorts.errors import SourceError
from cohorts.records.base import Batch
from cohorts.records.shards import Shard
from cohorts.records.tables import partition
from command_line import ok
from fhir_files import Json, Open, bundle, hospital, read, referred, write_ndjson


def assert_same(left: list[Batch], right: list[Batch]) -> None:
    for one, other in zip(left, right, strict=True):
        pd.testing.assert_frame_equal(one.units, other.units)
        for name, frame in one.of_units().items():
            by = [name for name in frame.columns if name != "unit_id"]
            ours, theirs = (
                some.sort_values(["unit_id", *by], ignore_index=True)
                for some in (frame, other.of_units()[name])
            )
            pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.parametrize("url", ["urn:uuid:{id}", "{type}/{id}", "https://server.example/fhir/{type}/{id}"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_bundle_gives_what_a_bulk_export_gives(
    tmp_path: Path, open_fhir: Open, url: str, indent: int | None
) -> None:
    expected = read(open_fhir(write_ndjson(tmp_path / "export", hospital())))
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps(bundle(referred(hospital(), url), url), indent=indent))
    assert_same(read(open_fhir(file)), expected)


def lines_of_bundles(folder: Path) -> None:
    halves = hospital()[:9], hospital()[9:]
    (folder / "all.ndjson").write_text("".join(json.dumps(bundle(one)) + "\n" for one in halves))


def lines_called_json(folder: Path) -> None:
    (folder / "all.json").write_text("".join(json.dumps(one) + "\n" for one in hospital()))


def an_array(folder: Path) -> None:
    (folder / "all.json").write_text(json.dumps(hospital(), indent=1))


def single_resources(folder: Path) -> None:
    (folder / "deep" / "below").mkdir(parents=True)
    for number, one in enumerate(hospital()):
        (folder / "deep" / "below" / f"{number}.json").write_text(json.dumps(one))
    (folder / "manifest.json").write_text(
        json.dumps({"transactionTime": "2020", "output": [{"type": "Patient"}]})
    )
    (folder / "._0.json").write_bytes(b"\0")


def with_a_mark_and_packed(folder: Path) -> None:
    raw = "".join(json.dumps(one) + "\r\n" for one in hospital()).encode("utf-8-sig")
    (folder / "all.ndjson.gz").write_bytes(gzip.compress(raw))


def a_bundle_of_bundles(folder: Path) -> None:
    inner = {"resource": bundle(hospital()[9:])}
    whole = bundle(hospital()[:9])
    whole["entry"] = [*whole["entry"], inner, {"response": {"status": "200"}}]
    (folder / "all.ndjson").write_text(json.dumps(whole, indent=2))


@pytest.mark.parametrize(
    "made",
    [
        lines_of_bundles,
        lines_called_json,
        an_array,
        single_resources,
        with_a_mark_and_packed,
        a_bundle_of_bundles,
    ],
)
def test_other_files_give_the_same(tmp_path: Path, open_fhir: Open, made: Callable[[Path], None]) -> None:
    expected = read(open_fhir(write_ndjson(tmp_path / "export", hospital())))
    (tmp_path / "other").mkdir()
    made(tmp_path / "other")
    source = open_fhir(tmp_path / "other")
    assert_same(read(source), expected)
    assert source.report.quarantined == {}


def synthea(shared_data: Path) -> list[Json]:
    files = sorted((shared_data / "synthea-notes" / "fhir").glob("*.json.gz"))
    return [entry["resource"] for file in files for entry in orjson.loads(gzip.open(file).read())["entry"]]


def test_real_bundles_are_read_whole(shared_data: Path, open_fhir: Open) -> None:
    source = open_fhir(shared_data / "synthea-notes" / "fhir")
    assert source.synthetic
    (batch,) = read(source)
    assert source.report.counts == {
        "patients": 4,
        "admissions": 48,
        "diagnoses": 35,
        "diagnoses SNOMED": 35,
        "procedures": 63,
        "procedures SNOMED": 63,
        "prescriptions": 9,
        "measurements": 44,
        "vital signs": 327,
        "social history": 32,
        "survey": 93,
        "notes": 48,
    }
    assert source.report.left_out == {"rows of DiagnosticReport whose text is that of a document": 48}
    assert source.report.quarantined == {}
    assert source.has_notes
    assert source.has_codes
    assert batch.units["age"].notna().all()
    assert batch.notes["text"].str.contains("# Chief Complaint").all()
    resources = synthea(shared_data)
    told = {one["id"]: one["period"]["start"][:19] for one in resources if one["resourceType"] == "Encounter"}
    began = batch.admissions.set_index("admission_id")["admitted"].dt.strftime("%Y-%m-%dT%H:%M:%S")
    assert began.to_dict() == told


def test_real_bundles_as_a_bulk_export_give_the_same(
    tmp_path: Path, shared_data: Path, open_fhir: Open
) -> None:
    expected = read(open_fhir(shared_data / "synthea-notes" / "fhir"))
    resources = referred_by_type(synthea(shared_data))
    assert_same(read(open_fhir(write_ndjson(tmp_path / "export", resources, packed=True))), expected)


def referred_by_type(resources: list[Json]) -> list[Json]:
    """Return resources that refer to each other as a server's do: Encounter/id, not urn:uuid:id."""
    kinds = {one["id"]: one["resourceType"] for one in resources}
    raw = json.dumps(resources)
    for key, kind in kinds.items():
        raw = raw.replace(f"urn:uuid:{key}", f"{kind}/{key}")
    made: list[Json] = json.loads(raw)
    return made


def test_parts_and_shards_have_each_patient_once(
    shared_data: Path, open_fhir: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared_data / "synthea-notes" / "fhir"
    (whole,) = read(open_fhir(folder))
    monkeypatch.setattr(partition, "PART_BYTES", 50_000)
    batches = read(open_fhir(folder))
    assert len(batches) > 1
    assert sum(len(batch.measurements) for batch in batches) == len(whole.measurements)
    of_shards = [read(open_fhir(folder, shard=Shard(number, 2))) for number in (1, 2)]
    ids = [one for batches in of_shards for batch in batches for one in batch.units["unit_id"]]
    assert sorted(ids) == sorted(whole.units["unit_id"])


def test_what_is_copied_is_private_and_goes(tmp_path: Path, open_fhir: Open) -> None:
    source = open_fhir(write_ndjson(tmp_path / "export", hospital()))
    copies = list((tmp_path / "work").glob("*/*.parquet"))
    assert {copy.stem for copy in copies} >= {"Patient", "Encounter", "Condition", "PartOf"}
    assert {copy.stat().st_mode & 0o777 for copy in copies} == {0o600}
    read(source)
    assert not list((tmp_path / "work").iterdir())


def test_the_fingerprint_is_that_of_the_files(tmp_path: Path, open_fhir: Open) -> None:
    folder = write_ndjson(tmp_path / "export", hospital())
    before = open_fhir(folder).fingerprint
    assert open_fhir(folder).fingerprint == before
    file = folder / "Condition.ndjson"
    file.write_text(file.read_text().replace("E11.9", "E11.8"))
    assert open_fhir(folder).fingerprint != before


def test_synthea_goes_in_and_answers(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = shared_data / "synthea-notes" / "fhir"
    ok(f"ingest --source fhir --path {folder} --store qdrant:./q --encoder codes:dim=8")
    manifest = json.loads((tmp_path / "q.runs" / "cohorts" / "manifest.json").read_text())
    assert (manifest["written"], manifest["counts"]["diagnoses"]) == (4, 35)
    assert "746 times have a zone: each is read as the local clock that was written" in str(manifest)
    assert "9623bf57" in ok("query --store qdrant:./q --patient 04016cd7-ff8b-c443-f90c-83af943d4475 -k 4")
    assert "fhir" in ok("describe --store qdrant:./q")


def test_a_folder_without_fhir_is_refused(tmp_path: Path, open_fhir: Open) -> None:
    with pytest.raises(SourceError, match="no folder, and no file"):
        open_fhir(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"No FHIR in .*NDJSON or Bundles were looked for"):
        open_fhir(tmp_path / "empty")
    folder = write_ndjson(
        tmp_path / "export", [one for one in hospital() if one["resourceType"] != "Patient"]
    )
    with pytest.raises(SourceError, match="There is no Patient in 8 files"):
        open_fhir(folder)
