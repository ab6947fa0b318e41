"""p-values of several tests, corrected for their number."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values that bound the chance of one false finding or more.

    Source: Holm, 1979, A simple sequentially rejective multiple test procedure.
    """
    order = np.argsort(p)
    stepped = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    return _placed(stepped, order)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Return p-values that bound the false-discovery rate: the expected share of false findings among the findings.

    Source: Benjamini and Hochberg, 1995, Controlling the false discovery rate.
    """
    order = np.argsort(p)[::-1]
    stepped = np.minimum.accumulate(np.asarray(p)[order] * len(p) / np.arange(len(p), 0, -1))
    return _placed(stepped, order)


def _placed(stepped: "np.typing.NDArray[np.float64]", order: "np.typing.NDArray[np.intp]") -> list[float]:
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(stepped, 1)
    return corrected.tolist()
