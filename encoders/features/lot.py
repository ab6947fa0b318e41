"""A few of many things, drawn by lot while they go by, each as likely.

Source: Vitter, 1985, Random sampling with a reservoir, algorithm R.
"""

from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


class Lot(Generic[T]):
    """At most so many `drawn`, of the `met` so far."""

    def __init__(self, most: int, seed: int) -> None:
        self.met = 0
        self.drawn: list[T] = []
        self._most, self._rng = most, np.random.default_rng(seed)

    def place(self) -> int | None:
        """Meet one more, and return the place in `drawn` that it takes, None where it is not drawn."""
        self.met += 1
        at = len(self.drawn) if self.met <= self._most else int(self._rng.integers(self.met))
        return at if at < self._most else None

    def put(self, place: int, one: T) -> None:
        """Put it into the place that `place` returned, last or in another's stead."""
        self.drawn[place : place + 1] = [one]
