"""Units on their way into a collection, some hundreds at a time, each with the hash of all that is known of it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.connectors.base import Points
from cohorts.loaders.journal.digests import traces_of
from cohorts.records.base import Batch
from cohorts.records.transforms import take_units

CHUNK_UNITS = 1_000
HEAVY_UNITS = 32  # where an encoder takes seconds for them: what is done shows, and is kept, as often
HASH_BYTES = 16


@dataclass(frozen=True)
class Chunk:
    """`contents[i]` is the hash of what came of unit `ids[i]`; `body` holds the units in the order of `ids`."""

    ids: Sequence[str]
    contents: Sequence[bytes]
    body: Batch | Points

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.ids)

    @property
    def digest(self) -> bytes:
        """Return one hash over all units, in order."""
        return _digest("\n".join(self.ids).encode(), *self.contents)

    def take(self, rows: Sequence[int]) -> "Chunk":
        """Return the chunk of some of the units, in the order of `rows`, which ascends."""
        if len(rows) == len(self):
            return self
        body = take_units(self.body, rows) if isinstance(self.body, Batch) else take_points(self.body, rows)
        return Chunk([self.ids[row] for row in rows], [self.contents[row] for row in rows], body)


def take_points(points: Points, rows: Sequence[int]) -> Points:
    """Return some of the points."""
    return Points(
        [points.ids[row] for row in rows],
        points.vectors[np.asarray(rows, dtype=np.intp)],
        [points.payloads[row] for row in rows],
    )


def chunks_of_batch(batch: Batch, *, small: bool = False) -> Iterator[Chunk]:
    """Cut a batch into chunks, `small` ones for a slow encoder.

    The same batch always gives the same ones, which a resumed run relies on.
    """
    ids, contents = batch.units["unit_id"].tolist(), _contents_of_batch(batch)
    whole = Chunk(ids, contents, batch)
    most = min(CHUNK_UNITS, HEAVY_UNITS) if small else CHUNK_UNITS
    for start in range(0, len(ids), most):
        yield whole.take(range(start, min(start + most, len(ids))))


def chunk_of_points(points: Points) -> Chunk:
    """Make points that are ready a chunk; what is known of them is their traces."""
    return Chunk(points.ids, traces_of(points), points)


def _contents_of_batch(batch: Batch) -> list[bytes]:
    """Return a hash of every unit's rows in all frames."""
    frames = batch.units, *batch.of_units().values()
    parts = [_rows_by_unit(batch.units["unit_id"], frame) for frame in frames]
    return [_digest(*rows) for rows in zip(*parts, strict=True)]


def _rows_by_unit(units: "pd.Series[str]", frame: pd.DataFrame) -> list[bytes]:
    """Return the hashes of every unit's rows, one after the other; the frame is sorted by unit."""
    hashes = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    bounds = unit_bounds(units, frame)
    return [hashes[start:end].tobytes() for start, end in pairwise(bounds)]


def unit_bounds(units: "pd.Series[str]", frame: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Return where every unit's rows begin in a frame sorted by unit, (n + 1,), the end of the last one included."""
    at = pd.Index(units).get_indexer(pd.Index(frame["unit_id"]))
    return np.searchsorted(at, np.arange(len(units) + 1))


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()
