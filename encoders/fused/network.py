"""The network that fuses the two modalities of a patient, notes and structured records, into one vector.

Source: the gated fusion for cohort discovery (docs/fused.md): notes → 256 by a linear map and a ReLU, records → 256 by
an embedding layer, the sum of a learnt vector for each code, or by a linear map and a ReLU too;
`g = sigmoid(W[V_struct; V_text])`, `V = g∘V_struct + (1−g)∘V_text`. Beside the gate stand the other rows of the
paper's ablation and `attention`, which it names as future work: the notes attend to the patient's codes. Every vector
is the sum of what came from the notes and of what came from the records. A modality that is absent has a vector of its
own, which is learnt.
"""

from typing import NamedTuple

import torch
from cohorts.encoders.fused.settings import HEADS
from torch import Tensor, nn
from torch.nn.functional import normalize


class Modalities(NamedTuple):
    """Inputs of n units: `text` (n, text_dim) and `records` (n, columns); `has_text` and `has_records` (n,) bool."""

    text: Tensor
    has_text: Tensor
    records: Tensor
    has_records: Tensor

    def take(self, rows: Tensor) -> "Modalities":
        """Return those of the units at `rows`, (m,)."""
        return Modalities(*(one[rows] for one in self))

    def without(self, text: Tensor, records: Tensor) -> "Modalities":
        """Return the same, as if some units had no notes, others no records; (n,) bool both."""
        return self._replace(has_text=self.has_text & ~text, has_records=self.has_records & ~records)


class Fused(NamedTuple):
    """The two summands of the vectors, (n, width) each, and the gate, if there is one: the share of the records."""

    from_text: Tensor
    from_records: Tensor
    gate: Tensor | None = None

    @property
    def vector(self) -> Tensor:
        """Return the vectors, (n, width), of any length."""
        return self.from_text + self.from_records

    @property
    def direction(self) -> Tensor:
        """Return the vectors, (n, width), of length 1."""
        return normalize(self.vector, dim=1)


class Fusion(nn.Module):
    """Notes and records to one vector of `width` numbers: gated, concat, text, structured or attention.

    `code_layer` is what the records pass: relu or embedding.
    """

    text_mean: Tensor
    text_scale: Tensor

    def __init__(self, kind: str, text_dim: int, columns: int, width: int, code_layer: str = "relu") -> None:
        super().__init__()
        self.kind, self.embeds = kind, code_layer == "embedding"
        # What all notes have in common is taken off, and they get numbers of about 1: see `centre`.
        self.register_buffer("text_mean", torch.zeros(text_dim))
        self.register_buffer("text_scale", torch.ones(1))
        if kind != "structured":
            self.text = nn.Linear(text_dim, width)
            self.no_text = nn.Parameter(torch.zeros(width))
        if kind != "text":
            self.records = nn.Linear(columns, width, bias=not self.embeds)
            self.no_records = nn.Parameter(torch.zeros(width))
        if kind == "gated":
            self.gate = nn.Linear(2 * width, width)
        elif kind == "concat":
            # The two halves of one linear map of [V_text; V_struct].
            self.mix_text = nn.Linear(width, width, bias=False)
            self.mix_records = nn.Linear(width, width, bias=False)
        elif kind == "attention":
            self.attend = nn.MultiheadAttention(width, HEADS, batch_first=True)

    def centre(self, text: Tensor, centring: str = "mean") -> None:
        """Learn scale, and with `mean` the mean, of the notes' vectors from those of training units, (n, text_dim)."""
        if len(text):
            if centring == "mean":
                self.text_mean = text.mean(dim=0)
            self.text_scale = (text - self.text_mean).square().mean().sqrt().clamp(min=1e-6)[None]

    def forward(self, given: Modalities) -> Fused:
        """Return the vectors of n units."""
        if self.kind == "structured":
            records = self._of_records(given)
            return Fused(torch.zeros_like(records), records)
        text = self._of_text(given)
        if self.kind == "text":
            return Fused(text, torch.zeros_like(text))
        if self.kind == "attention":
            return Fused(text, self._attended(text, given))
        records = self._of_records(given)
        if self.kind == "concat":
            return Fused(self.mix_text(text), self.mix_records(records))
        gate = torch.sigmoid(self.gate(torch.cat([records, text], dim=1)))
        return Fused((1 - gate) * text, gate * records, gate)

    def _of_text(self, given: Modalities) -> Tensor:
        known = torch.relu(self.text((given.text - self.text_mean) / self.text_scale))
        return torch.where(given.has_text[:, None], known, self.no_text)

    def _of_records(self, given: Modalities) -> Tensor:
        summed = self.records(given.records)
        known = summed if self.embeds else torch.relu(summed)
        return torch.where(given.has_records[:, None], known, self.no_records)

    def _attended(self, text: Tensor, given: Modalities) -> Tensor:
        """Return what the notes find among the records, (n, width): a token for each, or one for there being none."""
        present = (given.records != 0) & given.has_records[:, None]
        most = int(present.sum(dim=1).max())
        columns = present.float().topk(most, dim=1).indices
        tokens = self.records.weight.T[columns] * given.records.gather(1, columns)[..., None]
        if not self.embeds:
            tokens = tokens + self.records.bias
        tokens = torch.cat([self.no_records.expand(len(text), 1, -1), tokens], dim=1)  # (n, 1 + most, width)
        unseen = torch.cat([present.any(dim=1, keepdim=True), ~present.gather(1, columns)], dim=1)
        found, _ = self.attend(text[:, None], tokens, tokens, key_padding_mask=unseen, need_weights=False)
        return torch.as_tensor(found[:, 0])
