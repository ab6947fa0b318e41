"""The events and outcomes that were kept beside a collection, read again: compared with their checksums, then by scans.

Needs no engine and no encoder, and knows no option: whoever asks names the run folder.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from cohorts.documents import conform, read_json
from cohorts.errors import InputError

KEPT = "kept"  # the manifest's entry
_NAME = re.compile(r"(events|outcomes)(?:-(\d+)-of-(\d+))?\.parquet")
_READ_BYTES = 1 << 22
_ANEW = "An ingest of the source, an update too, writes them anew."


@dataclass(frozen=True)
class KeptFile:
    """What a manifest tells of a file: `sha256` is of its bytes (hex)."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Kept:
    """Two Arrow datasets, with the columns of `rows.EVENTS` and `rows.OUTCOMES`.

    They hold the units of the source, those with nothing to encode too, and those that the source lost and the
    collection still has. The files stay open: what a later run puts in their place is not seen.
    """

    events: Any
    outcomes: Any

    def of_units(self, ids: Sequence[str]) -> tuple[Any, Any]:
        """Return the events and the outcomes of some units as tables; of the files only their blocks are read."""
        mine = pc.field("unit_id").isin(pa.array(ids, pa.string()))
        outcomes = self.outcomes.to_table(filter=mine)
        blocks = pc.unique(outcomes["block"])
        return self.events.to_table(filter=pc.field("block").isin(blocks) & mine), outcomes

    def rows(self, kinds: Sequence[str], columns: Sequence[str]) -> Iterator[Any]:
        """Yield record batches of the events of some kinds, a group of the files' rows at a time, in their order.

        An Arrow scanner would read ahead, and hold more than all that a caller keeps of them.
        """
        asked = reduce(or_, (pc.field("kind") == kind for kind in kinds))
        for fragment in self.events.get_fragments():
            for part in fragment.split_by_row_group(asked):
                yield from part.to_table(columns=list(columns), filter=asked).combine_chunks().to_batches()

    def by_block(self, ids: Any) -> Iterator[tuple[Any, Any]]:
        """Yield the events and the outcomes of the units in an Arrow array, a block at a time."""
        mine = pc.field("unit_id").isin(ids)
        outcomes = self.outcomes.to_table(filter=mine)
        for block in pc.unique(outcomes["block"]).to_pylist():
            theirs = pc.field("block") == block
            yield self.events.to_table(filter=theirs & mine), outcomes.filter(theirs)


def open_kept(folder: Path) -> Kept:
    """Open what the ingest of a run folder kept, of all shards, after a look at every checksum.

    Raises InputError where nothing was kept, a shard lacks, or a file is another than the one that was written.
    """
    files: dict[str, KeptFile] = {}
    for manifest in manifests(folder):
        files |= kept_by(manifest)
    if not files:
        raise InputError(
            f"{folder} holds no events: the collection was ingested without them, by an earlier version, or with "
            "another run folder.",
            remedy=_ANEW,
            hint="kept_or_source",
        )
    _check_whole(folder, files)
    kinds = (
        {name: told for name, told in files.items() if name.startswith(what)}
        for what in ("events", "outcomes")
    )
    return Kept(*(opened(folder, some) for some in kinds))


def opened(folder: Path, files: Mapping[str, KeptFile]) -> Any:
    """Return some files of one kind as a dataset. Raises InputError where one is not what was written."""
    import pyarrow.dataset as ds  # 50 ms, and who writes rows does not need it

    of_parquet = ds.ParquetFileFormat()
    fragments = [of_parquet.make_fragment(_open(folder / name, told)) for name, told in files.items()]
    return ds.FileSystemDataset(fragments, fragments[0].physical_schema, of_parquet)


def names(folder: Path) -> list[str]:
    """Return the names of the files that are kept in a folder, whatever manifests tell."""
    return sorted(file.name for file in folder.glob("*.parquet") if _NAME.fullmatch(file.name))


def manifests(folder: Path) -> list[Path]:
    """Return the manifests of a folder's runs, those of every shard."""
    return sorted(folder.glob("manifest*.json"))


def kept_by(manifest: Path) -> dict[str, KeptFile]:
    """Return the files that a manifest tells of; none where there is no manifest. Raises InputError."""
    if not manifest.exists():
        return {}
    told = read_json(manifest, dict[str, Any], remedy=_ANEW).get(KEPT, {})
    files = conform(told, dict[str, KeptFile], f"{KEPT} in {manifest}", remedy=_ANEW)
    if unknown := [name for name in files if not _NAME.fullmatch(name)]:
        raise InputError(f"{manifest} is damaged: {unknown[0][:80]!r} is no name of a kept file. {_ANEW}")
    return files


def measured(file: Path, rows: int) -> KeptFile:
    """Return what a manifest is to tell of a file."""
    with file.open("rb") as stream:
        return KeptFile(rows, file.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())


def reason(error: OSError) -> str:
    """Say what a disk refused: Arrow's own words name the file twice."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _parts(name: str) -> tuple[str, int, int]:
    """Return what a file holds, and which shard of how many it is of: 0 of 0 for all."""
    found = _NAME.fullmatch(name)
    assert found is not None  # noqa: S101 - `kept_by` looked
    return found[1], int(found[2] or 0), int(found[3] or 0)


def _check_whole(folder: Path, files: Mapping[str, KeptFile]) -> None:
    """Raise InputError where files of a shard lack, or runs that divided the source otherwise left theirs."""
    there = {_parts(name) for name in files}
    divisions = {many for _, _, many in there}
    if len(divisions) > 1:
        raise InputError(
            f"{folder} holds the events of runs that divided the source otherwise: a unit may stand in several files. "
            "Replace the collection, which leaves one of each."
        )
    (many,) = divisions
    lacking = [
        number
        for number in range(min(many, 1), many + 1)
        if not {("events", number, many), ("outcomes", number, many)} <= there
    ]
    if lacking:
        told = ", ".join(map(str, lacking))
        raise InputError(f"{folder} lacks the events of shard {told} of {many}. Ingest these, too.")


def _open(file: Path, told: KeptFile) -> Any:
    """Return an open file whose bytes are those that were written."""
    try:
        stream, digest = pa.OSFile(str(file)), hashlib.sha256()
        while some := stream.read(_READ_BYTES):
            digest.update(some)
    except OSError as error:
        raise InputError(f"{file} can't be read: {reason(error)}. {_ANEW}") from error
    if digest.hexdigest() != told.sha256:
        raise InputError(
            f"{file} is not what the run wrote: its checksum is another. A run, or an erasure, that was stopped at its "
            f"end leaves it so: resume the run, or erase again. {_ANEW}"
        )
    return stream
