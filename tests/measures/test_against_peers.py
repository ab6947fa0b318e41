"""Survival, incidence and Table 1 against lifelines, scikit-survival and tableone, which run in `.statistics`."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.measures.balance import categories, numeric
from cohorts.measures.competing import aalen_johansen
from cohorts.measures.survival import Curve, kaplan_meier, log_rank, median, restricted_mean

TESTS = Path(__file__).resolve().parents[1]
PYTHON = TESTS.parent / ".statistics" / "bin" / "python"
CLOSE = 1e-8


def drawn(seed: int, n: int, days: int | None, shares: tuple[float, float, float]) -> dict[str, Any]:
    """Draw times with ties (whole days) or without, of kinds by their shares, in three groups."""
    rng = np.random.default_rng(seed)
    durations = rng.integers(0, days, n) if days else rng.exponential(20, n)
    kinds = rng.choice(3, n, p=shares)
    return {
        "durations": durations.tolist(),
        "kinds": kinds.tolist(),
        "groups": (rng.integers(0, 3, n)).tolist(),
    }


def given(durations: list[float], kinds: list[int], groups: list[int]) -> dict[str, Any]:
    return {"durations": durations, "kinds": kinds, "groups": groups}


TIMES = {
    "untied": drawn(0, 120, None, (0.4, 0.4, 0.2)),
    "tied": drawn(1, 300, 15, (0.4, 0.4, 0.2)),
    "heavily censored": drawn(2, 200, 40, (0.9, 0.06, 0.04)),
    "uncensored": drawn(3, 80, 12, (0.0, 0.6, 0.4)),
    "many": drawn(4, 20_000, 400, (0.3, 0.4, 0.3)),
    "a group without an event": given([3, 4, 5, 5, 6, 8, 9], [1, 2, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1]),
    "last censored": given([1, 2, 2, 7], [1, 2, 1, 0], [0, 1, 0, 1]),
    "last an event": given([1, 2, 2, 7], [1, 2, 0, 1], [0, 1, 0, 1]),
    "all censored": given([3, 5, 5], [0, 0, 0], [0, 1, 1]),
    "one event": given([3], [1], [0]),
    "one censored": given([3], [0], [0]),
    "at time zero": given([0, 0, 0, 4, 5], [1, 2, 0, 1, 0], [0, 0, 1, 1, 1]),
}
for case in TIMES.values():
    case["day"] = float(np.quantile(case["durations"], 0.6))


def table_cases() -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(7)
    groups = rng.choice(["A", "B"], 90).tolist()
    two, five = (rng.choice(list("abcde")[:levels], 90).tolist() for levels in (2, 5))
    return {
        "numeric": {"values": rng.normal(60, 12, 90).tolist(), "groups": groups, "categorical": False},
        "with missing": {
            "values": np.where(rng.random(90) < 0.2, np.nan, rng.normal(1, 3, 90)).tolist(),
            "groups": groups,
            "categorical": False,
        },
        "binary": {"values": two, "groups": groups, "categorical": True},
        "categories": {"values": five, "groups": groups, "categorical": True},
    }


TABLES = table_cases()


@pytest.fixture(scope="module")
def peers() -> Any:
    if not PYTHON.exists():
        pytest.skip("the other libraries are not installed: run tests/install_statistics.sh")
    done = subprocess.run(
        [PYTHON, "-W", "ignore", TESTS / "guests" / "peers_statistics.py"],
        input=json.dumps({"times": TIMES, "tables": TABLES}),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(
        np.asarray(ours, float), np.asarray(theirs, float), rtol=0, atol=CLOSE, equal_nan=True
    )


def curve_is(made: Curve, told: Any, names: str) -> None:
    """Compare a curve where another library has a time; those of scikit-survival don't begin at 0.

    Where the share is 0 or 1 their bands have no width, and ours do.
    """
    first = len(made.times) - len(told["times"])
    for name in names.split():
        share = made.estimate[first:]
        rows = (share > 0) & (share < 1) if name in ("low", "high") else share == share
        close(getattr(made, name)[first:][rows], np.asarray(told[name])[rows])


@pytest.mark.parametrize("name", TIMES)
def test_curves_are_those_of_lifelines_and_scikit_survival(name: str, peers: Any) -> None:
    made = kaplan_meier(TIMES[name]["durations"], np.array(TIMES[name]["kinds"]) == 1)
    told = peers["times"][name]
    curve_is(made, told["lifelines"], "times estimate low high at_risk events censored")
    curve_is(made, told["sksurv"], "times estimate low high")


@pytest.mark.parametrize("name", TIMES)
def test_medians_and_means_are_those_of_lifelines(name: str, peers: Any) -> None:
    case, told = TIMES[name], peers["times"][name]["lifelines"]
    made = kaplan_meier(case["durations"], np.array(case["kinds"]) == 1)
    close(median(made), told["median"])
    close(restricted_mean(made, case["day"]).value, told["mean"])


@pytest.mark.parametrize("name", [name for name, case in TIMES.items() if 2 in case["kinds"]])
def test_incidence_is_that_of_scikit_survival(name: str, peers: Any) -> None:
    """Their band is no number where the last at risk all end, which they take for infinity times 0."""
    made = aalen_johansen(TIMES[name]["durations"], TIMES[name]["kinds"])
    names = "times estimate low high" if made.censored[-1] else "times estimate"
    curve_is(made, peers["times"][name]["incidence"], names)


def test_incidence_without_ties_is_that_of_lifelines(peers: Any) -> None:
    made = aalen_johansen(TIMES["untied"]["durations"], TIMES["untied"]["kinds"])
    told = peers["times"]["untied"]["untied"]
    curve_is(made, told, "times estimate")
    close(made.variance[:-1], told["variance"][:-1])  # at the last time they too have none


@pytest.mark.parametrize("name", [name for name, case in TIMES.items() if len(set(case["groups"])) > 1])
def test_log_rank_is_that_of_lifelines_and_scikit_survival(name: str, peers: Any) -> None:
    case, told = TIMES[name], peers["times"][name]["log_rank"]
    found = log_rank(case["durations"], np.array(case["kinds"]) == 1, case["groups"])
    if told is None:
        assert np.isnan(found.p)
    else:
        close(found[:2], told["lifelines"])
        close(found[:2], told["sksurv"])


@pytest.mark.parametrize("name", TABLES)
def test_differences_of_table_one_are_those_of_tableone(name: str, peers: Any) -> None:
    case, told = TABLES[name], peers["tables"][name]
    values, groups = np.array(case["values"]), np.array(case["groups"])
    first, second = (values[groups == one] for one in "AB")
    if case["categorical"]:
        counts = [[int((some == level).sum()) for some in (first, second)] for level in np.unique(values)]
        close(counts, told["freq"])
        close(categories(*np.transpose(counts)), told["smd"])
    else:
        close([[(~np.isnan(some)).sum() for some in (first, second)]], told["count"])
        close([[np.nanmean(some) for some in (first, second)]], told["mean"])
        close([[np.nanstd(some, ddof=1) for some in (first, second)]], told["std"])
        close(-numeric(first, second), told["smd"])  # tableone: the second less the first
