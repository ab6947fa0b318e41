"""Folds of septic stays, and which networks are trained: counted, nothing is trained."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from cohorts.encoders.sepsis.dealing import FEWEST, count
from cohorts.encoders.sepsis.settings import Settings
from cohorts.errors import InputError
from cohorts.harness.evaluate.sepsis.folds import check_enough, fewest, folds_of
from cohorts.harness.evaluate.sepsis.models import BCE, GRID, WEIGHTED, grid_of, trainings, variants_of
from cohorts.measures.intervals import Values


def hospital(patients: int, dead: int, seed: int = 0) -> tuple["np.typing.NDArray[np.str_]", Values]:
    """Stays of patients who have one to three each, of whom so many die in their last."""
    rng = np.random.default_rng(seed)
    many = rng.integers(1, 4, patients)
    owner = np.repeat(np.arange(patients), many)
    died = np.zeros(len(owner))
    died[np.cumsum(many)[rng.permutation(patients)[:dead]] - 1] = 1
    order = rng.permutation(len(owner))
    return owner[order].astype(np.str_), died[order]


@pytest.mark.parametrize(("folds", "dead"), [(5, 60), (5, 10), (2, 16), (3, 12), (10, 20)])
def test_no_patient_stands_on_two_sides_and_deaths_are_dealt_evenly(folds: int, dead: int) -> None:
    patients, died = hospital(300, dead)
    made = folds_of(patients, died, folds, seed=1)
    np.testing.assert_array_equal(np.sort(np.concatenate([one.test for one in made])), np.arange(len(died)))
    for one in made:
        own = [one.learn, one.stop, one.held, one.test]
        sides = [set(patients[rows].tolist()) for rows in own]
        few = sides[1] == sides[2]
        for first, second in combinations(range(4), 2):
            assert ((first, second) == (1, 2) and few) or not sides[first] & sides[second]
        assert set().union(*sides) == set(patients.tolist())
        assert few == (dead < 20)
        for rows in own[:3]:
            assert min(died[rows].sum(), (1 - died[rows]).sum()) >= FEWEST
    in_each = [died[one.test].sum() for one in made]
    assert max(in_each) - min(in_each) <= 1
    sizes = [len(set(patients[one.test].tolist())) for one in made]
    assert max(sizes) - min(sizes) <= 1


def test_an_eighth_stops_and_an_eighth_is_held_back_where_that_is_enough() -> None:
    patients, died = hospital(1_000, 200)
    for one in folds_of(patients, died, 5, seed=0):
        training = len(one.learn) + len(one.stop) + len(one.held)
        assert len(one.stop) / training == pytest.approx(1 / 8, abs=0.02)
        assert len(one.held) / training == pytest.approx(1 / 8, abs=0.02)


def test_folds_follow_the_seed_alone() -> None:
    patients, died = hospital(100, 30)
    same, again, other = (folds_of(patients, died, 4, seed) for seed in (3, 3, 4))
    for one, two in zip(same, again, strict=True):
        np.testing.assert_array_equal(one.held, two.held)
        np.testing.assert_array_equal(one.test, two.test)
    assert any(not np.array_equal(one.test, two.test) for one, two in zip(same, other, strict=True))


def test_too_few_deaths_or_survivors_are_refused() -> None:
    assert [fewest(folds) for folds in (2, 3, 5, 10)] == [16, 12, 10, 20]
    patients, died = hospital(300, 9)
    with pytest.raises(
        InputError, match="Of 300 septic patients, 9 died in hospital and 291 did not: 5 folds take 10"
    ):
        folds_of(patients, died, 5, seed=0)
    patients, died = hospital(40, 35)
    with pytest.raises(InputError, match="5 did not"):
        check_enough(patients, died, 5)
    assert count(*hospital(40, 35)) == (35, 5)


def test_at_most_some_90_networks_are_trained() -> None:
    settings = Settings()
    grid = grid_of(settings, GRID)
    assert len(grid) == len({str(one) for one in grid}) == 8
    assert {one.loss for one in grid} == {"focal"}
    variants = variants_of(grid[3])
    assert len(variants) == 8
    assert trainings(settings, GRID, 5) == 5 * (8 + 8) == 80
    chosen = {(one.hidden, one.dropout, one.rate) for one in variants.values()}
    assert chosen == {(grid[3].hidden, grid[3].dropout, grid[3].rate)}
    assert [variants[name].loss for name in (BCE, WEIGHTED)] == ["bce", "weighted"]
    assert {name: one.branches for name, one in variants.items() if one.loss == "focal"} == {
        "static alone": "static",
        "series alone": "series",
        "notes alone": "notes",
        "without static": "series+notes",
        "without series": "static+notes",
        "without notes": "static+series",
    }


def test_of_two_branches_each_alone_is_the_other_left_out() -> None:
    assert list(variants_of(Settings(branches="static+series"))) == [
        "static alone",
        "series alone",
        BCE,
        WEIGHTED,
    ]
    assert list(variants_of(Settings(branches="series"))) == [BCE, WEIGHTED]
    assert trainings(Settings(branches="static+series"), GRID, 5) == 60


def test_rising_folds_never_overlap() -> None:
    patients, died = hospital(60, 20)
    tests = [set(one.test.tolist()) for one in folds_of(patients, died, 5, seed=0)]
    assert all(not first & second for first, second in pairwise(tests))
