"""Likeness beyond one code: grades by records, and those given."""

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.errors import InputError
from cohorts.harness.evaluate.retrieval import grades
from cohorts.harness.evaluate.retrieval.population import (
    incidence,
    read_patients,
)
from cohorts.harness.evaluate.retrieval.scorers import (
    ByCodes,
    ByDemographics,
    Seen,
    groups_of,
)
from cohorts.records.base import Source
from cohorts.records.withheld import Withheld


def test_grades_by_hand(source: Source) -> None:
    batches = list(source.batches())
    of = grades.OfRecords(source, ["sepsis"])
    rows = np.array([0, 5])
    made = of.of(rows)
    assert made.shape == (2, len(read_patients(source)))
    assert (made.min(), made.max()) >= (0, 0)
    assert made.max() <= 1
    np.testing.assert_allclose(made[0, 5], made[1, 0])
    bare = [Withheld(("sepsis",)).apply(batch) for batch in batches]
    units = pd.concat([batch.units for batch in bare], ignore_index=True)
    expected = []
    for kind in ("diagnosis", "drug"):
        own = [groups_of(replace(one, codes=one.codes[one.codes["kind"] == kind])) for one in bare]
        expected.append(ByCodes(incidence(chain.from_iterable(own))[1]).jaccard(rows))
    ended = (units["died"].to_numpy()[rows][:, None] == units["died"].to_numpy()).astype(float)
    np.testing.assert_allclose(made, (expected[0] + expected[1] + ended) / 3, atol=1e-6)
    seen = Seen.read(source)
    assert ByDemographics(seen.sex, seen.age).scores(rows)[0, 0] == 1


def test_ndcg_by_grades_by_hand() -> None:
    made, best = np.array([[0.5, 1.0], [0.0, 0.0]]), np.array([[1.0, 0.5], [0.0, 0.0]])
    discount = 1 / np.log2([2, 3])
    (first, nothing) = grades.graded_ndcg(made, best, 2)
    assert first == pytest.approx((0.5 * discount[0] + discount[1]) / (discount[0] + 0.5 * discount[1]))
    assert np.isnan(nothing)


def test_judgements_are_checked_and_compared(source: Source, tmp_path: Path) -> None:
    population, of = read_patients(source), grades.OfRecords(source, ["sepsis"])
    file = tmp_path / "pairs.csv"
    pairs = [(a, b) for a in range(12) for b in range(a)]
    rows = [(population.ids[a], population.ids[b], float(of.of(np.array([a]))[0, b])) for a, b in pairs]
    pd.DataFrame(rows, columns=["patient", "other", "grade"]).to_csv(file, index=False)
    judged = grades.Judged(file, population)
    correlation, many = grades.agreement(of, judged)
    assert (correlation, many) == pytest.approx((1, len(pairs)))
    assert judged.of(np.array([0]))[0, 5] == pytest.approx(judged.of(np.array([5]))[0, 0])
    for text, told in (
        ("patient,other\n1,2\n", r"has no column grade .*It has: patient, other\."),
        ("patient,other,grade\n1,2,high\n", "a grade is a number of 0 or more"),
        ("patient,other,grade\nx,y,1\n", "2 ids are no units"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=told):
            grades.Judged(file, population)
