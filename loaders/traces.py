"""A trace of every point that was written: enough to tell later, without the source, whether it is still the same.

Engines give numbers back with other roundings than they were sent (JSON costs a fraction its last bit on Qdrant). So a
vector leaves projections on fixed random directions, and the fractions of a payload a weighted sum, compared within
a tolerance; the rest of a payload leaves a hash.
"""

import hashlib
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Payload, Points, Vectors
from cohorts.connectors.checks import row_lengths

DIRECTIONS = 4
TOLERANCE = 1e-5  # of a projection; rounding moves it by some 1e-7
SUM_TOLERANCE = 1e-12  # of a sum of fractions, relative
_TRACE = np.dtype([("payload", "V8"), ("fractions", "<f8"), ("vector", "<f4", DIRECTIONS)])
_WHOLE = 2.0**53  # below it, a float that is whole is the number that it seems to be
_SEED = 20_261_121


def traces_of(points: Points) -> list[bytes]:
    """Return the trace of every point, whatever the length of its vector; of a vector with NaN it is one with NaN."""
    traces = np.empty(len(points.ids), _TRACE)
    if len(traces):
        hashes, fractions = zip(*map(_payload_trace, points.payloads), strict=True)
        traces["payload"] = np.frombuffer(b"".join(hashes), "V8")
        traces["fractions"] = fractions
        traces["vector"] = _projections(points.vectors)
    size, whole = _TRACE.itemsize, traces.tobytes()
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def compare(ours: Sequence[bytes], theirs: Sequence[bytes]) -> tuple[list[bool], list[bool]]:
    """Tell for every pair of traces whether the vectors, and whether the payloads, are the same but for rounding."""
    left, right = (np.frombuffer(b"".join(some), _TRACE) for some in (ours, theirs))
    near = np.abs(left["vector"] - right["vector"]) <= TOLERANCE
    sums = np.isclose(left["fractions"], right["fractions"], rtol=SUM_TOLERANCE, atol=0)
    return near.all(axis=1).tolist(), ((left["payload"] == right["payload"]) & sums).tolist()


def _projections(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Return the unit rows' projections, (n, 4). Not by BLAS, whose threads would spin beside the stages of a load."""
    with np.errstate(all="ignore"):
        projected = np.einsum("nd,dk->nk", vectors, _directions(vectors.shape[1]))
        return np.asarray(projected / row_lengths(vectors)[:, None], np.float64)


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
