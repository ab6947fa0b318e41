"""SAPS II, the Simplified Acute Physiology Score.

Source: Le Gall, Lemeshow, Saulnier, JAMA 1993;270:2957-63, figure 2 (points) and the equation of hospital mortality.
"""

from typing import TYPE_CHECKING

import numpy as np
from cohorts.records.scores.about import MEDICAL, NO_DISEASE, SCHEDULED, UNSCHEDULED
from cohorts.records.scores.bands import most, points
from cohorts.records.scores.base import Score
from cohorts.records.scores.conditions import conditions
from cohorts.records.scores.observed import Floats

if TYPE_CHECKING:
    import pandas as pd

PARTS = (
    "age",
    "heart_rate",
    "systolic_pressure",
    "temperature",
    "respiration",
    "urine",
    "urea_nitrogen",
    "white_cells",
    "potassium",
    "sodium",
    "bicarbonate",
    "bilirubin",
    "gcs",
    "chronic_disease",
    "admission_kind",
)
_KINDS = {SCHEDULED: 0, MEDICAL: 6, UNSCHEDULED: 8}


def sapsii(worst: "pd.DataFrame") -> Score:
    """Return SAPS II, 0 to 163, of worst values (`SAPSII_INPUTS` of `worst.py`) and what `about_patients` tells.

    PaO2/FiO2 counts on a ventilator or with a mask for pressure alone: who is known to have neither has 0 there. A part
    of which nothing was seen is NaN. Chronic disease is by codes, which are known at the end of the stay only.
    """
    import pandas as pd

    parts = {
        "age": points(worst["age"], (40, 60, 70, 75, 80), (0, 7, 12, 15, 16, 18)),
        "heart_rate": _both(worst, "heart_rate", (40, 70, 120, 160), (11, 2, 0, 4, 7)),
        "systolic_pressure": _both(worst, "systolic", (70, 100, 200), (13, 5, 0, 2)),
        "temperature": points(worst["temperature"], (39,), (0, 3)),
        "respiration": _respiration(worst),
        "urine": points(worst["urine_24h"], (500, 1_000), (11, 4, 0)),
        "urea_nitrogen": points(worst["urea_nitrogen"], (28, 84), (0, 6, 10)),
        "white_cells": _both(worst, "white_cells", (1, 20), (12, 0, 3)),
        "potassium": _both(worst, "potassium", (3, 5), (3, 0, 3)),
        "sodium": _both(worst, "sodium", (125, 145), (5, 0, 1)),
        "bicarbonate": points(worst["bicarbonate"], (15, 20), (6, 3, 0)),
        "bilirubin": points(worst["bilirubin"], (4, 6), (0, 4, 9)),
        "gcs": points(worst["gcs"], (6, 9, 11, 14), (26, 13, 7, 5, 0)),
        "chronic_disease": worst["chronic_disease"].map(_diseases()).to_numpy(np.float64),
        "admission_kind": worst["admission_kind"].map(_KINDS).to_numpy(np.float64),
    }
    return Score("SAPS II", pd.DataFrame(parts, index=worst.index))


def sapsii_mortality(total: "pd.Series[float]") -> "pd.Series[float]":
    """Return the share of patients with this score who die in hospital, (n,) float64, as published in 1993.

    It is far too high for the patients of today (Sakr et al., and many after them): a baseline, no forecast.
    """
    logit = -7.7631 + 0.0737 * total + 0.9971 * (total + 1).map(np.log)
    return 1 / (1 + (-logit).map(np.exp))


def _both(worst: "pd.DataFrame", name: str, edges: tuple[float, ...], told: tuple[float, ...]) -> Floats:
    """Return the points of the lowest or the highest value, whichever has more."""
    return most(*(points(worst[f"{name}_{end}"], edges, told) for end in ("lowest", "highest")))


def _respiration(worst: "pd.DataFrame") -> Floats:
    on_machine = points(worst["pao2_fio2_supported"], (100, 200), (11, 9, 6))
    unaided = np.where(worst["ventilated"] == 0, 0.0, np.nan)
    return np.where(np.isnan(on_machine), unaided, on_machine)


def _diseases() -> dict[str, float]:
    return {NO_DISEASE: 0.0} | {name: told["points"] for name, told in conditions("sapsii").items()}
