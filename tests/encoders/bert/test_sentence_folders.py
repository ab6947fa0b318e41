"""Folders of sentence-transformers: their own modules make the vectors, or the folder is refused."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import make_checkpoint
from cohorts.encoders.bert import encoder as bert
from cohorts.encoders.bert.checkpoints import content_hash
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.registry import load_encoder
from cohorts.errors import EncoderError
from cohorts.harness.evaluate.space.unfreezing import first_windows, frozen_vectors, train
from command_line import refused, run
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    LayerNorm,
    Normalize,
    Pooling,
    Transformer,
    WeightedLayerPooling,
)

TEXTS = ["Patient denies Chest pain.", "BP is low, afebrile and Stable today", "No known drug allergies"]
LONG = " ".join(f"Day {day}: patient stable, chest clear, denies pain." for day in range(30))
WIDTH = 32
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")

Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_checkpoint(tmp_path_factory.mktemp("plain") / "tiny", [*TEXTS, LONG], width=WIDTH)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "model_max_length": 128}')
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))


def saved(tiny: Path, out: Path, *behind: Any, **more: Any) -> Path:
    """Write the tiny checkpoint with these modules behind it, as the library does."""
    torch.manual_seed(1)
    words = Transformer(str(tiny))
    SentenceTransformer(modules=[words, *behind], device="cpu", **more).save(
        str(out), create_model_card=False
    )
    return out


def encoder_of(folder: Path, **settings: Any) -> Bert:
    return Bert(bert.Settings(str(folder), **{"precision": "fp32", "overlap": 8, **settings}))


def by_the_library(folder: Path, texts: list[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
    made: np.ndarray[Any, np.dtype[np.float32]] = SentenceTransformer(
        str(folder), device="cpu", local_files_only=True
    ).encode(texts, normalize_embeddings=True)
    return made


def edited(folder: Path, name: str, **changes: Any) -> None:
    file = folder / name
    about = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**about, **changes}))


def listed(folder: Path, place: int, **changes: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[place].update(changes)
    (folder / "modules.json").write_text(json.dumps(modules))


def dense(into: int, activation: Any = None) -> Dense:
    torch.manual_seed(2)
    return Dense(WIDTH, into, activation_function=activation or torch.nn.Tanh())


def one_mode(mode: str) -> list[Any]:
    return [Pooling(WIDTH, mode)]


BEHIND: dict[str, Callable[[], list[Any]]] = {
    **{mode: partial(one_mode, mode) for mode in MODES},
    "several": lambda: [Pooling(WIDTH, ("cls", "max", "mean"))],
    "dense": lambda: [Pooling(WIDTH, "mean"), dense(12)],
    "dense without activation": lambda: [Pooling(WIDTH, "cls"), dense(48, torch.nn.Identity()), Normalize()],
    "residual": lambda: [Pooling(WIDTH, "mean"), Dense(WIDTH, WIDTH, use_residual=True)],
    "norm": lambda: [Pooling(WIDTH, "mean"), LayerNorm(WIDTH), Normalize()],
    "dense of tokens": lambda: [Dense(WIDTH, 8, module_input_name="token_embeddings"), Pooling(8, "max")],
}


@pytest.mark.parametrize("name", list(BEHIND))
def test_vectors_are_the_models_own(name: str, tiny: Path, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "st", *BEHIND[name]())
    encoder, expected = encoder_of(folder), by_the_library(folder, TEXTS)
    assert encoder.dim == expected.shape[1]
    np.testing.assert_allclose(encoder.encode_text(TEXTS), expected, atol=1e-5)
    assert encoder.encode_text([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_roberta_config.json"])
def test_the_longest_text_and_lower_case_are_the_models_own(name: str, tiny: Path, tmp_path: Path) -> None:
    lower = make_checkpoint(tmp_path / "lower", [*TEXTS, LONG], cased=False, width=WIDTH)
    shutil.copy(tiny / "tokenizer_config.json", lower)  # which says cased, of a vocabulary that is not
    folder = saved(lower, tmp_path / "st", Pooling(WIDTH, "cls"))
    (folder / "sentence_bert_config.json").unlink()
    edited(folder, name, max_seq_length=16, do_lower_case=True)
    encoder = encoder_of(folder)
    np.testing.assert_allclose(encoder.encode_text(TEXTS), by_the_library(folder, TEXTS), atol=1e-5)
    assert encoder.checkpoint.max_tokens == 16
    first = encoder_of(folder, max_windows=1)
    np.testing.assert_allclose(first.encode_text([LONG]), by_the_library(folder, [LONG]), atol=1e-5)


def test_a_longer_text_than_a_plain_checkpoint_reads_is_one_window(tiny: Path, tmp_path: Path) -> None:
    long = make_checkpoint(tmp_path / "long", [LONG], width=WIDTH, positions=1_024)
    (long / "tokenizer_config.json").write_text('{"do_lower_case": false, "model_max_length": 1024}')
    folder, text = saved(long, tmp_path / "st", Pooling(WIDTH, "mean")), LONG + " " + LONG
    assert 512 < len(encoder_of(folder).checkpoint.tokenizer(text)["input_ids"]) < 1_024
    np.testing.assert_allclose(
        encoder_of(folder).encode_text([text]), by_the_library(folder, [text]), atol=1e-5
    )


def test_a_note_is_the_mean_of_its_windows_through_the_modules(tiny: Path, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "st", *BEHIND["dense"]())
    encoder = encoder_of(folder, level="sentence")
    parts = [part.rstrip(".") for part in LONG.split(". ")]
    mean = SentenceTransformer(str(folder), device="cpu").encode(parts).mean(axis=0)
    np.testing.assert_allclose(encoder.encode_text([LONG])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_a_transformer_in_a_folder_of_its_own_and_weights_in_a_bin(tiny: Path, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "st", Pooling(WIDTH, "max"), dense(12))
    expected = by_the_library(folder, TEXTS)
    (folder / "0_Transformer").mkdir()
    for file in [one for one in folder.iterdir() if one.is_file() and one.name != "modules.json"]:
        if file.name != "config_sentence_transformers.json":
            file.rename(folder / "0_Transformer" / file.name)
    listed(folder, 0, path="0_Transformer")
    from safetensors.torch import load_file

    weights = folder / "2_Dense" / "model.safetensors"
    torch.save(load_file(weights), folder / "2_Dense" / "pytorch_model.bin")
    weights.unlink()
    np.testing.assert_allclose(encoder_of(folder).encode_text(TEXTS), expected, atol=1e-5)


REFUSED: dict[str, tuple[Edit, str]] = {
    "another layer": (
        lambda folder: listed(folder, 1, type="sentence_transformers.models.LSTM"),
        "there is LSTM",
    ),
    "a class of its own": (
        lambda folder: listed(folder, 1, type="pooling.Pooling"),
        r"there is pooling\.Pooling",
    ),
    "no pooling": (
        lambda folder: listed(folder, 1, type="sentence_transformers.models.Normalize"),
        "no Pooling",
    ),
    "a router": (
        lambda folder: listed(folder, 0, type="sentence_transformers.models.Router"),
        r"first of the modules in .* is sentence_transformers\.models\.Router",
    ),
    "a transformer of its own": (
        lambda folder: listed(folder, 0, type="mine.Transformer"),
        r"is mine\.Transformer",
    ),
    "another task": (
        lambda folder: edited(folder, "sentence_bert_config.json", transformer_task="fill-mask"),
        "transformer_task",
    ),
    "a prompt": (
        lambda folder: edited(
            folder, "config_sentence_transformers.json", prompts={"q": "query: "}, default_prompt_name="q"
        ),
        "prompt 'q'",
    ),
    "another measure": (
        lambda folder: edited(folder, "config_sentence_transformers.json", similarity_fn_name="dot"),
        "compared by dot",
    ),
    "a path outside": (lambda folder: listed(folder, 1, path="../elsewhere"), "outside of its folder"),
    "no list": (lambda folder: (folder / "modules.json").write_text("7"), "it must be a list"),
    "an activation of its own": (
        lambda folder: edited(folder, "2_Dense/config.json", activation_function="mine.Activation"),
        "names mine.Activation",
    ),
    "weights that don't fit": (
        lambda folder: edited(folder, "2_Dense/config.json", out_features=5),
        "don't fit each other: RuntimeError",
    ),
    "no weights": (lambda folder: (folder / "2_Dense" / "model.safetensors").unlink(), "can't be read"),
    "no length": (
        lambda folder: edited(folder, "sentence_bert_config.json", max_seq_length="long"),
        "no count of tokens",
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_used_is_refused(name: str, tiny: Path, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "st", Pooling(WIDTH, "mean"), dense(12))
    (folder / "pooling.py").write_text("raise SystemExit('code of the folder ran')")
    edit, message = REFUSED[name]
    edit(folder)
    with pytest.raises(EncoderError, match=message):
        encoder_of(folder).encode_text(TEXTS)


def test_layers_that_are_weighted_are_refused_before_anything_is_read(tiny: Path, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "st", WeightedLayerPooling(WIDTH, 2, 0), Pooling(WIDTH, "mean"))
    (tmp_path / "notes.csv").write_text("id,text\n")
    told = refused(
        f"ingest --source notes-csv --path {tmp_path}/notes.csv --columns id=id,text=text "
        f"--encoder bert:{folder} --store qdrant:{tmp_path}/q --collection v"
    )
    assert "WeightedLayerPooling" in told
    assert "pooling=chunk-mean" in told


def test_unit_vectors_have_the_same_neighbours_by_any_measure(tiny: Path, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "st", Pooling(WIDTH, "cls"), Normalize(), similarity_fn_name="dot")
    np.testing.assert_allclose(
        encoder_of(folder).encode_text(TEXTS), by_the_library(folder, TEXTS), atol=1e-5
    )


def test_another_pooling_that_is_asked_for_reads_the_transformer_alone(tiny: Path, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "st", Pooling(WIDTH, "max"), dense(12))
    listed(folder, 2, type="mine.Dense")
    plain = saved(tiny, tmp_path / "cls", Pooling(WIDTH, "cls"))
    encoder = encoder_of(folder, pooling="chunk-cls")
    assert encoder.dim == WIDTH
    np.testing.assert_allclose(encoder.encode_text(TEXTS), by_the_library(plain, TEXTS), atol=1e-5)
    with pytest.raises(EncoderError, match="has no modules of sentence-transformers"):
        _ = encoder_of(tiny, pooling="modules").fingerprint


def test_what_the_modules_are_is_a_part_of_the_fingerprint(tiny: Path, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "st", Pooling(WIDTH, "mean"), dense(12))
    encoder = encoder_of(folder)
    encoder.save(tmp_path / "kept")
    assert load_encoder(tmp_path / "kept").fingerprint == encoder.fingerprint
    assert encoder.describe()["settings"]["pooling"] == "modules"
    assert encoder.describe()["modules"] == ["Transformer", "Pooling", "Dense"]
    changes: list[Edit] = [
        lambda one: edited(one, "1_Pooling/config.json", pooling_mode="cls"),
        lambda one: shutil.copy(
            saved(tiny, tmp_path / "other", Pooling(WIDTH, "mean"), Dense(WIDTH, 12))
            / "2_Dense/model.safetensors",
            one / "2_Dense",
        ),
        lambda one: edited(one, "sentence_bert_config.json", max_seq_length=16),
        lambda one: listed(one, 2, type="sentence_transformers.models.Dense"),
    ]
    prints = {content_hash(folder)}
    for place, change in enumerate(changes):
        copy = tmp_path / str(place)
        shutil.copytree(folder, copy)
        change(copy)
        prints.add(content_hash(copy))
    assert len(prints) == 1 + len(changes)


def test_layers_are_unfrozen_under_the_modules(tiny: Path, tmp_path: Path) -> None:
    encoder = encoder_of(saved(tiny, tmp_path / "st", Pooling(WIDTH, "max"), dense(12), Normalize()))
    windows = first_windows(encoder, TEXTS)
    np.testing.assert_allclose(frozen_vectors(encoder, windows), encoder.encode_text(TEXTS), atol=1e-5)
    trained = train(encoder, windows, np.array(["a", "b", "a"]), layers=1, seed=0)
    assert trained.head[-1].in_features == encoder.dim == 12


def test_a_load_tells_which_modules_make_the_vectors(tiny: Path, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "st", Pooling(WIDTH, "mean"), dense(12))
    (tmp_path / "notes.csv").write_text(
        "id,text\n" + "".join(f"{row},{text}\n" for row, text in enumerate(TEXTS[::2]))
    )
    code, _, told = run(
        f"ingest --source notes-csv --path {tmp_path}/notes.csv --columns id=id,text=text "
        f"--encoder bert:{folder},overlap=8 --store qdrant:{tmp_path}/q --collection v"
    )
    assert code == 0, told
    assert "the text model's own folder: Transformer, Pooling, Dense" in told
