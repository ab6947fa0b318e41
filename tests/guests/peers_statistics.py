"""What lifelines, scikit-survival and tableone make of cases: `.statistics/bin/python peers_statistics.py < JSON`.

A case of `times` has durations, kinds (0 censored, 1 the event, 2 competing), groups and a day; one of `tables` has
values and groups.
"""

import json
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
from lifelines import AalenJohansenFitter, KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from lifelines.utils import median_survival_times, restricted_mean_survival_time
from sksurv.compare import compare_survival
from sksurv.nonparametric import cumulative_incidence_competing_risks, kaplan_meier_estimator
from sksurv.util import Surv
from tableone import TableOne

warnings.simplefilter("ignore")


def times(case: dict[str, Any]) -> dict[str, Any]:
    durations, kinds = np.array(case["durations"], np.float64), np.array(case["kinds"])
    groups, day = np.array(case["groups"]), case["day"]
    return {
        "lifelines": by_lifelines(durations, kinds == 1, day),
        "sksurv": by_sksurv(durations, kinds == 1),
        "incidence": incidence(durations, kinds),
        "untied": untied_incidence(durations, kinds),
        "log_rank": log_ranks(durations, kinds == 1, groups),
    }


def by_lifelines(durations: Any, observed: Any, day: float) -> dict[str, Any]:
    fitted = KaplanMeierFitter().fit(durations, observed)
    band = fitted.confidence_interval_survival_function_
    table = fitted.event_table
    return {
        "times": band.index,
        "estimate": fitted.survival_function_.iloc[:, 0],
        "low": band.iloc[:, 0],
        "high": band.iloc[:, 1],
        "at_risk": table["at_risk"],
        "events": table["observed"],
        "censored": table["censored"],
        "median": [fitted.median_survival_time_, *median_survival_times(band).to_numpy().ravel()],
        "mean": restricted_mean_survival_time(fitted, t=day),
    }


def by_sksurv(durations: Any, observed: Any) -> dict[str, Any]:
    when, share, band = kaplan_meier_estimator(observed, durations, conf_type="log-log")
    return {"times": when, "estimate": share, "low": band[0], "high": band[1]}


def incidence(durations: Any, kinds: Any) -> dict[str, Any] | None:
    if kinds.max() < 2:  # it takes two kinds
        return None
    when, share, band = cumulative_incidence_competing_risks(
        kinds, durations, conf_type="log-log", var_type="Dinse_Approx"
    )
    return {"times": when, "estimate": share[1], "low": band[1, 0], "high": band[1, 1]}


def untied_incidence(durations: Any, kinds: Any) -> dict[str, Any] | None:
    """Return what lifelines has, which breaks ties by chance."""
    if len(np.unique(durations)) < len(durations) or not (kinds == 1).any():
        return None
    fitted = AalenJohansenFitter(calculate_variance=True).fit(durations, kinds, event_of_interest=1)
    share = fitted.cumulative_density_.iloc[:, 0]
    return {"times": share.index, "estimate": share, "variance": fitted.variance_}


def log_ranks(durations: Any, observed: Any, groups: Any) -> dict[str, Any] | None:
    if len(np.unique(groups)) < 2 or not observed.any():
        return None
    first = multivariate_logrank_test(durations, groups, observed)
    second = compare_survival(Surv.from_arrays(observed, durations), groups)
    return {"lifelines": [first.test_statistic, first.p_value], "sksurv": list(second)}


def table(case: dict[str, Any]) -> dict[str, Any]:
    data = pd.DataFrame({"what": case["values"], "group": case["groups"]})
    categorical = ["what"] if case["categorical"] else []
    made = TableOne(data, columns=["what"], categorical=categorical, groupby="group", smd=True, pval=False)
    about = made.cat_describe if categorical else made.cont_describe
    shown = ["freq"] if categorical else ["count", "mean", "std"]
    return {"smd": made.smd_table.iloc[0, 0], **{name: about[name].to_numpy(np.float64) for name in shown}}


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return np.asarray(value).tolist()


if __name__ == "__main__":
    cases = json.load(sys.stdin)
    answer = {
        "times": {name: times(case) for name, case in cases["times"].items()},
        "tables": {name: table(case) for name, case in cases["tables"].items()},
    }
    json.dump(plain(answer), sys.stdout)
