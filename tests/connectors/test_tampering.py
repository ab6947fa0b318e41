"""Files that were cut or changed: reading them works, or raises an error of ours that names the file."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy
import torch
from checkpoints import make_checkpoint
from cohorts.connectors.attached import kept
from cohorts.connectors.attached.attachment import Attachment
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.catalog import from_json, to_json
from cohorts.connectors.index import Hnsw, index_to_json
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.documents import parse_json
from cohorts.encoders import saving
from cohorts.encoders.base import Encoder
from cohorts.encoders.bert.checkpoints import load_checkpoint
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.features.codes import CodeFeatures
from cohorts.encoders.features.labs import LabFacts, LabFeatures
from cohorts.encoders.fineehr.encoder import FineEhr
from cohorts.encoders.fineehr.siamese import Trace, identity
from cohorts.encoders.fineehr.training import ANY, Parts
from cohorts.encoders.fineehr.training import Settings as FineEhrSettings
from cohorts.encoders.fused.encoder import Fused
from cohorts.encoders.fused.encoder import Parts as FusedParts
from cohorts.encoders.fused.inputs import RecordFeatures
from cohorts.encoders.fused.network import Fusion
from cohorts.encoders.fused.settings import Settings as FusedSettings
from cohorts.encoders.fused.training import FusionTrace
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.sif import Sif
from cohorts.encoders.views.withholding import Withholding
from cohorts.encoders.word2vec import Settings as WordSettings
from cohorts.encoders.word2vec import Word2Vec
from cohorts.errors import EncoderError, EngineError
from cohorts.harness.bench import results as raw
from cohorts.loaders.files.format import DEFINITION, definition_of
from cohorts.loaders.journal.chunks import chunk_of_points
from cohorts.loaders.journal.digests import traces_of
from cohorts.loaders.journal.journal import Journal, Target
from cohorts.records.withheld import parse_withheld
from loading import vectors
from small_sources import Small, diagnosis
from tampering import RUBBISH, only_clear_errors, tampered

DIM = 8


def words(pooling: str = "sif") -> Word2Vec:
    encoder = Word2Vec(WordSettings(dim=DIM, pooling=pooling))
    learnt = Sif.learn(np.array([0.5, 0.3, 0.2]), vectors(3, DIM), centred=True)
    encoder._hold(["hip", "fall", "sepsis"], vectors(3, DIM), None if pooling == "mean" else learnt)
    return encoder


def fineehr() -> FineEhr:
    trace = Trace(40, 50, [0, 50], [1.0, 0.5], [7.0, 6.5])
    settings = FineEhrSettings(dim=DIM)
    weights = {name: np.array(0.5, np.float32) for name in ("Nursing", ANY)}
    refiners = {name: identity(DIM) for name in ("Nursing", ANY)}
    return FineEhr(settings, Parts(words("mean"), refiners, weights, {"Nursing": trace, ANY: trace}))


def fused(checkpoint: Path) -> Fused:
    encoder = Fused(FusedSettings(model=str(checkpoint), dim=DIM, precision="fp32"))
    usual = {name: np.ones((1, 4)) for name in ("mean", "deviation")}
    labs = LabFeatures.restore(LabFacts(["Sodium"], 86_400.0), usual)
    features = RecordFeatures(CodeFeatures(["diagnosis:sepsis", "drug:heparin"]), labs)
    torch.manual_seed(0)
    fusion = Fusion("gated", 64, len(features.columns), DIM).eval().requires_grad_(False)
    encoder._parts = FusedParts(fusion, FusionTrace(40, 1, [0.5], [0.7, 0.6]), features)
    return encoder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bert"), ["hip pain after a fall", "sepsis"])


@pytest.fixture
def forging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take every fingerprint for right: who changes a file can write its fingerprint anew."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    for module in ("word2vec", "fineehr.encoder", "fused.encoder", "lsa", "codes", "concat"):
        monkeypatch.setattr(f"cohorts.encoders.{module}.check_unchanged", lambda *_: None)


def use(folder: Path) -> Encoder:
    encoder = load_encoder(folder)
    encoder.describe()
    if not encoder.uses_transformer:
        encoder.encode_text(["hip fall", ""])
    return encoder


def side_by_side() -> Encoder:
    """Return a concat of lsa and codes."""
    notes, codes = ["hip fall", "sepsis fall", "sepsis"], [[diagnosis("0389")], [diagnosis("4280")], []]
    return make_encoder("concat:lsa:dim=8=.5,codes:dim=8,half_life=2").fit(Small(notes, codes))


@pytest.mark.parametrize("make", [words, fineehr, side_by_side], ids=["word2vec", "fineehr", "concat"])
@pytest.mark.usefixtures("forging")
def test_encoders(make: Callable[[], Encoder], tmp_path: Path) -> None:
    check_encoder(make(), tmp_path / "kept")


@pytest.mark.usefixtures("forging")
def test_an_encoder_of_notes_and_records(checkpoint: Path, tmp_path: Path) -> None:
    check_encoder(Withholding(fused(checkpoint), parse_withheld("sepsis", text=True)), tmp_path / "kept")


def check_encoder(encoder: Encoder, folder: Path) -> None:
    encoder.save(folder)
    use(folder)
    for file in sorted(folder.rglob("*.json")):
        told = only_clear_errors(file, tampered(file.read_text()), lambda: use(folder))
        assert len(told) > 20
        assert any(str(file) in one for one in told)
    for file in sorted(folder.rglob("*.safetensors")):
        told = only_clear_errors(file, iter(damaged_tensors(file)), lambda: use(folder))
        assert all(str(file) in one or "network" in one or "laboratory" in one for one in told)


def damaged_tensors(file: Path) -> list[bytes]:
    """Return the file cut, as rubbish, and with each array missing, of another shape or type, and holding NaN."""
    whole, tensors = file.read_bytes(), safetensors.numpy.load_file(file)
    made = [*RUBBISH, whole[: len(whole) // 2], whole[:-1], b"\xff" * 8 + whole[8:]]
    for name, one in tensors.items():
        made.append(safetensors.numpy.save({key: value for key, value in tensors.items() if key != name}))
        flat = one.reshape(-1)
        others = (flat[:0], np.append(flat, flat), one.astype(np.int64), np.full_like(one, np.nan), one[None])
        made += [safetensors.numpy.save({**tensors, name: np.ascontiguousarray(other)}) for other in others]
    return made


def test_a_changed_encoder_with_its_old_fingerprint_is_refused(tmp_path: Path) -> None:
    words().save(tmp_path)
    about = tmp_path / saving.ABOUT
    about.write_text(about.read_text().replace("sepsis", "stroke"))
    with pytest.raises(EncoderError, match="changed since it was saved"):
        load_encoder(tmp_path)


def test_a_checkpoint(checkpoint: Path) -> None:
    config = checkpoint / "config.json"
    known = json.loads(config.read_text())
    wrong = {"hidden_size": 10**9, "num_hidden_layers": 10**9, "model_type": "x", "hidden_act": None}
    contents = [*RUBBISH, *(json.dumps({**known, name: value}).encode() for name, value in wrong.items())]
    assert len(only_clear_errors(config, iter(contents), lambda: load_checkpoint(checkpoint))) == len(
        contents
    )


def test_the_catalog_of_a_store(tmp_path: Path) -> None:
    secret = tmp_path / "secret" / "file"
    secret.parent.mkdir()
    secret.touch()
    with QdrantEdgeConnector(tmp_path / "store") as store:
        store.create(Collection("c", DIM, Hnsw(), {"age": float}, {"unit": "patient"}))
        store.upsert("c", Points(["1"], vectors(1, DIM), [{"age": 5.0}]))
        store.alias("now", "c")
    file = tmp_path / "store" / "collections.json"

    def look() -> None:
        with QdrantEdgeConnector(tmp_path / "store") as store:
            for name in store.aliases():
                store.describe(name)

    assert len(only_clear_errors(file, tampered(file.read_text()), look)) > 100
    known = json.loads(file.read_text())
    file.write_text(json.dumps({"../secret": known["c"]}))
    with (
        QdrantEdgeConnector(tmp_path / "store") as store,
        pytest.raises(EngineError, match=r"collections\.json is damaged"),
    ):
        store.drop("../secret")
    assert secret.exists()


def test_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "attachment.json"
    about = Collection("theirs", DIM, fields={"age": float}, metadata={"attached": True})
    made = Attachment(
        about, "note", {"age": "age"}, {"age": "age is not null"}, "id", our_vector="cohorts", our_dim=4
    )
    kept.save(made, file)
    assert kept.load(file) == made
    told = only_clear_errors(file, tampered(file.read_text()), lambda: kept.load(file))
    assert all(str(file) in one for one in told)
    injected = json.loads(file.read_text()) | {"present": {"age": "1 == 1 or age is not null"}}
    assert only_clear_errors(file, iter([json.dumps(injected).encode()]), lambda: kept.load(file))


def test_the_definition_that_a_server_or_an_export_keeps(tmp_path: Path) -> None:
    about = to_json(Collection("c", DIM, Hnsw(), {"age": float}, {"unit": "patient"}))
    file = tmp_path / "definition.json"
    file.write_text(json.dumps(about))

    def of_server() -> None:
        value = parse_json(file.read_bytes(), dict[str, Any], "collection c")
        assert 0 < from_json("c", value, "collection c", EngineError).dim < 100_000

    told = only_clear_errors(file, tampered(file.read_text()), of_server)
    assert all("collection c is damaged" in one for one in told)
    file.write_text(json.dumps(about | {"name": "c"}))

    def of_export() -> None:
        schema = pa.schema([], metadata={DEFINITION: file.read_bytes()})
        definition_of(Path("made.parquet"), schema, DIM)

    told = only_clear_errors(file, tampered(file.read_text()), of_export)
    assert all("made.parquet" in one for one in told)


def test_a_journal(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    points = Points(["a", "b"], vectors(2, DIM), [{}, {}])
    chunk = chunk_of_points(points)
    with Journal(file) as journal:
        journal.begin({"store": "s", "collection": "c", "shard": "none"}, resume=False)
        journal.aim(Target("c_v1"))
        traces = dict(zip(points.ids, traces_of(points), strict=True))
        journal.acknowledged(journal.sending(chunk), chunk, traces, {})
        journal.sending(chunk)
    whole = file.read_bytes()

    def look() -> None:
        with Journal(file) as journal:
            for at in (journal.last_run, journal.count, journal.unseen, journal.rejections, journal.batches):
                at()
            assert all(isinstance(key, str) for key in journal.sample(5))
            assert all("/" not in one.name for one in journal.targets())
            journal.in_doubt()
            assert journal.id
            journal.written(["a", "b"])
            journal.unchanged(chunk, of_this_run=False)
            journal.begin({"store": "s", "collection": "c", "shard": "none"}, resume=True)

    def changed() -> list[bytes]:
        made = [whole[: len(whole) // 2], whole[:5_000] + b"\xff" * 4_000 + whole[9_000:], *RUBBISH[1:]]
        for table, columns in TABLES.items():
            for column in columns:
                for value in ("../../x", "", -1, 2**60, b"\x00\xff", None):
                    file.write_bytes(whole)
                    with sqlite3.connect(file) as db:
                        try:
                            db.execute(f"update {table} set {column} = ?", [value])
                        except sqlite3.Error:  # a constraint forbids it
                            continue
                        finally:
                            db.commit()
                    db.close()
                    made.append(file.read_bytes())
        file.write_bytes(whole)
        return made

    told = only_clear_errors(file, iter(changed()), look)
    assert len(told) > 10
    assert all(str(file) in one for one in told)


TABLES = {
    "runs": ("started", "identity", "state"),
    "batches": ("first_id", "units", "digest", "state", "ids"),
    "units": ("id", "content", "trace", "run"),
    "targets": ("name", "whole", "alone", "copy_of"),
    "self": ("id",),
}


def test_a_measurement(tmp_path: Path) -> None:
    folder, one, whole = tmp_path / "k=10", np.zeros(1), np.ones(1, np.int64)
    answers = raw.Answers(
        query=whole,
        latency_ms=one,
        asked=whole,
        got=whole,
        ids=whole,
        scores=np.ones(1, np.float32),
        started_s=one,
        intended_s=one,
    )
    manifest = raw.manifest_of(
        {"k": 10},
        "0",
        synthetic=True,
        server="s",
        effective_index=index_to_json(Hnsw()),
        effective_search={"ef_search": 5},
        measured={"behind_ms": 1.0},
    )
    raw.write(folder, answers, manifest)
    assert asdict(raw.read(folder)[1]) == asdict(manifest)
    kept = folder / raw.MANIFEST
    told = only_clear_errors(
        kept, tampered(kept.read_text()), lambda: raw.read_manifest(folder).fact("behind_ms")
    )
    assert len(told) > 100
    assert only_clear_errors(folder / raw.ANSWERS, iter(RUBBISH), lambda: raw.read(folder))
