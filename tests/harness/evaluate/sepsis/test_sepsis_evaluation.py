"""The table of sepsis prognosis, small: all of it measured, killed and gone on with, written, and told."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.encoders.sepsis.settings import Settings
from cohorts.encoders.sepsis.stays import Stays, read_stays
from cohorts.errors import InputError, LeakageError
from cohorts.harness.evaluate.base import Run, evaluate, write_report
from cohorts.harness.evaluate.sepsis.cells import Cells
from cohorts.harness.evaluate.sepsis.evaluation import CELLS, SepsisTask
from cohorts.harness.evaluate.sepsis.folds import Fold
from cohorts.harness.evaluate.sepsis.models import (
    BCE,
    BOOSTING,
    FULL,
    PREVALENCE,
    REGRESSION,
    SAPSII,
    SOFA,
    WEIGHTED,
)
from cohorts.harness.evaluate.sepsis.scores import FoldScores
from cohorts.harness.evaluate.sepsis.tables import BEYOND_ITS_PARTS
from cohorts.records.base import Unit
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from command_line import refused, run

QUICK: dict[str, Any] = {
    "text": "lsa:dim=4",
    "hours": 6,
    "hidden": 4,
    "dim": 8,
    "epochs": 2,
    "static_columns": 8,
    "series_columns": 6,
    "max_notes": 3,
}
GRID = {"hidden": (4, 6)}
BRANCHES = [f"{one} alone" for one in ("static", "series", "notes")]
PAIRS = [f"without {one}" for one in ("static", "series", "notes")]
TRAINED = [FULL, *BRANCHES, *PAIRS, BCE, WEIGHTED]
FOLDS = 2


@pytest.fixture(scope="module")
def source(one_batch: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartitionedSource]:
    folder, work = tmp_path_factory.mktemp("sepsis") / "tables", tmp_path_factory.mktemp("work")
    synthesize(folder, 500, seed=3)
    with open_source(
        "mimic3", folder, unit=Unit.ADMISSION, work_dir=work, quarantine_file=work / "bad.csv"
    ) as opened:
        yield opened


def task_of(out: Path, **changed: Any) -> SepsisTask:
    return SepsisTask(settings=Settings(**QUICK), grid=GRID, folds=FOLDS, out=out, **changed)


@pytest.fixture(scope="module")
def measured(
    source: PartitionedSource, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Run, list[str]]:
    out, told = tmp_path_factory.mktemp("measured"), list[str]()
    made = evaluate(task_of(out), source, told.append)
    write_report(out, task_of(out), made, task_of(out).told(made))
    return out, made, told


@pytest.fixture(scope="module")
def stays(source: PartitionedSource) -> Stays:
    return read_stays(source, Settings(**QUICK))


def of_networks(told: list[str]) -> list[str]:
    """Return what was told of networks that were trained."""
    return [line for line in told if line.endswith((*BRANCHES, *PAIRS, BCE, WEIGHTED)) or "setting" in line]


def test_everything_is_measured_once(measured: tuple[Path, Run, list[str]]) -> None:
    out, made, told = measured
    frame = pd.read_csv(out / "models.csv").set_index("model")
    assert sorted(frame.index) == sorted([SOFA, SAPSII, REGRESSION, BOOSTING, *TRAINED, PREVALENCE])
    shares = frame.drop(index=PREVALENCE)[["auroc", "auc_pr", "accuracy", "specificity", "recall", "f1"]]
    assert shares.apply(lambda column: column.between(0, 1)).all(axis=None)
    within = frame["accuracy"].between(*np.sort(frame[["specificity", "recall"]].to_numpy(), axis=1).T)
    assert within.drop(index=PREVALENCE).all()
    assert frame["prevalence"].nunique() == 1
    assert len(of_networks(told)) == made.facts["trainings"] == FOLDS * (2 + 8)
    folds = pd.read_csv(out / "folds.csv")
    assert folds["test"].sum() == made.counts["stays"]
    grid = pd.read_csv(out / "grid.csv")
    assert grid.groupby("fold")["chosen"].sum().tolist() == [1] * FOLDS
    assert (grid.loc[grid["chosen"] == 1, "auroc"].to_numpy() == grid.groupby("fold")["auroc"].max()).all()
    calibration = pd.read_csv(out / "calibration.csv").set_index(["model", "when"])
    assert calibration.loc[(FULL, "after recalibration"), ["intercept", "slope", "brier"]].notna().all()


def test_the_page_says_that_it_is_synthetic_small_and_no_goal(measured: tuple[Path, Run, list[str]]) -> None:
    out, made, _ = measured
    page = (out / "report.html").read_text()
    assert "Synthetic data." in page
    assert "On synthetic data: Too small to conclude" in page
    assert BEYOND_ITS_PARTS in page
    published = page.split("Beside what was published")[1].split("</table>")[0]
    assert published.count('<td class="published">') == 10
    assert page.count("<svg") == 3 * 2  # each wide and narrow
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["synthetic"] is True
    assert manifest["as_of"] == "icu+24h"
    assert manifest["counts"]["stays"] == made.counts["stays"]
    assert manifest["plan"]["grid"] == {"hidden": [4, 6]}
    assert sum(manifest["left_out"].values()) > 0


def test_what_is_kept_is_private_and_names_nobody(
    measured: tuple[Path, Run, list[str]], stays: Stays
) -> None:
    out, _, _ = measured
    files = list((out / CELLS).iterdir())
    assert len(files) == FOLDS * (2 + 2 + 8)  # models of columns, the grid, and the others
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in (*files, *out.glob("*.*")))
    text = "".join(file.read_text() for file in (*files, *out.glob("*.csv"), out / "manifest.json"))
    assert not any(
        f'"{one}"' in text or f",{one}," in text for one in (*stays.ids.tolist(), *stays.patients.tolist())
    )


def test_a_run_that_was_killed_trains_only_the_rest(
    measured: tuple[Path, Run, list[str]], source: PartitionedSource, tmp_path: Path
) -> None:
    _, whole, told = measured
    before = list[str]()

    def killed(line: str) -> None:
        before.append(line)
        if len(of_networks(before)) == 7:  # as it begins: it is not kept
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(task_of(tmp_path), source, killed)
    after = list[str]()
    gone_on = evaluate(task_of(tmp_path), source, after.append)
    assert of_networks(after) == of_networks(told)[6:]
    for sheet in ("models", "compared", "calibration", "subgroups", "grid"):
        pd.testing.assert_frame_equal(gone_on.table(sheet), whole.table(sheet))
    again = list[str]()
    evaluate(task_of(tmp_path), source, again.append)
    assert len(again) == 2  # reading and judging


def test_other_settings_train_anew_beside(
    measured: tuple[Path, Run, list[str]], source: PartitionedSource, tmp_path: Path
) -> None:
    told = list[str]()

    def stopped(line: str) -> None:
        told.append(line)
        if of_networks(told):
            raise KeyboardInterrupt

    for changed in ({"seed": 1}, {"settings": Settings(**{**QUICK, "epochs": 1})}):
        told.clear()
        with pytest.raises(KeyboardInterrupt):
            evaluate(replace(task_of(measured[0]), **changed), source, stopped)
        assert of_networks(told)[0].startswith("fold 1 of 2: full network, setting 1 of 2")


def test_a_patient_on_two_sides_is_a_leak(stays: Stays, tmp_path: Path) -> None:
    rows = np.arange(len(stays))
    fold = Fold(0, rows[20:], rows[:8], rows[8:15], rows[15:21])
    scores = FoldScores(
        stays=stays,
        fold=fold,
        settings=Settings(**QUICK),
        grid=GRID,
        cells=Cells(tmp_path / CELLS, {}),
        run=Run(),
        told="fold 1",
    )
    with pytest.raises(LeakageError, match="reached the training of the columns"):
        list(scores.models())


def test_what_can_not_be_judged_is_refused(source: PartitionedSource, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="40 folds take 80 of either"):
        evaluate(replace(task_of(tmp_path), folds=40), source)
    with pytest.raises(InputError, match="1 folds were asked for; at least 2"):
        replace(task_of(tmp_path), folds=1)
    told = refused(f"evaluate sepsis --source notes-csv --path {tmp_path} --out {tmp_path / 'x'}")
    assert "does not say who died" in told
    command = f"evaluate sepsis --source mimic3 --path {tmp_path} --window discharge --out {tmp_path / 'x'}"
    code, _, told = run(command)
    assert code != 0
    assert "known when the stay has ended" in told


def test_the_demo_runs_end_to_end_and_is_too_small_to_conclude(shared_data: Path, tmp_path: Path) -> None:
    demo, out = shared_data / "mimic3-demo", tmp_path / "report"
    code, shown, told = run(f"evaluate sepsis --source mimic3 --path {demo} --by codes --out {out}")
    assert code == 0, told
    assert "Too small to conclude: 10 deaths and 26 survivors" in told
    assert "too small" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "There are no notes by then" in told
    assert (out / "report.html").exists()
    frame = pd.read_csv(out / "models.csv")
    assert set(frame["model"]) == {
        SOFA,
        SAPSII,
        REGRESSION,
        BOOSTING,
        FULL,
        *BRANCHES[:2],
        BCE,
        WEIGHTED,
        PREVALENCE,
    }
