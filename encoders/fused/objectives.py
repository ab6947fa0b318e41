"""What a fusion is trained for: death in hospital as in the paper, more than that, or that its two modalities agree."""

from typing import NamedTuple, Protocol

import torch
from cohorts.encoders.fused.network import Fused, Fusion, Modalities
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, normalize

TEMPERATURE = 0.1


class Targets(NamedTuple):
    """What is known of n units, nan where it is not: `died` (n,), `stay` (n,), `phenotypes` (n, phenotypes) 0 or 1.

    `stay` is the logarithm of the days, standardised.
    """

    died: Tensor
    stay: Tensor
    phenotypes: Tensor

    def take(self, rows: Tensor) -> "Targets":
        """Return those of the units at `rows`, (m,)."""
        return Targets(*(one[rows] for one in self))


class Objective(Protocol):
    """A loss with weights of its own, which are trained beside the fusion's and left behind."""

    def __call__(self, fusion: Fusion, given: Modalities, targets: Targets) -> Tensor:
        """Return the mean loss of a batch."""
        ...

    def parameters(self) -> list[Tensor]:
        """Return the weights of its own."""
        ...


def make_objective(name: str, width: int, phenotypes: int) -> Objective:
    """Make an objective for vectors of `width` numbers."""
    if name == "contrastive":
        return Contrastive()
    return Supervised(width, phenotypes if name == "multitask" else None)


class Supervised:
    """Linear heads on the vector: death; with `phenotypes`, length of stay and phenotypes too, all weighed alike."""

    def __init__(self, width: int, phenotypes: int | None) -> None:
        self._died = nn.Linear(width, 1)
        self._more = None if phenotypes is None else nn.Linear(width, 1 + phenotypes)

    def parameters(self) -> list[Tensor]:
        """Return the heads' weights."""
        heads = [self._died] if self._more is None else [self._died, self._more]
        return [weight for head in heads for weight in head.parameters()]

    def __call__(self, fusion: Fusion, given: Modalities, targets: Targets) -> Tensor:
        """Return the mean over the tasks."""
        vector = fusion(given).vector
        losses = [_known_bce(self._died(vector)[:, 0], targets.died)]
        if self._more is not None:
            told = self._more(vector)
            known = ~targets.stay.isnan()
            losses.append(mse_loss(told[known, 0], targets.stay[known]) if known.any() else 0 * told.sum())
            losses.append(_known_bce(told[:, 1:], targets.phenotypes))
        return torch.stack(losses).mean()


class Contrastive:
    """The vector of a patient's notes alone and that of its records alone attract, and each the vector of both.

    Source: InfoNCE, van den Oord et al., 2018, arXiv:1807.03748, with the other patients of the batch as negatives.
    """

    def parameters(self) -> list[Tensor]:
        """Return none."""
        return []

    def __call__(self, fusion: Fusion, given: Modalities, targets: Targets) -> Tensor:  # noqa: ARG002 - a Protocol's
        """Return the loss over the units that have both modalities."""
        both = given.take(torch.nonzero(given.has_text & given.has_records)[:, 0])
        every = torch.ones_like(both.has_text)
        notes: Fused = fusion(both.without(text=~every, records=every))
        records: Fused = fusion(both.without(text=every, records=~every))
        whole: Fused = fusion(both)
        pairs = ((notes, records), (whole, notes), (whole, records))
        return torch.stack([info_nce(one.vector, other.vector) for one, other in pairs]).mean()


def info_nce(one: Tensor, other: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Return the mean cross-entropy of finding each row's partner among the others' rows, both ways; (n, dim) twice."""
    alike = normalize(one, dim=1) @ normalize(other, dim=1).T / temperature
    partner = torch.arange(len(alike))
    return (cross_entropy(alike, partner) + cross_entropy(alike.T, partner)) / 2


def _known_bce(told: Tensor, truth: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over what is known, 0 where nothing is."""
    known = ~truth.isnan()
    if not known.any():
        return 0 * told.sum()
    return binary_cross_entropy_with_logits(told[known], truth[known])
