"""Training mlm and simcse on tiny checkpoints: what they learn, going on after a stop, and the folder they leave."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import make_checkpoint
from cohorts.encoders import bert
from cohorts.encoders.bert import CLEANING, Bert
from cohorts.encoders.checkpoints import load_checkpoint
from cohorts.encoders.levels import passages
from cohorts.encoders.note_cache import FOLDER
from cohorts.encoders.pretraining import CHECKPOINTS, Trace, pretrain, texts_of
from cohorts.errors import EncoderError, InputError, MissingExtra
from cohorts.loaders.pretrain import make_objective
from cohorts.records.base import Source, Unit
from cohorts.records.cleaning import clean
from cohorts.records.sources import open_source
from commands import ok, refused

SEEN = ["chest pain", "Short breath", "hip fracture", "acute sepsis", "atrial fibrillation", "renal failure"]
DONE = ["furosemide given", "surgery planned", "antibiotics started", "Warfarin held", "dialysis begun"]
NOTES = [
    f"Patient {number} has {seen}. On day {number % 7} {done}, no fever and stable. Seen with {SEEN[number % 5]}!"
    for number, (seen, done) in enumerate((seen, done) for seen in SEEN for done in DONE)
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("pretraining") / "tiny", NOTES)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Products of some hundred rows wait for each other's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("notes") / "notes.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("id", "text"), *((str(row), note) for row, note in enumerate(NOTES))])
    return file


@pytest.fixture
def source(notes: Path, tmp_path: Path) -> Any:
    with open_source(
        "notes-csv",
        notes,
        unit=Unit.PATIENT,
        work_dir=tmp_path,
        quarantine_file=tmp_path / "quarantine.csv",
        max_bad_share=0.1,
        notes=None,
        columns={"id": "id", "text": "text"},
        labels=[],
        shard=None,
    ) as opened:
        yield opened


class Stopped(Exception):
    pass


class Until:
    """Ends the run at a step, as a power cut would."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self, stage: str, units: int, expected: int | None, /) -> None:
        self.left -= units if stage == "train" else 0
        if not self.left:
            raise Stopped


def trained(spec: str, base: Path, source: Source, out: Path, tick: Any = None, **how: Any) -> Trace:
    return pretrain(make_objective(spec), base, source, out, tick or (lambda *_: None), **how)


SPECS = {
    "mlm": "mlm:steps=4,batch=8,precision=fp32,keep_every=2,rate=0.001",
    "simcse": "simcse:sentence,steps=4,batch=8,precision=fp32,keep_every=2,rate=0.001",
}


@pytest.mark.parametrize("name", list(SPECS))
def test_a_training_that_was_stopped_comes_to_the_same(
    name: str, tiny: Path, source: Source, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = trained(SPECS[name], tiny, source, tmp_path / "whole")
    assert list(whole.losses) == [1, 2, 3, 4]
    stopped = tmp_path / "stopped"
    with pytest.raises(Stopped):
        trained(SPECS[name], tiny, source, stopped, Until(3))
    (stopped / ".texts-of-a-run-that-was-killed").mkdir()
    with pytest.raises(InputError, match="go on with --resume"):
        trained(SPECS[name], tiny, source, stopped)
    with pytest.raises(InputError, match="began with another settings"):
        trained(SPECS[name] + ",seed=1", tiny, source, stopped, resume=True)
    steps: list[int] = []
    again = trained(
        SPECS[name], tiny, source, stopped, lambda stage, many, _: steps.append(many), resume=True
    )
    assert steps[-3:] == [2, 1, 1]  # it began behind the second step
    assert again == whole
    weights = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path / "whole", stopped)]
    assert weights[0] == weights[1]
    left = [sorted(file.name for file in folder.iterdir()) for folder in (tmp_path / "whole", stopped)]
    assert left[0] == left[1]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", list(SPECS))
def test_the_folder_is_for_everybody(name: str, tiny: Path, source: Source, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    out = tmp_path / "out"
    trained(SPECS[name], tiny, source, out)
    assert not (out / CHECKPOINTS).exists()
    assert not [
        file for file in out.rglob("*") if file.suffix in (".pt", ".pth", ".bin", ".pkl", ".arrow", ".md")
    ]
    ours = Bert(bert.Settings(str(out), precision="fp32")).encode_text(NOTES[:3])
    model = SentenceTransformer(str(out), device="cpu")
    theirs = model.encode([clean(note, CLEANING) for note in NOTES[:3]])
    np.testing.assert_allclose(ours, theirs / np.linalg.norm(theirs, axis=1, keepdims=True), atol=1e-5)
    assert model[1].pooling_mode == "mean"
    assert load_checkpoint(out).tokenizer.tokenize("Warfarin held") == ["Warfarin", "held"]  # cased still
    before = Bert(bert.Settings(str(tiny), precision="fp32")).encode_text(NOTES[:3])
    assert not np.allclose(ours, before, atol=1e-3)
    with pytest.raises(InputError, match="a model already"):
        trained(SPECS[name], tiny, source, out)


def test_mlm_learns_and_simcse_spreads(tiny: Path, source: Source, tmp_path: Path) -> None:
    trace = trained("mlm:steps=40,batch=16,rate=0.005,precision=fp32", tiny, source, tmp_path / "mlm")
    losses = list(trace.losses.values())
    assert np.mean(losses[-5:]) < 0.7 * losses[0]
    trained(
        "simcse:steps=20,batch=16,rate=0.001,precision=fp32", tmp_path / "mlm", source, tmp_path / "simcse"
    )
    likeness = []
    for folder in (tmp_path / "mlm", tmp_path / "simcse"):
        vectors = Bert(bert.Settings(str(folder), precision="fp32")).encode_text(NOTES)
        likeness.append(float(np.mean(vectors @ vectors.T)))
    assert likeness[1] < likeness[0] - 0.02  # others are drawn away from each other


def test_temperature_is_that_of_infonce(tiny: Path, source: Source, tmp_path: Path) -> None:
    def first_loss(temperature: float) -> float:
        spec = f"simcse:steps=1,batch=8,precision=fp32,temperature={temperature}"
        return trained(spec, tiny, source, tmp_path / str(temperature)).losses[1]

    assert first_loss(1_000) == pytest.approx(np.log(8), abs=1e-3)  # nothing can be told from anything
    assert abs(first_loss(0.002) - np.log(8)) > 0.1


@pytest.mark.parametrize("more", ["precision=bf16", "gradient_checkpointing=1", "accumulate=2,pooling=cls"])
def test_settings_of_the_run(more: str, tiny: Path, source: Source, tmp_path: Path) -> None:
    for spec in (f"mlm:steps=2,batch=8,{more}", f"simcse:segment,steps=2,batch=8,{more}"):
        trace = trained(spec, tiny, source, tmp_path / spec.partition(":")[0])
        assert len(trace.losses) == 2


@pytest.mark.parametrize("level", ["note", "segment", "sentence"])
def test_texts_are_those_of_the_level_each_once(level: str, tiny: Path, source: Source) -> None:
    checkpoint = load_checkpoint(tiny)
    texts = list(texts_of(source, checkpoint, level, lambda *_: None))
    in_order = [NOTES[row] for row in sorted(range(len(NOTES)), key=str)]  # patients are sorted by id
    expected = [one for note in in_order for one in passages(checkpoint, clean(note, CLEANING), level)]
    assert texts == list(dict.fromkeys(expected))
    long = " ".join(NOTES) * 4
    parts = passages(checkpoint, long, "note")
    assert len(parts) > 2
    assert "".join("".join(parts).split()) == "".join(long.split())  # a cut may stand before a point


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gpt", "Objectives: mlm, simcse"),
        ("mlm:steps=0", "steps is 0"),
        ("mlm:mask=1.5", "mask is 1.5"),
        ("simcse:page", "level is 'page'"),
        ("simcse:temperature=0", "temperature is 0"),
        ("simcse:batch=1", "another one"),
    ],
)
def test_objectives_that_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        make_objective(spec)


def test_too_few_texts_are_told(tiny: Path, source: Source, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="fewer than a batch of 500"):
        trained("mlm:batch=500", tiny, source, tmp_path / "out")
    with pytest.raises(InputError, match="no training to go on with"):
        trained("mlm", tiny, source, tmp_path / "nothing", resume=True)


def test_what_is_not_installed_is_told(
    tiny: Path, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cohorts.encoders.pretraining.find_spec", lambda name: None if name == "datasets" else find_spec(name)
    )
    with pytest.raises(MissingExtra, match=r"pip install 'cohorts\[train\]'"):
        trained("mlm", tiny, source, tmp_path / "out")


def test_train_ingest_and_query(
    tiny: Path, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read = f"--source notes-csv --path {notes} --columns id=id,text=text"
    ok(f"train simcse:segment,pooling=cls,steps=3,batch=8 --base {tiny} {read} --out trained")
    manifest = json.loads(Path("trained/manifest.json").read_text())
    assert (manifest["objective"], manifest["texts"], manifest["synthetic"]) == ("simcse", len(NOTES), False)
    assert manifest["settings"]["temperature"] == 0.05
    assert list(manifest["losses"]) == ["1", "2", "3"]
    assert manifest["versions"]["datasets"]
    assert "furosemide" not in json.dumps(manifest)
    assert manifest["encoder"] == "bert:trained,level=segment,pooling=chunk-cls"
    ok(f"ingest {read} --encoder {manifest['encoder']} --store qdrant:store --collection notes")
    found = json.loads(ok("query --store qdrant:store --collection notes --patient 3 -k 5 --format json"))
    assert found["got"] == 5
    assert "a model already" in refused(f"train simcse:steps=3,batch=8 --base {tiny} {read} --out trained")
