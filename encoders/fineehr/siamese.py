"""A Siamese network that draws notes of patients with the same ending together and others apart.

Source: FineEHR (Wu et al., 2023, arXiv:2304.11794), section III-B: a symmetric MLP, as wide at its end as at its start
and wider inside, for each category of notes; contrastive loss `Y·D² + (1−Y)·max(margin−D, 0)²` (Hadsell et al., 2006).
D is the distance of the refined notes: that of the raw ones, as the paper has it, gives no gradient. What the paper
leaves open was measured (docs/fineehr.md): the network begins as the identity, [I; −I] then [I, −I] around a ReLU, so
that all categories begin, and mostly stay, in one space.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Vectors
from cohorts.encoders.training import CHECK_STEPS, MAX_STEPS, PATIENCE, optimize

if TYPE_CHECKING:
    import torch

BATCH_PAIRS = 128
VALIDATION_PAIRS = 4_096
MIN_NOTES = 40  # of either ending, to learn from
MIN_VALIDATION_NOTES = 8
_LEARNING_RATE = 1e-3
_RANK_NOTES = 2_000
_REFINED_AT_ONCE = 4_096

Rows = npt.NDArray[np.intp]


class Refiner(NamedTuple):
    """The network's weights: `inner` (wide, dim), `inner_bias` (wide,), `outer` (dim, wide), `outer_bias` (dim,)."""

    inner: Vectors
    inner_bias: Vectors
    outer: Vectors
    outer_bias: Vectors

    def refine(self, notes: Vectors) -> Vectors:
        """Return the refined notes, (n, dim) float32. The inner units, twice as many numbers, are of some at a time."""
        refined = np.empty(notes.shape, np.float32)
        for start in range(0, len(notes), _REFINED_AT_ONCE):
            part = slice(start, start + _REFINED_AT_ONCE)
            inner = np.maximum(notes[part] @ self.inner.T + self.inner_bias, 0)
            refined[part] = inner @ self.outer.T + self.outer_bias
        return refined


class Trace(NamedTuple):
    """How a network's training went, check by check. `effective_rank` falls towards 1 as a space collapses."""

    notes: int
    kept_step: int
    steps: list[int]
    validation_loss: list[float]
    effective_rank: list[float]


class Pairs(NamedTuple):
    """Rows of notes, pair by pair, and whether the two have the same ending, (n,)."""

    left: Rows
    right: Rows
    same: npt.NDArray[np.float32]


@dataclass(frozen=True)
class SiameseSettings:
    """`max_steps` bounds the training, which ends `patience` checks, 50 steps each, after the last gain."""

    margin: float = 2.0
    max_steps: int = MAX_STEPS
    patience: int = PATIENCE
    seed: int = 0


def identity(dim: int) -> Refiner:
    """Return the network that changes nothing: x = relu(x) − relu(−x)."""
    eye = np.eye(dim, dtype=np.float32)
    inner, outer = np.concatenate([eye, -eye]), np.concatenate([eye, -eye], axis=1)
    return Refiner(inner, np.zeros(2 * dim, np.float32), outer, np.zeros(dim, np.float32))


def contrastive_loss(
    left: "torch.Tensor", right: "torch.Tensor", same: "torch.Tensor", margin: float
) -> "torch.Tensor":
    """Return the mean of `same·D² + (1−same)·max(margin−D, 0)²`, D the distance of the rows; (n, dim) twice, (n,).

    Source: FineEHR, equation 2; Hadsell et al., 2006, equation 4.
    """
    squared = ((left - right) ** 2).sum(dim=1)
    distance = squared.clamp(min=1e-12).sqrt()  # at 0 the root has no gradient
    apart = (margin - distance).clamp(min=0) ** 2
    return (same * squared + (1 - same) * apart).mean()


def draw_pairs(died: npt.NDArray[np.bool_], count: int, rng: np.random.Generator) -> Pairs:
    """Draw `count` balanced pairs of rows of `died`, (n,) bool: a quarter both died, a quarter both survived, half
    one of each.
    """
    dead, alive = np.flatnonzero(died), np.flatnonzero(~died)
    quarter = count // 4
    sides = ((dead, dead, quarter), (alive, alive, quarter), (dead, alive, 2 * quarter))
    left = np.concatenate([rng.choice(one, many) for one, _, many in sides])
    right = np.concatenate([rng.choice(other, many) for _, other, many in sides])
    return Pairs(left, right, np.repeat(np.array([1, 0], np.float32), 2 * quarter))


def can_learn(died: npt.NDArray[np.bool_], validation: npt.NDArray[np.bool_]) -> bool:
    """Tell whether there are notes enough of either ending, on both sides of the split; (n,) both."""
    return all(
        (died[part] == ending).sum() >= fewest
        for part, fewest in ((~validation, MIN_NOTES), (validation, MIN_VALIDATION_NOTES))
        for ending in (True, False)
    )


def train_refiner(
    notes: Vectors,
    rows: Rows,
    died: npt.NDArray[np.bool_],
    validation: npt.NDArray[np.bool_],
    settings: SiameseSettings,
) -> tuple[Refiner, Trace]:
    """Train on the notes of one category, `rows` (m,) of (n, dim); (m,) whether the unit died, and is held back.

    Returns the network as it was when it did best on the pairs held back, and how it went.
    """
    import torch

    rng = np.random.default_rng(settings.seed)
    weights = [torch.tensor(one, requires_grad=True) for one in identity(notes.shape[1])]
    judged, learnt = rows[validation], rows[~validation]
    judged_pairs = draw_pairs(died[validation], VALIDATION_PAIRS, rng)
    ranks: list[float] = []

    def batch_loss() -> torch.Tensor:
        pairs = draw_pairs(died[~validation], BATCH_PAIRS, rng)
        return _loss(notes, learnt, pairs, weights, settings.margin)

    def check() -> tuple[torch.Tensor, Refiner]:
        now = Refiner(*(one.detach().numpy().copy() for one in weights))
        ranks.append(effective_rank(now.refine(notes[judged[:_RANK_NOTES]])))
        return _loss(notes, judged, judged_pairs, weights, settings.margin), now

    best, watch = optimize(weights, _LEARNING_RATE, batch_loss, check, settings.max_steps, settings.patience)
    steps = [CHECK_STEPS * place for place in range(len(watch.losses))]
    return best, Trace(len(learnt), steps[watch.kept], steps, watch.losses, ranks)


def effective_rank(vectors: Vectors) -> float:
    """Return over how many directions the rows, (n, dim), spread: e to the entropy of their spectrum.

    It is 0 where all are one point.

    Source: Roy and Vetterli, 2007, "The effective rank: a measure of effective dimensionality".
    """
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    # Singular values from the (dim, dim) product: far cheaper than those of the rows, and exact enough for a share.
    spread = np.sqrt(np.linalg.eigvalsh(centred.T @ centred).clip(min=0))
    if not spread.any():
        return 0.0
    share = spread / spread.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _loss(
    notes: Vectors, of: Rows, pairs: Pairs, weights: "list[torch.Tensor]", margin: float
) -> "torch.Tensor":
    import torch
    from torch.nn.functional import linear, relu

    inner, inner_bias, outer, outer_bias = weights
    left, right = (
        linear(relu(linear(torch.from_numpy(notes[of[rows]]), inner, inner_bias)), outer, outer_bias)
        for rows in (pairs.left, pairs.right)
    )
    return contrastive_loss(left, right, torch.from_numpy(pairs.same), margin)
