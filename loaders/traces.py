"""A trace of every point that was written: enough to tell later, without the source, whether it is still the same.

Engines give numbers back with other roundings than they were sent (JSON costs a fraction its last bit on Qdrant). So a
vector leaves projections on fixed random directions, and the fractions of a payload a weighted sum, compared within
a tolerance; the rest of a payload leaves a hash.
"""

import hashlib
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from cohorts.connectors.base import Payload, Points, Vectors
from cohorts.connectors.checks import unit_rows

DIRECTIONS = 4
_SKETCH_BYTES = 4 * DIRECTIONS
TOLERANCE = 1e-5  # of a projection; rounding moves it by some 1e-7
SUM_TOLERANCE = 1e-12  # of a sum of fractions, relative
_WHOLE = 2.0**53  # below it, a float that is whole is the number that it seems to be
_SEED = 20_261_121


class Trace(NamedTuple):
    """What a point leaves: its payload's hash, the sum of its fractions, its vector's projections (float32 bytes)."""

    payload: bytes
    fractions: float
    vector: bytes


def traces_of(points: Points) -> list[Trace]:
    """Return the trace of every point, whatever the length of its vector. Raises VectorError."""
    if not len(points.ids):
        return []
    dim = points.vectors.shape[1]
    sketches = (unit_rows(points.vectors, dim) @ _directions(dim)).astype("<f4").tobytes()
    return [
        Trace(*_payload_trace(payload), sketches[row * _SKETCH_BYTES : (row + 1) * _SKETCH_BYTES])
        for row, payload in enumerate(points.payloads)
    ]


def same_vectors(ours: Sequence[Trace], theirs: Sequence[Trace]) -> list[bool]:
    """Tell for every pair of traces whether the vectors are the same but for rounding."""
    left, right = (np.frombuffer(b"".join(one.vector for one in some), "<f4") for some in (ours, theirs))
    far = np.abs(left - right).reshape(-1, DIRECTIONS) > TOLERANCE
    return [not one for one in far.any(axis=1).tolist()]


def same_payload(ours: Trace, theirs: Trace) -> bool:
    """Tell whether the payloads are the same but for rounding."""
    most = SUM_TOLERANCE * max(ours.fractions, theirs.fractions)
    return ours.payload == theirs.payload and abs(ours.fractions - theirs.fractions) <= most


@cache
def _directions(dim: int) -> Vectors:
    """Return (dim, 4) float32 directions, the same for ever: RandomState's stream is frozen."""
    drawn = np.random.RandomState(_SEED).normal(size=(dim, DIRECTIONS))
    return np.asarray(drawn, dtype=np.float32)


@cache
def _weight(key: str) -> float:
    """Return a number from 1 to 2 that is a key's own, so that two fractions that change places are noticed."""
    return 1 + zlib.crc32(key.encode()) / 2**32


def _payload_trace(payload: Payload) -> tuple[bytes, float]:
    """Return the hash of what the payload means, for engines may drop None or give 60 for 60.0, and its fractions."""
    parts: list[str] = []
    fractions = 0.0
    for key in sorted(payload):
        value: Any = payload[key]
        if isinstance(value, np.generic):
            value = value.item()
        if type(value) is str:
            parts += (key, "'", value)
        elif type(value) is list:
            parts += (key, "[", str(len(value)), *value)
        elif type(value) is not float:
            parts += () if value is None else (key, repr(value))
        elif value.is_integer() and abs(value) < _WHOLE:
            parts += (key, repr(int(value)))
        elif value == value:
            parts += (key, "-" if value < 0 else "+")
            fractions += abs(value) * _weight(key)
    text = "\0".join(parts).encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=8).digest(), fractions
