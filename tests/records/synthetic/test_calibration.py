"""Shares by condition are those of the open demos: the 20 commonest pairs of each kind within .1."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cohorts.records.synthetic.hospital import synthesize

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    """Return the benchmark, a script that is no part of the package."""
    spec = importlib.util.spec_from_file_location("calibration", ROOT / "benchmarks" / "calibration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hospitals(
    calibration: ModuleType, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("calibration") / "hospital"
    synthesize(folder, 1_500, 11)
    third, fourth = shared_data / "mimic3-demo", shared_data / "mimic4-demo"
    return calibration.mimic3(folder), calibration.mimic3(third), calibration.mimic4(fourth)


@pytest.mark.parametrize("kind", ["drug", "procedure", "abnormal value"])
def test_the_commonest_pairs_are_those_of_mimic3_demo(
    kind: str, calibration: ModuleType, hospitals: tuple[Any, ...]
) -> None:
    ours, third, _ = hospitals
    rows = calibration.compared(calibration.shares(third, kind), calibration.shares(ours, kind))
    assert len(rows) == (11 if kind == "procedure" else 20)  # no more procedures have 11 patients
    assert rows["difference"].abs().max() <= 0.1, rows["difference"].to_string()


def test_where_both_demos_agree_so_does_the_hospital(
    calibration: ModuleType, hospitals: tuple[Any, ...]
) -> None:
    ours, third, fourth = (calibration.shares(one, "drug") for one in hospitals)
    rows = calibration.compared(calibration.agreed(fourth, third), ours)
    assert len(rows) == 20
    assert rows["difference"].abs().max() <= 0.1, rows["difference"].to_string()


def test_no_drug_tells_a_condition_more_surely_than_in_the_demo(
    calibration: ModuleType, hospitals: tuple[Any, ...]
) -> None:
    """Every drug of the demo that 11 patients have with a condition: the share of its stays that have the condition."""
    ours, third, _ = (calibration.shares(one, "drug") for one in hospitals)
    rows = calibration.compared(third, ours, most=1_000)
    known = rows[rows["n_synthetic"].notna()]
    assert len(known) > 180
    assert (known["telling_synthetic"] - known["telling"]).max() <= 0.15
    assert {("sepsis", "norepinephrine"), ("atrial_fibrillation", "warfarin")} <= set(known.index)


def test_cells_of_few_patients_are_not_shown(calibration: ModuleType, hospitals: tuple[Any, ...]) -> None:
    ours, third, _ = (calibration.shares(one, "drug") for one in hospitals)
    assert calibration.compared(third, ours, most=10_000)["patients"].min() == 11
