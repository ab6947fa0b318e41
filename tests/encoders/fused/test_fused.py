"""The encoder fused on a synthetic hospital, with tiny checkpoints."""

import csv
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from checkpoints import make_checkpoint
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.features.codes import tokens_of
from cohorts.encoders.fused.encoder import Fused
from cohorts.encoders.fused.settings import FUSIONS, OBJECTIVES, PRESETS, Settings
from cohorts.encoders.registry import load_encoder, make_encoder, parse_encoder
from cohorts.encoders.training import TrainingIds
from cohorts.encoders.views.withholding import Withholding
from cohorts.errors import EncoderError, LeakageError
from cohorts.records.base import Batch, Unit
from cohorts.records.codes.phenotypes import stating
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.transforms import Subset, take_units
from cohorts.records.withheld import Withheld, parse_withheld
from command_line import ok, refused

pytestmark = pytest.mark.filterwarnings("ignore:fused.*was still falling:UserWarning")

QUICK: dict[str, Any] = {"epochs": 3, "dim": 32, "min_units": 3}
Make = Callable[..., Fused]


def open_units(folder: Path, work: Path) -> PartitionedSource:
    return open_source("mimic3", folder, unit=Unit.PATIENT, work_dir=work, quarantine_file=work / "bad.csv")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fused") / "tables"
    synthesize(folder, 500, seed=11)  # of the first 300, 52 die
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all tests here: every note is embedded once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv(FOLDER, str(folder))
        yield folder


@pytest.fixture(scope="module")
def source(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartitionedSource]:
    with open_units(hospital, tmp_path_factory.mktemp("patients")) as opened:
        yield opened


@pytest.fixture(scope="module")
def batch(source: PartitionedSource) -> Batch:
    (whole,) = source.batches()
    return whole


@pytest.fixture(scope="module")
def tiny(batch: Batch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bert") / "tiny", batch.notes["text"])


@pytest.fixture(scope="module")
def make(tiny: Path) -> Make:
    return lambda **settings: Fused(Settings(**{"model": str(tiny), **QUICK, **settings}))


@pytest.fixture(scope="module")
def gated(make: Make, source: PartitionedSource) -> Fused:
    return make().fit(source)


def without(batch: Batch, units: list[str], *names: str) -> Batch:
    """The batch in which some units lack codes, notes or measurements."""
    frames = {name: getattr(batch, name) for name in names}
    return replace(batch, **{name: frame[~frame["unit_id"].isin(units)] for name, frame in frames.items()})


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_and_objective_encodes_and_comes_back_byte_for_byte(
    make: Make, source: PartitionedSource, batch: Batch, tmp_path: Path, fusion: str, objective: str
) -> None:
    if objective == "contrastive" and fusion in ("text", "structured"):
        pytest.skip("needs two modalities, and says so: tests/encoders/fused/test_network.py")
    encoder = make(fusion=fusion, objective=objective, epochs=2).fit(source)
    vectors = encoder.encode(batch)
    assert vectors.shape == (500, 32)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    encoder.save(tmp_path)
    restored = load_encoder(tmp_path)
    assert restored.fingerprint == encoder.fingerprint
    assert restored.encode(batch).tobytes() == vectors.tobytes()
    assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} == {".json", ".safetensors"}


def test_same_source_same_weights_and_another_seed_others(
    make: Make, source: PartitionedSource, gated: Fused
) -> None:
    assert make().fit(source).fingerprint == gated.fingerprint
    assert make(seed=1).fit(source).fingerprint != gated.fingerprint


def test_training_lowers_the_loss_on_patients_held_back(make: Make, source: PartitionedSource) -> None:
    for objective in OBJECTIVES:
        trace = make(objective=objective, epochs=8).fit(source).parts.trace
        assert trace.validation_loss[trace.kept_epoch] < 0.97 * trace.validation_loss[0]
        assert trace.training_loss[-1] < trace.training_loss[0]


def test_the_cap_on_epochs_warns_while_the_loss_still_falls(make: Make, source: PartitionedSource) -> None:
    with pytest.warns(UserWarning, match="still falling after 2 epochs"):
        make(preset="paper", epochs=2).fit(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = make(epochs=200, patience=1).fit(source)
    assert len(done.parts.trace.training_loss) < 200


def test_the_papers_preset_reads_and_encodes_as_the_paper_does(
    tiny: Path, source: PartitionedSource, batch: Batch, tmp_path: Path
) -> None:
    """Lower case and abbreviations written out before the tokenizer, [CLS], a column for each code, no centring."""
    encoder = make_encoder(f"fused:preset=paper,model={tiny},dim=16,epochs=1")
    assert isinstance(encoder, Fused)
    rows = take_units(batch, range(300))
    encoder.fit(source, set(rows.units["unit_id"]))
    assert encoder.text is not None
    features, text = encoder.parts.features, encoder.text
    assert features is not None
    assert features.labs is None
    codes = rows.codes[rows.codes["kind"] == "diagnosis"]
    every = set("diagnosis:" + codes["system"] + ":" + codes["code"])
    assert every == {column for column in features.columns if column.startswith("diagnosis:")}
    assert not encoder.parts.fusion.text_mean.any()
    plain = Bert(replace(text.settings, cleaning="cased"))
    for written, read in (
        ("CHF", "congestive heart failure"),
        ("SOB and CAD", "shortness of breath and coronary artery disease"),
    ):
        np.testing.assert_allclose(text.encode_text([written]), plain.encode_text([read]), atol=1e-6)
        assert np.abs(plain.encode_text([written]) - plain.encode_text([read])).max() > 1e-4
    encoder.save(tmp_path)
    assert load_encoder(tmp_path).encode(rows).tobytes() == encoder.encode(rows).tobytes()


@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_what_an_earlier_version_saved_is_read(
    make: Make, source: PartitionedSource, batch: Batch, tmp_path: Path, preset: str
) -> None:
    """Then, a preset was the rate alone, and the fingerprint was made of the settings that there were."""
    rate = {"fast": 1e-3, "paper": 2e-5}[preset]
    settings = {**PRESETS["fast"], "preset": preset, "rate": rate, "objective": "mortality"}
    made = make(**settings, epochs=1).fit(source, set(batch.units["unit_id"][:300]))
    made.save(tmp_path)
    about, added = tmp_path / "encoder.json", ("cleaning", "centring", "codes", "code_layer", "rate")
    told = json.loads(about.read_text())
    for name in added:
        del told["settings"][name]
    about.write_text(json.dumps(told))
    text = tmp_path / "text" / "encoder.json"
    text_told = json.loads(text.read_text())
    del text_told["settings"]["cleaning"]
    text.write_text(json.dumps(text_told))
    assert made.text is not None
    facts = {**told["settings"], "model": made.text.fingerprint, "features": made._facts()}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(made._tensors().items()):
        digest.update(name.encode() + b"\0" + tensor.tobytes())
    loaded = load_encoder(tmp_path)
    assert loaded.fingerprint == digest.hexdigest()[:16]
    assert loaded.describe()["settings"]["objective"] == "mortality"  # the default then, of any preset
    some = take_units(batch, range(20))
    assert loaded.encode(some).tobytes() == made.encode(some).tobytes()


def test_a_missing_modality_is_encoded_by_the_other_and_counted(gated: Fused, batch: Batch) -> None:
    first, second, third = batch.units["unit_id"][:3]
    lacking = without(batch, [first], "notes")
    lacking = without(lacking, [second], "codes", "measurements")
    lacking = without(lacking, [third], "notes", "codes", "measurements")
    before = dict(gated.counts)
    vectors = gated.encode(lacking)
    counted = {what: count - before.get(what, 0) for what, count in gated.counts.items()}
    assert counted["units without notes"] == 1
    assert counted["units without codes or values"] == 1
    assert vectors[:2].any(axis=1).all()
    assert not vectors[2].any()
    whole = gated.encode(batch)
    np.testing.assert_allclose(vectors[3:], whole[3:], atol=1e-6)
    assert (np.abs(vectors[:2] - whole[:2]).max(axis=1) > 1e-3).all()


def test_an_explanation_counts_what_it_reads_once(
    make: Make, source: PartitionedSource, batch: Batch
) -> None:
    few = Subset(source, set(batch.units["unit_id"][:100]))  # of one window, none is in the cache
    told, encoded = (make(objective="contrastive", max_windows=1, epochs=1).fit(few) for _ in range(2))
    some = take_units(batch, range(12))
    long = replace(some, notes=some.notes.assign(text=[text * 9 for text in some.notes["text"]]))
    vectors, _ = told.explain(long)
    np.testing.assert_array_equal(vectors, encoded.encode(long))
    assert told.counts == encoded.counts
    assert told.counts["notes cut"] > 0


def test_a_text_is_a_patient_without_codes(gated: Fused, batch: Batch) -> None:
    one = take_units(batch, [0])
    note = replace(one, notes=one.notes[:1])
    alone = without(note, [one.units["unit_id"][0]], "codes", "measurements")
    np.testing.assert_allclose(gated.encode_text([note.notes["text"][0]]), gated.encode(alone), atol=1e-6)
    assert not gated.encode_text([""]).any()


def test_no_text_and_no_codes_at_all(
    make: Make, source: PartitionedSource, batch: Batch, tmp_path: Path, hospital: Path
) -> None:
    structured = make(model="no-such-model", fusion="structured").fit(source)  # needs no checkpoint
    with pytest.raises(EncoderError, match="fused:structured knows no text"):
        structured.encode_text(["chest pain"])
    text = make(fusion="text").fit(source)
    no_notes = batch.notes.iloc[:0]
    assert not text.encode(replace(batch, notes=no_notes)).any()
    for table, remedy in (
        ("NOTEEVENTS", "no notes, and fused:gated needs them: use codes"),
        ("codes", "use fused:text"),
    ):
        folder = tmp_path / table
        shutil.copytree(hospital, folder)
        for name in ("DIAGNOSES_ICD", "PROCEDURES_ICD", "PRESCRIPTIONS") if table == "codes" else (table,):
            with (folder / f"{name}.csv").open() as file:
                header = file.readline()
            (folder / f"{name}.csv").write_text(header)
        with (
            open_units(folder, tmp_path / f"{table}-work") as opened,
            pytest.raises(EncoderError, match=remedy),
        ):
            make(lab_hours=0).fit(opened)


def test_too_few_to_learn_from(make: Make, source: PartitionedSource, batch: Batch) -> None:
    alive = batch.units["unit_id"][~batch.units["died"].astype(bool)][:100]
    with pytest.raises(
        EncoderError, match=r"finds 0 units that died, or that survived, .* Use a larger source"
    ):
        make(objective="mortality").fit(Subset(source, set(alive)))
    few = set(batch.units["unit_id"][:12])
    with pytest.raises(
        EncoderError, match=r"objective=contrastive finds \d units with .* or another objective"
    ):
        make().fit(Subset(source, few))


def test_nobody_but_the_training_patients_reaches_a_trained_part(
    make: Make, source: PartitionedSource, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = batch.units["unit_id"].tolist()
    chosen = make().fit(source, training=set(ids[:400]))
    rows = take_units(batch, range(400))

    class Part:
        name, unit, synthetic, report, fingerprint = "part", Unit.PATIENT, True, source.report, "0"
        has_notes = has_codes = True
        work_dir = source.work_dir

        def batches(self) -> Iterator[Batch]:
            yield rows

    assert chosen.fingerprint == make().fit(Part()).fingerprint
    monkeypatch.setattr("cohorts.encoders.fused.encoder.Subset", lambda source, ids: source)
    with pytest.raises(LeakageError, match="100 units that are not of the training set"):
        make().fit(source, training=set(ids[:400]))
    assert TrainingIds(None).check(ids, "anything") is None  # type: ignore[func-returns-value]


def test_reasons_name_what_a_patient_has(gated: Fused, batch: Batch) -> None:
    vectors, told = gated.explain(batch)
    np.testing.assert_array_equal(vectors, gated.encode(batch))
    assert gated.parts.features is not None
    known = {
        column.rpartition(":")[0] if column.startswith("lab:") else column
        for column in gated.parts.features.columns
    }
    shares = np.array([one.from_notes for one in told])
    assert ((shares > 0) & (shares < 1)).all()
    for unit, explanation in zip(batch.units["unit_id"], told, strict=True):
        categories = {f"notes:{name}" for name in batch.notes["category"][batch.notes["unit_id"] == unit]}
        assert explanation.reasons
        assert {name for name, _ in explanation.reasons} <= known | categories
    lone = without(batch, batch.units["unit_id"].tolist(), "notes")
    assert {one.from_notes for one in gated.explain(lone)[1]} == {0.0}
    wordy = without(batch, batch.units["unit_id"].tolist(), "codes", "measurements")
    assert {one.from_notes for one in gated.explain(wordy)[1]} == {1.0}


def test_a_reason_is_what_its_absence_changes(gated: Fused, batch: Batch) -> None:
    """Left out of the records themselves, the first reasons turn the vector by the angle that was told."""
    one = take_units(batch, [7])
    vectors, (told,) = gated.explain(one)
    kinds = set()
    for name, degrees in told.reasons:
        kind, _, what = name.partition(":")
        kinds.add(kind)
        if kind == "notes":
            left = replace(one, notes=one.notes[one.notes["category"] != what])
        elif kind == "lab":
            item = one.measurements["item"] + " [" + one.measurements["uom"].fillna("") + "]"
            left = replace(one, measurements=one.measurements[(item != what).to_numpy()])
        else:
            tokens = pd.Series(tokens_of(one.codes), index=one.codes.index)
            left = replace(one, codes=one.codes[tokens != name])
        cosine = float((gated.encode(left) * vectors).sum())
        assert np.degrees(np.arccos(min(1.0, cosine))) == pytest.approx(degrees, abs=0.3), name
    assert len(kinds) > 1


def test_a_last_reason_turns_it_by_a_right_angle(gated: Fused, batch: Batch) -> None:
    ids = batch.units["unit_id"].tolist()
    lone = without(batch, ids, "codes", "measurements")
    lone = replace(lone, notes=lone.notes[lone.notes["category"] == "Echo"])
    having = {explanation.reasons for explanation in gated.explain(lone)[1] if explanation.reasons}
    assert having == {(("notes:Echo", 90.0),)}


@pytest.mark.parametrize(
    "spec",
    ["fused:gated,objective=multitask,model={tiny},epochs=2,dim=32", "word2vec:input=both,dim=16,epochs=1"],
)
def test_no_withheld_code_or_mention_reaches_a_trained_part(
    spec: str, tiny: Path, hospital: Path, source: PartitionedSource, batch: Batch, tmp_path: Path
) -> None:
    """Withholding gives, bit for bit, what a hospital gives whose tables never had those codes and words."""
    withheld = parse_withheld("sepsis,heart_failure", text=True)
    spec = spec.format(tiny=tiny)
    encoder = make_encoder(parse_encoder(spec, withheld))
    assert isinstance(encoder, Withholding)
    encoder.fit(source)
    folder = tmp_path / "without"
    shutil.copytree(hospital, folder)
    removed = strip(folder, withheld)
    assert removed > 100
    with open_units(folder, tmp_path / "work") as clean:
        plain = make_encoder(spec).fit(clean)
        assert encoder.encoder.fingerprint == plain.fingerprint
        (cleaned,) = clean.batches()
        np.testing.assert_array_equal(encoder.encode(batch), plain.encode(cleaned))
    assert encoder.counts["codes withheld"] == removed
    assert make_encoder(spec).fit(source).fingerprint != plain.fingerprint  # it makes a difference
    encoder.save(tmp_path / "kept")
    restored = load_encoder(tmp_path / "kept")
    assert restored.fingerprint == encoder.fingerprint != plain.fingerprint
    np.testing.assert_array_equal(restored.encode(batch), encoder.encode(batch))
    assert restored.encode_text(["septic shock, fever"]) == pytest.approx(restored.encode_text([", fever"]))


def strip(folder: Path, withheld: Withheld) -> int:
    """Take the codes and words out of the tables themselves; return how many codes."""
    codes = pd.read_csv(folder / "DIAGNOSES_ICD.csv", dtype=str)
    told = codes.assign(kind="diagnosis", system="ICD-9", code=codes["ICD9_CODE"])
    theirs = stating(told, withheld.phenotypes).to_numpy()
    codes[~theirs].to_csv(folder / "DIAGNOSES_ICD.csv", index=False)
    with (folder / "NOTEEVENTS.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    text = rows[0].index("TEXT")
    for row in rows[1:]:
        row[text] = withheld.mask(row[text])
    with (folder / "NOTEEVENTS.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return int(theirs.sum())


@pytest.mark.parametrize("engine", ["qdrant:{}/store", "milvus:{}/store.db"])
def test_ingest_query_and_explain_on_both_engines(
    engine: str, tiny: Path, hospital: Path, tmp_path: Path
) -> None:
    store = engine.format(tmp_path)
    run_dir = Path(f"{store.partition(':')[2]}.runs") / "cohorts"
    ok(
        f"ingest --source mimic3 --path {hospital} --store {store} "
        f"--withhold sepsis --encoder fused:gated,model={tiny},epochs=2,dim=32"
    )
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["encoder"]["asked"].endswith("without sepsis")
    assert manifest["cut"]["codes withheld"] > 0
    found = json.loads(ok(f"query --store {store} --patient 10006 -k 5 --explain --format json"))
    assert len(found["neighbours"]) == 5
    assert 0 < found["patient"][0]["from_notes"] < 1
    assert all(row["reasons"] for row in found["neighbours"])
    assert not any("sepsis" in name for row in found["neighbours"] for name in row["reasons"])
    table = ok(f"query --store {store} --patient 10006 -k 3 --explain")
    assert "asked" in table
    assert "turns without" in table
    assert "rank,patient" in ok(f"query --store {store} --text 'short of breath' -k 2 --explain --format csv")
    described = ok(f"describe --encoder {next(run_dir.glob('encoders/*'))}")
    assert "sepsis" in described


def test_what_can_not_be_explained_or_withheld_is_told(hospital: Path, tmp_path: Path) -> None:
    place = f"--source mimic3 --path {hospital} --store qdrant:{tmp_path}/store"
    ok(f"ingest {place} --encoder word2vec:dim=8,epochs=1,min_count=1")
    query = f"query --store qdrant:{tmp_path}/store --patient 10006 --explain"
    assert "keeps no explanations: its encoder is word2vec" in refused(query)
    assert "--withhold-text needs --withhold" in refused(f"ingest {place} --withhold-text")
    assert "There is no phenotype 'flu' to withhold" in refused(f"ingest {place} --withhold flu")
    ok(f"fit --source mimic3 --path {hospital} --out {tmp_path}/kept --encoder word2vec:dim=8,epochs=1")
    message = refused(f"ingest {place} --encoder {tmp_path}/kept --withhold sepsis")
    assert "is trained already" in message
