"""Tables cut by patient into parts on disk, so that whole patients can be read in bounded memory.

The tables of a hospital are not sorted by patient. Each is read once and its rows are dealt to parts by a hash of the
patient's id; a part holds all rows of its patients and is small enough for memory. The files are private to the
user and removed at the end: they hold patient text.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.ipc
from cohorts.errors import InputError
from cohorts.private_files import Scratch, touch_private

PART_BYTES = 16 * 1024 * 1024
MAX_PARTS = 512  # files open at once while one table is read


class Partition:
    """Parts of tables under a private temporary folder in `parent`, which `close` removes."""

    def __init__(self, parent: Path, content_bytes: int) -> None:
        self.parts = min(MAX_PARTS, max(1, round(content_bytes / PART_BYTES)))
        try:
            self._scratch = Scratch(parent)
        except OSError as error:
            raise InputError(
                f"{parent} can't hold the source's parts: {error}.",
                remedy="Name another folder to work in.",
                hint="another_run_dir",
            ) from error
        self._writers: dict[tuple[str, int], tuple[Any, Any]] = {}

    def add(self, table: str, frame: pd.DataFrame) -> None:
        """Deal the rows to parts by their `patient_id`."""
        part = pd.util.hash_array(frame["patient_id"].to_numpy(dtype=object)) % self.parts
        for number, rows in frame.groupby(part, sort=False):
            batch = pa.RecordBatch.from_pandas(rows, preserve_index=False)
            with self._writing():
                self._writer(table, int(number), batch.schema).write_batch(batch)  # type: ignore[call-overload]

    def finish(self, table: str) -> None:
        """Close the table's files; it can be read from now on."""
        for key in [key for key in self._writers if key[0] == table]:
            for closable in self._writers.pop(key):
                with self._writing():
                    closable.close()

    def read(self, table: str, part: int) -> pd.DataFrame | None:
        """Return the table's rows of one part, or None where it has none."""
        path = self._path(table, part)
        if not path.exists():
            return None
        with pa.OSFile(str(path)) as file:
            return pyarrow.ipc.open_stream(file).read_all().to_pandas()  # type: ignore[no-any-return]

    def release(self) -> None:
        """Give the memory that reading took back to the system: what comes after a pass may need it."""
        pa.default_memory_pool().release_unused()

    def close(self) -> None:
        """Remove the parts from the disk."""
        for key in list(self._writers):
            for closable in self._writers.pop(key):
                with contextlib.suppress(OSError):  # what can't be written any more is removed anyway
                    closable.close()
        self._scratch.close()

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

    def _path(self, table: str, part: int) -> Path:
        return self._scratch.folder / f"{table}.{part}.arrow"

    def _writer(self, table: str, part: int, schema: pa.Schema) -> Any:
        if (table, part) not in self._writers:
            sink = pa.OSFile(str(touch_private(self._path(table, part))), "wb")
            options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
            self._writers[table, part] = (pyarrow.ipc.new_stream(sink, schema, options=options), sink)
        return self._writers[table, part][0]
