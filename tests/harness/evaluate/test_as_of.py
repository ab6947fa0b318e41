"""Evaluations of what is known by a time: encoders see the window, and are judged by the whole stay."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from cohorts.encoders.fused.settings import Settings
from cohorts.errors import InputError
from cohorts.harness.evaluate.base import Run
from cohorts.harness.evaluate.data.encoders import parse_contestant
from cohorts.harness.evaluate.fused import FusedTask
from cohorts.harness.evaluate.retrieval.evaluation import RetrievalTask
from cohorts.harness.evaluate.space.evaluation import SpaceTask
from cohorts.records.base import Source
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.window import AsOf, parse_window
from cohorts.records.withheld import Withheld
from command_line import ok


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital") / "tables"
    synthesize(folder, 200, seed=5)
    return folder


@pytest.fixture
def source(hospital: Path, tmp_path: Path) -> Iterator[Source]:
    with open_source("mimic3", hospital, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv") as opened:
        yield opened


def test_retrieval_ranks_by_the_window_and_judges_by_the_stay(source: Source, tmp_path: Path) -> None:
    def task(window: str | None) -> RetrievalTask:
        return RetrievalTask(
            contestants=[parse_contestant("codes:dim=8")],
            out=tmp_path / "out",
            ks=[10],
            queries=10,
            window=parse_window(window) if window else None,
        )

    early = task("discharge-0h")
    run = Run()
    run.records += early.measure(source, run)
    seen = run.table("notes").pivot_table("value", "view", "measure")
    whole = sum(len(batch.notes) for batch in source.batches())
    assert (seen["after_discharge"] == 0).all()
    assert (seen["notes"] > 0).all()
    assert (seen["notes"] < whole).all()
    assert early.as_of == "discharge-0h"
    with pytest.raises(InputError, match="seed or window"):
        list(task(None).measure(source, Run()))


def test_fused_reads_the_window(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Source] = []

    def stop(view: Source, *_: object) -> None:
        read.append(view)
        raise InterruptedError

    monkeypatch.setattr("cohorts.harness.evaluate.fused._Notes.read", stop)
    monkeypatch.setattr("cohorts.harness.evaluate.data.splits._FEWEST", 1)  # nothing is measured
    window = parse_window("admission+24h")
    task = FusedTask(settings=Settings(), withheld=Withheld(("sepsis",)), seeds=1, window=window)
    with pytest.raises(InterruptedError):
        list(task.measure(source, Run()))
    (view,) = read
    for batch, known in zip(view.batches(), AsOf(source, window).batches(), strict=True):
        pd.testing.assert_frame_equal(batch.notes, known.notes)
        assert len(batch.codes) <= len(known.codes)


def test_documents_of_a_space_end_at_a_column(tmp_path: Path) -> None:
    words = {"heart": "oedema dyspnoea furosemide", "knee": "swelling trauma brace"}
    rows = [
        {
            "id": f"{topic}{number}",
            "topic": topic,
            "when": f"2101-05-0{day} 08:00",
            "asked": asked,
            "note": text,
        }
        for topic, told in words.items()
        for number in range(10)
        for day, asked, text in ((1, "2101-05-02 08:00", f"{told} {number}"), (3, "", "late"))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "notes.csv", index=False)
    shown = ok(
        f"evaluate space --source notes-csv --path {tmp_path}/notes.csv --columns id=id,text=note,time=when "
        f"--labels topic --seeds 1 --encoder word2vec:dim=4,min_count=1 --as-of asked --out {tmp_path}/out"
    )
    assert "TF-IDF" in shown
    assert "Records seen: asked." in (tmp_path / "out" / "report.html").read_text()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["as_of"], manifest["counts"]["judged"]) == ("asked", 20)


def test_without_a_window_it_is_the_whole_stay() -> None:
    assert SpaceTask(label="topic", contestants=[]).as_of == "whole stay"
