"""A classifier on few labels that may change its text model: a linear head, and the model's last layers with it.

A document is its first window only, as the tokenizer cuts the joined notes: what stands behind is not seen, while the
encoder's own vectors are means over all windows and notes. AdamW at the rates of fine-tuning (5e-5 for layers, 1e-3 for
the head, which begins at random), warmed up over a tenth of the steps, then falling to 0. There are EPOCHS passes over
the labels, but LEAST_STEPS steps at least: 16 labels are one batch, and as many steps as epochs would teach nothing.
Dropout is on in what is trained; the layers below compute as in use, and no gradient goes through them.

Where no layer is trained, the head is alone with vectors that stay what they are (`frozen_vectors`): it is the logistic
regression of few_labels.py.

Source: Devlin et al., 2019, BERT, appendix A.3 (rate of layers, batch); Mosbach et al., 2021, On the stability of
fine-tuning BERT (few labels need more epochs).
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from cohorts.encoders.base import Vectors
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.bert.transformer import Window, padded
from cohorts.encoders.bert.windows import LEVELS
from cohorts.encoders.pooling import pool_tokens
from cohorts.errors import EncoderError, InputError
from cohorts.measures.geometry import Names

if TYPE_CHECKING:
    from torch import Tensor

EPOCHS = 5
LEAST_STEPS = 200
BATCH = 16
BODY_RATE, HEAD_RATE = 5e-5, 1e-3
_WARMUP = 0.1  # of the steps
_DROPOUT = 0.1
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

        with torch.no_grad():
            logits = _by_length(windows, self.logits)
        return np.asarray(self.names[logits.argmax(axis=1)])

    def logits(self, windows: Sequence[Window]) -> "Tensor":
        """Return (n, k) of n windows."""
        told: Tensor = self.head(_pooled(self.encoder, self.body, windows))
        return told


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


def frozen_vectors(encoder: Bert, windows: Sequence[Window]) -> Vectors:
    """Return (n, dim) of n windows, by the model as it is: what a head sees where no layer is trained."""
    import torch

    with torch.no_grad():
        return _by_length(windows, lambda some: _pooled(encoder, encoder.checkpoint.model, some))


def train(encoder: Bert, windows: Sequence[Window], labels: Names, layers: int, seed: int) -> Trained:
    """Train a head and the last `layers` layers, 1 or more, of a copy of the model on n windows; `labels` are (n,).

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
    chosen = list(_layers(body))[-layers:]
    for layer in chosen:
        layer.train().requires_grad_(True)
    return [weight for layer in chosen for weight in layer.parameters()]


def _pooled(encoder: Bert, body: Any, windows: Sequence[Window]) -> "Tensor":
    """Return (n, dim) of n windows by the encoder's model or a copy of it: what the head sees."""
    import torch

    ids, mask = (one.to(body.device) for one in padded(encoder.checkpoint, windows))
    with torch.autocast(body.device.type, torch.bfloat16, enabled=encoder.settings.precision != "fp32"):
        hidden = body(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    found: Tensor = pool_tokens(hidden, mask, encoder.window_pooling)
    return found


def _by_length(windows: Sequence[Window], of: "Callable[[Sequence[Window]], Tensor]") -> Vectors:
    """Return what is made of all windows, (n, width), those of like length at once."""
    order = np.argsort([len(window) for window in windows], kind="stable")
    made = np.concatenate([of([windows[row] for row in rows]).cpu().numpy() for rows in _parts(order)])
    return np.asarray(made[np.argsort(order)])


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
