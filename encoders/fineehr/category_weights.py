"""How much each category of notes counts in the vector of an admission, learnt from who died.

Source: FineEHR, section III-C: a linear model over the category vectors and a classifier on what it gives. Whether it
weighs whole categories or maps their dimensions is unsaid: `scalar` is a weight per category, above 0 and 1 in sum, and
`map` a matrix per category. An admission is the weighted mean over the categories that it has notes of. As every vector
is scaled to length 1, an absent category may enter the sum as zeros: it changes nothing.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Vectors
from cohorts.encoders.pooling import group_means, unit_rows
from cohorts.encoders.training import optimize

if TYPE_CHECKING:
    import torch

_BATCH = 256
_LEARNING_RATE = 1e-2


def category_means(
    notes: Vectors, group: npt.NDArray[np.intp], category: npt.NDArray[np.intp], shape: tuple[int, int]
) -> tuple[Vectors, npt.NDArray[np.bool_]]:
    """Return the mean note of every group and category, (*shape, dim), zeros without one, and which there are.

    `notes` is (n, dim); `group` and `category` are (n,), below the two numbers of `shape`.
    """
    present = np.zeros(shape, np.bool_)
    present[group, category] = True
    means = group_means(notes, group * shape[1] + category, shape[0] * shape[1])
    return means.reshape(*shape, notes.shape[1]), present


def pool(means: Vectors, weights: Vectors) -> Vectors:
    """Return unit rows, (n, dim), of (n, categories, dim) means; `weights` (categories,) or (categories, dim, dim)."""
    if weights.ndim == 1:
        return unit_rows(np.einsum("c,ncd->nd", weights, means))
    return unit_rows(np.einsum("ncd,cde->ne", means, weights, optimize=True))


def start_of(weight: Vectors, categories: int) -> Vectors:
    """Return what a weight is before any step: equal shares, (categories,), or the identity, (dim, dim)."""
    return (
        np.full((), 1 / categories, np.float32) if weight.ndim == 0 else np.eye(len(weight), dtype=np.float32)
    )


def learn_weights(
    means: Vectors, died: npt.NDArray[np.bool_], validation: npt.NDArray[np.bool_], kind: str, seed: int
) -> Vectors:
    """Learn weights of `kind` scalar or map, by the cross-entropy of who died; they stop as the networks do.

    `means` is (n, categories, dim), zeros for what is absent; `died` and `validation` are (n,).
    """
    import torch

    categories, dim = means.shape[1:]
    start = torch.zeros(categories) if kind == "scalar" else torch.eye(dim).repeat(categories, 1, 1)
    free = start.requires_grad_()
    head = torch.zeros(dim + 1, requires_grad=True)
    inputs = torch.from_numpy(means), torch.from_numpy(died.astype(np.float32))
    rare = torch.tensor(float((~died[~validation]).sum() / died[~validation].sum()))
    rng = np.random.default_rng(seed)
    judged, learnt = np.flatnonzero(validation), np.flatnonzero(~validation)

    def batch_loss() -> torch.Tensor:
        return _loss(free, head, inputs, rng.choice(learnt, _BATCH), rare)

    def check() -> tuple[torch.Tensor, Vectors]:
        return _loss(free, head, inputs, judged, rare), _weights(free).detach().numpy().copy()

    best, _ = optimize([free, head], _LEARNING_RATE, batch_loss, check)
    return best


def _weights(free: "torch.Tensor") -> "torch.Tensor":
    return free.softmax(dim=0) if free.ndim == 1 else free


def _loss(
    free: "torch.Tensor",
    head: "torch.Tensor",
    inputs: "tuple[torch.Tensor, torch.Tensor]",
    rows: npt.NDArray[np.intp],
    rare: "torch.Tensor",
) -> "torch.Tensor":
    """Return the cross-entropy, in which those who died weigh as much as those who did not."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, normalize

    means, died = (one[torch.from_numpy(rows)] for one in inputs)
    weights = _weights(free)
    if weights.ndim == 1:
        pooled = torch.einsum("c,ncd->nd", weights, means)
    else:
        pooled = torch.einsum("ncd,cde->ne", means, weights)
    # Numbers of about 1, which a classifier learns from.
    pooled = normalize(pooled, dim=1) * means.shape[2] ** 0.5
    return binary_cross_entropy_with_logits(pooled @ head[:-1] + head[-1], died, pos_weight=rare)
