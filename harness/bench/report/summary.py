"""What an experiment's files say: figures of every setting and build, made from the raw results and nothing else."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from cohorts.documents import conform, read_json
from cohorts.errors import InputError, MeasurementError
from cohorts.harness.bench.plan.dataset import Dataset, make_dataset
from cohorts.harness.bench.plan.experiment import Experiment
from cohorts.harness.bench.plan.matrix import Cell, builds, cells, modes
from cohorts.harness.bench.report.equal_recall import at_equal_recall
from cohorts.harness.bench.report.run_table import (
    COSTS,
    WORDS,
    build_records,
    most_qps,
    setting_records,
)
from cohorts.harness.bench.report.setting import Found, Reader, name_of
from cohorts.harness.bench.results import Manifest, to_measure_again
from cohorts.harness.bench.run.runner import BUILDS, failed_file
from cohorts.measures.front import Setting
from cohorts.measures.noise import Noise, noise
from cohorts.reports.long_table import Record, long_table


@dataclass(frozen=True, kw_only=True)
class Summary:
    """An experiment in figures: all of them are in the long table `run` (run_table.py).

    `facts` tell of the data, and what it was measured with; more than one machine makes a comparison of machines.
    `settings` counts them, `faults` are by the setting that has no figures for them, `notes` say what was done
    otherwise than asked, each behind the first setting of which it holds. `samples` hold recall and latency by query of
    settings with one client and no filter. `noise` is None where there is one repeat; `missing` counts measurements
    that are not there.
    """

    experiment: Experiment
    facts: Mapping[str, Any]
    run: pd.DataFrame
    settings: int
    faults: Mapping[str, Sequence[str]]
    notes: Sequence[tuple[str, str]]
    samples: Mapping[str, Setting]
    noise: Noise | None
    missing: int


def summarize(experiment: Experiment, folder: Path) -> Summary:
    """Make the figures of all that is measured in the experiment's folder; truth is kept there.

    Raises InputError where nothing is there or it was measured otherwise, MeasurementError for damaged files, and as
    `make_dataset` does.
    """
    data = make_dataset(experiment)
    reader, missing = Reader(experiment, folder, data), 0
    found: list[tuple[Cell, Found]] = []
    for setting in _settings(experiment):
        there = [cell for cell in setting if reader.finished(cell)]
        missing += len(setting) - len(there)
        if failures := [words for cell in setting if cell not in there for words in _failure(folder, cell)]:
            found.append((setting[0], Found((), tuple(dict.fromkeys(failures)))))
        elif there:
            found.append((there[0], reader.read(there)))
    manifests = [manifest for _, told in found for manifest in told.manifests]
    if not manifests:
        raise InputError(f"{folder} holds no measurement of this experiment.")
    records = [record for cell, told in found for record in setting_records(cell, told)]
    records += [*most_qps(records), *_builds(experiment, folder, data, records)]
    samples = {str(cell.setting): told.sample for cell, told in found if told.sample and not cell.where}
    notes = [(name_of(cell), note) for cell, told in found for note in told.notes]
    return Summary(
        experiment=experiment,
        facts=_facts(data, manifests),
        run=long_table([*records, *at_equal_recall(long_table(records), samples, experiment.k)]),
        settings=len(found),
        faults={str(cell.setting): told.faults for cell, told in found if told.faults},
        notes=list({note: (name, note) for name, note in reversed(notes)}.values())[::-1],
        samples=samples,
        noise=_noise(samples.values(), experiment.repeats),
        missing=missing,
    )


def _failure(folder: Path, cell: Cell) -> list[str]:
    """Return why a measurement failed, where it did."""
    file = folder / failed_file(cell)
    return [file.read_text(encoding="utf-8").strip()] if file.exists() else []


def _settings(experiment: Experiment) -> Iterator[list[Cell]]:
    """Yield the repeats of every setting, in the order of the experiment, where it can be measured."""
    filters = (None, *experiment.filters)
    for build in builds(experiment):
        axes = (experiment.k, build.searches, filters, modes(experiment))
        measured = (cell for cell in cells(experiment, build, 1) if cell.measurable)
        for cell in sorted(measured, key=partial(_place, axes)):
            yield [replace(cell, repeat=repeat) for repeat in range(1, experiment.repeats + 1)]


def _place(axes: Sequence[Sequence[Any]], cell: Cell) -> list[int]:
    own = (cell.k, cell.search, cell.where, cell.mode)
    return [axis.index(value) for axis, value in zip(axes, own, strict=True)]


def _builds(
    experiment: Experiment, folder: Path, data: Dataset, records: Sequence[Record]
) -> Iterator[Record]:
    """Yield what builds cost: means where one was built more than once, by a run that went on after a stop."""
    effects = {record["path"]: record["index_in_effect"] for record in records}
    for build in builds(experiment):
        told = [_told(file, data) for file in sorted((folder / build.path).glob(BUILDS))]
        if str(build.path) in effects and told:
            costs = {key: fmean(one[key] for one in told) for key in COSTS}
            yield from build_records(build, effects[str(build.path)], told[0] | costs)


def _told(file: Path, data: Dataset) -> dict[str, Any]:
    """Return what a build cost, NaN where a figure was not read. Raises InputError, MeasurementError."""
    try:
        held = read_json(file, dict[str, Any])
    except InputError as error:
        raise to_measure_again(str(error)) from error
    kinds: dict[str, Any] = {
        "checksum": str,
        **dict.fromkeys(COSTS, float | None),
        **dict.fromkeys(WORDS, str),
    }
    told = {
        key: conform(held.get(key), kind, f"{file}, {key},", error=MeasurementError)
        for key, kind in kinds.items()
    }
    if told.pop("checksum") != data.checksum:
        raise InputError(f"{file} is of the data {held['checksum']}; this experiment's is {data.checksum}.")
    return {key: nan if value is None else value for key, value in told.items()}


def _noise(samples: Iterable[Setting], repeats: int) -> Noise | None:
    """Return whether the repeats put the settings in one order, by the median latency of one client unfiltered."""
    p50_ms = {
        one.name: np.median(one.latency_ms, axis=1) for one in samples if len(one.latency_ms) == repeats
    }
    if repeats < 2 or not p50_ms:
        return None
    return noise([{name: own[repeat] for name, own in p50_ms.items()} for repeat in range(repeats)])


def _facts(data: Dataset, manifests: Sequence[Manifest]) -> dict[str, Any]:
    versions: dict[str, list[str]] = {}
    for manifest in manifests:
        for name, version in manifest.made["versions"].items():
            if version and version not in versions.setdefault(name, []):
                versions[name].append(version)
    times = sorted(manifest.made["started"] for manifest in manifests)
    machines = (f"{one.host}, {one.processor}, {one.threads} threads" for one in manifests)
    rows, dim = data.vectors.shape
    return {
        "checksum": data.checksum,
        "synthetic": data.synthetic,
        "rows": rows,
        "dim": dim,
        "queries": len(data.queries),
        "payload": data.payload.told,
        "machines": list(dict.fromkeys(machines)),
        "python": list(dict.fromkeys(manifest.made["python"] for manifest in manifests)),
        "versions": versions,
        "began": times[0],
        "ended": times[-1],
    }
