"""Raw results of one measurement: every answer in Parquet, and beside it what it was made with. Written whole or not.

Figures are computed from these files afterwards, never while measuring.
"""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from cohorts.connectors.index import index_from_json
from cohorts.documents import read_json
from cohorts.errors import InputError, MeasurementError
from cohorts.private_files import Scratch, private_folder, touch_private
from cohorts.provenance import made_with, write_manifest

ANSWERS, WRITTEN, MANIFEST = "answers.parquet", "written.parquet", "manifest.json"
_PACKAGES = ["qdrant-client", "qdrant-edge-py", "pymilvus", "milvus-lite", "faiss-cpu", "annoy", "numpy"]

# Columns of numbers; ids and scores are lists.
_PLAIN = ("query", "latency_ms", "asked", "started_s", "intended_s")

# What pyarrow raises at a damaged file, and a table at columns of other names or types.
_UNREADABLE = (OSError, KeyError, ValueError, TypeError, AttributeError, pa.ArrowException)

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """Answers by columns, each (n,); the ids and scores of all of them in one row, of which `got` are each one's.

    `latency_ms` is from the time that a query was meant to be sent (`intended_s`, open loop), or else was
    (`started_s`), until it was answered; both are seconds since the measurement began, NaN where there is none.
    """

    query: Numbers
    latency_ms: Floats
    asked: Numbers
    got: Numbers
    ids: npt.NDArray[Any]
    scores: npt.NDArray[np.float32]
    started_s: Floats
    intended_s: Floats

    @property
    def due_s(self) -> Floats:
        """Return when each was to be sent or else was, (n,) s since the measurement began; NaN without times."""
        return np.where(np.isnan(self.intended_s), self.started_s, self.intended_s)

    @property
    def ended_s(self) -> Floats:
        """Return when each was answered, (n,) s since the measurement began; NaN without times."""
        return np.asarray(self.due_s + self.latency_ms / 1000)

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True, eq=False, kw_only=True)
class Written:
    """The points that were to be written or deleted, by columns, each (n,). Times are s since the measurement began.

    They are infinite for what the measurement was over before. A search that started after `ended_s` must see the
    write, one that ended before `started_s` can't.
    """

    ids: npt.NDArray[np.str_]
    deleted: npt.NDArray[np.bool_]
    intended_s: Floats
    started_s: Floats
    ended_s: Floats

    def __len__(self) -> int:
        return len(self.ids)


class Made(TypedDict):
    """What `made_with` returns."""

    started: str
    python: str
    versions: Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a measurement was made with.

    `asked` is all that was asked for (`cells.asked`); `checksum` that of the data; `effective_index` and
    `effective_search` what was in effect, as JSON; `measured` what is no answer (the client's share of the processor,
    the first queries of a connection); `made` the versions of Python and the clients, and when; `threads` the cores
    that the client might use.
    """

    asked: Mapping[str, Any]
    checksum: str
    synthetic: bool
    server: str
    effective_index: Mapping[str, Any]
    effective_search: Mapping[str, Any]
    notes: Sequence[str]
    measured: Mapping[str, Any]
    made: Made
    host: str
    processor: str
    threads: int

    def fact(self, name: str) -> Any:
        """Return one of what was measured. Raises MeasurementError where it is not there, or no number."""
        value = self.measured.get(name)
        if type(value) not in (int, float):
            raise MeasurementError(f"the manifest has no number {name}: measure again")
        return value


def manifest_of(asked: Mapping[str, Any], checksum: str, **facts: Any) -> Manifest:
    """Return the manifest of a measurement on this machine, with the other `facts` of one."""
    given = {"notes": [], "measured": {}, "made": made_with(_PACKAGES), **machine(), **facts}
    return Manifest(asked=asked, checksum=checksum, **given)


def machine() -> dict[str, Any]:
    """Return this machine's name, its processor, and how many cores the client might use."""
    try:
        told = re.search(
            r"^model name\s*:[ \t]*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M
        )
    except OSError:
        told = None
    processor = told[1].strip() if told else platform.processor() or platform.machine()
    return {"host": platform.node(), "processor": processor, "threads": len(os.sched_getaffinity(0))}


def finished(folder: Path, asked: Mapping[str, Any], checksum: str) -> bool:
    """Tell whether a measurement is there, whole.

    Raises InputError where it is there and was made of other data, or otherwise than `asked`.
    """
    if not (folder / MANIFEST).exists():
        return False
    there = read_manifest(folder)
    other = [
        f"{key} {there.asked.get(key)!r} there, {asked.get(key)!r} now"
        for key in sorted({*asked, *there.asked})
        if there.asked.get(key) != asked.get(key)
    ]
    if there.checksum != checksum:
        other.append(f"data {there.checksum} there, {checksum} now")
    if other:
        raise InputError(
            f"{folder} holds a measurement of something else: {'; '.join(other)}.",
            remedy="Measure again, or into another folder.",
            hint="measure_again_or_elsewhere",
        )
    return True


def write(folder: Path, answers: Answers, manifest: Manifest, written: Written | None = None) -> None:
    """Write a measurement into a folder, which appears when it is whole and takes the place of one that is there."""
    with Scratch(folder.parent) as part:
        made = private_folder(part / "new")
        pq.write_table(_table(answers), touch_private(made / ANSWERS), compression="zstd")
        if written is not None:
            pq.write_table(pa.table(vars(written)), touch_private(made / WRITTEN), compression="zstd")
        write_manifest(made / MANIFEST, asdict(manifest))
        if folder.exists():
            folder.rename(part / "old")
        made.rename(folder)


def read(folder: Path) -> tuple[Answers, Manifest]:
    """Read a measurement. Raises MeasurementError where it is not there or damaged."""
    manifest = read_manifest(folder)
    try:
        return _answers(pq.read_table(folder / ANSWERS)), manifest
    except _UNREADABLE as error:
        raise _damaged(folder) from error


def read_written(folder: Path) -> Written:
    """Read what was written during a measurement. Raises MeasurementError where it is not there or damaged."""
    try:
        table = pq.read_table(folder / WRITTEN)
        columns = {field.name: table.column(field.name).to_numpy() for field in fields(Written)}
    except _UNREADABLE as error:
        raise _damaged(folder) from error
    return Written(**columns | {"ids": columns["ids"].astype(np.str_)})


def read_manifest(folder: Path) -> Manifest:
    """Read what a measurement was made with. Raises MeasurementError where it is not there or damaged."""
    file = folder / MANIFEST
    try:
        manifest = read_json(file, Manifest)
    except InputError as error:
        raise to_measure_again(str(error)) from error
    try:
        index_from_json(manifest.effective_index)
    except InputError as error:
        raise to_measure_again(f"{file} is damaged: {error}") from error
    return manifest


def to_measure_again(facts: str) -> MeasurementError:
    """Return the error of a measurement that can't be read."""
    return MeasurementError(facts, remedy="Measure again.", hint="measure_again")


def _damaged(folder: Path) -> MeasurementError:
    return to_measure_again(f"{folder} holds no whole measurement.")


def _table(answers: Answers) -> Any:
    ends = np.concatenate([[0], answers.got.cumsum()]).astype(np.int32)
    kinds = {"ids": pa.int64() if answers.ids.dtype.kind == "i" else pa.string(), "scores": pa.float32()}
    lists = {
        name: pa.ListArray.from_arrays(ends, pa.array(getattr(answers, name), kind))
        for name, kind in kinds.items()
    }
    return pa.table({name: getattr(answers, name) for name in _PLAIN} | lists)


def _answers(table: Any) -> Answers:
    columns = {name: table.column(name).to_numpy() for name in _PLAIN}
    ids, scores = (table.column(name).combine_chunks() for name in ("ids", "scores"))
    keys = ids.flatten()
    return Answers(
        **columns,
        got=ids.value_lengths().to_numpy().astype(np.int64),
        ids=keys.to_numpy() if pa.types.is_integer(keys.type) else np.array(keys.to_pylist(), np.str_),
        scores=scores.flatten().to_numpy(),
    )
