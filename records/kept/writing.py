"""Events and outcomes written while a source is read: block by block, in memory that does not grow."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cohorts.private_files import touch_private
from cohorts.records.base import Batch
from cohorts.records.kept.rows import EVENTS, OUTCOMES, encoded, events_of, outcomes_of

EVENTS_FILE, OUTCOMES_FILE = "events.parquet", "outcomes.parquet"
BLOCK_ROWS = 1 << 18  # of events at least, where several batches are small
GROUP_ROWS = 1 << 16  # fewer make the foot long, more are read for one unit
_WITH_BOUNDS = ("unit_id", "kind", "code", "time", "block")  # what rows are asked for by
_STEPS = "DELTA_BINARY_PACKED"  # times of one unit follow each other


class KeptWriter:
    """Writes both files into `folder`, which is private; they are whole after `finish`.

    Whole units make a block. In a block rows stand by kind, then as the batch has them: a reader who wants one kind, or
    one unit, finds few groups of rows by their bounds.
    """

    def __init__(self, folder: Path) -> None:
        self.left_out: Counter[str] = Counter()
        self._events = _Parquet(folder / EVENTS_FILE, EVENTS)
        self._outcomes = _Parquet(folder / OUTCOMES_FILE, OUTCOMES)
        self._block = self._rows = 0
        self._waiting: dict[str, list[Any]] = {}
        self._admissions: list[Any] = []

    def add(self, batch: Batch, ids: Sequence[str]) -> None:
        """Take a batch in; `ids[i]` is what its unit i is called in the collection. Raises OSError."""
        self.add_rows(events_of(batch, ids, self.left_out), outcomes_of(batch, ids, self.left_out))

    def add_rows(self, events: Iterable[tuple[str, Any]], outcomes: Any) -> None:
        """Take all rows of some units in, events by kind; their `block` is not looked at. Raises OSError."""
        for kind, table in events:
            self._waiting.setdefault(kind, []).append(table)
            self._rows += len(table)
        self._admissions.append(outcomes)
        if self._rows >= BLOCK_ROWS:
            self._write()

    @property
    def rows(self) -> dict[str, int]:
        """Return how many rows each file has so far."""
        return {EVENTS_FILE: self._events.rows, OUTCOMES_FILE: self._outcomes.rows}

    def finish(self) -> None:
        """Write the rest. Raises OSError."""
        self._write()
        self.close()

    def close(self) -> None:
        """Close the files, whole or not; safe to call twice. Raises OSError."""
        self._events.close()
        self._outcomes.close()

    def _write(self) -> None:
        for kind in sorted(self._waiting):
            self._events.write(self._waiting.pop(kind), self._block)
        self._outcomes.write(self._admissions, self._block)
        self._rows, self._admissions = 0, []
        self._block += 1


class _Parquet:
    """A Parquet file of a schema, whose texts are written from dictionaries."""

    def __init__(self, file: Path, schema: Any) -> None:
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        numbers = [field.name for field in schema if pa.types.is_floating(field.type)]
        times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
        words = pa.dictionary(pa.int32(), pa.string())
        self._schema = pa.schema(
            [field.with_type(words) if field.name in texts else field for field in schema]
        )
        self.rows = 0
        self._writer = pq.ParquetWriter(
            str(touch_private(file)),
            self._schema,
            compression="zstd",
            use_dictionary=[*texts, *numbers],
            column_encoding=dict.fromkeys(times, _STEPS),
            write_statistics=[name for name in _WITH_BOUNDS if name in schema.names],
            store_schema=False,  # readers get plain texts
        )

    def write(self, tables: Sequence[Any], block: int | None) -> None:
        """Write tables as rows of a block, or of those that they name; columns that they lack are missing."""
        if not sum(map(len, tables)):
            return
        rows = pa.concat_tables(tables, promote_options="default").unify_dictionaries()
        for start in range(0, len(rows), GROUP_ROWS):
            some = rows.slice(start, GROUP_ROWS)
            columns = [self._column(some, field, block) for field in self._schema]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self.rows += len(rows)

    def close(self) -> None:
        """Write the foot; safe to call twice."""
        self._writer.close()

    def _column(self, rows: Any, field: Any, block: int | None) -> Any:
        if field.name == "block" and block is not None:
            return pa.array([block] * len(rows), field.type)
        if field.name in rows.column_names:
            return rows[field.name]
        return pa.nulls(len(rows), field.type)


def rows_of_patient(file: Path, patient_id: str) -> int:
    """Return how many rows of a patient a file holds. Raises OSError, ValueError where it is no Parquet."""
    with pq.ParquetFile(file) as opened:
        pages = opened.iter_batches(GROUP_ROWS, columns=["patient_id"])
        return sum(pc.sum(pc.equal(page["patient_id"], patient_id)).as_py() or 0 for page in pages)


def write_less(file: Path, less: Path, schema: Any, patient_id: str) -> None:
    """Write all rows of a file but a patient's to another one. Raises as `rows_of_patient` does.

    The same rows give the same bytes.
    """
    written = _Parquet(less, schema)
    with closing(written), pq.ParquetFile(file) as opened:
        for group in range(opened.num_row_groups):
            rows = opened.read_row_group(group)
            others = pc.fill_null(pc.not_equal(rows["patient_id"], patient_id), fill_value=True)
            written.write([encoded(rows.filter(others))], None)
