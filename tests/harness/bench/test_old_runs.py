"""A run folder as the code of before wrote it, by hand: it is read, resumed, or refused with the remedy."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bench_answers import experiment_from
from cohorts.commands import hints
from cohorts.errors import InputError, MeasurementError
from cohorts.harness.bench import results as raw
from cohorts.harness.bench.plan.dataset import make_dataset
from cohorts.harness.bench.plan.experiment import Experiment
from cohorts.harness.bench.report.run_table import csv_tables
from cohorts.harness.bench.report.summary import summarize
from cohorts.harness.bench.run.runner import run

TEXT = """
name = "before"
repeats = 1
queries = 2
k = [1]
rates = [5]
writes = [2]
seconds = 1
payload = false
[data]
rows = 20
dim = 4
clusters = 2
[[store]]
name = "Ours"
address = "qdrant:nowhere"
[[index]]
build = "flat"
"""
BUILD = "ours/flat"
WRITING = f"{BUILD}/default/k=1/unfiltered/open,rate=5,writes=2/repeat=1"
FOLDERS = {
    f"{BUILD}/default/k=1/unfiltered/single/repeat=1": ("single", None),
    f"{BUILD}/default/k=1/unfiltered/open,rate=5/repeat=1": ("open,rate=5", 1.0),
    WRITING: ("open,rate=5,writes=2", 1.0),
}


def plant(experiment: Experiment, folder: Path) -> None:
    """Write what the code of before wrote, with nothing of ours but the data and their truth."""
    data = make_dataset(experiment)
    best = (data.queries @ data.vectors.T).argmax(axis=1)
    for path, (mode, seconds) in FOLDERS.items():
        (folder / path).mkdir(parents=True)
        answers = {
            "query": pa.array([0, 1], pa.int64()),
            "latency_ms": pa.array([1.0, 2.0], pa.float64()),
            "asked": pa.array([1, 1], pa.int64()),
            "ids": pa.array([[str(row)] for row in best], pa.list_(pa.string())),
            "scores": pa.array([[0.5], [0.5]], pa.list_(pa.float32())),
            "started_s": pa.array([0.5, 0.6], pa.float64()),
            "intended_s": pa.array([0.5, 0.6], pa.float64()),
        }
        pq.write_table(pa.table(answers), folder / path / "answers.parquet")
        facts: dict[str, Any] = {"client_cores": 0.5, "server_cores": None}
        if seconds is None:
            facts |= {"cold_ms": [3.0, 2.0], "floor_ms": 0.001}
        else:
            facts |= {"how": "8 threads", "qps": 2.0, "behind_ms": 0.25, "fewest_found": 1}
        manifest = {
            "asked": {
                "experiment": "before",
                "store": "Ours",
                "index": {"kind": "flat"},
                "default_build": True,
                "search": {},
                "default_search": True,
                "k": 1,
                "filter": None,
                "mode": mode,
                "repeat": 1,
                "queries": 2,
                "seconds": seconds,
                "seed": 0,
            },
            "checksum": data.checksum,
            "synthetic": True,
            "server": "qdrant-edge",
            "effective_index": {"kind": "flat"},
            "effective_search": {},
            "notes": [],
            "measured": facts,
            "made": {
                "started": "2026-11-01T10:00:00+00:00",
                "python": "3.11.2",
                "versions": {"cohorts": "0.1.0", "annoy": None},
            },
            "host": "a-host",
            "processor": "a processor",
            "threads": 2,
        }
        (folder / path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    others = [str(row) for row in range(20) if row not in best][:2]
    written = {
        "ids": pa.array(others, pa.string()),
        "deleted": pa.array([False, True]),
        "intended_s": pa.array([0.0, 0.0], pa.float64()),
        "started_s": pa.array([0.0, 0.0], pa.float64()),
        "ended_s": pa.array([0.125, 0.25], pa.float64()),
    }
    pq.write_table(pa.table(written), folder / WRITING / "written.parquet")
    build = {"checksum": data.checksum, "address": "qdrant:nowhere", "rows": 20, "load_s": 1.0}
    build |= {"searchable_s": 1.5, "indexed_s": 2.0, "build_s": 1.0, "indexed": 20, "engine": "qdrant-edge"}
    build |= {"says": "", "note": "", "how": "RssAnon of this process", "disk_mib": 0.5}
    build |= {"rss_anon_mib": 2.0, "rss_file_mib": 1.0}
    (folder / BUILD / "build-1.json").write_text(json.dumps(build), encoding="utf-8")


def test_a_run_of_before_is_read_and_nothing_of_it_is_measured_again(tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, TEXT)
    plant(experiment, tmp_path / "out" / "before")
    told: list[str] = []
    folder = run(experiment, tmp_path / "out", told.append)
    assert told == []  # its store is nowhere: nothing was built
    summary = summarize(experiment, folder)
    assert (summary.missing, summary.faults) == (0, {})
    single, opened, churned = (row for _, row in csv_tables(summary.run)["settings"].iterrows())
    assert (single["recall"], single["cold_ms"], single["floor_ms"], single["answers"]) == (
        1.0,
        3.0,
        0.001,
        2,
    )
    assert (opened["recall"], opened["behind_ms"], opened["how"]) == (1.0, 0.25, "8 threads")
    assert (churned["recall"], churned["stale"], churned["written_per_s"]) == (1.0, 0.0, 2.0)


def test_a_run_of_before_there_was_a_payload_is_not_taken_for_one_with_it(tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, TEXT.replace("payload = false", 'index_fields = ["age"]'))
    plant(experiment, tmp_path / "out" / "before")
    with pytest.raises(InputError, match=r"payload None there, '13 fields, indexed: age' now"):
        run(experiment, tmp_path / "out")


def test_a_run_of_before_that_holds_less_is_refused_with_the_remedy(tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, TEXT)
    folder = tmp_path / "out" / "before"
    plant(experiment, folder)
    file = folder / WRITING / raw.MANIFEST
    kept = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({key: kept[key] for key in kept if key != "threads"}), encoding="utf-8")
    with pytest.raises(MeasurementError, match=r"lacks threads. Measure again") as damaged:
        summarize(experiment, folder)
    assert "Measure again with --force" in hints.told(damaged.value)
    file.write_text(json.dumps({**kept, "asked": {**kept["asked"], "seed": 1}}), encoding="utf-8")
    with pytest.raises(InputError, match=r"seed 1 there, 0 now. Measure again") as other:
        run(experiment, tmp_path / "out")
    assert "Measure again with --force" in hints.told(other.value)
