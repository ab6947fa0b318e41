"""What all folds say together, on scores made up: against scikit-learn, and how it is read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.documents import read_json
from cohorts.errors import InputError
from cohorts.harness.evaluate.base import Run, figures
from cohorts.harness.evaluate.sepsis.cells import Cell, Cells
from cohorts.harness.evaluate.sepsis.evaluation import SepsisTask
from cohorts.harness.evaluate.sepsis.folds import folds_of
from cohorts.harness.evaluate.sepsis.models import BCE, BOOSTING, FULL, PREVALENCE, SAPSII, SOFA
from cohorts.harness.evaluate.sepsis.pooled import AFTER, BEFORE, TREAT_ALL, Pooled, groups_of
from cohorts.harness.evaluate.sepsis.tables import BEYOND_ITS_PARTS, finding, plots, read
from cohorts.measures.prediction.calibration import probability, recalibrate
from cohorts.measures.prediction.decision import net_benefit
from cohorts.measures.prediction.outcomes import by_patient
from cohorts.measures.prediction.thresholds import best_threshold
from cohorts.reports.long_table import ReportTable, chosen, long_table, records
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    recall_score,
    roc_auc_score,
)

PATIENTS, STAYS, FOLDS = 400, 500, 4


@pytest.fixture(scope="module")
def pooled() -> tuple[Pooled, Run]:
    """Networks of which the full one ranks best, and is too moderate; SOFA in points."""
    rng = np.random.default_rng(0)
    patients = np.r_[np.arange(PATIENTS), rng.integers(0, PATIENTS, STAYS - PATIENTS)].astype(np.str_)
    right = rng.normal(-1, 1.5, STAYS)
    died = (rng.random(STAYS) < probability(right)).astype(float)
    about = pd.DataFrame(
        {
            "age": rng.integers(20, 95, STAYS),
            "sex": rng.choice(["F", "M"], STAYS),
            "admission_type": ["EMERGENCY"] * (STAYS - 3) + ["ELECTIVE"] * 3,
        }
    )
    about.loc[:4, "sex"] = None
    models = {
        SOFA: np.round(3 * right + rng.normal(0, 6, STAYS) + 8),
        SAPSII: right + rng.normal(0, 2, STAYS),
        BOOSTING: right + rng.normal(0, 1, STAYS),
        FULL: right / 2,
        "static alone": right + rng.normal(0, 3, STAYS),
        BCE: right + rng.normal(0, 0.01, STAYS),
    }
    folds = folds_of(patients, died, FOLDS, seed=0)
    made, run = Pooled(folds=folds, died=died, patients=patients, about=about), Run()
    for fold in folds:
        run.records += figures("folds", {"fold": fold.number + 1}, learn=len(fold.learn))
        for place in range(2):
            of = {"fold": fold.number + 1, "setting": f"hidden={place}"}
            run.records += figures("grid", of, auroc=0.7, chosen=float(place))
        for name, score in models.items():
            run.records += made.fill(name, fold, Cell.of(score[fold.held], score[fold.test], seconds=1.5))
    run.records += made.measure(seed=0)
    run.counts |= {"stays": STAYS, "died": int(died.sum()), "without SOFA": 2, "without SAPS-II": 0}
    run.facts |= {"branches": ["static", "series"], "held_apart": True, "not_put_right": made.not_put_right}
    return made, run


def figure(run: Run, sheet: str, measure: str, **where: Any) -> Any:
    (found,) = records(chosen(run.table(sheet), {"measure": measure, **where}))
    return found


def mean_area(made: Pooled, score: Any, area: Any = roc_auc_score) -> float:
    return float(np.mean([area(made.died[one.test], score[one.test]) for one in made.folds]))


def test_areas_are_means_over_the_folds_with_intervals(pooled: tuple[Pooled, Run]) -> None:
    made, run = pooled
    for name, own in made.predicted.items():
        found = figure(run, "models", "auroc", model=name)
        assert found["value"] == pytest.approx(mean_area(made, own.score))
        assert found["low"] < found["value"] < found["high"]
        precision = figure(run, "models", "auc_pr", model=name)["value"]
        assert precision == pytest.approx(mean_area(made, own.score, average_precision_score))
    assert figure(run, "models", "auroc", model=PREVALENCE)["value"] == 0.5
    assert figure(run, "models", "auc_pr", model=PREVALENCE)["value"] == pytest.approx(
        made.died.mean(), abs=0.01
    )


def test_other_scales_of_the_folds_change_no_area(pooled: tuple[Pooled, Run]) -> None:
    made, run = pooled
    moved = Pooled(folds=made.folds, died=made.died, patients=made.patients, about=made.about)
    for name, own in made.predicted.items():
        for fold in made.folds:
            score = 2 * own.score + 9 * fold.number if name == FULL else own.score
            list(moved.fill(name, fold, Cell.of(score[fold.held], score[fold.test])))
    again = Run(records=list(moved.measure(seed=0)))
    for sheet in ("models", "compared", "subgroups"):
        first, second = (one.table(sheet)["value"].to_numpy() for one in (run, again))
        np.testing.assert_allclose(first, second, rtol=1e-4)


def test_thresholds_and_recalibration_are_those_of_patients_held_back(pooled: tuple[Pooled, Run]) -> None:
    made, run = pooled
    own = made.predicted[FULL]
    for fold in folds_of(made.patients, made.died, FOLDS, seed=0):
        died, held, test = made.died[fold.held], own.score[fold.held], own.score[fold.test]
        np.testing.assert_array_equal(own.flags[fold.test], test >= best_threshold(died, held))
        np.testing.assert_allclose(own.after[fold.test], recalibrate(died, held).apply(test))
        trained = {"fold": fold.number + 1, "model": FULL}
        assert figure(run, "trained", "threshold", **trained)["value"] == best_threshold(died, held)
        assert figure(run, "trained", "seconds", **trained)["value"] == 1.5
    accuracy = figure(run, "models", "accuracy", model=FULL)["value"]
    assert accuracy == pytest.approx(accuracy_score(made.died, own.flags))
    assert figure(run, "models", "recall", model=FULL)["value"] == pytest.approx(
        recall_score(made.died, own.flags)
    )
    assert figure(run, "models", "prevalence", model=FULL)["value"] == pytest.approx(made.died.mean())


def test_recalibration_brings_the_slope_to_1(pooled: tuple[Pooled, Run]) -> None:
    made, run = pooled
    before = figure(run, "calibration", "slope", model=FULL, when=BEFORE)
    after = figure(run, "calibration", "slope", model=FULL, when=AFTER)
    assert before["low"] > 1.2  # half of the right logits: too moderate
    assert after["low"] < 1.1
    assert after["value"] < before["value"] / 1.5
    brier = brier_score_loss(made.died, probability(made.predicted[FULL].after))
    assert figure(run, "calibration", "brier", model=FULL, when=AFTER)["value"] == pytest.approx(brier)
    points = chosen(run.table("calibration"), {"model": SOFA})
    assert set(points["when"]) == {AFTER}  # points are no probabilities
    bins = chosen(run.table("reliability"), {"model": FULL, "when": AFTER})
    assert chosen(bins, {"measure": "stays"})["value"].sum() == STAYS


def test_the_full_network_is_tested_against_every_other(pooled: tuple[Pooled, Run]) -> None:
    made, run = pooled
    compared = run.table("compared")
    assert set(compared["against"]) == set(made.predicted) - {FULL}
    against = figure(run, "compared", "apart", against="static alone")
    areas = [mean_area(made, made.predicted[name].score) for name in (FULL, "static alone")]
    assert against["value"] == pytest.approx(areas[0] - areas[1])
    assert 0 < against["low"] < against["value"] < against["high"]
    p, holm = (chosen(compared, {"measure": one})["value"].to_numpy() for one in ("p", "p_holm"))
    assert (holm >= p).all()
    assert holm.min() == pytest.approx(5 * p.min())


def test_sub_groups_hold_those_of_whom_it_is_known(pooled: tuple[Pooled, Run]) -> None:
    made, run = pooled
    rows = {(by, group): rows for by, group, rows in groups_of(made.about)}
    assert list(rows) == [
        *[("sex", one) for one in ("f", "m")],
        *[("age", one) for one in ("below 65", "65 to 79", "80 and older")],
        *[("admission", one) for one in ("elective", "emergency")],
    ]
    sizes = {by: sum(len(own) for (of, _), own in rows.items() if of == by) for by, _ in rows}
    assert sizes == {"sex": STAYS - 5, "age": STAYS, "admission": STAYS}
    own = rows["sex", "f"]
    found = figure(run, "subgroups", "auroc", group="f")
    assert found["value"] == pytest.approx(roc_auc_score(made.died[own], made.predicted[FULL].after[own]))
    assert figure(run, "subgroups", "died", group="f")["value"] == made.died[own].sum()
    elective = chosen(run.table("subgroups"), {"group": "elective"})
    assert np.isnan(elective.loc[~elective["measure"].isin(["stays", "died"]), "low"]).all()


def test_how_few_died_in_a_sub_group_is_hidden_and_so_what_would_tell_it(pooled: tuple[Pooled, Run]) -> None:
    made, _ = pooled
    few = np.flatnonzero(made.died == 1)[:10]
    sex = pd.Series("M", index=made.about.index).mask(made.about.index.isin(few), "F")
    other = replace(made, about=made.about.assign(sex=sex))
    found = long_table(other._subgroups(by_patient(made.patients, 0)))
    counts = chosen(found, {"by": "sex", "measure": ("stays", "died")})
    assert counts["text"].tolist() == ["hidden"] * 4
    assert chosen(found, {"by": "sex", "group": "f", "measure": "auroc"}).empty
    written = SepsisTask.sheets["subgroups"].of(found)
    assert set(written.loc[written["by"] == "sex", "died"]) == {"hidden"}
    assert all(isinstance(one, int) for one in written.loc[written["by"] == "age", "died"])
    assert not chosen(found, {"by": "age", "measure": "died"})["value"].isna().any()


def test_the_decision_curve_has_those_who_treat_all(pooled: tuple[Pooled, Run]) -> None:
    made, run = pooled
    share = made.died.mean()
    found = figure(run, "decision", "net_benefit", model=TREAT_ALL, threshold=0.2)["value"]
    assert found == pytest.approx(share - (1 - share) / 4)
    full = figure(run, "decision", "net_benefit", model=FULL, threshold=0.2)["value"]
    assert full == pytest.approx(net_benefit(made.died, probability(made.predicted[FULL].after), 0.2))
    assert full > found


def cells_of(table: ReportTable, row: str) -> Sequence[str]:
    (line,) = (line for line in table.lines if line.names[0] == row)
    return [cell.text for cell in line.cells]


def test_the_table_stands_beside_what_was_published(pooled: tuple[Pooled, Run]) -> None:
    _, run = pooled
    told = read(run)
    (beside,) = told.tables["beside"]
    auroc = figure(run, "models", "auroc", model=FULL)["value"]
    assert cells_of(beside, "AUROC")[1:] == [f"{auroc:.3f}", "0.8029", "0.9724"]
    assert cells_of(beside, "Recall")[2:] == ["0.5917", "0.9103"]
    assert [column.published for column in beside.columns] == [False, False, True, True]
    assert told.drawn["beyond"] == BEYOND_ITS_PARTS
    for part in (".7912", ".5917", ".8736", "length of the stay"):
        assert part in BEYOND_ITS_PARTS
    (models,) = told.tables["models"]
    assert [line.names[0] for line in models.lines if line.quiet] == [PREVALENCE]
    (grid,) = told.tables["grid"]
    assert [[cell.small for cell in line.cells] for line in grid.lines] == [[""] * FOLDS, ["chosen"] * FOLDS]
    assert [one.title for one in plots(run)] == [
        "ROC curves",
        "Reliability of full network",
        "Decision curve",
    ]
    assert told.notes[0].startswith("2 of 500 stays have no part of SOFA")


def test_what_was_found_is_told_or_that_it_is_too_little(pooled: tuple[Pooled, Run]) -> None:
    _, run = pooled
    said = finding(run.table("models"), run.table("compared"), "")
    assert said.startswith("AUROC 0.")
    assert "above SOFA, SAPS-II" in said
    assert "not told from full, BCE" in said
    assert read(run).drawn["small"] == ""
    few = Run(records=run.records, counts={**run.counts, "died": 99}, facts=run.facts)
    told = read(few)
    assert told.finding.startswith("Too small to conclude: 99 deaths and 401 survivors")
    assert "too small to conclude" in told.tables["models"][0].title
    assert told.warnings == [told.drawn["small"]]


def test_a_model_that_says_the_same_of_all_is_not_put_right() -> None:
    patients, died = np.arange(60).astype(np.str_), np.tile([0.0, 0.0, 1.0], 20)
    folds = folds_of(patients, died, 3, seed=0)
    made, fold = Pooled(folds=folds, died=died, patients=patients, about=pd.DataFrame()), folds[0]
    found = list(made.fill("x", fold, Cell([0.5] * len(fold.held), [0.5] * len(fold.test), {})))
    assert made.not_put_right == {"x": 1}
    assert (made.predicted["x"].after[fold.test] == 0.5).all()
    assert [one["value"] for one in found] == [0.5, 0, 1]


def test_cells_of_something_else_are_apart_and_private(tmp_path: Any) -> None:
    cell = Cell.of(np.array([0.1, 1 / 3]), np.array([-2.0]), seconds=2.0)
    cells = Cells(tmp_path / "cells", {"source": "a", "seed": 0})
    assert cells.get("network", fold=0) is None
    cells.keep(cell, "network", fold=0)
    assert cells.get("network", fold=0) == cell
    for other in (
        cells.get("network", fold=1),
        cells.get("SOFA", fold=0),
        cells.get("network", fold=0, settings={"hidden": 8}),
        Cells(tmp_path / "cells", {"source": "b", "seed": 0}).get("network", fold=0),
    ):
        assert other is None
    (file,) = (tmp_path / "cells").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(read_json(file, dict[str, Any])) == {"held", "test", "facts"}
    file.write_text(file.read_text()[:20])
    with pytest.raises(InputError, match=r"is damaged.*Remove it: it is made anew"):
        cells.get("network", fold=0)
