"""The encoder word2vec: deterministic, saved whole, honest about what it can't encode."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.commands import hints
from cohorts.encoders import word2vec
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.word2vec import Settings, Word2Vec
from cohorts.errors import EncoderError, SourceError
from cohorts.records.base import CODE_COLUMNS, Batch, Report, Unit
from cohorts.records.notes import cleaning, splitting
from cohorts.records.notes.cleaning import clean, cleaning_version, words
from cohorts.records.notes.splitting import Split
from cohorts.records.notes.splitting import splits as split_all
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from safetensors.numpy import load_file, save_file

POOLINGS = ("sif", "weighted", "mean")
TRAIN = """
import sys; from pathlib import Path
from typing import Any
from cohorts.encoders.registry import make_encoder
from cohorts.records.sources.registry import open_source
work = Path(sys.argv[2])
with open_source("mimic3", Path(sys.argv[1]), work_dir=work, quarantine_file=work / "bad.csv") as source:
    print(make_encoder("word2vec:dim=16").fit(source).fingerprint)
"""


class Notes:
    """A source in memory: one note each, and after the last one a failure, if asked."""

    name = "texts"
    unit = Unit.PATIENT
    synthetic = True
    fingerprint = "texts"
    has_notes = has_codes = True

    def __init__(self, *texts: str, scratch: Path | None = None, fail: bool = False) -> None:
        self.texts = texts
        self.report = Report(counts={"notes": len(texts)})
        self.work_dir = scratch or Path(tempfile.gettempdir())
        self.fail = fail
        self.modes: list[str] = []

    def batches(self) -> Iterator[Batch]:
        for row, text in enumerate(self.texts):
            units = pd.DataFrame({"unit_id": [str(row)]})
            yield Batch(
                units,
                pd.DataFrame(columns=list(CODE_COLUMNS), dtype="str"),
                units.assign(text=text),
                pd.DataFrame(),
            )
            self.modes += [
                oct(file.stat().st_mode & 0o777) for file in self.work_dir.glob(".cohorts-*/words")
            ]
        if self.fail:
            raise SourceError("the table ends in the middle")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital") / "tables"
    synthesize(folder, 150, seed=3)
    return folder


@pytest.fixture
def source(hospital: Path, tmp_path: Path) -> Iterator[PartitionedSource]:
    with open_source("mimic3", hospital, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv") as source:
        yield source


@pytest.fixture
def batch(source: PartitionedSource) -> Batch:
    (batch,) = source.batches()
    return batch


def test_unit_rows_in_the_batchs_order(source: PartitionedSource, batch: Batch) -> None:
    encoder = make_encoder("word2vec:dim=16").fit(source)
    vectors = encoder.encode(batch)
    assert vectors.shape == (150, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    last = Batch(
        batch.units[-1:], batch.codes, batch.notes[batch.notes["unit_id"] == "10150"], batch.measurements
    )
    np.testing.assert_allclose(encoder.encode(last)[0], vectors[-1], atol=1e-6)


def test_a_patient_is_the_mean_of_its_words(source: PartitionedSource) -> None:
    encoder = make_encoder("word2vec:dim=16,pooling=mean").fit(source)
    one, two, both = encoder.encode_text(["furosemide", "edema", "Furosemide edema, edema"])
    lengths = {text: np.linalg.norm(vector_of(encoder, text)) for text in ("furosemide", "edema")}
    expected = one * lengths["furosemide"] + 2 * two * lengths["edema"]
    np.testing.assert_allclose(both, expected / np.linalg.norm(expected), atol=1e-5)


def shares(batch: Batch) -> dict[str, float]:
    """Return what share of all words each one is."""
    counts = Counter(word for text in batch.notes["text"] for word in words(clean(text)))
    return {word: count / counts.total() for word, count in counts.items()}


@pytest.mark.parametrize("pooling", ["sif", "weighted"])
def test_a_patient_is_what_its_rare_words_say(
    source: PartitionedSource, batch: Batch, pooling: str, tmp_path: Path
) -> None:
    """The paper: a / (a + p(w)) of each word; then what all words have in common comes off."""
    encoder = make_encoder(f"word2vec:dim=16,pooling={pooling}").fit(source)
    encoder.save(tmp_path)
    known = json.loads((tmp_path / "encoder.json").read_text())["vocabulary"]
    rows = dict(zip(known, load_file(tmp_path / "model.safetensors")["embedding"], strict=True))
    share = shares(batch)
    weight = {word: 1e-3 / (1e-3 + share[word]) for word in known}
    often = max(known, key=lambda word: share[word])
    assert weight[often] < 0.1 < 0.5 < weight["furosemide"]
    common = sum(share[word] * weight[word] * rows[word] for word in known)
    common /= sum(share[word] * weight[word] for word in known)
    asked = ["furosemide", "edema", "edema", often]
    mean = sum(weight[word] * rows[word] for word in asked) / sum(weight[word] for word in asked)
    expected = mean - common if pooling == "sif" else mean
    (found,) = encoder.encode_text([" ".join([*asked, "xyzzy"])])
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_what_all_patients_share_is_taken_off(source: PartitionedSource, batch: Batch) -> None:
    alike = {}
    for pooling in POOLINGS:
        vectors = make_encoder(f"word2vec:dim=16,pooling={pooling}").fit(source).encode(batch)
        alike[pooling] = float(np.mean(vectors @ vectors.T))
    assert abs(alike["sif"]) < 0.1
    assert min(alike["mean"], alike["weighted"]) > 0.5


def test_a_patient_who_is_all_that_there_is_keeps_a_direction() -> None:
    for texts in (["edema and pain"] * 5, ["edema"] * 5, ["edema and pain " * 500]):
        encoder = make_encoder("word2vec:dim=8").fit(Notes(*texts))
        (vector,) = encoder.encode_text(texts[:1])
        weighted = make_encoder("word2vec:dim=8,pooling=weighted").fit(Notes(*texts))
        np.testing.assert_allclose(vector, weighted.encode_text(texts[:1])[0], atol=1e-5)


def test_codes_are_weighed_and_nothing_is_taken_off() -> None:
    made = {spec: make_encoder(f"word2vec:{spec}") for spec in ("", "input=both", "input=codes")}
    assert [one.settings.pooling for one in made.values()] == ["sif", "sif", "weighted"]  # type: ignore[attr-defined]


def vector_of(encoder: object, word: str) -> Any:
    """Return the word's row of the embedding as `save` writes it."""
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(Path(folder))  # type: ignore[attr-defined]
        place = json.loads((Path(folder) / "encoder.json").read_text())["vocabulary"].index(word)
        return load_file(Path(folder) / "model.safetensors")["embedding"][place]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_unit_without_a_known_word_is_a_row_of_zeros(
    source: PartitionedSource, batch: Batch, pooling: str
) -> None:
    encoder = make_encoder(f"word2vec:dim=16,pooling={pooling}").fit(source)
    without = Batch(
        batch.units, batch.codes, batch.notes[batch.notes["unit_id"] != "10003"], batch.measurements
    )
    vectors = encoder.encode(without)
    assert not vectors[2].any()
    assert vectors[3].any()
    assert not encoder.encode_text(["xyzzy"]).any()


def test_weights_depend_on_seed_and_corpus_and_not_on_the_hash_seed(hospital: Path, tmp_path: Path) -> None:
    prints = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, str(hospital), str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        )
        prints.add(done.stdout)
    assert len(prints) == 1


@pytest.mark.parametrize(
    "other",
    [
        "seed=1",
        "window=3",
        "input=both",
        "min_count=2",
        "sg=1",
        "epochs=6",
        "dim=9",
        "pooling=mean",
        "pooling=weighted",
        "workers=2",
    ],
)
def test_fingerprint_follows_every_setting(other: str) -> None:
    texts = Notes(*["edema and pain", "no pain"] * 5)
    first = make_encoder("word2vec:dim=8").fit(texts).fingerprint
    assert first == make_encoder("word2vec:dim=8").fit(texts).fingerprint
    settings = other if other.startswith("dim") else f"dim=8,{other}"
    assert first != make_encoder(f"word2vec:{settings}").fit(texts).fingerprint


def test_fingerprint_follows_the_words_and_the_cleaning(monkeypatch: pytest.MonkeyPatch) -> None:
    prints = {
        make_encoder("word2vec:dim=8").fit(Notes(*[text] * 5)).fingerprint for text in ("edema", "pain")
    }
    monkeypatch.setattr(word2vec, "cleaning_version", lambda: "another")
    prints.add(make_encoder("word2vec:dim=8").fit(Notes(*["edema"] * 5)).fingerprint)
    assert len(prints) == 3


@pytest.mark.parametrize("pooling", POOLINGS)
def test_save_and_load_encode_byte_identically(
    source: PartitionedSource, batch: Batch, pooling: str, tmp_path: Path
) -> None:
    encoder = make_encoder(f"word2vec:dim=16,input=both,pooling={pooling}").fit(source)
    encoder.save(tmp_path / "saved")
    loaded = load_encoder(tmp_path / "saved")
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.encode(batch).tobytes() == encoder.encode(batch).tobytes()
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "encoder.json",
        "model.safetensors",
    ]


def test_a_folder_of_an_earlier_version_is_the_mean_that_it_was(tmp_path: Path) -> None:
    """It knew no pooling, and collections keep the fingerprint that it wrote."""
    known, rows = ["edema", "and", "pain"], np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    settings = {"dim": 8, "window": 5, "min_count": 5, "epochs": 5, "sg": 0, "seed": 0, "input": "notes"}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(cleaning_version().encode() + b"\0" + "\n".join(known).encode() + b"\0" + rows.tobytes())
    about = {"name": "word2vec", "fingerprint": digest.hexdigest()[:16], "settings": settings}
    about |= {"cleaning": cleaning_version(), "vocabulary": known}
    for place in ("old", "again"):
        if place == "old":
            (tmp_path / place).mkdir()
            (tmp_path / place / "encoder.json").write_text(json.dumps(about))
            save_file({"embedding": rows}, tmp_path / place / "model.safetensors")
        loaded = load_encoder(tmp_path / place)
        assert loaded.fingerprint == about["fingerprint"]
        (vector,) = loaded.encode_text(["Edema and edema, xyzzy"])
        expected = 2 * rows[0] + rows[1]
        np.testing.assert_array_equal(vector, expected / np.linalg.norm(expected))
        loaded.save(tmp_path / "again")


def test_a_changed_or_incomplete_folder_is_refused(source: PartitionedSource, tmp_path: Path) -> None:
    make_encoder("word2vec:dim=16").fit(source).save(tmp_path / "saved")
    about = tmp_path / "saved" / "encoder.json"
    value = json.loads(about.read_text())
    value["vocabulary"][:2] = value["vocabulary"][1::-1]
    about.write_text(json.dumps(value))
    with pytest.raises(EncoderError, match="was changed since it was saved"):
        load_encoder(tmp_path / "saved")
    (tmp_path / "saved" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(EncoderError, match="no whole tensors"):
        load_encoder(tmp_path / "saved")
    with pytest.raises(EncoderError, match=r"No encoder in .*folder") as refused:
        load_encoder(tmp_path / "nowhere")
    assert "--encoder" in hints.told(refused.value)


def test_rare_words_of_notes_are_not_kept(source: PartitionedSource, hospital: Path, tmp_path: Path) -> None:
    notes = hospital / "NOTEEVENTS.csv"
    text = notes.read_text()
    notes.write_text(text.replace("family at bedside", "family Featherstonehaugh at bedside", 1))
    try:
        make_encoder("word2vec:dim=16").fit(source).save(tmp_path / "saved")
    finally:
        notes.write_text(text)
    assert "featherstonehaugh" not in (tmp_path / "saved" / "encoder.json").read_text().lower()


def test_the_corpus_on_disk_is_private_and_removed_even_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, scratch = tmp_path / "public", tmp_path / "scratch"
    public.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(public))
    texts = ["edema and pain"] * 5
    encoder = make_encoder("word2vec:dim=16").fit(Notes(*texts, scratch=scratch))
    assert list(scratch.iterdir()) == []  # though it keeps the notes' words by number
    assert encoder.encode_text(["edema"]).any()
    del encoder
    with pytest.raises(EncoderError, match="min_count=1"):
        make_encoder("word2vec:dim=16,min_count=1000000").fit(Notes(*texts, scratch=scratch))
    assert list(scratch.iterdir()) == []
    broken = Notes("no pain", scratch=scratch, fail=True)
    with pytest.raises(SourceError):
        make_encoder("word2vec:dim=16").fit(broken)
    assert broken.modes == ["0o600"]
    assert list(scratch.iterdir()) == []
    assert list(public.iterdir()) == []


def test_the_words_counted_while_reading_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    rare = [" ".join(f"w{start + step}" for step in range(100)) for start in range(0, 3000, 100)]
    texts = [f"edema edema {'seldom' if place % 6 == 0 else ''} {text}" for place, text in enumerate(rare)]
    assert make_encoder("word2vec:dim=4").fit(Notes(*texts)).vocabulary == ["edema", "seldom"]  # type: ignore[attr-defined]
    monkeypatch.setattr(word2vec, "_MAX_RAW_VOCABULARY", 150)
    assert make_encoder("word2vec:dim=4").fit(Notes(*texts)).vocabulary == ["edema"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("made", ["word2vec:dim=16,input=both", "fineehr:categories,dim=16"])
def test_a_note_that_was_learnt_from_is_cleaned_once(
    source: PartitionedSource, batch: Batch, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned: list[str] = []

    def placeholders(text: str) -> str:
        cleaned.append(text)
        return cleaning.placeholders(text)

    def splits(texts: list[str], make: Callable[[Split], Any]) -> Iterator[Any]:
        cleaned.extend(texts)
        yield from split_all(texts, make)

    monkeypatch.setitem(cleaning.STEPS, "placeholders", placeholders)
    monkeypatch.setattr(splitting, "splits", splits)
    encoder = make_encoder(made).fit(source)
    encoder.encode(batch)
    assert sorted(cleaned) == sorted(batch.notes["text"])
    cleaned.clear()
    text = batch.notes["text"].copy()
    shifts = np.flatnonzero(batch.notes["category"] == "Nursing/other")
    place = shifts[0]
    text.iloc[place] += f" {text.iloc[shifts[-1]]}"  # words that the category has
    other = replace(batch, notes=batch.notes.assign(text=text))
    vectors = encoder.encode(other)
    assert cleaned == [text.iloc[place]]
    encoder.save(tmp_path)
    assert load_encoder(tmp_path).encode(other).tobytes() == vectors.tobytes()
    assert (vectors != encoder.encode(batch)).any(axis=1).sum() == 1


@pytest.mark.parametrize("made", ["word2vec:dim=16", "fineehr:baseline,dim=16"])
def test_workers_train_the_same_words_and_are_told(
    source: PartitionedSource, batch: Batch, made: str, tmp_path: Path
) -> None:
    """Of one worker the fingerprint tells nothing, as before there was a choice; several end where chance has it."""
    one, same, two = (make_encoder(f"{made}{more}").fit(source) for more in ("", ",workers=1", ",workers=2"))
    assert one.fingerprint == same.fingerprint != two.fingerprint
    with_one, with_two = (encoder.encode_text(["chest pain"]) for encoder in (one, two))
    assert not np.array_equal(with_one, with_two)
    assert (with_one * with_two).sum() > 0.5
    two.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.describe()["settings"]["workers"] == 2
    assert loaded.describe()["vocabulary"] == one.describe()["vocabulary"]
    assert loaded.encode(batch).tobytes() == two.encode(batch).tobytes()


def test_training_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    encoder = make_encoder("word2vec:dim=4").fit(Notes(*["edema and pain"] * 5))
    assert encoder.encode_text(["Edema"]).any()
    assert capfd.readouterr() == ("", "")  # gensim says nothing of its own


def test_a_source_without_notes_is_told_of_its_codes(shared_data: Path, tmp_path: Path) -> None:
    demo = shared_data / "mimic3-demo"
    with open_source("mimic3", demo, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv") as source:
        with pytest.raises(EncoderError, match="use codes, which reads codes alone"):
            make_encoder("word2vec").fit(source)
        encoder = make_encoder("word2vec:input=codes,dim=16").fit(source)
        (batch,) = source.batches()
        assert encoder.encode(batch).any(axis=1).sum() >= 99  # one patient has rare codes only
        with pytest.raises(EncoderError, match="codes alone"):
            encoder.encode_text(["sepsis"])


def test_wrong_settings_are_refused() -> None:
    for spec, message in (
        ("gpt", "Encoders: lsa, codes, word2vec, fineehr, bert"),
        ("word2vec:size=3", "a key of dim"),
        ("word2vec:dim=x", "whole number"),
        ("word2vec:dim=0", "at least 1"),
        ("word2vec:input=labs", "notes, codes, both"),
        ("word2vec:pooling=max", "sif, weighted, mean"),
        ("word2vec:workers=0", "workers is 0; it must be at least 1"),
        ("word2vec:workers=all", "whole number"),
        ("fineehr:workers=0", "workers is 0; it must be at least 1"),
    ):
        with pytest.raises(EncoderError, match=message):
            make_encoder(spec)
    with pytest.raises(EncoderError, match="not trained yet"):
        _ = Word2Vec(Settings()).fingerprint
