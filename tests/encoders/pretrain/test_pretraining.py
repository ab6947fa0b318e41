"""Training on tiny checkpoints: what each objective learns, going on after a stop, and the folder it leaves."""

import csv
import json
import os
import signal
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from checkpoints import make_checkpoint
from cohorts.commands import hints
from cohorts.encoders.bert import encoder as bert
from cohorts.encoders.bert.checkpoints import load_checkpoint
from cohorts.encoders.bert.encoder import CLEANING, Bert
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.bert.windows import passages
from cohorts.encoders.pretrain.declutr import ANCHOR_BETA, POSITIVE_BETA, fewest_words, nt_xent, sample_spans
from cohorts.encoders.pretrain.run import make_objective
from cohorts.encoders.pretrain.trainer import CHECKPOINTS, Reading, Trace, pretrain
from cohorts.errors import EncoderError, InputError, MissingExtra
from cohorts.records.base import Source, Unit
from cohorts.records.notes.cleaning import clean
from cohorts.records.sources.registry import open_source
from command_line import Forked, ok, refused
from hypothesis import given
from hypothesis import strategies as st

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
        rows = ((str(row), note, SEEN[row // len(DONE)]) for row, note in enumerate(NOTES))
        csv.writer(stream).writerows([("id", "text", "seen"), *rows])
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
        columns={"id": "id", "text": "text", "category": "seen"},
        labels=[],
        shard=None,
    ) as opened:
        yield opened


class Until:
    """Ends the run at a step, as the command line lets a signal end it."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self, stage: str, units: int, expected: int | None, /) -> None:
        self.left -= units if stage == "train" else 0
        if not self.left:
            signal.raise_signal(signal.SIGTERM)


def trained(spec: str, base: Path, source: Source, out: Path, tick: Any = None, **how: Any) -> Trace:
    return pretrain(make_objective(spec), base, source, out, tick or (lambda *_: None), **how)


SPECS = {
    "mlm": "mlm:steps=4,batch=8,precision=fp32,keep_every=2,rate=0.001",
    "simcse": "simcse:sentence,steps=4,batch=8,precision=fp32,keep_every=2,rate=0.001",
    "declutr": "declutr:steps=4,batch=8,precision=fp32,keep_every=2,rate=0.001,shortest=3,longest=8",
    "note-category": "note-category:mask=0.15,steps=4,batch=8,precision=fp32,keep_every=2,rate=0.001",
}


@pytest.mark.parametrize("name", list(SPECS))
def test_a_training_that_was_stopped_comes_to_the_same(
    name: str,
    tiny: Path,
    source: Source,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    signals: None,
) -> None:
    whole = trained(SPECS[name], tiny, source, tmp_path / "whole")
    assert list(whole.losses) == [1, 2, 3, 4]
    stopped = tmp_path / "stopped"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "public"))
    (tmp_path / "public").mkdir()
    with pytest.raises(KeyboardInterrupt):
        trained(SPECS[name], tiny, source, stopped, Until(3))
    assert [file.name for file in stopped.iterdir()] == [CHECKPOINTS]
    assert list((tmp_path / "public").iterdir()) == []
    (stopped / ".cohorts-of-a-run-that-was-killed").mkdir(mode=0o700)
    with pytest.raises(InputError, match="Resume it") as refused:
        trained(SPECS[name], tiny, source, stopped)
    assert "Go on with --resume" in hints.told(refused.value)
    with pytest.raises(InputError, match="began with another settings"):
        trained(SPECS[name] + ",seed=1", tiny, source, stopped, resume=True)
    steps: list[int] = []
    again = trained(
        SPECS[name], tiny, source, stopped, lambda stage, many, _: steps.append(many), resume=True
    )
    assert steps[-3:] == [2, 1, 1]  # it began behind the second step
    assert again[:3] == whole[:3]
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
    for spec in (
        f"mlm:steps=2,batch=8,{more}",
        f"simcse:segment,steps=2,batch=8,{more}",
        f"declutr:steps=2,batch=8,shortest=3,{more}",
        f"note-category:segment,steps=2,batch=8,{more}",
    ):
        trace = trained(spec, tiny, source, tmp_path / spec.partition(":")[0])
        assert len(trace.losses) == 2


@pytest.mark.parametrize("level", ["note", "segment", "sentence"])
def test_texts_are_those_of_the_level_each_once(level: str, tiny: Path, source: Source) -> None:
    checkpoint = load_checkpoint(tiny)
    reading = Reading(make_objective(f"mlm:{level}"), checkpoint)
    texts = [one.text for one in reading.texts(source, lambda *_: None)]
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
        ("gpt", "Objectives: mlm, simcse, declutr, note-category"),
        ("mlm:steps=0", "steps is 0"),
        ("mlm:mask=1.5", "mask is 1.5"),
        ("simcse:page", "level is 'page'"),
        ("simcse:temperature=0", "temperature is 0"),
        ("simcse:batch=1", "another one"),
        ("declutr:level=sentence", "whole notes"),
        ("declutr:shortest=40,longest=30", "longest is 30"),
        ("declutr:anchors=0", "anchors is 0"),
        ("declutr:temperature=0", "temperature is above 0"),
        ("declutr:batch=1,anchors=1", "another one"),
        ("note-category:mask=1", "mask is 1"),
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


def test_accumulated_steps_are_as_large_as_whole_ones(tiny: Path, source: Source, tmp_path: Path) -> None:
    """The loss of a step is a mean, however many batches it was summed up from."""
    how = "batch=8,rate=0.0000001,precision=fp32,steps=3"
    for name in ("declutr:shortest=3,", "note-category:"):
        once, thrice = (
            trained(f"{name}{how},accumulate={many}", tiny, source, tmp_path / f"{name[:3]}{many}")
            for many in (1, 3)
        )
        assert thrice.losses[1] == pytest.approx(once.losses[1], rel=0.15)


def test_spans_lie_as_the_paper_says() -> None:
    objective = make_objective("declutr:anchors=2,positives=2,shortest=4,longest=40")
    settings: Any = objective.settings
    rng = np.random.default_rng(0)
    drawn = [(i, *one) for _ in range(4_000) for i, one in enumerate(sample_spans(300, settings, rng))]
    for place, anchor, positives in drawn:
        assert 150 * place <= anchor[0] < anchor[1] <= 150 * (place + 1)  # of its own part
        for start, end in positives:
            assert 0 <= start < end <= 300
            assert start <= anchor[1]  # they touch at least, on either side
            assert end >= anchor[0]
    lengths = np.array([anchor[1] - anchor[0] for _, anchor, _ in drawn])
    assert same_law(lengths, ANCHOR_BETA)
    assert same_law(np.array([end - start for *_, some in drawn for start, end in some]), POSITIVE_BETA)
    assert not same_law(lengths, POSITIVE_BETA)
    # Within what is left of its part, an anchor begins anywhere; and a positive around an anchor.
    free = [
        (anchor[0] - 150 * place + 0.5) / (151 - lengths[row]) for row, (place, anchor, _) in enumerate(drawn)
    ]
    assert scipy.stats.kstest(free, "uniform").pvalue > 0.001
    around = [
        (start - low + 0.5) / (anchor[1] - low + 1)
        for _, anchor, positives in drawn
        for start, end in positives
        if (low := anchor[0] - (end - start)) >= 0 and anchor[1] <= 300 - (end - start)
    ]
    assert scipy.stats.kstest(around, "uniform").pvalue > 0.001


def same_law(lengths: Any, beta: tuple[float, float]) -> bool:
    """Tell whether lengths from 4 to 40 are beta-distributed, whole numbers being the floor of what was drawn."""
    edges = np.arange(37) / 36
    expected = np.diff(scipy.stats.beta(*beta).cdf(edges)) * len(lengths)
    counts = np.bincount(lengths - 4, minlength=36)
    assert counts.sum() == counts[:36].sum()
    enough = expected > 5
    left = expected[~enough].sum(), counts[:36][~enough].sum()
    observed, wanted = [*counts[:36][enough], left[1]], [*expected[enough], left[0]]
    return bool(scipy.stats.chisquare(observed, wanted).pvalue > 0.001)


@given(
    anchors=st.integers(1, 4),
    positives=st.integers(1, 3),
    shortest=st.integers(1, 20),
    more=st.integers(0, 50),
    words=st.integers(0, 400),
    seed=st.integers(0, 10**6),
)
def test_spans_of_any_note_lie_within_it(
    anchors: int, positives: int, shortest: int, more: int, words: int, seed: int
) -> None:
    spec = f"declutr:anchors={anchors},positives={positives},shortest={shortest},longest={shortest + more}"
    settings: Any = make_objective(spec).settings
    words += fewest_words(settings)
    found = sample_spans(words, settings, np.random.default_rng(seed))
    assert [len(spans.positives) for spans in found] == [positives] * anchors
    ends = [0]
    for spans in found:
        assert spans.anchor[0] >= ends[-1]
        ends.append(spans.anchor[1])
        for start, end in (spans.anchor, *spans.positives):
            assert 0 <= start < end <= words
            assert shortest <= end - start <= min(shortest + more, words // (2 * anchors))
            assert start <= spans.anchor[1]
            assert end >= spans.anchor[0]


def test_nt_xent_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(0)
    anchors, positives = rng.standard_normal((2, 5, 7))
    both = np.concatenate([anchors, positives])
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    likeness = np.exp(both @ both.T / 0.3)
    terms = [
        -np.log(
            likeness[row, (row + 5) % 10] / sum(likeness[row, other] for other in range(10) if other != row)
        )
        for row in range(10)
    ]
    found = nt_xent(torch.tensor(anchors), torch.tensor(positives), 0.3)
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-5)


def test_declutr_draws_a_note_together(tiny: Path, source: Source, tmp_path: Path) -> None:
    trace = trained(
        "declutr:steps=30,batch=16,rate=0.003,precision=fp32,shortest=3,mask=0,anchors=1",
        tiny,
        source,
        tmp_path / "out",
    )
    losses = list(trace.losses.values())
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3


def test_categories_are_learnt(tiny: Path, source: Source, tmp_path: Path) -> None:
    trace = trained(
        "note-category:mask=0,steps=40,batch=16,rate=0.003,precision=fp32", tiny, source, tmp_path / "out"
    )
    losses = list(trace.losses.values())
    assert losses[0] == pytest.approx(np.log(len(SEEN)), abs=0.4)  # nothing is known yet
    assert np.mean(losses[-5:]) < 0.3 * losses[0]
    vectors = Bert(bert.Settings(str(tmp_path / "out"), precision="fp32")).encode_text(NOTES)
    vectors = vectors - vectors.mean(axis=0)
    nearest = (vectors @ vectors.T - 10 * np.eye(len(NOTES))).argmax(axis=1)
    assert (nearest // len(DONE) == np.arange(len(NOTES)) // len(DONE)).mean() > 0.8


def test_hidden_tokens_are_told_beside_the_category_by_default(
    tiny: Path, source: Source, tmp_path: Path
) -> None:
    """The category takes the place of BERT's next sentence prediction; the hidden tokens stay."""
    alone, both = (
        trained(f"note-category:{more}steps=1,batch=16,precision=fp32", tiny, source, tmp_path / out).losses[
            1
        ]
        for more, out in (("mask=0,", "alone"), ("", "both"))
    )
    words = len(load_checkpoint(tiny).tokenizer)
    assert both - alone == pytest.approx(np.log(words), abs=0.5)  # of hidden tokens nothing is known yet


def test_without_categories_there_is_nothing_to_learn(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    with file.open("w", newline="") as stream:
        rows = ((row, note, "Nursing" if row < 20 else "") for row, note in enumerate(NOTES))
        csv.writer(stream).writerows([("id", "text", "kind"), *rows])
    read = f"train note-category:batch=8,steps=2 --base {tiny} --source notes-csv --path {file} --out {tmp_path}/out"
    assert "of one category" in refused(f"{read} --columns id=id,text=text,category=kind")
    assert "30 notes are of no use to note-category" in refused(f"{read} --columns id=id,text=text")


def test_notes_too_short_for_spans_are_counted(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("id", "text"), *enumerate([*NOTES, "too short", "this one, too"])])
    read = f"--base {tiny} --source notes-csv --path {file} --columns id=id,text=text"
    fewest = min(len(note.split()) for note in NOTES)
    ok(f"train declutr:steps=2,batch=8,anchors=1,shortest={fewest // 2} {read} --out {tmp_path}/out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["texts"], manifest["notes_left_out"]) == (len(NOTES), 2)


def test_a_training_that_was_killed_goes_on(tiny: Path, notes: Path, tmp_path: Path) -> None:
    command = [
        "train",
        "declutr:shortest=3,steps=15,batch=8,keep_every=3,rate=0.001,precision=fp32",
        *("--base", str(tiny), "--source", "notes-csv", "--path", str(notes), "--columns", "id=id,text=text"),
    ]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with Forked(
        tmp_path, "import datasets, sentence_transformers, transformers.trainer", {"OMP_NUM_THREADS": "1"}
    ) as processes:
        process = processes.start([*command, "--out", str(killed)])
        while not list((killed / CHECKPOINTS).glob("checkpoint-*/trainer_state.json")):
            os.kill(process, 0)  # it has not ended by itself
            time.sleep(0.01)
        os.kill(process, signal.SIGKILL)
        assert processes.wait().code == -signal.SIGKILL
        torn = killed / CHECKPOINTS / "checkpoint-14"  # killed again while it was written
        torn.mkdir()
        (torn / "trainer_state.json").write_text('{"epoch": 1.5,')
        for out, more in ((killed, ["--resume"]), (whole, [])):
            done = processes.run([*command, "--out", str(out), *more])
            assert done.code == 0, done.err
    losses = [json.loads((out / "manifest.json").read_text())["losses"] for out in (killed, whole)]
    assert len(losses[0]) == 15
    assert losses[0] == losses[1]
    assert not list(killed.glob(".cohorts-*"))


def test_what_is_not_installed_is_told(
    tiny: Path, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cohorts.extras.find_spec",
        lambda name: None if name == "datasets" else find_spec(name),
    )
    with pytest.raises(MissingExtra, match=r"pip install 'ehr-cohorts\[train\]'"):
        trained("mlm", tiny, source, tmp_path / "out")


ENDS = {
    "mlm": "mlm:steps=3,batch=8",
    "simcse": "simcse:segment,pooling=cls,steps=3,batch=8",
    "declutr": "declutr:steps=3,batch=8,shortest=3",
    "note-category": "note-category:steps=3,batch=8",
}


@pytest.mark.parametrize("name", list(ENDS))
def test_train_ingest_and_query(
    name: str, tiny: Path, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read = f"--source notes-csv --path {notes} --columns id=id,text=text,category=seen"
    ok(f"train {ENDS[name]} --base {tiny} {read} --out trained")
    manifest = json.loads(Path("trained/manifest.json").read_text())
    assert (manifest["objective"], manifest["texts"], manifest["synthetic"]) == (name, len(NOTES), False)
    assert manifest["notes_left_out"] == 0
    assert list(manifest["losses"]) == ["1", "2", "3"]
    assert manifest["texts_per_s"] > 0
    assert manifest["versions"]["datasets"]
    assert "furosemide" not in json.dumps(manifest)
    as_trained = ",level=segment" if name == "simcse" else ""
    assert manifest["encoder"] == f"bert:trained{as_trained}"
    ok(f"ingest {read} --encoder {manifest['encoder']} --store qdrant:store --collection notes")
    found = json.loads(ok("query --store qdrant:store --collection notes --patient 3 -k 5 --format json"))
    assert found["got"] == 5
    assert "a model already" in refused(f"train {ENDS[name]} --base {tiny} {read} --out trained")
