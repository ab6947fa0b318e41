"""Tables cut by patient into parts on disk, so that whole patients can be read in bounded memory.

The tables of a hospital are not sorted by patient. Each is read once and its rows are dealt to parts by a hash of the
patient's id; a part holds all rows of its patients and is small enough for memory. Of every table there is one file:
rows are sorted by part some megabytes at a time, and where the slices of a part lie in the file is kept in memory. The
files are private to the user and removed at the end: they hold patient text.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
from cohorts.errors import InputError
from cohorts.private_files import Scratch, touch_private

PART_BYTES = 16 * 1024 * 1024
MAX_PARTS = 4_096


class Partition:
    """Parts of tables under a private temporary folder in `parent`, which `close` removes.

    So many bytes of rows are sorted at once: larger slices are faster to write and to read.
    """

    def __init__(self, parent: Path, content_bytes: int, sorted_bytes: int = 48 * 1024**2) -> None:
        self.parts = min(MAX_PARTS, max(1, round(content_bytes / PART_BYTES)))
        try:
            self._scratch = Scratch(parent)
        except OSError as error:
            raise InputError(
                f"{parent} can't hold the source's parts: {error}.",
                remedy="Name another folder to work in.",
                hint="another_run_dir",
            ) from error
        self._sorted_bytes = sorted_bytes
        self._waiting: list[pa.Table] = []
        self._sink: pa.NativeFile | None = None
        self._slices: dict[
            str, dict[int, list[int]]
        ] = {}  # of a table and part, where they begin in the table's file
        self._schemas: dict[str, pa.Schema] = {}

    def add(self, table: str, rows: pa.Table, key: str) -> None:
        """Deal the rows of a table to parts by the patient, whose id is the column `key`."""
        if rows.num_rows:
            self._waiting.append(rows)
        if sum(one.nbytes for one in self._waiting) >= self._sorted_bytes:
            self._deal(table, key)

    def finish(self, table: str, key: str) -> None:
        """Write what waits, and close the table's file; it can be read from now on."""
        self._deal(table, key)
        if self._sink is not None:
            with self._writing():
                self._sink.close()
            self._sink = None

    def read(self, table: str, part: int) -> pa.Table | None:
        """Return the table's rows of one part in the order of the file they came from, None where it has none."""
        begins = self._slices.get(table, {}).get(part)
        if not begins:
            return None
        schema, batches = self._schemas[table], []
        with pa.OSFile(str(self._path(table))) as file:
            for begin in begins:
                file.seek(begin)
                batches.append(pyarrow.ipc.read_record_batch(pyarrow.ipc.read_message(file), schema))
        return pa.Table.from_batches(batches, schema)

    def release(self) -> None:
        """Give the memory that reading took back to the system: what comes after a pass may need it."""
        pa.default_memory_pool().release_unused()

    def close(self) -> None:
        """Remove the parts from the disk."""
        if self._sink is not None:
            with contextlib.suppress(OSError):  # what can't be written any more is removed anyway
                self._sink.close()
        self._scratch.close()

    def _deal(self, table: str, key: str) -> None:
        if not self._waiting:
            return
        rows = pa.concat_tables(self._waiting).combine_chunks()
        self._waiting = []
        part = part_of(rows.column(key), self.parts)
        order = np.argsort(part, kind="stable")
        (batch,) = rows.take(order).combine_chunks().to_batches()
        present, begins = np.unique(part[order], return_index=True)
        bounds = [*begins.tolist(), len(part)]
        self._schemas[table] = batch.schema
        slices = self._slices.setdefault(table, defaultdict(list))
        with self._writing():
            for number, begin, end in zip(present.tolist(), bounds, bounds[1:], strict=False):
                slices[number].append(self._write(table, batch.slice(begin, end - begin)))

    def _write(self, table: str, batch: pa.RecordBatch) -> int:
        """Append the slice to the table's file, and return where it begins."""
        if self._sink is None:
            self._sink = pa.OSFile(str(touch_private(self._path(table))), "wb")
            self._writer = pyarrow.ipc.new_stream(
                self._sink,
                batch.schema,
                options=pyarrow.ipc.IpcWriteOptions(compression="lz4", use_threads=False),
            )
            self._writer.write_batch(
                batch.slice(0, 0)
            )  # and the schema, which stands in front of the first one
        begin = int(self._sink.tell())
        self._writer.write_batch(batch)
        return begin

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"The source's rows can't be dealt out in {self._scratch.folder.parent}: {error}.",
                remedy="Make room, or name another folder to work in.",
                hint="room_or_run_dir",
            ) from error

    def _path(self, table: str) -> Path:
        return self._scratch.folder / f"{table}.arrow"


def part_of(patients: pa.ChunkedArray, parts: int) -> npt.NDArray[np.int64]:
    """Return the part of every row by its patient's id, (n,)."""
    if parts == 1:
        return np.zeros(len(patients), np.int64)
    known = pc.dictionary_encode(patients).combine_chunks()
    if isinstance(known, pa.ChunkedArray):  # of no chunk
        return np.zeros(0, np.int64)
    of_each = (hashed_ids(known.dictionary) % parts).astype(np.int64)
    places: npt.NDArray[np.int64] = of_each[known.indices.to_numpy()]
    return places


def hashed_ids(ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return a hash of each id, (n,): the same on every machine."""
    return pd.util.hash_array(np.array(ids.to_pylist(), dtype=object))
