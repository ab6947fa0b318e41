"""What the sources share: tables are dealt to parts on disk once, and every part becomes one batch."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.errors import InputError, SourceError
from cohorts.records.base import FRAMES, Batch, Report, Unit
from cohorts.records.cores import usable_cores
from cohorts.records.shards import Named, Shard
from cohorts.records.sources.copies import Copies
from cohorts.records.tables.columns import BadRow, Table, read_table, read_tables
from cohorts.records.tables.partition import Partition
from cohorts.records.tables.quarantine import Quarantine
from cohorts.records.tables.reading import content_bytes
from cohorts.records.tables.times import Dates

MEMORY_MIB = 2_048
LEAST_MEMORY_MIB = 256
_MIB_PER_WORKER = 192  # blocks ahead, their columns of text, and those typed
_DEALT_AT_ONCE = 80  # the share of the memory that waits to be sorted; to sort it takes three times as much
Tables = dict[str, pa.Table]  # by the name of the table, with `row` and `line`


class Check(Protocol):
    """Looks at the rows of one table while they are read, and finds those that can't be used.

    `reason` says why; `warnings` tells what there is to be said of the whole table when all of it was seen.
    """

    reason: str

    def see(self, rows: pa.Table) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
        """Return the rows as they are to be kept, and which of them are bad, (rows,)."""
        ...

    def warnings(self, table: str) -> list[str]:
        """Return what there is to say of the table."""
        ...


@dataclass(frozen=True)
class Feed:
    """One table of a source, the column that names the patient, and the frames of a batch that are made of it.

    Its rows are those of all its `files`, one after the other. `see` takes in the rows, whoever's they are. `owned`
    adds the column `patient` to rows that name their patient by what `via`, a table that is read before, tells: null
    where it does not. `origins` are the files that these were made from; where the feed is `placed`, its rows
    tell their places in those. One that is `further` is left out, and that is told, where it can't be known how its
    dates are written. `fills` are the frames that have its rows, all of `frames` if it is not told: for the others it
    is looked up.
    """

    table: Table
    files: Sequence[Path]
    patient: str
    frames: frozenset[str]
    check: Check | None = None
    see: Callable[[pa.Table], None] | None = None
    via: str = ""
    owned: Callable[[pa.Table], pa.Table] | None = None
    origins: Sequence[Path] = ()
    placed: bool = False
    further: bool = False
    fills: frozenset[str] | None = None


@dataclass
class Account:
    """Of one frame of a batch: good rows by what is counted, rows left out by why, and rows that can't be used.

    `selected` are all rows that SELECTs gave, by their frame; `remarks` what there is to say of rows that are used.
    """

    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    bad: list[BadRow] = field(default_factory=list)
    selected: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Assembled:
    """One part of a source: how many units it has, an account of each of its frames, and the batch, once it is made.

    `noted` has the category, admission_id and patient_id of every note.
    """

    units: int
    accounts: dict[str, Account]
    noted: pd.DataFrame
    make: Callable[[], Batch]


class Layout(Protocol):
    """What one kind of source is: its files, and how the rows of some patients become a batch."""

    name: str
    unit: Unit
    synthetic: bool
    warnings: list[str]

    def feeds(self) -> Iterable[Feed]:
        """Yield the files to read. Raises SourceError where one is missing."""
        ...

    def dictionaries(self) -> Iterable[tuple[str, Path]]:
        """Yield the name and the file of each table that is read whole, beside the feeds."""
        ...

    def assemble(self, tables: Tables, frames: frozenset[str]) -> Assembled:
        """Turn all rows of some patients, by table, into one part; only `frames` are read."""
        ...


class PartitionedSource:
    """A Source over any layout; a context manager that removes its files on disk.

    The tables are read at the first call of `batches`, into a private folder below `work_dir`; the first rows of each
    are read at once, so that a missing column or dates of an unknown order show before hours of reading. Of a `shard`,
    or of patients that are named, only its own are kept; bad rows are told by every shard alike. `settings` are
    further choices of the user by which the same files are another source. Only the tables that `frames` are made of
    are read, by as many threads as there are cores and as `memory_mib` allows: some MiB, beside what the program itself
    takes and one batch. `copies` holds files of the layout that are removed with the others.
    """

    def __init__(
        self,
        layout: Layout,
        work_dir: Path,
        quarantine: Quarantine,
        shard: Shard | Named | None = None,
        *,
        dates: Dates = Dates.ISO,
        settings: Sequence[str] = (),
        memory_mib: int = MEMORY_MIB,
        copies: Copies | None = None,
    ) -> None:
        if memory_mib < LEAST_MEMORY_MIB:
            raise InputError(
                f"A source is read in {LEAST_MEMORY_MIB} MiB of memory or more, not in {memory_mib}."
            )
        self.name = layout.name
        self.unit = layout.unit
        self.synthetic = layout.synthetic
        self.report = Report(warnings=layout.warnings)
        self.frames = FRAMES
        self._layout = layout
        self._feeds: list[Feed] = []
        self._dates = dates
        self._settings, self._copies = settings, copies
        self.work_dir = work_dir
        self.quarantine = quarantine
        self._shard = shard
        self._workers = max(1, min(usable_cores(), memory_mib // _MIB_PER_WORKER))
        self._deal_bytes = memory_mib * 1024**2 // _DEALT_AT_ONCE
        self._partition: Partition | None = None
        self._counted: set[tuple[int, str]] = set()  # parts whose frames stand in the report
        self._remarks: Counter[str] = Counter()
        self.has_notes = self.has_codes = False
        for feed in layout.feeds():
            filled = self._is_filled(feed)
            if filled is not None:
                fills = feed.frames if feed.fills is None else feed.fills
                self.has_notes |= "notes" in fills and filled
                self.has_codes |= "codes" in fills and filled
                self._feeds.append(feed)

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of the source's kind, unit, how it is read, and every file's content (hex)."""
        digest = hashlib.sha256("/".join([self.name, self.unit, *self._settings]).encode())
        of_files: dict[Path, bytes] = {}  # once for a database that holds many tables
        files = [(feed.table.name, file) for feed in self._feeds for file in feed.origins or feed.files]
        for name, file in [*files, *self._layout.dictionaries()]:
            if file not in of_files:
                with file.open("rb") as stream:
                    of_files[file] = hashlib.file_digest(stream, "sha256").digest()
            digest.update(name.encode() + of_files[file])
        return digest.hexdigest()[:16]

    def batches(self) -> Iterator[Batch]:
        """Yield every patient once: parts in order, patients by id within one. Raises SourceError."""
        for assembled in self._assembled():
            if assembled and assembled.units:
                batch = assembled.make()
                del assembled
                yield batch
                del batch

    def counted(self) -> Iterator[int]:
        """Yield how many units each part has: all is read, checked and told, no batch is made. Raises SourceError."""
        for assembled in self._assembled():
            if assembled:
                yield assembled.units

    def _assembled(self) -> Iterator[Assembled | None]:
        frames = self.frames
        feeds = [feed for feed in self._feeds if feed.frames & frames or feed.frames - FRAMES]
        partition = self._dealt(feeds)
        for part in range(partition.parts):
            self.report.share_read = (part + 1) / partition.parts
            # Handed on without a name: what it is made of can go as soon as the batch is made.
            yield self._part(
                part, {feed.table.name: partition.read(feed.table.name, part) for feed in feeds}, frames
            )
        partition.release()
        told = [f"{many:,} {remark}" for remark, many in self._remarks.items()]
        self.report.warnings += [one for one in told if one not in self.report.warnings]
        for table, rows in self.report.rows.items():
            self.quarantine.check_share(table, rows)
        for frame, rows in self.report.selected.items():
            self.quarantine.check_share(f"SELECT of {frame}", rows)

    def _part(
        self, part: int, tables: Mapping[str, pa.Table | None], frames: frozenset[str]
    ) -> Assembled | None:
        """Assemble and count a part; None where no patient is in it."""
        there = {name: rows for name, rows in tables.items() if rows is not None}
        if not there:
            return None
        assembled = self._layout.assemble(there, frames)
        self._count(part, assembled)
        return assembled

    def close(self) -> None:
        """Remove the files on disk."""
        if self._copies:
            self._copies.close()
        if self._partition:
            self._partition.close()
            self._partition = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_filled(self, feed: Feed) -> bool | None:
        """Return whether a table has rows, None for one that is left out. Raises SourceError."""
        try:
            chunks = (chunk for file in feed.files for chunk in read_table(file, feed.table, self._dates))
            return any(chunk.rows.num_rows or chunk.bad or chunk.passed_over for chunk in chunks)
        except SourceError as error:
            if not feed.further or error.hint != "dates":
                raise
            self.report.warnings.append(
                f"{feed.table.name} is left out: its dates may begin with the day or with the month, and which was not "
                "said"
            )
            return None

    def _dealt(self, feeds: Sequence[Feed]) -> Partition:
        """Return the parts, with all rows of these tables in them."""
        if self._partition is None:
            size = sum(content_bytes(file) for feed in self._feeds for file in feed.files)
            self._partition = Partition(self.work_dir, size, self._deal_bytes)
        for feed in feeds:
            if feed.table.name not in self.report.rows:
                self._deal(self._partition, feed)
        return self._partition

    def _deal(self, partition: Partition, feed: Feed) -> None:
        table, rows, faults = feed.table.name, 0, 0
        remarks: Counter[str] = Counter()
        if feed.placed or len(feed.files) > 1:
            self.quarantine.name_files(table, feed.origins if feed.placed else feed.files)
        for chunk in read_tables(feed.files, feed.table, self._dates, workers=self._workers):
            good, bad = self._checked(feed, chunk.rows)
            if feed.see is not None:
                feed.see(good)
            self.quarantine.add(chunk.bad + bad)
            partition.add(table, self._of_shard(self._owned(feed, good), feed.patient), feed.patient)
            rows += chunk.rows.num_rows + len(chunk.bad) + chunk.passed_over
            faults += len(bad)
            remarks += chunk.remarks
            self.report.bytes_read["fast"] += chunk.bytes_fast
            self.report.bytes_read["strict"] += chunk.bytes_strict
        partition.finish(table, feed.patient)
        self._tell(feed, rows, faults, remarks)
        self.report.rows[table] = rows
        self.quarantine.check_share(table, rows)

    def _checked(self, feed: Feed, rows: pa.Table) -> tuple[pa.Table, list[BadRow]]:
        if feed.check is None:
            return rows, []
        rows, wrong = feed.check.see(rows)
        if not wrong.any():
            return rows, []
        bad = rows.filter(pa.array(wrong))
        return rows.filter(pa.array(~wrong)), named_bad(
            [feed.table.name] * bad.num_rows, bad, feed.check.reason
        )

    def _owned(self, feed: Feed, rows: pa.Table) -> pa.Table:
        """Return the rows whose patient is known."""
        if feed.owned is None:
            return rows
        rows = feed.owned(rows)
        known = rows.column(feed.patient).is_valid()
        if unknown := rows.num_rows - pc.sum(known, min_count=0).as_py():
            why = f"rows of {feed.table.name} that refer to nothing in {feed.via}"
            self.report.left_out[why] = self.report.left_out.get(why, 0) + unknown
        return rows.filter(known) if unknown else rows

    def _tell(self, feed: Feed, rows: int, faults: int, remarks: Counter[str]) -> None:
        table, told = feed.table.name, self.report.warnings
        if not rows:
            told.append(f"{table} has a header and no rows")
        self.report.quarantined = dict(self.quarantine.counts)
        if feed.check is not None:
            told += feed.check.warnings(table)
            if faults:
                told.append(f"{table}: {faults:,} rows with {feed.check.reason}")
        told += [f"{table}: {many:,} {remark}" for remark, many in remarks.items()]

    def _of_shard(self, rows: pa.Table, patient: str) -> pa.Table:
        if self._shard is None or not rows.num_rows:
            return rows
        patients = pc.unique(rows.column(patient))
        mine = [one for one in patients.to_pylist() if self._shard.holds(one)]
        return rows.filter(pc.is_in(rows.column(patient), pa.array(mine, patients.type)))

    def _count(self, part: int, assembled: Assembled) -> None:
        for frame, account in assembled.accounts.items():
            if (part, frame) in self._counted:
                continue
            self._counted.add((part, frame))
            self.quarantine.add(account.bad)
            self._remarks += account.remarks
            for target, more in (
                (self.report.counts, account.counts),
                (self.report.left_out, account.left_out),
                (self.report.selected, account.selected),
            ):
                for name, count in more.items():
                    target[name] = target.get(name, 0) + count
            if frame == "notes":
                self.report.categories.add(assembled.noted)
        self.report.quarantined = dict(self.quarantine.counts)


def named_bad(tables: Sequence[str], rows: pa.Table, reason: str | Sequence[str]) -> list[BadRow]:
    """Name every row (with `row`, `line`) of the tables as bad, for one reason or each for its own."""
    reasons = [reason] * rows.num_rows if isinstance(reason, str) else reason
    row, line = (rows.column(name).to_pylist() for name in ("row", "line"))
    return list(map(BadRow, tables, row, line, reasons))
