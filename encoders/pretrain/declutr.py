"""Training `declutr`: a span of a note is drawn to spans that overlap or touch it, and away from all others.

Source: Giorgi et al., DeCLUTR (2021), section 3, and for words as the unit of lengths its repository's
declutr/common/contrastive_utils.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cohorts.encoders.bert.checkpoints import Checkpoint
from cohorts.encoders.pooling import pool_tokens
from cohorts.encoders.pretrain import trainer as pretraining
from cohorts.encoders.pretrain.masking import Batch, Masking, masked_model, read_batch, seed_of
from cohorts.encoders.settings import at_least_one
from cohorts.errors import EncoderError

# Of the length of a span between the shortest and the longest: anchors tend to be long, positives short.
ANCHOR_BETA = 4.0, 2.0
POSITIVE_BETA = 2.0, 4.0


@dataclass(frozen=True)
class Settings(pretraining.Settings):
    """A note gives `anchors` spans, and each of these `positives`, of `shortest` to `longest` words.

    `temperature` is that of InfoNCE; `mask` the share of an anchor's tokens that are hidden and told, 0 for none.
    """

    anchors: int = 2
    positives: int = 2
    shortest: int = 32
    longest: int = 512
    temperature: float = 0.05
    mask: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one("declutr", self, "anchors", "positives", "shortest")
        if self.level != "note":
            raise EncoderError(f"declutr takes its spans from whole notes: leave level={self.level} out.")
        if self.longest < self.shortest:
            raise EncoderError(
                f"declutr longest is {self.longest}; it must be at least shortest, {self.shortest}."
            )
        if not 0 <= self.mask < 1 or not self.temperature > 0:
            raise EncoderError("declutr mask is a share, from 0 to below 1, and temperature is above 0.")
        if self.batch * self.anchors < 2:
            raise EncoderError("declutr batch is 1; an anchor needs another one to be drawn away from.")


class Spans(NamedTuple):
    """An anchor and its positives, as words from the first to before the last."""

    anchor: tuple[int, int]
    positives: list[tuple[int, int]]


def fewest_words(settings: Settings) -> int:
    """Return how long a note has to be: twice the shortest span for every anchor."""
    return 2 * settings.anchors * settings.shortest


def sample_spans(words: int, settings: Settings, rng: np.random.Generator) -> list[Spans]:
    """Return the anchors of a note of so many words with their positives. Source: section 3.1, equations 1 to 4.

    Each anchor lies in an equal part of the note of its own, so that no two overlap. A positive begins anywhere from
    its own length before the anchor to the anchor's end: it touches it, overlaps it, or lies in it. A note shorter than
    the paper asks for (twice the longest span for every anchor) is not left out: its longest span is shorter.
    """
    longest = min(settings.longest, words // (2 * settings.anchors))
    part = words // settings.anchors
    found = []
    for first in range(0, part * settings.anchors, part):
        length = _length(settings.shortest, longest, ANCHOR_BETA, rng)
        start = first + int(rng.integers(0, part - length, endpoint=True))
        end = start + length
        positives = []
        for _ in range(settings.positives):
            size = _length(settings.shortest, longest, POSITIVE_BETA, rng)
            begin = int(rng.integers(max(0, start - size), min(end, words - size), endpoint=True))
            positives.append((begin, begin + size))
        found.append(Spans((start, end), positives))
    return found


def _length(shortest: int, longest: int, beta: tuple[float, float], rng: np.random.Generator) -> int:
    return int(rng.beta(*beta) * (longest - shortest) + shortest)


def nt_xent(anchors: Any, positives: Any, temperature: float) -> Any:
    """Return the normalised, temperature-scaled cross-entropy, the mean over all rows of both, (n, width) tensors.

    Row i of one is to be told from all other rows of both by row i of the other. Source: section 3.2, equation 6.
    """
    import torch

    both = torch.nn.functional.normalize(torch.cat([anchors, positives]).float(), dim=1)
    likeness = (both @ both.T / temperature).fill_diagonal_(float("-inf"))
    partner = torch.arange(len(both), device=both.device).roll(len(anchors))
    return torch.nn.functional.cross_entropy(likeness, partner)


class Declutr(pretraining.Objective):
    """The objective `declutr`, by transformers' Trainer."""

    name = "declutr"
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def passages(self, checkpoint: Checkpoint, text: str, category: str | None) -> list[str]:  # noqa: ARG002
        """Return the whole note, where it is long enough."""
        return [text] if len(text.split()) >= fewest_words(self.settings) else []

    def trainer(self, base: Path, checkpoint: Checkpoint, texts: Any, arguments: Mapping[str, Any]) -> Any:
        """Return a trainer of the checkpoint with a head for hidden tokens."""
        masking = Masking(checkpoint.tokenizer, self.settings.mask, self.settings.seed)
        return pretraining.trainer_by(
            self._loss,
            masked_model(base),
            lambda rows: self._batch([row["text"] for row in rows], masking),
            texts,
            arguments,
        )

    def _batch(self, texts: Sequence[str], masking: Masking) -> Batch:
        """Return the anchors, (n, tokens), and under `positives` theirs, (n × positives, tokens)."""
        rng = np.random.default_rng(seed_of(self.settings.seed, texts))
        anchors, positives = [], []
        for words in (text.split() for text in texts):
            for spans in sample_spans(len(words), self.settings, rng):
                anchors.append(" ".join(words[slice(*spans.anchor)]))
                positives += [" ".join(words[slice(*span)]) for span in spans.positives]
        return {**masking(anchors), "positives": masking.plain(positives)}

    def _loss(self, model: Any, batch: Batch) -> Any:
        """Return InfoNCE of the anchors and the means of their positives, plus the loss of the hidden tokens."""
        settings = self.settings
        of_positives = batch.pop("positives")
        hidden, told = read_batch(model, batch)
        anchors = pool_tokens(hidden, batch["attention_mask"], settings.pooling)
        others, _ = read_batch(model, of_positives)
        positives = pool_tokens(others, of_positives["attention_mask"], settings.pooling)
        means = positives.reshape(len(anchors), settings.positives, -1).mean(dim=1)
        return nt_xent(anchors, means, settings.temperature) + told
