"""What the sources share: tables are dealt to parts on disk once, and every part becomes one batch."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import pandas as pd
from cohorts.records.base import Batch, Report, Unit
from cohorts.records.tables.columns import BadRow, Table, read_table
from cohorts.records.tables.leading_zeros import LeadingZeros
from cohorts.records.tables.partition import Partition
from cohorts.records.tables.quarantine import Quarantine
from cohorts.records.tables.reading import content_bytes
from cohorts.records.tables.shards import Shard, shard_of
from cohorts.records.tables.times import Dates

Frames = dict[str, pd.DataFrame]


def never_bad(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Find no fault with any row."""
    return pd.Series(False, index=frame.index)


@dataclass(frozen=True)
class Feed:
    """One file of a source and what its rows are.

    `adapt` renames and derives columns, with `patient_id`, `row` and `line` among the result; rows for which
    `is_bad` holds afterwards are quarantined with the reason `bad_reason`.
    """

    kind: str
    table: Table
    file: Path
    adapt: Callable[[pd.DataFrame], pd.DataFrame]
    is_bad: Callable[[pd.DataFrame], "pd.Series[bool]"] = never_bad
    bad_reason: str = ""


@dataclass(frozen=True)
class Assembled:
    """The batch of one part, how many good rows of each kind it took, and what could not be used."""

    batch: Batch
    counts: Counter[str]
    left_out: Counter[str]
    bad: list[BadRow]


class Layout(Protocol):
    """What one kind of source is: its files, and how the rows of some patients become a batch."""

    name: str
    unit: Unit
    synthetic: bool
    warnings: list[str]

    def feeds(self) -> Iterable[Feed]:
        """Yield the files to read. Raises SourceError where one is missing."""
        ...

    def assemble(self, frames: Frames) -> Assembled:
        """Turn all rows of some patients, by kind, into a batch."""
        ...


class PartitionedSource:
    """A Source over any layout; a context manager that removes its files on disk.

    The tables are read at the first call of `batches`, into a private folder below `work_dir`; the first rows of each
    are read at once, so that a missing column or dates of an unknown order show before hours of reading. Of a `shard`,
    only its own patients are kept; bad rows are told by every shard alike. `settings` are further choices of the user
    by which the same files are another source.
    """

    def __init__(
        self,
        layout: Layout,
        work_dir: Path,
        quarantine: Quarantine,
        shard: Shard | None = None,
        *,
        dates: Dates = Dates.ISO,
        settings: Sequence[str] = (),
    ) -> None:
        self.name = layout.name
        self.unit = layout.unit
        self.synthetic = layout.synthetic
        self.report = Report(warnings=layout.warnings)
        self._layout = layout
        self._feeds: list[Feed] = []
        self._dates = dates
        self._settings = settings
        self.work_dir = work_dir
        self.quarantine = quarantine
        self._shard = shard
        self._partition: Partition | None = None
        self._rows: Counter[str] = Counter()  # rows read, good and bad, by table
        self._counted: set[int] = set()  # parts whose rows stand in the report
        self.has_notes = self.has_codes = False
        for feed in layout.feeds():
            first = next(read_table(feed.file, feed.table, dates))
            filled = bool(len(first.rows) or first.bad)
            self.has_notes |= feed.kind == "notes" and filled
            self.has_codes |= feed.kind == "codes" and filled
            self._feeds.append(feed)

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of the source's kind, unit, how it is read, and every file's content (hex)."""
        digest = hashlib.sha256("/".join([self.name, self.unit, *self._settings]).encode())
        for feed in self._feeds:
            with feed.file.open("rb") as stream:
                digest.update(feed.table.name.encode() + hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()[:16]

    def batches(self) -> Iterator[Batch]:
        """Yield every patient once: parts in order, patients by id within one. Raises SourceError."""
        partition = self._partition or self._deal()
        for part in range(partition.parts):
            self.report.share_read = (part + 1) / partition.parts
            frames = self._frames(partition, part)
            if not frames:
                continue
            assembled = self._layout.assemble(frames)
            self._count(part, assembled)
            if len(assembled.batch):
                yield assembled.batch
            del frames, assembled
        partition.release()
        for table, rows in self._rows.items():
            self.quarantine.check_share(table, rows)

    def close(self) -> None:
        """Remove the files on disk."""
        self.quarantine.close()
        if self._partition:
            self._partition.close()
            self._partition = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _deal(self) -> Partition:
        size = sum(content_bytes(feed.file) for feed in self._feeds)
        self._partition = partition = Partition(self.work_dir, size)
        for feed in self._feeds:
            self._deal_table(partition, feed)
        return partition

    def _deal_table(self, partition: Partition, feed: Feed) -> None:
        table, faults, zeros = feed.table.name, 0, LeadingZeros()
        remarks: Counter[str] = Counter()
        for chunk in read_table(feed.file, feed.table, self._dates):
            frame = feed.adapt(chunk.frame()).assign(table=table)
            if feed.kind == "codes":
                zeros.see(frame)
            wrong = feed.is_bad(frame)
            self.quarantine.add(chunk.bad + bad_rows(frame[wrong], feed.bad_reason))
            partition.add(table, self._of_shard(frame[~wrong]))
            self._rows[table] += len(chunk.rows) + len(chunk.bad)
            faults += int(wrong.sum())
            remarks += chunk.remarks
        partition.finish(table)
        if not self._rows[table]:
            self.report.warnings.append(f"{table} has a header and no rows")
        self.report.quarantined = dict(self.quarantine.counts)
        self.report.warnings += zeros.warnings(table)
        if faults:
            self.report.warnings.append(f"{table}: {faults:,} rows with {feed.bad_reason}")
        self.report.warnings += [f"{table}: {many:,} {remark}" for remark, many in remarks.items()]
        self.quarantine.check_share(table, self._rows[table])

    def _of_shard(self, frame: pd.DataFrame) -> pd.DataFrame:
        if self._shard is None:
            return frame
        number, many = self._shard
        rows, patients = pd.factorize(frame["patient_id"])
        mine = np.array([shard_of(patient, many) == number for patient in patients], dtype=bool)
        return frame[mine[rows]]

    def _frames(self, partition: Partition, part: int) -> Frames:
        """Return the part's rows by kind; tables of one kind stand one after the other."""
        found: dict[str, list[pd.DataFrame]] = {}
        for feed in self._feeds:
            frame = partition.read(feed.table.name, part)
            if frame is not None:
                found.setdefault(feed.kind, []).append(frame)
        return {kind: pd.concat(frames, ignore_index=True) for kind, frames in found.items()}

    def _count(self, part: int, assembled: Assembled) -> None:
        if part in self._counted:
            return
        self._counted.add(part)
        self.quarantine.add(assembled.bad)
        self.report.quarantined = dict(self.quarantine.counts)
        units = assembled.batch.units
        self.report.categories.add(assembled.batch.notes, units.set_index("unit_id")["patient_id"])
        for target, more in (
            (self.report.counts, assembled.counts),
            (self.report.left_out, assembled.left_out),
        ):
            for name, count in more.items():
                target[name] = target.get(name, 0) + count


def bad_rows(frame: pd.DataFrame, reason: str) -> list[BadRow]:
    """Name every row of the frame (with `table`, `row`, `line`) as bad for one reason."""
    places = zip(frame["table"], frame["row"], frame["line"], strict=True)
    return [BadRow(table, row, line, reason) for table, row, line in places]
