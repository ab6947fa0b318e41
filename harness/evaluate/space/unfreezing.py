"""A classifier on few labels that may change its text model: a linear head, and the model's last layers with it.

A document is its first window only, as the tokenizer cuts the joined notes: what stands behind is not seen, while the
encoder's own vectors are means over all windows and notes. AdamW at the rates of fine-tuning (5e-5 for layers, 1e-3 for
the head, which begins at random), warmed up over a tenth of the steps, then falling to 0. There are EPOCHS passes over
the labels, but LEAST_STEPS steps at least: 16 labels are one batch, and as many steps as epochs would teach nothing.
Dropout is on in what is trained; the layers below compute as in use, and no gradient goes through them.

Where no layer is trained, the head is alone with vectors that stay what they are: it is logistic regression, trained on
all of them at each step until it converges, without dropout, scaled and regularised as that of few_labels.py.

Source: Devlin et al., 2019, BERT, appendix A.3 (rate of layers, batch); Mosbach et al., 2021, On the stability of
fine-tuning BERT (few labels need more epochs).
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.bert.transformer import Window, padded
from cohorts.encoders.bert.windows import LEVELS
from cohorts.encoders.pooling import pool_tokens
from cohorts.encoders.training import EarlyStopping
from cohorts.errors import EncoderError, InputError
from cohorts.harness.evaluate.space.few_labels import SPREAD
from cohorts.measures.geometry import Names

if TYPE_CHECKING:
    from torch import Tensor

EPOCHS = 5
LEAST_STEPS = 200
BATCH = 16
BODY_RATE, HEAD_RATE = 5e-5, 1e-3
_WARMUP = 0.1  # of the steps
_DROPOUT = 0.1
_ALONE_RATE, _ALONE_STEPS, _ALONE_PATIENCE = 0.05, 5_000, 50  # of a head without a layer
_LAYERS = ("encoder.layer", "transformer.layer")  # of BERT and what is built like it; of DistilBERT


@dataclass(frozen=True)
class Trained:
    """A copy of an encoder's model and a head, in evaluation mode; `names` (k,), the loss of every step."""

    encoder: Bert
    body: Any
    head: Any
    names: Names
    losses: list[float]

    def predict(self, windows: Sequence[Window]) -> Names:
        """Return the label of every window, (n,)."""
        import torch

        told = np.empty(len(windows), self.names.dtype)
        order = np.argsort([len(window) for window in windows], kind="stable")
        with torch.no_grad():
            for rows in _parts(order):
                logits = self.logits([windows[row] for row in rows])
                told[rows] = self.names[logits.argmax(dim=1).cpu().numpy()]
        return told

    def logits(self, windows: Sequence[Window]) -> "Tensor":
        """Return (n, k) of n windows."""
        told: Tensor = self.head(self.vectors(windows))
        return told

    def vectors(self, windows: Sequence[Window]) -> "Tensor":
        """Return (n, dim) of n windows: what the head sees."""
        import torch

        device = self.head[-1].weight.device
        ids, mask = (one.to(device) for one in padded(self.encoder.checkpoint, windows))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.encoder.settings.precision != "fp32"):
            hidden = self.body(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        found: Tensor = pool_tokens(hidden, mask, self.encoder.window_pooling)
        return found


def first_windows(encoder: Bert, texts: Sequence[str]) -> list[Window]:
    """Return the first window of every text, as long as a window of the encoder's level."""
    checkpoint = encoder.checkpoint
    cut = checkpoint.tokenizer(
        encoder.cleaned(texts),
        truncation=True,
        max_length=min(LEVELS[encoder.settings.level], checkpoint.max_tokens),
        verbose=False,
    )
    return list(cut["input_ids"])


def check_layers(name: str, encoder: Bert, most: int) -> None:
    """Raise InputError where the model has fewer layers than `most`, EncoderError where they are not found."""
    there = len(_layers(encoder.checkpoint.model))
    if most > there:
        raise InputError(
            f"{most} layers can't be trained: {name} has {there} layers. Ask for {there} or fewer."
        )


def train(encoder: Bert, windows: Sequence[Window], labels: Names, layers: int, seed: int) -> Trained:
    """Train a head and the last `layers` layers of a copy of the model on n windows; `labels` are (n,).

    Classes weigh alike. The encoder stays what it is.
    """
    import torch
    from torch.nn.functional import cross_entropy

    rng = np.random.default_rng(seed)
    names, number, many = np.unique(labels, return_inverse=True, return_counts=True)
    body = deepcopy(encoder.checkpoint.model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = torch.nn.Sequential(torch.nn.Dropout(_DROPOUT), torch.nn.Linear(encoder.dim, len(names))).to(
            body.device
        )
        trained = Trained(encoder, body, head, names, [])
        weights = torch.tensor(len(labels) / (len(names) * many), dtype=torch.float32, device=body.device)
        wanted = torch.from_numpy(number).to(body.device)
        opened = _open(body, layers)
        if not opened:
            _converge(trained, _fixed(trained, windows), wanted, weights)
            return trained
        steps = max(LEAST_STEPS, EPOCHS * -(-len(windows) // BATCH))
        optimizer, schedule = _optimizer(opened, head, steps)
        for _, rows in zip(range(steps), _shuffled(len(windows), rng)):  # noqa: B905 - batches have no end
            loss = cross_entropy(trained.logits([windows[row] for row in rows]), wanted[rows], weights)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_([*opened, *head.parameters()], 1.0)
            optimizer.step()
            schedule.step()
            trained.losses.append(float(loss.detach()))
    body.eval()
    head.eval()
    return trained


def _layers(model: Any) -> Any:
    """Return a model's layers, the first one first. Raises EncoderError."""
    for path in _LAYERS:
        try:
            return model.get_submodule(path)
        except AttributeError:
            continue
    raise EncoderError(
        f"Where a model of type {model.config.model_type!r} keeps its layers is not known here: they are looked for in "
        f"{' and '.join(_LAYERS)}. ",
        remedy="Train none of its layers, or leave this encoder out.",
        hint="no_unfreeze",
    )


def _open(body: Any, layers: int) -> "list[Tensor]":
    """Freeze all of a model but its last layers, which get their dropout; return their weights."""
    body.eval().requires_grad_(False)
    chosen = list(_layers(body))
    chosen = chosen[len(chosen) - layers :]
    for layer in chosen:
        layer.train().requires_grad_(True)
    return [weight for layer in chosen for weight in layer.parameters()]


def _fixed(trained: Trained, windows: Sequence[Window]) -> "Tensor":
    """Return (n, dim) of all windows at once: a model in which nothing is trained gives the same at every step."""
    import torch

    with torch.no_grad():
        parts = _parts(np.arange(len(windows)))
        return torch.cat([trained.vectors([windows[row] for row in rows]) for rows in parts])


def _converge(trained: Trained, vectors: "Tensor", wanted: "Tensor", weights: "Tensor") -> None:
    """Fit the head to the vectors of all windows, (n, dim), until it gains no more.

    It learns from vectors that are centred and of one variance; its weights are then those for vectors as they are.
    """
    import torch
    from torch.nn.functional import cross_entropy

    layer, mean = trained.head.eval()[-1], vectors.mean(dim=0)
    centred = vectors - mean
    scale = (SPREAD / centred.square().sum(dim=1).mean().clamp(min=1e-6)).sqrt()
    optimizer = torch.optim.Adam(layer.parameters(), lr=_ALONE_RATE)
    watch = EarlyStopping[dict[str, "Tensor"]](_ALONE_PATIENCE)
    for _ in range(_ALONE_STEPS):
        loss = cross_entropy(layer(centred * scale), wanted, weights)
        loss = loss + layer.weight.square().sum() / (2 * len(vectors))
        trained.losses.append(float(loss.detach()))
        if watch.is_over(trained.losses[-1], {name: one.clone() for name, one in layer.state_dict().items()}):
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        layer.load_state_dict(watch.best)
        layer.weight *= scale
        layer.bias -= layer.weight @ mean


def _optimizer(opened: "Sequence[Tensor]", head: Any, steps: int) -> tuple[Any, Any]:
    import torch
    from transformers import get_linear_schedule_with_warmup

    groups = [
        {"params": list(head.parameters()), "lr": HEAD_RATE},
        {"params": list(opened), "lr": BODY_RATE},
    ]
    optimizer = torch.optim.AdamW(groups)
    schedule = get_linear_schedule_with_warmup(optimizer, round(_WARMUP * steps), steps)  # type: ignore[no-untyped-call]
    return optimizer, schedule


def _shuffled(count: int, rng: np.random.Generator) -> "Iterator[np.typing.NDArray[np.intp]]":
    """Yield batches of rows, epoch after epoch, without end."""
    while True:
        yield from _parts(rng.permutation(count))


def _parts(rows: "np.typing.NDArray[np.intp]") -> "list[np.typing.NDArray[np.intp]]":
    return np.array_split(rows, -(-len(rows) // BATCH))
