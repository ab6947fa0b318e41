"""The nearest rows of many queries, found block by block in bounded memory."""

import numpy as np
import numpy.typing as npt


class NearestRows:
    """The k best of the rows that were added, of every query: `rows` (queries, at most k) int64 and their `scores`.

    Scores are (queries, at most k) float32, larger is nearer; unordered until `sort`. Where fewer rows than k were
    added there are fewer columns.
    """

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self.rows = np.empty((queries, 0), np.int64)
        self.scores = np.empty((queries, 0), np.float32)

    def add(self, rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> None:
        """Take further rows, (n,), with their scores, (queries, n)."""
        best = _best(scores, self._k)
        found = np.concatenate([self.rows, rows[best]], axis=1)
        reached = np.concatenate([self.scores, np.take_along_axis(scores, best, axis=1)], axis=1)
        self._keep(found, reached, _best(reached, self._k))

    def sort(self) -> None:
        """Bring the best first; rows of the same score come in their order."""
        self._keep(self.rows, self.scores, np.lexsort((self.rows, -self.scores), axis=1))

    def _keep(
        self, rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], kept: npt.NDArray[np.intp]
    ) -> None:
        self.rows = np.take_along_axis(rows, kept, axis=1)
        self.scores = np.take_along_axis(scores, kept, axis=1)


def _best(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.intp]:
    """Return where the k largest of each row stand, in no order; all, where there are fewer."""
    if scores.shape[1] <= k:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, -k, axis=1)[:, -k:]
