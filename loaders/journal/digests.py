"""A trace of every point that was written: enough to tell later, without the source, whether it is still the same.

Engines give numbers back with other roundings than they were sent (JSON costs a fraction its last bit on Qdrant). So a
vector leaves projections on fixed random directions, and all numbers of a payload one weighted sum, compared within a
tolerance; the rest of a payload leaves a hash. Whole numbers leave another hash, for they come back exactly, unless
one stands so near a fraction that rounding may turn either into the other.
"""

import hashlib
import math
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Payload, Points, Vectors
from cohorts.connectors.checks import row_lengths

DIRECTIONS = 4
TOLERANCE = 1e-5  # of a projection; rounding moves it by some 1e-7
SUM_TOLERANCE = 1e-11  # of a sum of logarithms: a number may be another by that share of it
_TRACE = np.dtype(
    [("rest", "V8"), ("wholes", "V7"), ("doubtful", "?"), ("numbers", "<f8"), ("vector", "<f4", DIRECTIONS)]
)
TRACE_BYTES = _TRACE.itemsize
_WHOLE = 2.0**53  # below it, a float that is whole is the number that it seems to be
# Below it, one that is whole has at most 15 digits, and every reader of JSON takes it exactly.
_EXACT = 2.0**49
_ROUNDED_BITS = 64  # far more than an engine takes off
_LARGEST = 1e270
_SCALE = 1e30  # numbers much smaller than its inverse count as zero
_SEED = 20_261_121


class _PayloadTrace(NamedTuple):
    rest: bytes
    wholes: bytes
    doubtful: bool
    numbers: float


def traces_of(points: Points) -> list[bytes]:
    """Return the trace of every point, whatever the length of its vector; of a vector with NaN it is one with NaN."""
    traces = np.empty(len(points.ids), _TRACE)
    if len(traces):
        rests, wholes, doubtful, numbers = zip(*map(_payload_trace, points.payloads), strict=True)
        traces["rest"] = np.frombuffer(b"".join(rests), "V8")
        traces["wholes"] = np.frombuffer(b"".join(wholes), "V7")
        traces["doubtful"], traces["numbers"] = doubtful, numbers
        traces["vector"] = _projections(points.vectors)
    size, whole = TRACE_BYTES, traces.tobytes()
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def compare(ours: Sequence[bytes], theirs: Sequence[bytes]) -> tuple[list[bool], list[bool]]:
    """Tell for every pair of traces whether the vectors, and whether the payloads, are the same but for rounding."""
    left, right = (np.frombuffer(b"".join(some), _TRACE) for some in (ours, theirs))
    near = np.abs(left["vector"] - right["vector"]) <= TOLERANCE
    sums = np.isclose(left["numbers"], right["numbers"], rtol=0, atol=SUM_TOLERANCE)
    wholes = (left["wholes"] == right["wholes"]) | left["doubtful"] | right["doubtful"]
    return near.all(axis=1).tolist(), ((left["rest"] == right["rest"]) & wholes & sums).tolist()


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


def _payload_trace(payload: Payload) -> _PayloadTrace:
    """Return the trace of what the payload means, for engines may drop None or give 60 for 60.0."""
    rest: list[str] = []
    wholes: list[str] = []
    numbers: list[float] = []
    doubtful = False
    for key in sorted(payload):
        value: Any = payload[key]
        if isinstance(value, np.generic):
            value = value.item()
        if type(value) is str:
            rest += (key, "'", value)
        elif type(value) is list:
            rest += (key, "[", str(len(value)), *value)
        elif type(value) not in (int, float):
            rest += () if value is None else (key, repr(value))
        elif value == value:  # NaN is a missing value
            rest += (key, "#")
            numbers.append(_magnitude(value) * _weight(key))
            if type(value) is int or (value.is_integer() and abs(value) < _WHOLE):
                wholes += (key, repr(int(value)))
            doubtful |= type(value) is float and _may_turn(value)
    return _PayloadTrace(_hash(rest, 8), _hash(wholes, 7), doubtful, math.fsum(numbers))


def _may_turn(value: float) -> bool:
    """Tell whether rounding may turn a fraction into a whole number, or a whole number into anything else."""
    if not -_EXACT < value < _EXACT:
        return abs(value) < 2 * _WHOLE
    off = abs(value - round(value))
    return off > 0 and off <= max(_ROUNDED_BITS * math.ulp(value), 1 / _SCALE)


def _magnitude(number: float) -> float:
    """Return a logarithm that goes through zero: rounding moves it as little for large numbers as for small ones."""
    if not -_LARGEST < number < _LARGEST:
        number = _LARGEST if number > 0 else -_LARGEST
    return math.asinh(_SCALE * number)


def _hash(parts: Sequence[str], size: int) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=size).digest()
