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
from cohorts.harness.evaluate.space.few_labels import f1_of, macro_f1
from command_line import refused
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
@pytest.mark.parametrize("layers", [1, 2])
def test_the_last_layers_change_and_nothing_else(encoder: Bert, folder: Path, layers: int) -> None:
    before, files = weights(encoder.checkpoint.model), content_hash(folder)
    model = trained(encoder, layers)
    found = changed(before, weights(model.body))
    last = tuple(f"encoder.layer.{place}." for place in range(2 - layers, 2))
    # The bias of the keys shifts all scores of a token alike, which softmax takes back: its gradient is rounding.
    expected = {name for name in before if name.startswith(last) and "attention.self.key.bias" not in name}
    assert expected <= found <= {name for name in before if name.startswith(last)}
    assert all(one.requires_grad == name.startswith(last) for name, one in model.body.named_parameters())
    assert not changed(before, weights(encoder.checkpoint.model))
    assert all(one.requires_grad for one in encoder.checkpoint.model.parameters())
    assert content_hash(folder) == files


def test_what_can_be_told_apart_is_learnt(encoder: Bert) -> None:
    model = trained(encoder, 2)
    texts, labels = documents(1)
    told = model.predict(unfreezing.first_windows(encoder, texts))
    assert f1_of(labels, told) > 0.9
    assert np.mean(model.losses[-20:]) < 0.9 * np.mean(model.losses[:20])
    assert not model.body.training
    assert not model.head.training


def test_frozen_vectors_are_those_that_a_head_sees_before_any_step(encoder: Bert) -> None:
    """The head of no layer is a logistic regression on them, as good as any on what can be told apart."""
    texts, labels = documents(0)
    more, wanted = documents(1)
    windows = unfreezing.first_windows(encoder, [*texts, *more, "", "chest " * 700])
    frozen = unfreezing.frozen_vectors(encoder, windows)
    body = encoder.checkpoint.model
    for row in (0, 75, 120, 121):
        with torch.no_grad():
            hidden = body(input_ids=torch.tensor([windows[row]])).last_hidden_state
        np.testing.assert_allclose(frozen[row], hidden[0].mean(dim=0).numpy(), atol=1e-5)
    rows = np.arange(120)
    assert macro_f1(frozen, np.concatenate([labels, wanted]), rows[:60], rows[60:]) > 0.9


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
    without = Bert(encoder.settings)
    for part in without.checkpoint.model.encoder.layer.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    assert trained(encoder, 1).losses[0] != trained(without, 1).losses[0]


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
    assert len(trained(encoder, 1).predict([none, first])) == 2


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
