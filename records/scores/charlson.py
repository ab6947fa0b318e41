"""The Charlson comorbidity index, by diagnosis codes.

Sources: weights of Charlson et al., J Chronic Dis 1987;40:373-83; codes of Quan et al., Med Care 2005;43:1130-9
(enhanced ICD-9-CM, ICD-10); points by age of Charlson et al., J Clin Epidemiol 1994;47:1245-51.
"""

from cohorts.records.base import Batch
from cohorts.records.scores.bands import points
from cohorts.records.scores.base import Score
from cohorts.records.scores.conditions import conditions, having

AGE = "age"
_MILDER = {  # counts only where the other does not
    "mild liver disease": "moderate or severe liver disease",
    "diabetes": "diabetes with end-organ damage",
    "malignancy": "metastatic solid tumour",
}


def charlson(batch: Batch) -> Score:
    """Return the index: 17 conditions by all diagnosis codes of a unit, and points by age as a part of its own.

    Of two grades of one disease the graver counts. Age has a point for each decade from 50 on, 4 at most (from 80).
    Codes of a stay are known at its end only: the index of a whole record knows more than was known on the first day. A
    unit without diagnosis codes has NaN in all conditions.
    """
    has = having(batch, "charlson")
    made = has * [told["points"] for told in conditions("charlson").values()]
    for milder, graver in _MILDER.items():
        made[milder] = made[milder].mask(made[graver] > 0, 0.0)
    made[AGE] = points(batch.units["age"].reset_index(drop=True), (50, 60, 70, 80), (0, 1, 2, 3, 4))
    return Score("Charlson", made)
