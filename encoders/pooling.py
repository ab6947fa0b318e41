"""Rows of vectors put together: to the mean of their group, and to length 1."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Vectors


def unit_rows(vectors: Vectors) -> Vectors:
    """Return the rows, (n, dim), scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def weighted_sum(weights: npt.NDArray[np.float32], rows: Vectors) -> Vectors:
    """Return the sum of rows (n, dim), each times its weight, (dim,) float32: to the last bit scipy's sparse product.

    For one unit, which is not worth the import of scipy.
    """
    return np.asarray((weights[:, None] * rows).sum(axis=0), np.float32)


def filled_rows(vectors: Any) -> npt.NDArray[np.bool_]:
    """Return which rows are not zero, (n,); `vectors` are dense or sparse."""
    return np.asarray(abs(vectors).sum(axis=1)).ravel() > 0


def pool_tokens(hidden: Any, mask: Any, pooling: str | Callable[[Any, Any], Any]) -> Any:
    """Return one row per text, (n, dim): the `mean` of its tokens, its first (`cls`), or what `pooling` makes of them.

    `hidden` are tensors (n, tokens, width), `mask` (n, tokens): 1 for a token, 0 for padding.
    """
    if not isinstance(pooling, str):
        return pooling(hidden, mask)
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask[..., None].float()
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def group_means(vectors: Vectors, group: npt.NDArray[np.intp], count: int) -> Vectors:
    """Return the mean row of every group, (count, dim) float32, zeros without one.

    `vectors` is (n, dim); `group` is (n,), below `count`.
    """
    from scipy.sparse import csr_array

    share = (1 / np.bincount(group, minlength=count)[group]).astype(np.float32)
    index = (group, np.arange(len(vectors)))
    return np.asarray(csr_array((share, index), shape=(count, len(vectors))) @ vectors, np.float32)
