"""The encoder fineehr on a synthetic hospital: four settings, new patients and categories, who may be learnt from."""

import hashlib
import json
import shutil
import tracemalloc
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from cohorts.encoders.fineehr.encoder import FineEhr
from cohorts.encoders.fineehr.note_vectors import Labelled, NoteVectors, joined, labelled, note_vectors
from cohorts.encoders.fineehr.training import ANY, SETTINGS, Learner, Parts, Settings, refine, train
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.training import Checked, TrainingIds, held_back
from cohorts.errors import EncoderError, LeakageError
from cohorts.records.base import Batch, Unit
from cohorts.records.notes.cleaning import clean, words
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.transforms import Subset, take_units
from command_line import ok

QUICK = Settings(dim=24, epochs=2, steps=200, patience=3)


def open_units(folder: Path, work: Path, unit: Unit) -> PartitionedSource:
    return open_source("mimic3", folder, unit=unit, work_dir=work, quarantine_file=work / "bad.csv")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fineehr") / "tables"
    synthesize(folder, 1_500, seed=11)
    return folder


@pytest.fixture(scope="module")
def source(
    hospital: Path, tmp_path_factory: pytest.TempPathFactory, one_batch: None
) -> Iterator[PartitionedSource]:
    with open_units(hospital, tmp_path_factory.mktemp("admissions"), Unit.ADMISSION) as opened:
        yield opened


@pytest.fixture(scope="module")
def batch(source: PartitionedSource) -> Batch:
    batches = list(source.batches())
    assert len(batches) == 1
    return batches[0]


@pytest.fixture(scope="module")
def encoders(source: PartitionedSource) -> dict[str, FineEhr]:
    settings = [replace(QUICK, setting=name) for name in SETTINGS]
    return {
        one.setting: FineEhr(one, part)
        for one, part in zip(settings, train(source, settings, None), strict=True)
    }


@pytest.fixture(params=SETTINGS)
def encoder(encoders: dict[str, FineEhr], request: pytest.FixtureRequest) -> FineEhr:
    return encoders[request.param]


def with_notes(batch: Batch, **columns: Any) -> Batch:
    return replace(batch, notes=batch.notes.assign(**columns))


def test_unit_rows_in_the_batchs_order(encoder: FineEhr, batch: Batch) -> None:
    vectors = encoder.encode(batch)
    assert vectors.shape == (len(batch), 24)
    assert vectors.dtype == np.float32
    known = batch.units["unit_id"].isin(batch.notes["unit_id"]).to_numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), known.astype(float), atol=1e-6)
    rows = [3, 40, 41]
    np.testing.assert_allclose(encoder.encode(take_units(batch, rows)), vectors[rows], atol=1e-6)


def test_a_setting_is_trained_alone_as_with_the_others(
    encoders: dict[str, FineEhr], source: PartitionedSource
) -> None:
    alone = FineEhr(replace(QUICK, setting="full")).fit(source)
    assert alone.fingerprint == encoders["full"].fingerprint
    assert len({one.fingerprint for one in encoders.values()}) == 6


def test_what_each_setting_learns(encoders: dict[str, FineEhr]) -> None:
    parts = {name: one.parts for name, one in encoders.items()}
    assert not parts["baseline"].refiners and not parts["baseline"].weights  # noqa: PT018 - one thing
    assert parts["metric"].refiners.keys() == parts["full"].refiners.keys()
    assert {"Discharge summary", "Radiology", ANY} <= parts["full"].refiners.keys()
    assert parts["weight"].weights.keys() == parts["full"].weights.keys()
    own = [float(one) for name, one in parts["weight"].weights.items() if name != ANY]
    assert sum(own) == pytest.approx(1, abs=1e-5)
    assert float(parts["weight"].weights[ANY]) == pytest.approx(np.mean(own), rel=1e-5)


def test_baseline_and_metric_are_the_mean_of_all_notes(encoders: dict[str, FineEhr], batch: Batch) -> None:
    """The paper, section IV-B: "average pooling of all related note-level embeddings"; categories don't count."""
    several = np.flatnonzero(
        batch.notes.groupby("unit_id")["category"].nunique().reindex(batch.units["unit_id"]) > 2
    )
    some = take_units(batch, several[:20].tolist())
    for name in ("baseline", "metric"):
        one = encoders[name]
        notes = note_vectors(some, one.parts.words)
        refined = refine(notes.vectors, notes.category, one.parts.refiners)
        expected = unit_rows(np.stack([refined[notes.unit == row].mean(0) for row in range(len(some))]))
        np.testing.assert_allclose(one.encode(some), expected, atol=1e-6)


def test_categories_is_the_mean_of_the_category_means(encoders: dict[str, FineEhr], batch: Batch) -> None:
    baseline = encoders["categories"]
    row = int(np.argmax(batch.notes.groupby("unit_id")["category"].nunique().reindex(batch.units["unit_id"])))
    one = take_units(batch, [row])
    vectors = baseline.parts.words.encode_text(list(one.notes["text"]))
    by_category = [
        vectors[(one.notes["category"] == name).to_numpy()].mean(0) for name in one.notes["category"].unique()
    ]
    assert len(by_category) > 3
    expected = unit_rows(np.mean(by_category, axis=0)[None])
    np.testing.assert_allclose(baseline.encode(one), expected, atol=1e-6)


def test_saved_and_loaded_it_encodes_the_same_bytes(encoder: FineEhr, batch: Batch, tmp_path: Path) -> None:
    encoder.save(tmp_path / "kept")
    loaded = load_encoder(tmp_path / "kept")
    assert isinstance(loaded, FineEhr)
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.encode(batch).tobytes() == encoder.encode(batch).tobytes()
    texts = ["worsening heart failure", "xyzzy"]
    assert loaded.encode_text(texts).tobytes() == encoder.encode_text(texts).tobytes()
    assert loaded.describe() == encoder.describe()
    assert {file.suffix for file in (tmp_path / "kept").rglob("*") if file.is_file()} == {
        ".json",
        ".safetensors",
    }


@pytest.mark.parametrize(("once", "now"), [("baseline", "categories"), ("metric", "metric-categories")])
def test_what_an_earlier_version_saved_is_read_as_what_it_is(
    encoders: dict[str, FineEhr], batch: Batch, tmp_path: Path, once: str, now: str
) -> None:
    """Its fingerprint, which collections keep, was made of the settings as they were written, and stays."""
    kept = encoders[now]
    kept.save(tmp_path / "kept")
    about = tmp_path / "kept" / "encoder.json"
    about.write_text(about.read_text().replace(f'"setting": "{now}"', f'"setting": "{once}"'))
    settings = {name: value for name, value in asdict(QUICK).items() if name != "workers"}
    digest = hashlib.sha256(json.dumps({**settings, "setting": once}, sort_keys=True).encode())
    digest.update(kept.parts.words.fingerprint.encode())
    for name, tensor in sorted(kept._tensors().items()):
        digest.update(name.encode() + b"\0" + tensor.tobytes())
    loaded = load_encoder(tmp_path / "kept")
    assert isinstance(loaded, FineEhr)
    assert loaded.settings.setting == now
    assert loaded.fingerprint == json.loads(about.read_text())["fingerprint"] == digest.hexdigest()[:16]
    assert loaded.encode(batch).tobytes() == kept.encode(batch).tobytes()
    assert encoders[once].fingerprint != loaded.fingerprint


def test_notes_are_plain_means_of_words_and_saved_as_before(
    encoder: FineEhr, batch: Batch, tmp_path: Path
) -> None:
    """The paper's mean, whatever word2vec does; an earlier version wrote less, and the same fingerprint."""
    encoder.save(tmp_path / "kept")
    about = tmp_path / "kept" / "words" / "encoder.json"
    told = json.loads(about.read_text())
    assert [told["settings"].pop(name) for name in ("pooling", "workers")] == ["mean", 1]
    about.write_text(json.dumps(told))
    rows = safetensors.numpy.load_file(tmp_path / "kept" / "words" / "model.safetensors")
    assert rows.keys() == {"embedding"}
    digest = hashlib.sha256(json.dumps(told["settings"], sort_keys=True).encode())
    digest.update(told["cleaning"].encode() + b"\0" + "\n".join(told["vocabulary"]).encode() + b"\0")
    digest.update(rows["embedding"].tobytes())
    assert told["fingerprint"] == digest.hexdigest()[:16]
    loaded = load_encoder(tmp_path / "kept")
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.encode(batch).tobytes() == encoder.encode(batch).tobytes()
    place = {word: row for row, word in enumerate(told["vocabulary"])}
    text = batch.notes["text"].iloc[0]
    mean = np.mean([rows["embedding"][place[word]] for word in words(clean(text)) if word in place], axis=0)
    (note,) = encoder.parts.words.encode_text([text])
    np.testing.assert_allclose(note, mean / np.linalg.norm(mean), atol=1e-5)


def test_training_that_brings_nothing_is_told(encoders: dict[str, FineEhr]) -> None:
    """The weights, and the networks, go back to their best step, which may be the first."""
    full = encoders["full"]
    assert full.unimproved == full.describe()["unimproved"] == ""
    alike = {name: np.full((), 1 / (len(full.parts.weights) - 1), np.float32) for name in full.parts.weights}
    still = {name: trace._replace(kept_step=0) for name, trace in full.parts.traces.items()}
    for setting, parts, part, same in (
        ("full", replace(full.parts, weights=alike), "category weights", "metric-categories"),
        ("full", replace(full.parts, traces=still), "networks", "weight"),
        (
            "full",
            replace(full.parts, weights=alike, traces=still),
            "weights and of the networks",
            "categories",
        ),
        ("weight", Parts(full.parts.words, weights=alike), "category weights", "categories"),
        ("metric", replace(full.parts, weights={}, traces=still), "networks", "baseline"),
    ):
        told = FineEhr(replace(QUICK, setting=setting), parts).unimproved
        assert told.endswith(f"{part} was an improvement: it is equal to {same}")
    maps = {name: np.eye(24, dtype=np.float32) for name in full.parts.weights}
    mapped = FineEhr(replace(QUICK, setting="weight", weights="map"), Parts(full.parts.words, weights=maps))
    assert "category weights" in mapped.unimproved


def test_a_damaged_folder_is_refused(encoders: dict[str, FineEhr], tmp_path: Path) -> None:
    encoders["full"].save(tmp_path / "kept")
    about = tmp_path / "kept" / "encoder.json"
    text = about.read_text()
    about.write_text(text.replace('"margin": 2.0', '"margin": 1.0'))
    with pytest.raises(EncoderError, match="changed since it was saved"):
        load_encoder(tmp_path / "kept")
    about.write_text(json.dumps({"name": "fineehr"}))
    with pytest.raises(EncoderError, match=r"encoder\.json is damaged: it lacks fingerprint"):
        load_encoder(tmp_path / "kept")
    about.write_text(text)
    shutil.rmtree(tmp_path / "kept" / "words")
    with pytest.raises(EncoderError, match=r"words/encoder\.json can't be read"):
        load_encoder(tmp_path / "kept")


def test_notes_of_an_unknown_category_go_by_what_holds_for_any(encoder: FineEhr, batch: Batch) -> None:
    one = take_units(batch, [0])
    text = one.notes["text"].iloc[0]
    for category in ("Podiatry", None):
        unknown = replace(one, notes=one.notes.iloc[:1].assign(category=category))
        np.testing.assert_allclose(encoder.encode(unknown), encoder.encode_text([text]), atol=1e-6)
    mixed = encoder.encode(with_notes(one, category=["Podiatry", *one.notes["category"][1:]]))
    np.testing.assert_allclose(np.linalg.norm(mixed, axis=1), 1, atol=1e-6)


def test_a_new_patient_is_encoded_as_one_seen_in_training(encoders: dict[str, FineEhr], batch: Batch) -> None:
    rows = [5, 6]
    seen = take_units(batch, rows)
    new = replace(
        seen,
        units=seen.units.assign(unit_id=["a", "b"]),
        notes=seen.notes.assign(
            unit_id=seen.notes["unit_id"].map(dict(zip(seen.units["unit_id"], "ab", strict=True)))
        ),
    )
    np.testing.assert_array_equal(encoders["full"].encode(new), encoders["full"].encode(seen))


@pytest.fixture(scope="module")
def patients(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    with open_units(hospital, tmp_path_factory.mktemp("patients"), Unit.PATIENT) as opened:
        (whole,) = opened.batches()
        return whole


def test_a_patient_from_admissions(encoders: dict[str, FineEhr], batch: Batch, patients: Batch) -> None:
    full = encoders["full"]
    histories = {
        name: FineEhr(replace(full.settings, history=name, half_life_days=30), full.parts).encode(patients)
        for name in ("last", "mean", "decay")
    }
    by_stay = pd.DataFrame(
        {
            "patient": batch.units["patient_id"],
            "vector": list(full.encode(batch)),
            "end": batch.units["unit_id"].map(batch.notes.groupby("unit_id")["time"].max()),
        }
    ).dropna()
    several = 0
    for row, patient in enumerate(patients.units["unit_id"]):
        stays = by_stay[by_stay["patient"] == patient].sort_values("end")
        if stays.empty:
            continue
        several += len(stays) > 2
        vectors = np.stack(stays["vector"].to_list())
        age = (stays["end"].iloc[-1] - stays["end"]).dt.total_seconds().to_numpy() / 86_400
        decayed = (0.5 ** (age / 30))[:, None] * vectors
        expected = {"last": vectors[-1], "mean": vectors.mean(0), "decay": decayed.sum(0)}
        for name, vector in expected.items():
            np.testing.assert_allclose(histories[name][row], vector / np.linalg.norm(vector), atol=1e-5)
    assert several > 10


def test_admissions_without_any_time_count_alike(encoders: dict[str, FineEhr], patients: Batch) -> None:
    rows = np.flatnonzero(patients.units["admissions"] > 1)[:5].tolist()
    undated = with_notes(take_units(patients, rows), time=pd.NaT)
    full = encoders["full"]
    decay, mean = (
        FineEhr(replace(full.settings, history=name), full.parts).encode(undated)
        for name in ("decay", "mean")
    )
    np.testing.assert_allclose(decay, mean, atol=1e-6)


def test_batches_joined_are_as_one_batch(encoders: dict[str, FineEhr], patients: Batch) -> None:
    words = encoders["full"].parts.words
    cuts = [
        take_units(patients, range(start, min(start + 400, len(patients))))
        for start in range(0, len(patients), 400)
    ]
    parts = [note_vectors(cut, words) for cut in cuts]
    vectors = np.concatenate([one.vectors for one in parts])
    whole = encoders["full"].encode_notes(joined(parts, vectors))
    np.testing.assert_allclose(whole, encoders["full"].encode(patients), atol=1e-6)


def test_notes_to_learn_from_are_those_of_all_batches(encoders: dict[str, FineEhr], batch: Batch) -> None:
    """One matrix takes them all; units of which nobody knows whether they died are left out."""
    words = encoders["full"].parts.words
    died = batch.units["died"].copy()
    died[::7] = pd.NA
    some = replace(batch, units=batch.units.assign(died=died))
    known = np.flatnonzero(died.notna()).tolist()
    cuts = [take_units(some, range(start, min(start + 500, len(some)))) for start in range(0, len(some), 500)]
    sample = labelled(iter(cuts), words, len(batch.notes))
    expected = note_vectors(take_units(batch, known), words)
    np.testing.assert_array_equal(sample.notes.vectors, expected.vectors)
    np.testing.assert_array_equal(sample.notes.unit, expected.unit)
    np.testing.assert_array_equal(sample.died, died[known].to_numpy(bool))


def test_training_copies_no_matrix_of_notes() -> None:
    """By tracemalloc, which sees what numpy takes: beside all notes there are those of one category, refined."""
    rng = np.random.default_rng(0)
    many, units = 60_000, 600
    vectors = unit_rows(rng.normal(size=(many, 64)).astype(np.float32))
    unit = np.sort(rng.integers(0, units, many))
    notes = NoteVectors(
        vectors=vectors,
        category=rng.choice(list("abcdef"), many),
        stay=unit,
        stay_unit=np.arange(units),
        stay_end=np.full(units, "NaT", "datetime64[us]"),
        units=units,
    )
    sample = Labelled(notes, rng.random(units) < 0.3, [str(row) for row in range(units)])
    learner = Learner(sample, Settings(dim=64, steps=1))
    tracemalloc.start()
    try:
        learner.weights(learner.refiners()[0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.9 * vectors.nbytes


def test_only_training_ids_are_learnt_from(source: PartitionedSource, batch: Batch) -> None:
    ids = frozenset(batch.units["unit_id"][::2])
    brief = replace(QUICK, setting="full", dim=8, epochs=1, steps=50)
    some = FineEhr(brief).fit(source, ids)
    same = FineEhr(brief).fit(Subset(source, ids))
    assert some.fingerprint == same.fingerprint


def test_a_unit_that_is_not_of_the_training_set_stops_every_part(
    source: PartitionedSource, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = frozenset(batch.units["unit_id"][:-1])
    with pytest.raises(LeakageError, match=r"1 units .* reached the training of the word vectors"):
        list(Checked(source, TrainingIds(ids), "the word vectors").batches())
    TrainingIds(None).check(["anybody"], "it")
    # The guard is not the filter: with the filter broken, nothing is trained.
    monkeypatch.setattr("cohorts.encoders.fineehr.training.Subset", lambda whole, ids: whole)
    with pytest.raises(LeakageError, match="nothing was trained"):
        FineEhr(QUICK).fit(source, ids)


def test_a_patient_is_held_back_with_all_admissions() -> None:
    patients = [str(row // 3) for row in range(3_000)]
    held = held_back(patients, seed=0)
    by_patient = pd.Series(held).groupby(patients).nunique()
    assert (by_patient == 1).all()
    assert 0.1 < held.mean() < 0.2


def test_too_few_deaths_are_told_with_the_remedy(source: PartitionedSource, batch: Batch) -> None:
    few = frozenset(batch.units["unit_id"][:60])
    with pytest.raises(EncoderError, match=r"too few notes of units that died.*fineehr:baseline"):
        FineEhr(QUICK).fit(source, few)
    FineEhr(replace(QUICK, setting="baseline", min_count=1)).fit(source, few)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "fineehr:best",
            "setting is 'best'; it is one of baseline, metric, weight, full, categories, metric-categories",
        ),
        ("fineehr:weights=matrix", "weights is 'matrix'; it is one of scalar, map"),
        ("fineehr:history=first", "history is 'first'"),
        ("fineehr:margin=-1", "margin is -1.0; it must be above 0"),
        ("fineehr:margin=wide", "margin=wide: it is a number"),
        ("fineehr:dim=0", "dim is 0"),
        ("fineehr:full,metric", "'metric' is no setting"),
        ("word2vec:full", "'full' is no setting"),
    ],
)
def test_settings_that_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        make_encoder(spec)


def test_settings_as_they_are_written() -> None:
    made = make_encoder("fineehr:metric, dim=32, margin=1.5, sg=1")
    assert isinstance(made, FineEhr)
    assert made.settings == Settings(setting="metric", dim=32, margin=1.5, sg=1)
    assert make_encoder("fineehr").name == "fineehr"
    with pytest.raises(EncoderError, match="not trained yet"):
        _ = make_encoder("fineehr").fingerprint


@pytest.mark.parametrize("store", ["qdrant:store.qdrant", "milvus:store.db"])
def test_ingest_and_query_on_both_engines(
    hospital: Path, patients: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = "fineehr:full,dim=24,epochs=2,steps=200,patience=3"
    ok(f"ingest --source mimic3 --path {hospital} --encoder {asked} --store {store} --collection icu")
    found = json.loads(ok(f"query --store {store} --collection icu --patient 10006 -k 10 --format json"))
    (kept,) = tmp_path.glob("store.*.runs/icu/encoders/*")
    vectors = load_encoder(kept).encode(patients)
    ids = patients.units["unit_id"].tolist()
    scores = vectors @ vectors[ids.index("10006")]
    exact = [row for row in np.argsort(-scores) if ids[row] != "10006"][:10]
    assert found["synthetic"] is True
    assert [one["similarity"] for one in found["neighbours"]] == pytest.approx(scores[exact], abs=2e-4)
    text = f'query --store {store} --collection icu --text "worsening heart failure" -k 3 --format json'
    assert len(json.loads(ok(text))["neighbours"]) == 3
    ok(f"verify --store {store} --collection icu --full")
