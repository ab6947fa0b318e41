"""Conditions that diagnosis codes state, by the prefixes in `conditions.toml`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from cohorts.records.base import Batch
from cohorts.records.codes.prefixes import FIELDS

if TYPE_CHECKING:
    import pandas as pd


def having(batch: Batch, table: str) -> "pd.DataFrame":
    """Return which conditions of a table each unit's diagnoses state, (units, conditions) float64 0 or 1, RangeIndex.

    NaN where a unit has no diagnosis code of ICD-9 or ICD-10: nothing is known of it.
    """
    import pandas as pd

    codes = batch.codes[(batch.codes["kind"] == "diagnosis") & batch.codes["system"].isin(list(FIELDS))]
    place = {one: number for number, one in enumerate(batch.units["unit_id"])}
    unit = codes["unit_id"].map(place).to_numpy(np.int64)
    which, distinct = pd.factorize(codes["system"] + " " + codes["code"])
    told = [one.partition(" ") for one in distinct]
    known = np.zeros(len(batch), np.bool_)
    known[unit] = True
    found = {}
    for name, condition in conditions(table).items():
        states = np.array([code.startswith(condition[FIELDS[system]]) for system, _, code in told], np.bool_)
        has = np.where(known, 0.0, np.nan)
        has[unit[states[which]]] = 1.0
        found[name] = has
    return pd.DataFrame(found)


@cache
def conditions(table: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the conditions of a table: `points`, and the prefixes `icd9` and `icd10` (tuples, no dots)."""
    text = files("cohorts.records.scores").joinpath("conditions.toml").read_text(encoding="utf-8")
    return {
        name: {key: tuple(value.split()) if isinstance(value, str) else value for key, value in told.items()}
        for name, told in tomllib.loads(text)[table].items()
    }
