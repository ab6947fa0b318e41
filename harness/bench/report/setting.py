"""One setting in figures: all its repeats, read from their files, with what about them can't be true."""

from collections.abc import Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from cohorts.connectors.index import search_to_json, show_index
from cohorts.errors import MeasurementError
from cohorts.harness.bench import results as raw
from cohorts.harness.bench.plan.dataset import Dataset
from cohorts.harness.bench.plan.experiment import Experiment, rows_each
from cohorts.harness.bench.plan.ground_truth import Truth, cached
from cohorts.harness.bench.plan.matrix import Cell, asked
from cohorts.harness.bench.report.metrics import (
    LEAST_FOR_P999,
    by_query,
    faults_of,
    queries_per_second,
    recall_by_query,
    short_share,
)
from cohorts.harness.bench.report.under_writes import under_writes
from cohorts.harness.bench.results import Answers, Floats, Manifest, Written
from cohorts.measures.front import Setting
from cohorts.measures.intervals import UNTOLD, Estimate, of_statistic, over_repeats

TRUTH = "truth"

# Figures over all repeats of a setting; NaN where a mode tells none. Percentiles are over all answers, p99.9 from 1,000
# on; in the open loop, from when a query was due. `qps` is what was answered in time (closed loop), or at all (open
# loop). `asked` and `got` count neighbours. `cold_ms` is the first query of a connection and `behind_ms` how late the
# last arrivals were begun with, of the worst repeat; `floor_ms`, a query that asks nobody, and cores are means.
# `written_per_s` counts points written and deleted, `stale` is the share of neighbours that were gone; means too.
ESTIMATES = ("recall", "p50_ms", "qps")
MEASURES = (
    *("answers", "recall", "recall_p5", "p50_ms", "p95_ms", "p99_ms", "p999_ms", "qps"),
    *("cold_ms", "behind_ms", "asked", "got", "short", "written_per_s", "stale"),
    *("client_cores", "server_cores", "floor_ms", "how"),
)
_MEANS = ("client_cores", "server_cores", "floor_ms")


class Found(NamedTuple):
    """What the repeats of a setting say: its figures by `MEASURES`, or the faults for which there are none.

    `sample` holds recall and latency by query, of a setting with one client.
    """

    manifests: Sequence[Manifest]
    faults: tuple[str, ...]
    figures: Mapping[str, Estimate | float | str] = MappingProxyType({})
    sample: Setting | None = None

    @property
    def notes(self) -> list[str]:
        """Return what was done otherwise than asked, each once."""
        return list(dict.fromkeys(note for manifest in self.manifests for note in manifest.notes))


def name_of(cell: Cell) -> str:
    """Return store, index and search parameters as asked for."""
    return f"{cell.build.store.name}, {show_index(cell.build.index)}, {asked_search(cell)}"


def asked_search(cell: Cell) -> str:
    """Return the search parameters that were asked for."""
    return shown_search(search_to_json(cell.search))


def shown_search(params: Mapping[str, Any]) -> str:
    """Return search parameters as they are shown: `ef_search=128`, or `default`."""
    return ", ".join(f"{key}={str(value).lower()}" for key, value in params.items() if value) or "default"


class Reader:
    """Reads measurements of one experiment, and holds its data and truths."""

    def __init__(self, experiment: Experiment, folder: Path, data: Dataset) -> None:
        self._experiment, self._folder, self._data = experiment, folder, data
        self._truths: dict[tuple[str | None, int], Truth] = {}

    def finished(self, cell: Cell) -> bool:
        """Tell whether a measurement is there, whole. Raises InputError where it is of something else."""
        return raw.finished(
            self._folder / cell.path,
            asked(self._experiment, cell, self._data.payload.told),
            self._data.checksum,
        )

    def read(self, cells: Sequence[Cell]) -> Found:
        """Return what the repeats of a setting say. Raises MeasurementError for damaged files."""
        cell, read = cells[0], [raw.read(self._folder / one.path) for one in cells]
        written = [raw.read_written(self._folder / one.path) for one in cells if one.mode.writes_points]
        manifests = [manifest for _, manifest in read]
        try:
            faults = [fault for answers, manifest in read for fault in self._faults(cell, answers, manifest)]
            if faults:
                return Found(manifests, tuple(dict.fromkeys(faults)))
            return self._found(cell, [answers for answers, _ in read], manifests, written)
        except MeasurementError as error:
            return Found(manifests, (str(error),))

    def _truth(self, cell: Cell) -> Truth:
        where, deep = cell.where.column if cell.where else None, max(self._experiment.k)
        if cell.mode.writes_points:  # any of the rows written and deleted may not count
            deep += 2 * rows_each(max(self._experiment.writes), self._experiment.seconds)
        if (where, deep) not in self._truths:
            self._truths[where, deep] = cached(self._folder / TRUTH, self._data, where, deep)
        return self._truths[where, deep]

    def _faults(self, cell: Cell, answers: Answers, manifest: Manifest) -> Sequence[str]:
        """Return what can't be true; the closed loop keeps no ids, but how many were found at least."""
        if cell.mode.keeps_ids:
            return faults_of(answers, self._truth(cell), self._data, writing=cell.mode.writes_points)
        expected, fewest = min(cell.k, len(self._data.vectors)), manifest.fact("fewest_found")
        if not len(answers):
            return ["no query was answered"]
        if fewest < expected:
            return [f"short answers: of {expected:,} neighbours, one query found {fewest:,}"]
        return []

    def _found(
        self,
        cell: Cell,
        repeats: Sequence[Answers],
        manifests: Sequence[Manifest],
        written: Sequence[Written],
    ) -> Found:
        mode, seconds, facts = cell.mode, self._experiment.seconds, [one.measured for one in manifests]
        every = np.concatenate([answers.latency_ms for answers in repeats])
        p95, p99, p999 = np.percentile(every, [95, 99, 99.9])
        recalls, stale, short = self._by_query(cell, repeats, written)
        recall, p50, qps, sample = UNTOLD, UNTOLD, UNTOLD, None
        if not mode.loaded:
            sample = self._sample(cell, repeats, recalls)
            recall, p50 = of_statistic(sample.recall, np.mean), of_statistic(sample.latency_ms)
            recalls = [sample.recall.mean(axis=0)]
        else:
            if recalls:
                recall = over_repeats([float(one.mean()) for one in recalls])
            p50 = over_repeats([float(np.median(answers.latency_ms)) for answers in repeats])
            p50 = p50._replace(value=float(np.median(every)))  # the interval is that of the repeats' medians
            qps = over_repeats(
                [queries_per_second(one) if mode.due else _in_time(one, seconds) for one in repeats]
            )
        figures = {
            "answers": len(every),
            "recall": recall,
            "recall_p5": float(np.percentile(np.concatenate(recalls), 5)) if recalls else nan,
            "p50_ms": p50,
            "p95_ms": float(p95),
            "p99_ms": float(p99),
            "p999_ms": float(p999) if len(every) >= LEAST_FOR_P999 else nan,
            "qps": qps,
            "cold_ms": max((one["cold_ms"][0] for one in facts if one.get("cold_ms")), default=nan),
            "behind_ms": max(one.fact("behind_ms") for one in manifests) if mode.due else nan,
            "asked": sum(int(one.asked.sum()) for one in repeats),
            "got": sum(int(one.got.sum()) for one in repeats),
            "short": fmean(short),
            "written_per_s": _mean(_in_time(one, seconds) for one in written),
            "stale": _mean(stale),
            **{key: _mean(one.get(key) for one in facts) for key in _MEANS},
            "how": facts[0].get("how", ""),
        }
        return Found(manifests, (), figures, sample)

    def _by_query(
        self, cell: Cell, repeats: Sequence[Answers], written: Sequence[Written]
    ) -> tuple[list[Floats], list[float], list[float]]:
        """Return of each repeat: recall by query, and the shares of stale neighbours and of short answers."""
        if not cell.mode.keeps_ids:
            return [], [], [0.0]
        truth, data = self._truth(cell), self._data
        short = [short_share(answers, truth) for answers in repeats]
        if not written:
            return [recall_by_query(answers, truth, data) for answers in repeats], [], short
        found = [under_writes(*both, truth, data) for both in zip(repeats, written, strict=True)]
        return [one.recall for one in found], [one.stale for one in found], short

    def _sample(self, cell: Cell, repeats: Sequence[Answers], recalls: Sequence[Floats]) -> Setting:
        """Return recall and latency by query; every repeat must have asked all of them."""
        wanted = len(self._data.queries)
        for answers in repeats:
            if (there := len(np.unique(answers.query))) != wanted:
                raise MeasurementError(f"{there:,} of {wanted:,} queries were asked: some are missing")
        latencies = [by_query(answers, answers.latency_ms) for answers in repeats]
        return Setting(f"{name_of(cell)}, k={cell.k}", np.array(recalls), np.array(latencies))


def _in_time(what: Answers | Written, seconds: float) -> float:
    """Return what was done per second within the measurement."""
    return float((what.ended_s <= seconds).sum() / seconds)


def _mean(values: Iterable[float | None]) -> float:
    told = [value for value in values if value is not None]
    return fmean(told) if told else nan
