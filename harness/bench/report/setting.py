"""One setting in figures: all its repeats, read from their files, with what about them can't be true."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from cohorts.connectors.index import index_from_json, show_index
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
from cohorts.harness.bench.report.under_writes import UnderWrites, under_writes
from cohorts.harness.bench.results import Answers, Floats, Manifest, Written
from cohorts.measures.front import Setting
from cohorts.measures.intervals import UNTOLD, Estimate, of_statistic, over_repeats

TRUTH = "truth"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Figures over all repeats of a setting; NaN where a mode tells none.

    Percentiles are over all answers, p99.9 from 1,000 on; in the open loop, from when a query was due. `qps` is what
    was answered in time (closed loop), or answered at all (open loop). `asked` and `got` count neighbours. `cold_ms` is
    the first query of a connection and `behind_ms` how late the last arrivals were begun with, of the worst repeat;
    `floor_ms`, a query that asks nobody, and cores are means. `written_per_s` counts points written and deleted, and
    `stale` is the share of neighbours that were gone; means too.
    """

    answers: int
    recall: Estimate
    recall_p5: float
    p50_ms: Estimate
    p95_ms: float
    p99_ms: float
    p999_ms: float
    qps: Estimate
    cold_ms: float
    behind_ms: float
    asked: int
    got: int
    short: float
    written_per_s: float
    stale: float
    client_cores: float
    server_cores: float
    floor_ms: float
    how: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Row:
    """A setting, by its first repeat: what was in effect, and its figures, or why there are none.

    `sample` holds recall and latency by query, of a setting with one client.
    """

    cell: Cell
    index: str
    search: str
    repeats: int
    notes: tuple[str, ...] = ()
    measured: Measured | None = None
    faults: tuple[str, ...] = ()
    sample: Setting | None = None

    @property
    def name(self) -> str:
        """Return store, index and search parameters as asked for."""
        return f"{self.cell.build.store.name}, {show_index(self.cell.build.index)}, {asked_search(self.cell)}"

    @property
    def kind(self) -> str:
        """Return the kind of index that was asked for, and of the one in effect where that is another."""
        wanted, there = kind_of(show_index(self.cell.build.index)), kind_of(self.index)
        return wanted if wanted == there else f"{wanted} as {there}"

    @property
    def alone(self) -> bool:
        """Tell whether one client asked without a filter."""
        return not self.cell.mode.loaded and self.cell.where is None


def asked_search(cell: Cell) -> str:
    """Return the search parameters that were asked for."""
    return _search({key: value for key, value in vars(cell.search).items() if value})


def kind_of(index: str) -> str:
    """Return the kind of an index that `show_index` wrote."""
    return index.partition("(")[0]


class Reader:
    """Reads measurements of one experiment, and holds its data and truths."""

    def __init__(self, experiment: Experiment, folder: Path, data: Dataset) -> None:
        self._experiment, self._folder, self._data = experiment, folder, data
        self._truths: dict[tuple[str | None, int], Truth] = {}

    def finished(self, cell: Cell) -> bool:
        """Tell whether a measurement is there, whole. Raises InputError where it is of something else."""
        return raw.finished(self._folder / cell.path, asked(self._experiment, cell), self._data.checksum)

    def row(self, repeats: Sequence[Cell]) -> tuple[Row, list[Manifest]]:
        """Return a setting's figures, and the manifests of its repeats."""
        cell, read = repeats[0], [raw.read(self._folder / one.path) for one in repeats]
        written = [raw.read_written(self._folder / one.path) for one in repeats if one.mode.writes_points]
        manifests = [manifest for _, manifest in read]
        faults: list[str] = []
        sample, measured = None, None
        try:
            faults = [fault for answers, manifest in read for fault in self._faults(cell, answers, manifest)]
            if not faults:
                sample = self._sample(cell, [answers for answers, _ in read])
                measured = self._measured(cell, read, written, sample)
        except MeasurementError as error:
            faults = [str(error)]
        first = manifests[0]
        row = Row(
            cell=cell,
            index=show_index(index_from_json(first.effective_index)),
            search=_search(first.effective_search),
            repeats=len(repeats),
            notes=tuple(dict.fromkeys(note for manifest in manifests for note in manifest.notes)),
            measured=measured,
            faults=tuple(dict.fromkeys(faults)),
            sample=sample,
        )
        return row, manifests

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

    def _sample(self, cell: Cell, repeats: Sequence[Answers]) -> Setting | None:
        """Return recall and latency by query, where every repeat asked all of them."""
        if cell.mode.loaded:
            return None
        wanted = len(self._data.queries)
        for answers in repeats:
            if (there := len(np.unique(answers.query))) != wanted:
                raise MeasurementError(f"{there:,} of {wanted:,} queries were asked: some are missing")
        truth = self._truth(cell)
        return Setting(
            str(cell.setting),
            np.array([recall_by_query(answers, truth, self._data) for answers in repeats]),
            np.array([by_query(answers, answers.latency_ms) for answers in repeats]),
        )

    def _measured(
        self,
        cell: Cell,
        read: Sequence[tuple[Answers, Manifest]],
        written: Sequence[Written],
        sample: Setting | None,
    ) -> Measured:
        repeats, seconds = [answers for answers, _ in read], self._experiment.seconds
        facts = [manifest.measured for _, manifest in read]
        every = np.concatenate([answers.latency_ms for answers in repeats])
        p95, p99, p999 = np.percentile(every, [95, 99, 99.9])
        changing = [  # of nothing but a mode that writes
            under_writes(answers, told, self._truth(cell), self._data)
            for answers, told in zip(repeats, written, strict=False)
        ]
        recall, recall_p5 = self._recall(cell, repeats, changing, sample)
        return Measured(
            answers=len(every),
            recall=recall,
            recall_p5=recall_p5,
            p50_ms=of_statistic(sample.latency_ms) if sample else _p50(repeats, every),
            p95_ms=float(p95),
            p99_ms=float(p99),
            p999_ms=float(p999) if len(every) >= LEAST_FOR_P999 else nan,
            qps=self._qps(cell, repeats),
            cold_ms=max((one["cold_ms"][0] for one in facts if one.get("cold_ms")), default=nan),
            behind_ms=max(manifest.fact("behind_ms") for _, manifest in read) if cell.mode.due else nan,
            asked=sum(int(one.asked.sum()) for one in repeats),
            got=sum(int(one.got.sum()) for one in repeats),
            short=_mean(
                short_share(one, self._truth(cell)) if cell.mode.keeps_ids else 0.0 for one in repeats
            ),
            written_per_s=_mean(float((one.ended_s <= seconds).sum() / seconds) for one in written),
            stale=_mean(one.stale for one in changing),
            client_cores=_mean(one.get("client_cores") for one in facts),
            server_cores=_mean(one.get("server_cores") for one in facts),
            floor_ms=_mean(one.get("floor_ms") for one in facts),
            how=facts[0].get("how", ""),
        )

    def _recall(
        self,
        cell: Cell,
        repeats: Sequence[Answers],
        changing: Sequence[UnderWrites],
        sample: Setting | None,
    ) -> tuple[Estimate, float]:
        if sample:
            by_number = sample.recall.mean(axis=0)
            return of_statistic(sample.recall, np.mean), float(np.percentile(by_number, 5))
        if not cell.mode.keeps_ids:
            return UNTOLD, nan
        found = [one.recall for one in changing] or [
            recall_by_query(answers, self._truth(cell), self._data) for answers in repeats
        ]
        p5 = float(np.percentile(np.concatenate(found), 5))
        return over_repeats([float(one.mean()) for one in found]), p5

    def _qps(self, cell: Cell, repeats: Sequence[Answers]) -> Estimate:
        if not cell.mode.loaded:
            return UNTOLD
        if cell.mode.due:
            return over_repeats([queries_per_second(answers) for answers in repeats])
        seconds = self._experiment.seconds
        return over_repeats([float((one.ended_s <= seconds).sum() / seconds) for one in repeats])


def _p50(repeats: Sequence[Answers], every: Floats) -> Estimate:
    """Return the median of all answers, with the interval of the repeats' medians."""
    own = over_repeats([float(np.median(answers.latency_ms)) for answers in repeats])
    return own._replace(value=float(np.median(every)))


def _mean(values: Iterable[float | None]) -> float:
    told = [value for value in values if value is not None]
    return fmean(told) if told else nan


def _search(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={str(value).lower()}" for key, value in params.items() if value) or "default"
