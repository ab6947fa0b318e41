"""Events and outcomes in the run folder: written while an ingest reads, put there at its end, erased with a patient."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
from cohorts.documents import read_json
from cohorts.errors import InputError
from cohorts.loaders.points.patients import PatientPoints
from cohorts.loaders.targets import LoadRequest
from cohorts.private_files import Scratch
from cohorts.provenance import write_manifest
from cohorts.records.base import Batch, Source
from cohorts.records.kept.reading import (
    KEPT,
    Kept,
    KeptFile,
    kept_by,
    manifests,
    measured,
    names,
    opened,
    reason,
)
from cohorts.records.kept.rows import EVENTS, MOST_CHARACTERS, OUTCOMES, by_kind, encoded
from cohorts.records.kept.writing import EVENTS_FILE, OUTCOMES_FILE, KeptWriter, rows_of_patient, write_less
from cohorts.records.transforms import View
from cohorts.workspace import file_of_shard

_ASKED = 10_000  # units at once, whether they stand in the collection
Standing = Callable[[Sequence[str]], Collection[str]]


class Keeping:
    """What a run keeps of its units, in a private folder until `publish` puts it into the run folder.

    A context manager: what is not published is removed, and what the runs before kept stays. Where nothing is `wanted`,
    `publish` removes that too: it would tell of other records than the collection does.
    """

    def __init__(self, folder: Path, goal: LoadRequest, *, wanted: bool) -> None:
        self.warnings: list[str] = []
        self._folder, self._goal, self._wanted = folder, goal, wanted
        self._called = {name: file_of_shard(name, goal.shard) for name in (EVENTS_FILE, OUTCOMES_FILE)}
        self._read: list[Any] = []  # ids of units
        with _room(folder):
            self._scratch = Scratch(folder)
            self._writer = KeptWriter(self._scratch.folder)

    def source(self, source: Source, points: PatientPoints | None) -> Source:
        """Return a source whose units are kept while it is read, once, by the ids that they have in the collection."""
        return _KeptSource(source, self, points) if self._wanted else source

    def add(self, batch: Batch, ids: Sequence[str]) -> None:
        """Take a batch in. Raises InputError where the disk is full."""
        with _room(self._folder):
            self._writer.add(batch, ids)
        self._read.append(pa.array(ids, pa.string()))

    def publish(self, standing: Standing, *, vanished: int = 0) -> dict[str, Any]:
        """Put the files into the run folder, and return what its manifest is to tell of them.

        Of units that the run did not read and the collection holds, as `standing` tells, the rows of the files before
        are kept; `vanished` is how many these are, as far as is known. Raises InputError.
        """
        if not self._wanted:
            if removed := _remove(self._folder, self._superseded()):
                self.warnings.append(
                    f"{' and '.join(removed)} of the runs before were removed: they tell of records as they were"
                )
            return {}
        carried = self._carry_over(standing)
        if vanished > carried:
            self.warnings.append(
                f"of {vanished - carried:,} units that the source has no more there are no events: none were kept"
            )
        for column, many in self._writer.left_out.items():
            self.warnings.append(
                f"{many:,} texts of {column} were left out of the events: they have more than {MOST_CHARACTERS} "
                "characters, or several lines"
            )
        with _room(self._folder):
            self._writer.finish()
            made = self._scratch.folder
            files = {
                called: measured(made / name, self._writer.rows[name])
                for name, called in self._called.items()
            }
            _remove(self._folder, set(self._superseded()) - set(files))
            for name, called in self._called.items():
                (made / name).replace(self._folder / called)
        return {name: asdict(told) for name, told in files.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._writer.close()
        self._scratch.close()

    def _superseded(self) -> list[str]:
        """Return the files that are of the collection no more: with a new version of it, those of all shards."""
        there = names(self._folder)
        return there if self._goal.replace else [name for name in there if name in self._called.values()]

    def _carry_over(self, standing: Standing) -> int:
        """Take over the rows of units that were not read and stand in the collection; return how many units."""
        before = _told_by(self._folder / file_of_shard("manifest.json", self._goal.shard))
        if not before:
            return 0
        try:
            return self._carry(standing, before)
        except InputError as error:
            self.warnings.append(f"events that an earlier run kept of other units are lost: {error}")
            return 0

    def _carry(self, standing: Standing, before: dict[str, KeptFile]) -> int:
        events, outcomes = ({called: before[called]} for called in self._called.values())
        told = opened(self._folder, outcomes)
        there = pc.unique(told.to_table(columns=["unit_id"])["unit_id"])
        read = pa.chunked_array(self._read, pa.string())
        unread = there.filter(pc.invert(pc.is_in(there, value_set=read))).to_pylist()
        stays = [
            key for start in range(0, len(unread), _ASKED) for key in standing(unread[start : start + _ASKED])
        ]
        if stays:
            kept = Kept(opened(self._folder, events), told)
            with _room(self._folder):
                for rows, admissions in kept.by_block(pa.array(stays, pa.string())):
                    events_by_kind = ((kind, encoded(some)) for kind, some in by_kind(rows))
                    self._writer.add_rows(events_by_kind, encoded(admissions))
        return len(stays)


class _KeptSource(View):
    """A source that hands every batch to what is kept, too."""

    def __init__(self, source: Source, keeping: Keeping, points: PatientPoints | None) -> None:
        super().__init__(source)
        self._keeping, self._points = keeping, points

    def batches(self) -> Iterator[Batch]:
        """Yield the source's batches."""
        for batch in self._source.batches():
            ids = batch.units["unit_id"].tolist()
            self._keeping.add(batch, self._points.of(ids) if self._points else ids)
            yield batch


def kept_after_load(folder: Path, goal: LoadRequest) -> dict[str, Any]:
    """Return what the manifest of a load of ready vectors tells: what was there; nothing, where it was replaced."""
    if goal.replace:
        _remove(folder, names(folder))
    manifest = folder / file_of_shard("manifest.json", goal.shard)
    return {name: asdict(told) for name, told in _told_by(manifest).items()}


def erase_kept(folder: Path, patient_id: str) -> int:
    """Remove a patient's rows from all files that are kept in a folder; return how many there were.

    Whatever stops it, the same call ends it. Raises InputError where a file can't be read or written.
    """
    erased = 0
    for name in names(folder):
        with _readable(folder / name), _room(folder):
            many = rows_of_patient(folder / name, patient_id)
            if many:
                _write_without(folder, name, patient_id, many)
        erased += many
    return erased


def _write_without(folder: Path, name: str, patient_id: str, many: int) -> None:
    """Write a file anew. The manifest tells of it first: should that be all, the next call makes the same bytes."""
    schema = EVENTS if name.startswith("events") else OUTCOMES
    with Scratch(folder) as scratch:
        less = scratch / name
        write_less(folder / name, less, schema, patient_id)
        for manifest in manifests(folder):
            files = _told_by(manifest)
            if name in files and files[name] == measured(folder / name, files[name].rows):
                _tell(manifest, files | {name: measured(less, files[name].rows - many)})
        less.replace(folder / name)


def _remove(folder: Path, gone: Collection[str]) -> list[str]:
    """Remove files, and what manifests tell of them; return their names."""
    for manifest in manifests(folder):
        files = _told_by(manifest)
        if files.keys() & set(gone):
            _tell(manifest, {name: told for name, told in files.items() if name not in gone})
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    return sorted(gone)


def _told_by(manifest: Path) -> dict[str, KeptFile]:
    """Return what a manifest tells; a damaged one tells nothing."""
    try:
        return kept_by(manifest)
    except InputError:
        return {}


def _tell(manifest: Path, files: dict[str, KeptFile]) -> None:
    told = {name: asdict(file) for name, file in files.items()}
    write_manifest(manifest, read_json(manifest, dict[str, Any]) | {KEPT: told})


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """Turn the errors of a disk into InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The events can't be kept in {folder}: {reason(error)}.",
            remedy="Make room there, or keep none.",
            hint="room_or_no_events",
        ) from error


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{file} is damaged, so that nobody can be erased from it. Remove it, then erase again; an ingest writes "
            "it anew."
        ) from error
