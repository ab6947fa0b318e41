"""The stays of a batch with intensive care: when they were septic, and the scores of their first day there."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from cohorts.records.base import Batch
from cohorts.records.scores.base import Score
from cohorts.records.scores.charlson import charlson
from cohorts.records.scores.sapsii import sapsii
from cohorts.records.scores.sofa import sofa
from cohorts.records.scores.worst import worst_values
from cohorts.records.sepsis.cohort import septic

BEFORE_H, AFTER_H = 6, 24  # about the beginning of intensive care, as mimic-code's first day
_ABOUT = ("patient_id", "admission_id", "admitted", "admission_type", "age", "sex")
_TIMES = ("icu", "icu_end", "antibiotic", "culture", "suspected", "onset", "known")


@dataclass(frozen=True)
class FirstDay:
    """`left_out` (units,) of all, and `rows` (stays, columns) and `scores` of those with intensive care, in order."""

    left_out: "pd.Series[str]"
    patients: "pd.Series[str]"
    rows: pd.DataFrame
    scores: tuple[Score, ...]


def first_day(batch: Batch, by: str) -> FirstDay:
    """Return who is septic by a rule, and SOFA, SAPS II and Charlson of the first day. Raises InputError.

    The first day is from 6 h before to 24 h after intensive care began. Charlson, and the chronic disease of SAPS II,
    are by the codes of the whole stay.
    """
    cohort = septic(batch, by)
    worst = worst_values(
        batch, cohort["icu"] - pd.Timedelta(hours=BEFORE_H), cohort["icu"] + pd.Timedelta(hours=AFTER_H)
    )
    scores = (sofa(worst), sapsii(worst), charlson(batch))
    units = batch.units.reset_index(drop=True)
    rows = pd.concat(
        [
            units[list(_ABOUT)],
            cohort[list(_TIMES)],
            cohort[["sofa_time"]].add_prefix("sepsis_"),
            cohort[["sofa", "sofa_unseen"]].add_prefix("sepsis_").astype("Int64"),
            *(_columns(one) for one in scores),
            cohort[["left_out"]],
            units["died"].astype("Int64"),
        ],
        axis=1,
    )
    here = cohort["icu"].notna()
    return FirstDay(
        left_out=cohort["left_out"],
        patients=cohort["patient_id"],
        rows=rows[here].reset_index(drop=True),
        scores=tuple(Score(one.name, one.parts[here].reset_index(drop=True)) for one in scores),
    )


def _columns(score: Score) -> pd.DataFrame:
    """Return a score as columns: total, how many parts were unseen, and the parts."""
    name = score.name.replace(" ", "").lower()
    parts = score.parts.rename(columns=lambda part: f"{name}_{_word(part)}").astype("Int64")
    total = score.total.rename(name).astype("Int64")
    return pd.concat([total, score.unseen.rename(f"{name}_unseen"), parts], axis=1)


def _word(part: str) -> str:
    return "_".join(part.lower().replace("-", " ").split())


def part_names(scores: Sequence[Score]) -> list[tuple[str, str]]:
    """Return the parts of scores, as score and part; the conditions of Charlson, seen or unseen together, are one."""
    return [(one.name, str(part)) for one in scores for part in parts_told(one)]


def parts_told(score: Score) -> pd.DataFrame:
    """Return the parts of a score that are told of one by one."""
    if score.name != "Charlson":
        return score.parts.rename(columns=lambda part: part.replace("_", " "))
    return pd.DataFrame({"conditions": score.parts.iloc[:, 0], "age": score.parts.iloc[:, -1]})
