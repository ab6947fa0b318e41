"""What `ingest` does without --encoder: notes and codes side by side, or what the source has of them."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.connectors.padding import padding_of
from cohorts.connectors.registry import connect
from cohorts.encoders.features.codes import tokens_of
from cohorts.encoders.registry import DEFAULT, load_encoder, make_encoder, parse_encoder, suited_to
from cohorts.encoders.views.withholding import Withholding
from cohorts.errors import EncoderError
from cohorts.loaders.journal import chunks
from cohorts.loaders.points import records as ingest
from cohorts.records.notes.cleaning import count_words
from cohorts.records.sources.registry import open_source
from cohorts.records.withheld import Withheld
from cohorts.search.neighbours import of_patient
from command_line import ok, refused, run
from small_sources import Small

STORE = "qdrant:./cohorts.qdrant"
LACK_NOTES = ("10006", "10020", "10033")  # patients of the synthetic hospital
NOTES = "ingest --source notes-csv --path notes.csv --columns id=encounter_id,text=note"
HOSPITAL = "ingest --source mimic3 --path hospital"
ASKED = [
    "chest pain and shortness of breath",
    "knee pain after a fall, swelling",
    "diabetes, high blood sugar and hypertension",
    "depression and anxiety",
    "kidney stones and blood in the urine",
    "back pain with numbness in the leg",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Path]:
    """A folder with real codes (mimic3-demo), real notes, and a synthetic hospital of both, each ingested."""
    made = tmp_path_factory.mktemp("default")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        (made / "demo").symlink_to(shared_data / "mimic3-demo")
        shutil.copyfile(shared_data / "aci-bench" / "train.csv", made / "notes.csv")
        ok("synth hospital --patients 60 --seed 7")
        notes = pd.read_csv("hospital/NOTEEVENTS.csv", dtype="str")
        notes[~notes["SUBJECT_ID"].isin(LACK_NOTES)].to_csv("hospital/NOTEEVENTS.csv", index=False)
        for name, command in (
            ("codes", "ingest --source mimic3 --path demo"),
            ("notes", NOTES),
            ("both", HOSPITAL),
            ("withheld", f"{HOSPITAL} --withhold sepsis"),
        ):
            code, out, err = run(f"{command} --collection {name}")
            assert code == 0
            (made / f"{name}.told").write_text(out + err)
        yield made


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def manifest(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(f"cohorts.qdrant.runs/{name}/manifest.json").read_text())
    return told


def test_the_default_is_less_what_the_source_lacks() -> None:
    for source, asked in (
        (Small(["a"], [[]]), DEFAULT),
        (Small(["a"]), "lsa"),
        (Small(codes=[[]]), "codes"),
    ):
        assert suited_to(parse_encoder(DEFAULT), source) == parse_encoder(asked)
        withheld = parse_encoder(DEFAULT, Withheld(("sepsis", "stroke"), text=True))
        assert str(suited_to(withheld, source)) == f"{asked} without sepsis+stroke in notes too"
        assert make_encoder(suited_to(withheld, source)).name == asked.partition(":")[0]
    with pytest.raises(EncoderError, match="neither notes nor codes"):
        suited_to(parse_encoder(DEFAULT), Small())


@pytest.mark.parametrize(
    ("name", "asked", "lacks"),
    [
        ("codes", "codes", "notes"),
        ("notes", "lsa", "codes"),
        ("both", "concat:lsa+codes", ""),
        ("withheld", "concat:lsa+codes without sepsis", ""),
    ],
)
def test_what_is_made_and_told(name: str, asked: str, lacks: str, here: Path) -> None:
    told = " ".join((here / f"{name}.told").read_text().split())
    assert manifest(name)["encoder"]["asked"] == asked
    assert bool(manifest(name)["encoder"]["lacks"]) == bool(lacks)
    assert (f"The source has no {lacks}: the encoder is {asked}, not {DEFAULT}" in told) == bool(lacks)
    assert ("The source has no" in told) == bool(lacks)
    with connect(STORE) as engine:
        collection = engine.describe(name).collection
        assert padding_of(collection) == collection.dim - 1
        assert collection.metadata["encoder_fingerprint"] == manifest(name)["encoder"]["fingerprint"]
        assert engine.count(name) >= 60


def test_of_real_codes_the_ten_nearest_share_more_than_everybody(here: Path, tmp_path: Path) -> None:
    with open_source("mimic3", Path("demo"), work_dir=tmp_path, quarantine_file=tmp_path / "bad") as source:
        (batch,) = source.batches()
    pairs = zip(batch.codes["unit_id"], tokens_of(batch.codes), strict=True)
    groups: dict[str, set[str]] = {unit: set() for unit in batch.units["unit_id"]}
    for unit, token in pairs:
        if token is not None:
            groups[unit].add(token)

    def alike(one: str, other: str) -> float:
        return len(groups[one] & groups[other]) / max(1, len(groups[one] | groups[other]))

    better, near, all_ = 0, list[float](), list[float]()
    with connect(STORE) as engine:
        for unit in groups:
            nearest = [hit.id for hit in of_patient(engine, "codes", unit, 10).hits]
            assert len(set(nearest) - {unit}) == 10
            near.append(float(np.mean([alike(unit, one) for one in nearest])))
            all_.append(float(np.mean([alike(unit, one) for one in groups if one != unit])))
            better += near[-1] > all_[-1]
    assert len(groups) == 100
    assert better >= 98
    assert np.mean(near) > 1.5 * np.mean(all_)


def test_of_real_notes_the_ten_nearest_a_text_share_more_words_than_everybody(here: Path) -> None:
    table = pd.read_csv("notes.csv", dtype="str")
    words = {one: count_words(text) for one, text in zip(table["encounter_id"], table["note"], strict=True)}
    units = Counter(word for one in words.values() for word in one)
    for text in ASKED:
        asked = set(count_words(text)) & {word for word, many in units.items() if many < len(words) / 2}
        share = {one: len(asked & set(counts)) / len(asked) for one, counts in words.items()}
        answer = json.loads(ok(f'query --collection notes --text "{text}" -k 10 --format json'))["neighbours"]
        nearest = float(np.mean([share[row["patient"]] for row in answer]))
        assert len(answer) == 10
        assert nearest > 1.5 * np.mean([*share.values()]), text
        scores = [row["similarity"] for row in answer]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > scores[-1] + 0.01, "they are told apart"


def test_texts_and_patients_are_asked_of_both(here: Path) -> None:
    by_text = json.loads(ok('query --collection both --text "heart failure" -k 5 --format json'))[
        "neighbours"
    ]
    by_patient = json.loads(ok("query --collection both --patient 10006 -k 5 --format json"))["neighbours"]
    assert len(by_text) == len(by_patient) == 5
    assert "reads codes alone" in refused('query --collection codes --text "heart failure"')


def test_what_is_withheld_is_in_no_vector_and_padding_is_still_not_asked(here: Path) -> None:
    (kept,) = Path("cohorts.qdrant.runs/withheld/encoders").iterdir()
    encoder = load_encoder(kept)
    assert isinstance(encoder, Withholding)
    about = json.loads((kept / "part-2" / "encoder.json").read_text())
    assert "diagnosis:sepsis" not in about["codes"]
    (plain,) = Path("cohorts.qdrant.runs/both/encoders").iterdir()
    assert "diagnosis:sepsis" in json.loads((plain / "part-2" / "encoder.json").read_text())["codes"]
    with connect(STORE) as engine:
        for points in engine.scroll("withheld"):
            for payload in points.payloads:
                assert not any("sepsis" in reason for reason in payload["reasons"])  # type: ignore[union-attr]
        (own,) = engine.fetch("withheld", ["10006"]).vectors
        assert own[-1] > 0.5  # half of it is of notes
        asked = np.append(own[:-1], np.float32(0))
        asked /= np.linalg.norm(asked)
        score = {hit.id: hit.score for hit in of_patient(engine, "withheld", "10006", 60).hits}
        for other in LACK_NOTES[1:]:
            (vector,) = engine.fetch("withheld", [other]).vectors
            assert score[other] == pytest.approx(float(asked @ vector), abs=1e-4)
            assert vector @ own > score[other] + 0.2  # with the padding of both


def written(told: str) -> int:
    (line,) = (line for line in told.splitlines() if "vectors written" in line)
    return int(line.split()[-1].replace(",", ""))


@pytest.fixture
def own(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(folder / "hospital", tmp_path / "hospital")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told_of(command: str) -> str:
    code, out, err = run(command)
    assert code == 0, err
    return out + err


def test_update_goes_on_with_the_encoder_that_was_trained(own: Path) -> None:
    ok(f"{HOSPITAL} --collection c")
    before = manifest("c")["encoder"]
    assert written(told_of(f"{HOSPITAL} --collection c --update")) == 0
    notes = own / "hospital" / "NOTEEVENTS.csv"
    text = notes.read_text()
    assert "family at bedside" in text
    notes.write_text(text.replace("family at bedside", "another at bedside", 1))
    assert written(told_of(f"{HOSPITAL} --collection c --update")) == 1
    assert manifest("c")["encoder"] == before


def test_a_run_that_failed_is_resumed_by_its_encoder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_UNITS", 20)
    calls, points = [0], ingest._points

    def failing(*more: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise OSError("the disk is gone")
        return points(*more)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_points", failing)
        with pytest.raises(OSError, match="the disk is gone"):
            run(f"{HOSPITAL} --collection c")
    (trained,) = (own / "cohorts.qdrant.runs" / "c" / "encoders").iterdir()
    assert 0 < written(told_of(f"{HOSPITAL} --collection c --resume")) <= 60
    assert manifest("c")["encoder"]["fingerprint"] == trained.name
    with connect(STORE) as engine:
        assert engine.count("c") == 60


def test_a_collection_of_word2vec_is_asked_by_its_own_encoder(own: Path) -> None:
    """As the default made them once: texts are asked by the folder that was kept, and no padding is taken off."""
    ok(f"{HOSPITAL} --encoder word2vec:dim=16,epochs=1 --collection old")
    (kept,) = Path("cohorts.qdrant.runs/old/encoders").iterdir()
    encoder = load_encoder(kept)
    assert encoder.name == "word2vec"
    answer = json.loads(ok('query --collection old --text "chest pain" -k 60 --format json'))["neighbours"]
    (asked,) = encoder.encode_text(["chest pain"])
    with connect(STORE) as engine:
        assert padding_of(engine.describe("old").collection) is None
        for row in answer[:5]:
            (vector,) = engine.fetch("old", [row["patient"]]).vectors
            assert row["similarity"] == pytest.approx(float(asked @ vector), abs=1e-3)
    ok(f"{HOSPITAL} --encoder word2vec:dim=16,epochs=1 --collection old --update")
    ok(f"{HOSPITAL} --collection old --update")
    assert manifest("old")["encoder"]["fingerprint"] == kept.name
    ok(f"{HOSPITAL} --encoder {kept} --collection old --update")


def test_fit_without_an_encoder_suits_the_source_too(here: Path, tmp_path: Path) -> None:
    ok(f"fit --source notes-csv --path notes.csv --columns id=encounter_id,text=note --out {tmp_path}/n")
    ok(f"fit --source mimic3 --path hospital --withhold sepsis --out {tmp_path}/b")
    assert load_encoder(tmp_path / "n").name == "lsa"
    both = load_encoder(tmp_path / "b")
    assert isinstance(both, Withholding)
    assert both.encoder.name == "concat"
