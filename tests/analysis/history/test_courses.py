"""Courses of laboratory values: the mean of a day, in one unit, of kept records that pandas reads too."""

from pathlib import Path

import cohorts
import numpy as np
import pandas as pd
import pytest
from cohorts.analysis.compare.comparing import compare
from cohorts.analysis.compare.comparison import Asked
from cohorts.analysis.compare.groups import Members
from cohorts.analysis.compare.records_of import records_of
from cohorts.analysis.history.courses import courses_of
from cohorts.analysis.history.people import people_of
from cohorts.connectors.base import Collection
from cohorts.connectors.index import Hnsw
from cohorts.records.kept.reading import Kept

SODIUM = "sodium"


def sodium_of(kept: Kept, people: pd.DataFrame) -> pd.DataFrame:
    """Return the sodium of described admissions in their first week, by unit and day."""
    rows: pd.DataFrame = kept.events.to_table().to_pandas()
    rows = rows[(rows["kind"] == "laboratory") & rows["name"].str.lower().eq(SODIUM) & rows["value"].notna()]
    rows = rows[people["admission_id"].reindex(rows["unit_id"]).to_numpy() == rows["admission_id"].to_numpy()]
    hours = (
        rows["time"].to_numpy() - people["admitted"].reindex(rows["unit_id"]).to_numpy()
    ) / np.timedelta64(1, "h")
    rows = rows.assign(day=np.floor(hours / 24))
    return rows[rows["day"].between(0, 6)]


def test_a_day_is_the_mean_of_its_values(kept: Kept) -> None:
    people = people_of(kept)
    (sodium,) = (one for one in courses_of(kept, people, lambda _: None) if one.item == SODIUM)
    rows = sodium_of(kept, people)
    expected = rows.groupby(["unit_id", "day"])["value"].mean()
    assert sodium.others == 0
    assert int((~np.isnan(sodium.values)).sum()) == len(expected) > 100
    at = people.index.get_indexer(expected.index.get_level_values("unit_id"))
    found = sodium.values[at, expected.index.get_level_values("day").astype(int)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("every", "told"), [(4, "sodium (25%)"), (0, "")])
def test_values_in_other_units_do_not_count_and_are_told(tmp_path: Path, every: int, told: str) -> None:
    cohorts.synthesize(tmp_path / "ward", patients=60, seed=3)
    file = tmp_path / "ward" / "LABEVENTS.csv"
    table = pd.read_csv(file, dtype=str)
    names = pd.read_csv(tmp_path / "ward" / "D_LABITEMS.csv", dtype=str).set_index("ITEMID")["LABEL"]
    sodium = table.index[names.reindex(table["ITEMID"]).str.lower().eq(SODIUM).to_numpy()]
    if every:
        table.loc[sodium[::every], ["VALUEUOM", "VALUENUM"]] = ["furlong", "1"]
    table.to_csv(file, index=False)
    about = Collection(name="stays", dim=2, index=Hnsw(), metadata={"as_of": "admission+24h"})
    with (
        cohorts.open_source("mimic3", tmp_path / "ward", unit="admission") as source,
        records_of(about, tmp_path, tmp_path, source, lambda *_: None) as records,
    ):
        people = people_of(records.kept).drop_duplicates("patient_id")
        everybody = Members("all", list(people.index), list(people["patient_id"]))
        found = compare(records, Asked(cohort=everybody), lambda *_: None)
        (course,) = (one for one in courses_of(records.kept, people, lambda _: None) if one.item == SODIUM)
    assert np.nanmin(course.values) > 1
    notes = [note for note in found.notes if "another unit" in note]
    assert notes == ([f"values in another unit than most don't count: {told}"] if told else [])
