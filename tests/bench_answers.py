"""Answers as tests write them, one by one, where the harness has them by columns; and experiments, as text."""

from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cohorts.harness.bench.plan.experiment import Experiment, read_experiment
from cohorts.harness.bench.results import Answers


def experiment_from(folder: Path, text: str) -> Experiment:
    """Return the experiment that a file with this text describes."""
    folder.mkdir(exist_ok=True)
    file = folder / "experiment.toml"
    file.write_text(text, encoding="utf-8")
    return read_experiment(file)


class Answer(NamedTuple):
    """One query's answer, best first."""

    query: int
    latency_ms: float
    asked: int
    ids: Sequence[str] | Sequence[int]
    scores: Sequence[float]
    started_s: float = nan
    intended_s: float = nan


def by_columns(answers: Iterable[Answer]) -> Answers:
    rows = list(answers)
    ids = [key for row in rows for key in row.ids]
    kind = np.int64 if all(isinstance(key, int | np.integer) for key in ids) else np.str_
    return Answers(
        query=np.array([row.query for row in rows], np.int64),
        latency_ms=np.array([row.latency_ms for row in rows], np.float64),
        asked=np.array([row.asked for row in rows], np.int64),
        got=np.array([len(row.ids) for row in rows], np.int64),
        ids=np.array(ids, kind),
        scores=np.array([score for row in rows for score in row.scores], np.float32),
        started_s=np.array([row.started_s for row in rows], np.float64),
        intended_s=np.array([row.intended_s for row in rows], np.float64),
    )
