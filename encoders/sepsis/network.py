"""The network of sepsis prognosis: an MLP of the static data, BiLSTMs of series and notes, fused by an MLP.

Source: the sepsis prognosis paper, section 2.4 (docs/sepsis.md): equations 1 to 3 (MLP), 4 to 9 (BiLSTM, whose output
is the last state of either direction), the three outputs joined and passed through an MLP. Sizes, dropout's places and
the pooling of the BiLSTMs are not told there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from cohorts.encoders.sepsis.settings import NOTES, SERIES, STATIC
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


class Tensors(NamedTuple):
    """Inputs of n stays: see `Inputs`."""

    static: Tensor
    series: Tensor
    steps: Tensor
    notes: Tensor
    many_notes: Tensor


class Sizes(NamedTuple):
    """How many numbers each input has: of a stay, of a step, of a note."""

    static: int
    series: int
    notes: int


class Sequences(nn.Module):
    """A BiLSTM over sequences of different lengths: (n, places, width) to (n, 2 hidden), the last state either way.

    What lies behind a sequence's end is never read. A sequence without a place has a vector of its own, which is
    learnt.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.none = nn.Parameter(torch.zeros(2 * hidden))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return (n, 2 hidden)."""
        packed = pack_padded_sequence(values, lengths.clamp(min=1), batch_first=True, enforce_sorted=False)
        _, (states, _) = self.lstm(packed)
        last = torch.cat([states[0], states[1]], dim=1)
        return torch.where((lengths > 0)[:, None], last, self.none)


class Prognosis(nn.Module):
    """Stays to the logit of death in hospital; the fused layer of `dim` numbers is the stay's vector."""

    fused_mean: Tensor

    def __init__(self, branches: Sequence[str], sizes: Sizes, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.branches, self.sizes = tuple(branches), sizes
        width = 0
        if STATIC in branches:
            self.static = nn.Sequential(
                nn.Linear(sizes.static, 2 * hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(2 * hidden, 2 * hidden),
                nn.ReLU(),
            )
            width += 2 * hidden
        if SERIES in branches:
            self.series = Sequences(sizes.series, hidden)
            width += 2 * hidden
        if NOTES in branches:
            self.notes = Sequences(sizes.notes, hidden)
            width += 2 * hidden
        self.dropout = nn.Dropout(dropout)
        self.fusion = nn.Sequential(nn.Linear(width, dim), nn.ReLU())
        self.risk = nn.Linear(dim, 1)
        # What all training stays have in common, which is taken off a stay's vector.
        self.register_buffer("fused_mean", torch.zeros(dim))

    def fused(self, given: Tensors) -> Tensor:
        """Return the fused layer of n stays, (n, dim), at least 0."""
        parts = []
        if STATIC in self.branches:
            parts.append(self.static(given.static))
        if SERIES in self.branches:
            parts.append(self.series(given.series, given.steps))
        if NOTES in self.branches:
            parts.append(self.notes(given.notes, given.many_notes))
        made: Tensor = self.fusion(self.dropout(torch.cat(parts, dim=1)))
        return made

    def forward(self, given: Tensors) -> Tensor:
        """Return the logits of death of n stays, (n,)."""
        return self.logits(self.fused(given))

    def logits(self, fused: Tensor) -> Tensor:
        """Return the logits of death, (n,), of fused layers, (n, dim)."""
        made: Tensor = self.risk(self.dropout(fused))[:, 0]
        return made

    def vectors(self, fused: Tensor) -> Tensor:
        """Return fused layers, (n, dim), less what they have in common."""
        return fused - self.fused_mean
