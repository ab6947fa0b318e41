"""Text models trained on few labels: what changes, what does not, and what is learnt."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import make_checkpoint
from cohorts.encoders.bert.checkpoints import content_hash
from cohorts.encoders.bert.encoder import Bert, Settings
from cohorts.errors import EncoderError, InputError
from cohorts.harness.evaluate.space import unfreezing
from cohorts.harness.evaluate.space.few_labels import SPREAD, f1_of
from command_line import refused
from sklearn.linear_model import LogisticRegression
from transformers import AlbertConfig, AlbertModel, DistilBertConfig, DistilBertModel

WORDS = {"heart": ["chest", "murmur", "stent", "rhythm"], "lung": ["cough", "wheeze", "sputum", "oxygen"]}
FILLER = ["the", "patient", "was", "seen", "today", "with", "history", "of"]


def documents(seed: int) -> tuple[list[str], "np.typing.NDArray[np.str_]"]:
    """30 documents of each of two topics, of which a third of the words tells."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(list(WORDS), 30)
    texts = [
        " ".join(rng.permutation([*rng.choice(WORDS[one], 4), *rng.choice(FILLER, 8)])) for one in labels
    ]
    return texts, labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("unfreezing") / "tiny", documents(0)[0])


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Bert:
    return Bert(Settings(str(folder), precision="fp32"))


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for one epoch alone, where it is not the point what is learnt."""
    monkeypatch.setattr(unfreezing, "LEAST_STEPS", 1)
    monkeypatch.setattr(unfreezing, "EPOCHS", 1)


def trained(encoder: Bert, layers: int, seed: int = 0) -> unfreezing.Trained:
    texts, labels = documents(0)
    return unfreezing.train(encoder, unfreezing.first_windows(encoder, texts), labels, layers, seed)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: one.clone() for name, one in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_the_last_layers_change_and_nothing_else(encoder: Bert, folder: Path, layers: int) -> None:
    before, files = weights(encoder.checkpoint.model), content_hash(folder)
    model = trained(encoder, layers)
    found = changed(before, weights(model.body))
    last = tuple(f"encoder.layer.{place}." for place in range(2 - layers, 2))
    # The bias of the keys shifts all scores of a token alike, which softmax takes back: its gradient is rounding.
    expected = {name for name in before if name.startswith(last) and "attention.self.key.bias" not in name}
    assert expected <= found <= {name for name in before if name.startswith(last)}
    assert bool(found) == bool(layers)
    assert all(one.requires_grad == name.startswith(last) for name, one in model.body.named_parameters())
    assert not changed(before, weights(encoder.checkpoint.model))
    assert all(one.requires_grad for one in encoder.checkpoint.model.parameters())
    assert content_hash(folder) == files


@pytest.mark.parametrize("layers", [0, 2])
def test_what_can_be_told_apart_is_learnt(encoder: Bert, layers: int) -> None:
    model = trained(encoder, layers)
    texts, labels = documents(1)
    told = model.predict(unfreezing.first_windows(encoder, texts))
    assert f1_of(labels, told) > 0.9
    assert np.mean(model.losses[-20:]) < 0.9 * np.mean(model.losses[:20])
    assert not model.body.training
    assert not model.head.training


def test_a_head_alone_is_the_logistic_regression_of_the_frozen_vectors(encoder: Bert) -> None:
    """It is trained until it converges, with many labels and with few, on what is hard to tell apart."""
    texts, labels = documents(0)
    rng = np.random.default_rng(3)
    labels = np.where(rng.random(len(labels)) < 0.25, rng.choice(["heart", "lung", "neither"], 60), labels)
    more = documents(1)[0]
    windows, others = (unfreezing.first_windows(encoder, some) for some in (texts, more))
    for rows in (np.arange(60), np.arange(22, 38)):
        model = unfreezing.train(encoder, [windows[row] for row in rows], labels[rows], 0, 0)
        with torch.no_grad():
            learnt = model.vectors([windows[row] for row in rows]).numpy()
            asked = model.vectors(others).numpy()
        scale = (SPREAD / ((learnt - learnt.mean(0)) ** 2).sum(1).mean()) ** 0.5
        plain = LogisticRegression(class_weight="balanced", max_iter=5_000, tol=1e-6)
        plain.fit(learnt * scale, labels[rows])
        expected = plain.decision_function(asked * scale)
        with torch.no_grad():
            told = model.logits(others).numpy()
        np.testing.assert_allclose(told - told.mean(axis=1, keepdims=True), expected, atol=0.05)


@pytest.mark.usefixtures("few_steps")
def test_the_same_seed_gives_the_same_and_leaves_the_random_numbers_of_others_alone(encoder: Bert) -> None:
    torch.manual_seed(5)
    first = trained(encoder, 1)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)
    again, other = trained(encoder, 1), trained(encoder, 1, seed=1)
    assert not changed(weights(first.body), weights(again.body))
    assert first.losses == again.losses
    assert first.losses != other.losses


@pytest.mark.usefixtures("few_steps")
def test_dropout_is_on_in_the_layers_that_are_trained(encoder: Bert) -> None:
    """The loss of the first step: of one head, one batch and the same weights."""
    head_alone, with_a_layer = (trained(encoder, layers).losses[0] for layers in (0, 1))
    assert head_alone != with_a_layer


def test_rare_classes_weigh_as_much_as_frequent_ones(encoder: Bert) -> None:
    texts, labels = documents(0)
    rows = [*range(30), *range(30, 34)]  # 30 of one topic and 4 of the other
    windows = unfreezing.first_windows(encoder, texts)
    model = unfreezing.train(encoder, [windows[row] for row in rows], labels[rows], 2, 0)
    more, wanted = documents(2)
    told = model.predict(unfreezing.first_windows(encoder, more))
    assert (told[wanted == "lung"] == "lung").mean() > 0.7


@pytest.mark.usefixtures("few_steps")
def test_a_document_is_its_first_window_and_may_be_empty(encoder: Bert) -> None:
    long = "chest " * 600 + "cough"
    first, cut, none = unfreezing.first_windows(encoder, [long, "chest " * 700, " "])
    assert first == cut
    assert len(first) == 512
    assert len(none) == 2  # [CLS] and [SEP]
    assert len(trained(encoder, 0).predict([none, first])) == 2


@pytest.mark.usefixtures("few_steps")
def test_layers_are_found_in_distilbert_too(folder: Path, tmp_path: Path) -> None:
    config = DistilBertConfig(vocab_size=200, dim=32, n_layers=3, n_heads=2, hidden_dim=32)
    distil = saved(DistilBertModel(config), folder, tmp_path)
    before = weights(distil.checkpoint.model)
    found = changed(before, weights(trained(distil, 1).body))
    assert found
    assert all(name.startswith("transformer.layer.2.") for name in found)
    with pytest.raises(InputError, match="4 layers can't be trained: distil has 3 layers"):
        unfreezing.check_layers("distil", distil, 4)


def test_a_model_whose_layers_are_not_known_is_refused(folder: Path, tmp_path: Path) -> None:
    config = AlbertConfig(
        vocab_size=200, embedding_size=16, hidden_size=32, num_attention_heads=2, intermediate_size=32
    )
    albert = saved(AlbertModel(config), folder, tmp_path)
    with pytest.raises(EncoderError, match="type 'albert' keeps its layers is not known"):
        unfreezing.check_layers("albert", albert, 0)


def saved(model: Any, words: Path, folder: Path) -> Bert:
    """Return an encoder of a model with the vocabulary of another."""
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_bytes((words / "vocab.txt").read_bytes())
    return Bert(Settings(str(folder), precision="fp32"))


def test_more_layers_than_there_are_are_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    texts, labels = documents(0)
    rows = [f"{row},{label},{text}" for row, (text, label) in enumerate(zip(texts, labels, strict=True))]
    file.write_text("\n".join(["id,topic,note", *rows]))
    told = refused(
        f"evaluate space --source notes-csv --path {file} --columns id=id,text=note --labels topic "
        f"--encoder tiny=bert:{folder} --unfreeze 0 --unfreeze 3 --out {tmp_path}/report"
    )
    assert "tiny has 2 layers. Ask for 2 or fewer." in told
    assert not (tmp_path / "report" / "report.html").exists()
