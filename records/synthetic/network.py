"""What moves the chance of what a stay has or gets: log odds of its base share, to which all that is present adds."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Table = Mapping[str, Mapping[str, Any]]

PERSON = ("age", "female", "severity")  # age counts in decades from 65 years, severity in standard deviations


class Things:
    """Things by name, each with `share`, `odds` (features by name) and the slopes of PERSON, over some features."""

    def __init__(self, table: Table, features: Sequence[str]) -> None:
        self.names = list(table)
        self.about = [table[name] for name in self.names]
        place = {feature: row for row, feature in enumerate(features)}
        shares = np.array([one["share"] for one in self.about], dtype=float)
        self.base = np.log(shares / (1 - shares))
        self.weights = np.zeros((len(features), len(self.names)))
        for column, one in enumerate(self.about):
            slopes = {name: one[name] for name in PERSON if name in one}
            for feature, added in {**one.get("odds", {}), **slopes}.items():
                self.weights[place[feature], column] = added

    def log_odds(self, features: Floats) -> Floats:
        """Return the (n, things) log odds of each by the (n, features) features."""
        odds: Floats = self.base + features @ self.weights
        return odds

    def draw(self, rng: np.random.Generator, features: Floats) -> Flags:
        """Draw (n, things): which of them each row has."""
        odds = self.log_odds(features)
        return rng.random(odds.shape) < share_of(odds)


def share_of(log_odds: Floats) -> Floats:
    """Return the share that log odds stand for."""
    return 1 / (1 + np.exp(-log_odds))


class Streams:
    """One stream of random numbers for each purpose in a block: what one draws moves nothing else."""

    def __init__(self, *start: int) -> None:
        self._start = start

    def __call__(self, purpose: str) -> np.random.Generator:
        """Return the stream of a purpose, at its beginning."""
        return np.random.default_rng([*self._start, crc32(purpose.encode())])


@cache
def parameters(name: str) -> dict[str, Any]:
    """Return the content of one of this folder's TOML files."""
    text = files("cohorts.records.synthetic").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def chosen(rng: np.random.Generator, weights: Sequence[float], many: int) -> Ints:
    """Draw `many` places by their weights."""
    shares = np.cumsum(np.asarray(weights, dtype=float))
    places: Ints = np.searchsorted(shares, rng.random(many) * shares[-1], side="right").astype(np.int64)
    return places
