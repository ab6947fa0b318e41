"""The skeleton of evaluations: a task's figures become CSV files, a page and a manifest; seeds become one figure."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.errors import InputError
from cohorts.harness.evaluate import seeds
from cohorts.harness.evaluate.base import LongSheet, Run, Sheet, Task, Told, evaluate, figures, write_report
from cohorts.reports.formats import decimals
from cohorts.reports.long_table import Record, TableSpec, long_table, records
from scipy.stats import t, ttest_rel


class Lengths(Task[list[str]]):
    """The mean length of texts and how many there are; drawn on the page of pairs, which asks for nothing else."""

    name = "similarity"
    packages = ("numpy",)
    sheets = {  # noqa: RUF012 - never changed
        "lengths": Sheet(
            ("seed", "layers"), ("mean", "texts", "told"), intervals=("mean",), counts=("texts", "layers")
        ),
        "each": LongSheet(("measure", "it is", "elsewhere"), {"it is": "value"}),
    }

    def measure(self, given: list[str], run: Run) -> Iterator[Record]:
        run.counts["texts"] = len(given)
        for seed in range(2):
            run.begin("judging", f"seed {seed + 1} of 2")
            if not given:
                raise InputError("There are no texts.")
            yield from figures(
                "lengths", {"seed": seed, "layers": None}, mean=fmean(map(len, given)), texts=len(given)
            )
        yield from figures(
            "lengths", {"seed": 0, "layers": 1}, mean=float("nan"), texts=0, told="nothing trained"
        )
        yield from figures("elsewhere", {"seed": 0}, mean=9.0, told="")
        yield from figures("each", {"seed": 0}, mean=0.5, least=0.25)

    def asked(self) -> dict[str, Any]:
        return {"seeds": 2}

    def origin(self, given: list[str]) -> dict[str, Any]:
        return {"synthetic": False, "pairs": len(given)}

    def told(self, run: Run) -> Told:
        table = TableSpec(
            title="lengths",
            rows={"layers": "layers"},
            columns=[seeds.mean_column("mean", "mean", decimals(2))],
        )
        means = seeds.over_seeds(run.table("lengths"), ["layers"])
        return Told(finding="Texts have lengths.", tables={"similarity": [table.of(means)]})


def test_a_tasks_figures_are_kept_as_csv_page_and_manifest(tmp_path: Path) -> None:
    told: list[str] = []
    run = evaluate(Lengths(), ["a", "bcd"], told.append)
    assert told == ["seed 1 of 2", "seed 2 of 2"]
    assert run.table("lengths")["measure"].tolist() == ["mean", "texts"] * 2 + ["mean", "texts", "told"]
    assert run.table("elsewhere")[["measure", "value"]].to_numpy().tolist() == [
        ["mean", 9.0]
    ]  # an empty text is none
    page = write_report(tmp_path, Lengths(), run, Lengths().told(run)).read_text()
    assert '<p class="found">Texts have lengths.</p>' in page
    assert "<td>2.00" in page
    assert "lengths.csv" in page
    frame = pd.read_csv(tmp_path / "lengths.csv")
    assert list(frame) == ["seed", "layers", "mean", "mean_low", "mean_high", "texts", "told"]
    assert frame["mean"].tolist()[:2] == [2, 2]
    assert frame["texts"].tolist() == [2, 2, 0]
    assert frame["told"].isna().tolist() == [True, True, False]
    lines = (tmp_path / "lengths.csv").read_text().splitlines()
    assert lines[-1] == "0,1,,,,0,nothing trained"  # a whole number stays one, whatever lacks beside it
    each = (tmp_path / "each.csv").read_text().splitlines()
    assert each == ["measure,it is,elsewhere", "mean,0.5,", "least,0.25,"]  # a row for every figure
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["plan"], manifest["counts"], manifest["pairs"]) == ({"seeds": 2}, {"texts": 2}, 2)
    assert set(manifest["versions"]) == {"ehr-cohorts", "numpy"}
    assert list(manifest["seconds"]) == ["judging"]


def test_what_can_not_be_measured_is_raised_as_it_is() -> None:
    with pytest.raises(InputError, match="There are no texts"):
        evaluate(Lengths(), [])


def measured(values: dict[tuple[str, int | None], list[float]]) -> pd.DataFrame:
    """Return AUC by encoder and layers, the seeds in falling order."""
    return long_table(
        row
        for (encoder, layers), of in values.items()
        for seed, value in reversed([*enumerate(of)])
        for row in figures("x", {"encoder": encoder, "layers": layers, "seed": seed}, auc=value, told="text")
    )


def test_seeds_are_summed_up_in_order_and_paired_by_seed() -> None:
    values = {("b", None): [0.5, 0.7, 0.6], ("a", None): [0.4, 0.5, 0.45], ("a", 1): [0.9, 0.8, 0.9]}
    means = records(seeds.over_seeds(measured(values), ["encoder", "layers"], {"encoder": "a"}))
    assert [(row["encoder"], row["measure"]) for row in means] == [("b", "auc"), ("a", "auc"), ("a", "auc")]
    first, base, layered = means
    own = values["b", None]
    assert first["value"] == pytest.approx(0.6)
    assert first["sd"] == pytest.approx(0.1)
    assert first["high"] - first["value"] == pytest.approx(t.ppf(0.975, 2) * 0.1 / 3**0.5)
    assert first["p"] == pytest.approx(ttest_rel(own, values["a", None]).pvalue)
    assert np.isnan(base["p"])
    assert layered["value"] == pytest.approx(np.mean(values["a", 1]))  # apart from those without layers


def test_one_seed_has_neither_interval_nor_test() -> None:
    (row, _) = records(
        seeds.over_seeds(measured({("b", 1): [0.5], ("a", 1): [0.4]}), ["encoder"], {"encoder": "a"})
    )
    assert row["value"] == 0.5
    assert np.isnan([row["low"], row["high"], row["sd"], row["p"]]).all()
    assert seeds.by_deviation(row, decimals(1)) == ""


def test_a_finding_may_be_among_some() -> None:
    frame = measured({("base", 1): [0.5, 0.6], ("good", 1): [0.8, 0.91], ("trained", 1): [0.7, 0.82]})
    means = seeds.over_seeds(frame, ["encoder"], {"encoder": "base"})
    assert seeds.finding("AUC", means, "base").startswith("good reaches the highest AUC, 0.855")
    told = seeds.finding("AUC", means, "base", among=["trained"], percent=True)
    assert told.startswith("trained reaches the highest AUC, 76.0 [")
