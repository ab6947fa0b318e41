"""p-values of several tests, corrected for their number."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values that bound the chance of one false finding or more.

    Source: Holm, 1979, A simple sequentially rejective multiple test procedure.
    """
    order = np.argsort(p)
    corrected = np.empty(len(order))
    stepped = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    corrected[order] = np.minimum(stepped, 1)
    return corrected.tolist()
