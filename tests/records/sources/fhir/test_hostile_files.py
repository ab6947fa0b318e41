"""Broken files and resources: a clear error, or quarantine by file, line and reason, never what stands there."""

import csv
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from cohorts.errors import SourceError, TooManyBadRows
from cohorts.records.sources.fhir import bundles, files
from fhir_files import ICD10, Json, Open, ReadFhir, bundle, concept, hospital, of, read, to, write_ndjson

SECRET = "Pat Doe"


def bad_rows(tmp_path: Path) -> list[tuple[str, int, str]]:
    if not (tmp_path / "bad.csv").exists():
        return []
    assert SECRET not in (tmp_path / "bad.csv").read_text()
    with (tmp_path / "bad.csv").open(newline="") as stream:
        return [(Path(row["table"]).name, int(row["line"]), row["reason"]) for row in csv.DictReader(stream)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"resourceType": "Condition", "id": "Pat Doe", "subj', "it is no JSON"),
        ("Pat Doe", "it is no JSON"),
        ('["Pat Doe"]', "it is no JSON object"),
        ('{"id": "Pat Doe"}', "it has no resourceType"),
        ('{"a": {"resourceType": "Condition"}}', "it has no resourceType"),
        ('{"resourceType": "Condition", "id": "Pat Doe"}', "Condition: it refers to no patient"),
        (
            '{"resourceType": "Condition", "id": 7, "subject": {"reference": "Patient/p1"}}',
            "its id is no text",
        ),
        (
            '{"resourceType": "Condition", "subject": {"reference": "Patient?identifier=Pat Doe"}}',
            "Condition: it refers to its patient by a search, and not by an id",
        ),
        (b'{"resourceType": "Condition", "id": "\xff\xfe"}', "it is no JSON"),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_read(
    tmp_path: Path, open_fhir: Open, line: str | bytes, reason: str
) -> None:
    folder = write_ndjson(tmp_path / "fhir", hospital())
    file = folder / "Condition.ndjson"
    raw = line if isinstance(line, bytes) else line.encode()
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([lines[0], b"", raw, *lines[1:]]))
    source = open_fhir(folder, max_bad_share=0.5)
    (batch,) = read(source)
    assert bad_rows(tmp_path) == [("Condition.ndjson", 3, reason)]
    assert source.report.quarantined == {"Condition": 1}
    assert (batch.codes["kind"] == "diagnosis").sum() == 3
    with pytest.raises(TooManyBadRows, match="1 of 4 rows of Condition are bad"):
        read(open_fhir(folder))


WRONG: dict[str, Json] = {
    "a text for an object": {"code": SECRET},
    "a number for a code": {"code": {"coding": [{"system": ICD10, "code": 11}]}},
    "an object for a list": {"code": {"coding": {"system": ICD10, "code": "I10"}}},
    "a list for a text": {"code": concept((ICD10, "I10", "")), "recordedDate": [SECRET]},
    "a number for a time": {"code": concept((ICD10, "I10", "")), "recordedDate": 20200102},
    "a text for a reference": {"code": concept((ICD10, "I10", "")), "encounter": SECRET},
    "a number for a reference": {"code": concept((ICD10, "I10", "")), "encounter": {"reference": 5}},
    "a number for a system": {"code": {"coding": [{"system": 5, "code": "I10"}]}},
    "a list of texts": {"code": concept((ICD10, "I10", "")), "verificationStatus": {"coding": [SECRET]}},
    "a list for a state": {"verificationStatus": {"coding": [{"code": [SECRET]}]}},
}


@pytest.mark.parametrize("what", WRONG)
def test_elements_of_wrong_types(tmp_path: Path, read_fhir: ReadFhir, what: str) -> None:
    wrong = of("Condition", "x", "p1") | WRONG[what]
    batch, _ = read_fhir([*hospital(), wrong])
    ((file, line, reason),) = bad_rows(tmp_path)
    assert (file, line) == ("Condition.ndjson", 4)
    assert reason.endswith("an element is of another type than FHIR R4 says")
    assert (batch.codes["kind"] == "diagnosis").sum() == 3


@pytest.mark.parametrize(
    ("kind", "elements", "reason"),
    [
        ("Observation", {"valueQuantity": {"value": SECRET}}, "another type"),
        ("Observation", {"valueQuantity": {"value": True}}, "another type"),
        ("Observation", {"valueQuantity": {"value": 10**17}}, "another type"),
        ("Observation", {"valueString": 5}, "another type"),
        ("Observation", {"component": SECRET}, "another type"),
        (
            "Observation",
            {"valueInteger": 1, "effectiveDateTime": "2020-13-01T00:00:00Z"},
            "time is not a date like",
        ),
        ("Observation", {"valueInteger": 1, "effectiveDateTime": SECRET}, "time is not a date like"),
        ("Condition", {"code": concept((ICD10, "38", ""))}, ""),
        ("Condition", {"code": concept(("http://hl7.org/fhir/sid/icd-9-cm", "38", ""))}, "impossible shape"),
        ("DocumentReference", {"content": [{"attachment": {"data": "@"}}]}, ""),
        (
            "DocumentReference",
            {"content": [{"attachment": {"data": "abcde"}}]},
            "its attachment is no base64",
        ),
        ("DocumentReference", {"content": [{"attachment": {"data": 5}}]}, "another type"),
        ("Procedure", {"performedPeriod": SECRET}, "another type"),
        ("MedicationRequest", {"dosageInstruction": [SECRET]}, "another type"),
        ("Encounter", {"class": {"code": "AMB"}}, "Encounter: it has no start"),
        ("Encounter", {"class": {"code": "AMB"}, "period": {"start": SECRET}}, "start is not a date like"),
    ],
)
def test_what_is_wrong_elsewhere(
    tmp_path: Path, read_fhir: ReadFhir, kind: str, elements: Json, reason: str
) -> None:
    read_fhir([*hospital(), of(kind, "x", "p1") | elements])
    found = bad_rows(tmp_path)
    if not reason:
        assert found == []
        return
    ((file, line, told),) = found
    many = sum(one["resourceType"] == kind for one in hospital())
    assert (file, line) == (f"{kind}.ndjson", many + 1)
    assert reason in told


def test_a_start_that_is_lost_does_not_cost_its_rows(tmp_path: Path, read_fhir: ReadFhir) -> None:
    resources = hospital()
    encounter = next(one for one in resources if one["id"] == "e2")
    encounter["period"] = {}
    batch, report = read_fhir(resources)
    assert report.quarantined == {"Encounter": 1}
    mine = batch.codes[batch.codes["unit_id"] == "p2"]
    assert mine["code"].tolist() == ["38341003", "Ramipril 5 mg"]
    assert mine["admission_id"].isna().all()


def test_rows_of_unknown_persons_are_left_out(tmp_path: Path, read_fhir: ReadFhir) -> None:
    stranger = of("Encounter", "x", "nobody") | {"class": {"code": "AMB"}, "period": {"start": "2020-01-01"}}
    group = of("Condition", "y", "p1") | {"subject": to("Group", "g")}
    _, report = read_fhir([*hospital(), stranger, of("Condition", "z", "nobody", "x"), group])
    assert report.left_out == {
        "rows of Condition of patients that the patients' table does not have": 1,
        "rows of Encounter of patients that the patients' table does not have": 1,
    }
    assert "Resources that are of no patient: 1 Condition" in report.warnings
    assert bad_rows(tmp_path) == []


def test_an_encounter_of_another_patient(tmp_path: Path, read_fhir: ReadFhir) -> None:
    _, report = read_fhir([*hospital(), of("Condition", "x", "p1", "e2", code=concept((ICD10, "I10", "")))])
    assert bad_rows(tmp_path) == [("Condition.ndjson", 4, "an admission of another patient")]
    assert report.quarantined == {"Condition": 1}


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_packed_file_that_ends_early_is_refused(tmp_path: Path, open_fhir: Open, pack: Any) -> None:
    folder = write_ndjson(tmp_path / "fhir", hospital())
    raw = pack(json.dumps(bundle(hospital())).encode())
    end = ".gz" if pack is gzip.compress else ".xz"
    (folder / f"more.json{end}").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(SourceError, match=r"more\.json\..z can't be read\. Is the file complete\?"):
        open_fhir(folder)
    assert not [one for one in (tmp_path / "work").iterdir() if one.name.startswith(".cohorts")]


def test_a_bundle_that_ends_early_is_named(tmp_path: Path, open_fhir: Open) -> None:
    file = tmp_path / "bundle.json"
    raw = json.dumps(bundle(hospital()), indent=2)
    file.write_text(raw[: raw.index('"c2"')])
    source = open_fhir(file, max_bad_share=1)
    (batch,) = read(source)
    ((name, _, reason),) = bad_rows(tmp_path)
    assert (name, reason) == ("bundle.json", "the file ends within it: is it complete?")
    assert len(batch) == 2


def test_an_entry_that_is_broken_is_named(tmp_path: Path, open_fhir: Open) -> None:
    file = tmp_path / "bundle.json"
    raw = json.dumps(bundle(hospital()), indent=2)
    place = raw.index('"I21.4"')
    file.write_text(raw[:place] + "I21.4" + raw[place + len('"I21.4"') :])
    source = open_fhir(file, max_bad_share=1)
    (batch,) = read(source)
    ((name, line, reason),) = bad_rows(tmp_path)
    assert (name, reason) == ("bundle.json", "it is no JSON")
    begins = raw[: raw.rindex('"fullUrl"', 0, place)].count("\n")  # the line of the brace before
    assert line == begins
    assert (batch.codes["kind"] == "diagnosis").sum() == 2


@pytest.mark.parametrize("form", ["lines", "bundle"])
def test_a_resource_that_is_too_long_is_named(
    tmp_path: Path, open_fhir: Open, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    for module in (bundles, files):
        monkeypatch.setattr(module, "MOST_BYTES", 4_000)
    monkeypatch.setattr(bundles, "BLOCK", 1_000)
    long = of("Condition", "x", "p1", note=[{"text": SECRET * 10_000}])
    resources = [*hospital()[:8], long, *hospital()[8:]]
    if form == "lines":
        path = write_ndjson(tmp_path / "fhir", resources)
    else:
        path = tmp_path / "bundle.json"
        path.write_text(json.dumps(bundle(resources), indent=1))
    source = open_fhir(path, max_bad_share=1)
    (batch,) = read(source)
    ((_, _, reason),) = bad_rows(tmp_path)
    assert reason == "a resource of more than 64 MiB"
    assert (batch.codes["kind"] == "diagnosis").sum() == 3


def test_files_of_other_kinds_are_told(tmp_path: Path, open_fhir: Open) -> None:
    folder = write_ndjson(tmp_path / "fhir", hospital())
    (folder / "more.ndjson").write_text("x", encoding="utf-16")
    with pytest.raises(SourceError, match="is UTF-16, and FHIR is UTF-8"):
        open_fhir(folder)
    (folder / "more.ndjson").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(SourceError, match="zip"):
        open_fhir(folder)
    (folder / "more.ndjson").write_bytes(b"")
    assert len(read(open_fhir(folder))) == 1


def test_many_files_are_told_apart(tmp_path: Path, open_fhir: Open) -> None:
    folder = tmp_path / "fhir"
    folder.mkdir()
    for number, one in enumerate(hospital()):
        (folder / f"{number:03}.json").write_text(json.dumps(one))
    (folder / "900.json").write_text(json.dumps(of("Condition", "x", "p1") | {"code": SECRET}, indent=1))
    read(open_fhir(folder, max_bad_share=1))
    assert bad_rows(tmp_path) == [
        ("900.json", 1, "Condition: an element is of another type than FHIR R4 says")
    ]
