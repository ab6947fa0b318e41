"""Views of a source: some of its units, or its notes rewritten."""

import hashlib
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from os import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from cohorts.private_files import unnamed_file
from cohorts.records.base import Batch, Report, Source, Unit

if TYPE_CHECKING:
    import pyarrow as pa


def take_units(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return the batch of some units, in the order of `rows`, which ascends."""
    units = batch.units.iloc[list(rows)]
    frames = {
        name: frame[frame["unit_id"].isin(units["unit_id"])].reset_index(drop=True)
        for name, frame in batch.of_units().items()
    }
    return Batch(units=units.reset_index(drop=True), **frames)


class View:
    """A source whose batches are made of another's."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.unit: Unit = source.unit
        self.synthetic = source.synthetic
        self.report: Report = source.report
        self._source = source

    @property
    def has_notes(self) -> bool:
        """Return that of the whole source."""
        return self._source.has_notes

    @property
    def has_codes(self) -> bool:
        """Return that of the whole source."""
        return self._source.has_codes

    @property
    def frames(self) -> frozenset[str]:
        """Return what is read of the whole source; AttributeError where it reads all it has."""
        return self._source.frames  # type: ignore[attr-defined, no-any-return]

    @frames.setter
    def frames(self, wanted: frozenset[str]) -> None:
        self._source.frames = wanted  # type: ignore[attr-defined]

    @property
    def fingerprint(self) -> str:
        """Return that of the whole source."""
        return self._source.fingerprint

    @property
    def work_dir(self) -> Path:
        """Return that of the whole source."""
        return self._source.work_dir


@contextmanager
def reading(source: Source, frames: frozenset[str]) -> Iterator[None]:
    """Let a source leave out, meanwhile, the tables that none of these frames is made of, where it can."""
    before = getattr(source, "frames", None)
    if before is None:
        yield
        return
    source.frames = frames  # type: ignore[attr-defined]
    try:
        yield
    finally:
        source.frames = before  # type: ignore[attr-defined]


class Subset(View):
    """The units of a source whose ids are in `ids`."""

    def __init__(self, source: Source, ids: Set[str]) -> None:
        super().__init__(source)
        self._ids = ids

    def batches(self) -> Iterator[Batch]:
        """Yield them in the source's order."""
        for batch in self._source.batches():
            rows = np.flatnonzero(batch.units["unit_id"].isin(self._ids)).tolist()
            if rows:
                yield take_units(batch, rows)


class RewrittenNotes(View):
    """A source whose notes are rewritten one by one; `rewrite` gives the new text and counts for the report.

    They are counted and rewritten once, however often the source is read: what became of a batch is kept until the end
    of the source, by a hash of its notes, in a file of `work_dir` that has no name. `counted` is told even if it stays
    0. `version` stands for what the rewriting depends on.
    """

    def __init__(
        self, source: Source, rewrite: Callable[[str], tuple[str, Counter[str]]], version: str, counted: str
    ) -> None:
        super().__init__(source)
        self._rewrite, self._version = rewrite, version
        self._counted: set[int] = set()  # batches, by number
        self._kept: _KeptTexts | None = None
        self.report.counts[counted] = 0

    @property
    def fingerprint(self) -> str:
        """Return a hash of the whole source's and of the version (hex)."""
        both = f"{self._source.fingerprint}/{self._version}"
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def batches(self) -> Iterator[Batch]:
        """Yield all units, with their notes rewritten."""
        for number, batch in enumerate(self._source.batches()):
            before = batch.notes["text"]
            texts = self._texts(number, before.tolist())
            yield replace(batch, notes=batch.notes.assign(text=texts).astype({"text": before.dtype}))

    def _texts(self, number: int, before: list[str]) -> list[str]:
        """Return the notes of a batch rewritten: from the file, if they are what they were."""
        told = hashlib.blake2b(b"".join(f"{len(text)} {text}".encode() for text in before)).digest()
        self._kept = self._kept or _KeptTexts(self.work_dir)
        if kept := self._kept.find(number, told):
            return kept
        rewritten = {text: self._rewrite(text) for text in dict.fromkeys(before)}
        if before and number not in self._counted:  # a pass may read no notes
            self._counted.add(number)
            counts: Counter[str] = Counter()
            for text in before:
                counts.update(rewritten[text][1])
            self._count(counts)
        texts = [rewritten[text][0] for text in before]
        self._kept.put(number, told, texts)
        return texts

    def _count(self, counts: Counter[str]) -> None:
        known = self.report.counts
        for name, many in sorted(counts.items()):
            known[name] = known.get(name, 0) + many


class _KeptTexts:
    """Lists of texts in a file that has no name, and is gone with this object or the process. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._file = unnamed_file(folder)
        weakref.finalize(self, self._file.close)
        self._places: dict[int, tuple[bytes, int, int]] = {}  # by number: the hash, where it begins, bytes

    def find(self, number: int, told: bytes) -> list[str] | None:
        """Return what was put under a number, if it was told by the same hash."""
        import pyarrow as pa

        known, start, size = self._places.get(number, (b"", 0, 0))
        if known != told:
            return None
        self._file.seek(start)
        rows = pa.ipc.read_record_batch(pa.py_buffer(self._file.read(size)), _schema())
        return cast("list[str]", rows.column(0).to_pylist())

    def put(self, number: int, told: bytes, texts: list[str]) -> None:
        """Keep texts under a number and a hash."""
        import pyarrow as pa

        rows = pa.record_batch([pa.array(texts, pa.large_string())], _schema()).serialize()
        self._places[number] = (told, self._file.seek(0, SEEK_END), rows.size)
        self._file.write(rows)


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("text", pa.large_string())])
