"""What an experiment's files say: figures of every setting and build, made from the raw results and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from cohorts.connectors.index import show_index
from cohorts.documents import conform, read_json
from cohorts.errors import InputError, MeasurementError
from cohorts.harness.bench.plan.dataset import Dataset, make_dataset
from cohorts.harness.bench.plan.experiment import Experiment
from cohorts.harness.bench.plan.matrix import Build, Cell, builds, cells, modes
from cohorts.harness.bench.report.setting import Reader, Row, asked_search
from cohorts.harness.bench.results import Manifest, to_measure_again
from cohorts.harness.bench.run.runner import BUILDS, failed_file
from cohorts.measures.noise import Noise, noise


@dataclass(frozen=True, kw_only=True)
class BuildRow:
    """An index in a store: seconds since the first row was sent, MiB of the engine, and how that was read.

    They are means where it was built more than once, by a run that went on after a stop.
    """

    build: Build
    index: str
    engine: str
    says: str
    load_s: float
    searchable_s: float
    indexed_s: float
    build_s: float
    rss_anon_mib: float
    rss_file_mib: float
    disk_mib: float
    how: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The data, and what it was measured with; more than one machine makes a comparison of machines."""

    checksum: str
    synthetic: bool
    rows: int
    dim: int
    queries: int
    machines: tuple[str, ...]
    python: tuple[str, ...]
    versions: Mapping[str, Sequence[str]]
    began: str
    ended: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """An experiment in figures. `noise` is None where there is one repeat; `missing` counts measurements not there."""

    experiment: Experiment
    facts: Facts
    rows: tuple[Row, ...]
    builds: tuple[BuildRow, ...]
    noise: Noise | None
    missing: int

    @property
    def faulty(self) -> tuple[Row, ...]:
        """Return the settings that have no figures."""
        return tuple(row for row in self.rows if row.faults)


def summarize(experiment: Experiment, folder: Path) -> Summary:
    """Make the figures of all that is measured in the experiment's folder; truth is kept there.

    Raises InputError where nothing is there or it was measured otherwise, MeasurementError for damaged files, and as
    `make_dataset` does.
    """
    data = make_dataset(experiment)
    reader = Reader(experiment, folder, data)
    rows, manifests, missing = [], [], 0
    for setting in _settings(experiment):
        there = [cell for cell in setting if reader.finished(cell)]
        missing += len(setting) - len(there)
        if failures := [words for cell in setting if cell not in there for words in _failure(folder, cell)]:
            rows.append(_failed(setting[0], failures))
        elif there:
            row, read = reader.row(there)
            rows.append(row)
            manifests += read
    if not manifests:
        raise InputError(f"{folder} holds no measurement of this experiment.")
    return Summary(
        experiment=experiment,
        facts=_facts(data, manifests),
        rows=tuple(rows),
        builds=tuple(_builds(experiment, folder, data, rows)),
        noise=_noise(rows, experiment.repeats),
        missing=missing,
    )


def _failure(folder: Path, cell: Cell) -> list[str]:
    """Return why a measurement failed, where it did."""
    file = folder / failed_file(cell)
    return [file.read_text(encoding="utf-8").strip()] if file.exists() else []


def _failed(cell: Cell, failures: Sequence[str]) -> Row:
    index, faults = show_index(cell.build.index), tuple(dict.fromkeys(failures))
    return Row(cell=cell, index=index, search=asked_search(cell), repeats=0, faults=faults)


def _settings(experiment: Experiment) -> Iterator[list[Cell]]:
    """Yield the repeats of every setting, in the order of the experiment, where it can be measured."""
    for build in builds(experiment):
        repeats = [
            sorted(cells(experiment, build, repeat), key=lambda cell: _place(experiment, cell))
            for repeat in range(1, experiment.repeats + 1)
        ]
        for setting in zip(*repeats, strict=True):
            if setting[0].measurable:
                yield list(setting)


def _place(experiment: Experiment, cell: Cell) -> tuple[int, ...]:
    filters = (None, *experiment.filters)
    return (
        experiment.k.index(cell.k),
        cell.build.searches.index(cell.search),
        filters.index(cell.where),
        modes(experiment).index(cell.mode),
    )


def _builds(experiment: Experiment, folder: Path, data: Dataset, rows: Sequence[Row]) -> Iterator[BuildRow]:
    effects = {row.cell.build.path: row.index for row in rows}
    for build in builds(experiment):
        told = [_told(file, data) for file in sorted((folder / build.path).glob(BUILDS))]
        if build.path in effects and told:
            means = {key: fmean(one[key] for one in told) for key in _FIGURES}
            facts: dict[str, Any] = {key: told[0][key] for key in _WORDS} | means
            yield BuildRow(build=build, index=effects[build.path], **facts)


def _told(file: Path, data: Dataset) -> dict[str, Any]:
    """Return what a build cost, NaN where a figure was not read. Raises InputError, MeasurementError."""
    try:
        held = read_json(file, dict[str, Any])
    except InputError as error:
        raise to_measure_again(str(error)) from error

    def one(key: str, kind: Any) -> Any:
        return conform(held.get(key), kind, f"{file}, {key},", error=MeasurementError)

    if one("checksum", str) != data.checksum:
        raise InputError(f"{file} is of the data {held['checksum']}; this experiment's is {data.checksum}.")
    figures = {key: one(key, float | None) for key in _FIGURES}
    words: dict[str, Any] = {key: one(key, str) for key in _WORDS}
    return words | {key: nan if value is None else value for key, value in figures.items()}


_WORDS = ("engine", "says", "how")
_FIGURES = [field.name for field in fields(BuildRow)[2:] if field.name not in _WORDS]


def _noise(rows: Sequence[Row], repeats: int) -> Noise | None:
    """Return whether the repeats put the settings in one order, by the median latency of one client unfiltered."""
    p50_ms = {
        f"{row.name}, k={row.cell.k}": np.median(row.sample.latency_ms, axis=1).tolist()
        for row in rows
        if row.alone and row.sample and row.repeats == repeats
    }
    if repeats < 2 or not p50_ms:
        return None
    return noise([{name: own[repeat] for name, own in p50_ms.items()} for repeat in range(repeats)])


def _facts(data: Dataset, manifests: Sequence[Manifest]) -> Facts:
    versions: dict[str, list[str]] = {}
    for manifest in manifests:
        for name, version in manifest.made["versions"].items():
            if version and version not in versions.setdefault(name, []):
                versions[name].append(version)
    times = sorted(manifest.made["started"] for manifest in manifests)
    machines = (f"{one.host}, {one.processor}, {one.threads} threads" for one in manifests)
    rows, dim = data.vectors.shape
    return Facts(
        checksum=data.checksum,
        synthetic=data.synthetic,
        rows=rows,
        dim=dim,
        queries=len(data.queries),
        machines=tuple(dict.fromkeys(machines)),
        python=tuple(dict.fromkeys(manifest.made["python"] for manifest in manifests)),
        versions=versions,
        began=times[0],
        ended=times[-1],
    )
