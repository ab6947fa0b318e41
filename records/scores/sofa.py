"""SOFA, the Sequential (sepsis-related) Organ Failure Assessment.

Source: Vincent et al., Intensive Care Med 1996;22:707-10, table 3; how windows are read: mimic-code (sofa.sql).
"""

from typing import TYPE_CHECKING

import numpy as np
from cohorts.records.scores.bands import most, points
from cohorts.records.scores.base import Score
from cohorts.records.scores.observed import Floats

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("respiration", "coagulation", "liver", "cardiovascular", "cns", "renal")


def sofa(worst: "pd.DataFrame") -> Score:
    """Return SOFA, 0 to 24, of worst values (`SOFA_INPUTS` of `worst.py`), six parts of 0 to 4 points.

    3 and 4 points of respiration need invasive ventilation: without it, PaO2/FiO2 below 200 has 2. Catecholamines count
    in mcg/kg/min, however short they ran (the table asks for an hour). PaO2 may be of venous blood (`breathing.py`). A
    part of which nothing was seen is NaN.
    """
    import pandas as pd

    parts = {
        "respiration": _respiration(worst),
        "coagulation": points(worst["platelets"], (20, 50, 100, 150), (4, 3, 2, 1, 0)),
        "liver": points(worst["bilirubin"], (1.2, 2, 6, 12), (0, 1, 2, 3, 4)),
        "cardiovascular": _cardiovascular(worst),
        "cns": points(worst["gcs"], (6, 10, 13, 15), (4, 3, 2, 1, 0)),
        "renal": most(
            points(worst["creatinine"], (1.2, 2, 3.5, 5), (0, 1, 2, 3, 4)),
            points(worst["urine_24h"], (200, 500), (4, 3, 0)),
        ),
    }
    return Score("SOFA", pd.DataFrame(parts, index=worst.index))


def _respiration(worst: "pd.DataFrame") -> Floats:
    return most(
        points(worst["pao2_fio2_invasive"], (100, 200, 300, 400), (4, 3, 2, 1, 0)),
        points(worst["pao2_fio2"], (300, 400), (2, 1, 0)),
    )


def _cardiovascular(worst: "pd.DataFrame") -> Floats:
    """Return its points: the table's edges belong to the fewer points (dopamine up to 5, the others up to 0.1)."""
    above_5, above_15, above_tenth = (np.nextafter(edge, np.inf) for edge in (5.0, 15.0, 0.1))
    return most(
        points(worst["mean_pressure"], (70,), (1, 0)),
        points(worst["dopamine"], (above_5, above_15), (2, 3, 4)),
        points(worst["dobutamine"], (), (2,)),
        *(points(worst[drug], (above_tenth,), (3, 4)) for drug in ("epinephrine", "norepinephrine")),
    )
